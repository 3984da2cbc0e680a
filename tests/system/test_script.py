# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that is a program of the controller's: it runs on its host from memory, and is in no file there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.hosts import Fleet

from . import playbook
from .playbook import Done, pipe
from .test_interpreters import PYTHONS
from .together import At, Play, together
from .traces import SCRATCH

# whether this program, or its text, is in a file that anybody could find
LOOK = """
import os, sys
path = os.readlink("/proc/self/fd/3")
print(sys.argv[1:], os.path.exists(path), sys.stdin.read().split())
"""


def scripts(at: At) -> Play:
    (at.work / "look here.py").write_text(LOOK, encoding="utf-8")
    (at.work / "upper.sh").write_text('tr "$1" "$2"; echo done\n', encoding="utf-8")
    return Play(
        [
            pipe(
                input={"script": f"{at.work}/upper.sh a-z A-Z", "executable": "/bin/sh -e"},
                remote={"script": f"'{at.work}/look here.py' 'one word' two"},
                peer="h2",
            )
        ]
    )


@together(scripts)
def test_a_script_runs_on_either_host(work: Path, done: Done) -> None:
    result = done.result
    assert [stage["argv"][0] for stage in result["stages"]] == [f"{work}/upper.sh", f"{work}/look here.py"]
    assert result["stages"][1]["stdout"] == "['one word', 'two'] False ['done']\n"


def becoming(at: At) -> Play:
    (at.work / "who.py").write_text("import os; print(os.getuid())", encoding="utf-8")
    return Play([pipe(input="true", remote={"script": f"{at.work}/who.py"}, _become=True, _become_user="backup1")])


@together(becoming)
def test_a_script_under_become(done: Done) -> None:
    assert done.result["stages"][1]["stdout"].strip() not in ("", "0")


def impossible(at: At) -> Play:
    (at.work / "x.py").write_text("", encoding="utf-8")
    tasks = [
        pipe(input=f"touch {SCRATCH}/started", remote={"script": f"{at.work}/x.py", "executable": "no-such-shell"}),
        pipe(input="true", remote={"script": "no-such-file.py"}),
    ]
    return Play(tasks, rc=2)


@together(impossible)
def test_what_runs_a_script_is_looked_up_before_anything_starts(done: Done) -> None:
    shell, file = done.outcomes
    assert shell.status == file.status == "failed"
    assert "there is no 'no-such-shell' in PATH" in shell.result["msg"]
    assert file.result["msg"].startswith("remote: script: no-such-file.py: Could not find or access 'no-such-file.py'")


# -- of several files

# changes the letters between its standard input and output as the word says that it is given
PROGRAM = {
    "__main__.py": "import sys\nfrom letters.case import change\n\nfor line in sys.stdin:\n"
    "    sys.stdout.write(change(sys.argv[1], line))\n",
    "letters/__init__.py": "import json, pkgutil\n\n"
    "WORDS = json.loads(pkgutil.get_data(__name__, 'words.json').decode())\n",
    "letters/words.json": '{"up": "upper", "down": "lower"}',
    "letters/case/__init__.py": "from .. import WORDS\n\n\ndef change(word, line):\n"
    "    return getattr(line, WORDS[word])()\n",
}


def program(top: Path) -> Path:
    for name, text in PROGRAM.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return top


def in_the_middle(at: At) -> Play:
    version = at.params["version"]
    if version and version not in PYTHONS:
        return Play(skip=f"there is no CPython {version} on this machine")
    python = PYTHONS[version] if version else "/usr/bin/python3"
    remote = [
        {"script": f"{program(at.work / 'prog')} up"},
        {"script": f"{at.work}/prog/ down", "executable": python},
    ]
    variables = {"ansible_python_interpreter": python}
    task = pipe(input="printf 'One\nTwo\n'", remote=remote, output="cat", _vars=variables)
    return Play([task])


@pytest.mark.parametrize("version", ["3.6", "3.13", None])
@together(in_the_middle)
def test_a_program_of_several_files_in_the_middle(work: Path, version: str | None, done: Done) -> None:
    """Between two links, on the oldest Python of targets, the newest, and the one that is there."""
    result = done.result
    assert result["stages"][-1]["stdout"] == "one\ntwo\n"
    assert [link["bytes"] for link in result["links"]] == [8, None, 8]
    assert result["stages"][1]["argv"] == [f"{work}/prog", "up"]
    assert not list(work.rglob("__pycache__"))


@together(lambda at: Play([pipe(input="echo x", remote={"script": f"{program(at.work / 'prog')} side"})], rc=2))
def test_what_a_failing_program_says(work: Path, done: Done) -> None:
    result = done.result
    assert result["msg"] == f"remote ({work}/prog) on h1 failed with exit status 1: KeyError: 'side'"
    stderr = result["stages"][1]["stderr"]
    assert 'File "/proc/self/fd/3/__main__.py", line 5, in <module>\n' in stderr
    assert 'File "/proc/self/fd/3/letters/case/__init__.py", line 5, in change\n' in stderr


def test_a_program_of_several_files_is_found_where_a_file_is(fleet: Fleet) -> None:
    """In ``files`` of a role, in ``files`` beside the playbook, and there itself."""
    top = playbook.directory(fleet)
    role = top / "roles" / "speaker"
    for place in (role / "files" / "of_role", top / "files" / "of_play", top / "beside"):
        program(place)
    tasks = [
        {"name": name, **pipe(input="echo Word", remote={"script": f"{name} up"})}
        for name in ("of_role", "of_play", "beside")
    ]
    (role / "tasks").mkdir()
    (role / "tasks" / "main.yml").write_text(json.dumps(tasks), encoding="utf-8")
    done = playbook.run(fleet, plays=[{"hosts": "h1", "gather_facts": False, "roles": ["speaker"]}])
    assert [result["stages"][1]["stdout"] for result in done.results] == ["WORD\n"] * 3


def test_vaults_in_a_program_of_several_files(fleet: Fleet, work: Path) -> None:
    top = program(work / "prog")
    password = work / "password"
    password.write_text("secret", encoding="ascii")
    vault = [str(playbook.ansible_playbook().with_name("ansible-vault")), "encrypt", "--vault-password-file"]
    files = [str(top / name) for name in ("__main__.py", "letters/words.json")]
    subprocess.run([*vault, str(password), *files], check=True, capture_output=True)
    task = pipe(input="echo Word", remote={"script": f"{top} down"})
    done = playbook.run(fleet, task, args=["--vault-password-file", str(password)])
    assert done.result["stages"][1]["stdout"] == "word\n"
    refused = playbook.run(fleet, task, rc=2).result
    assert refused["msg"].startswith(f"remote: script: {top}: __main__.py: ") and "decrypt" in refused["msg"]


def no_program(at: At) -> Play:
    return Play([pipe(input=f"touch {SCRATCH}/started", remote={"script": str(at.work)})], rc=2)


@together(no_program)
def test_a_directory_that_is_no_program(work: Path, done: Done) -> None:
    result = done.result
    assert result["msg"] == f"remote: script: {work}: there is no __main__.py in this directory for Python to run"
    assert result["changed"] is False and result["stages"] == []
