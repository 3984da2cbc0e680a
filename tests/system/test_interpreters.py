# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that an end runs with: 3.6 and later, what Ansible has discovered, none, or a wrong one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.fleet import pyenv_root

from .playbook import Done, pipe
from .together import At, Play, together

VERSIONS = ["3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13"]
# the parent of a stage is the end; it says which program it is and which version
PARENT = "readlink /proc/$PPID/exe"


def find_python(version: str) -> str | None:
    """A CPython of this version on this machine."""
    root = pyenv_root()
    found = sorted(root.glob(f"versions/{version}.*/bin/python{version}")) if root else []
    return str(found[-1]) if found else shutil.which(f"python{version}", path="/usr/local/bin:/usr/bin")


FOUND = {version: find_python(version) for version in ["2.7", *VERSIONS]}
PYTHONS = {version: path for version, path in FOUND.items() if path}


def of_version(version: str) -> Play:
    """Data both ways, a stage on the same host in between, and a failure."""
    if version not in PYTHONS:
        return Play(skip=f"there is no CPython {version} on this machine")
    variables = {"ansible_python_interpreter": PYTHONS[version]}
    good = pipe(
        input="head -c 3M /dev/zero",
        remote=[{"cmd": "cat"}, {"shell": f"cat; {PARENT} >&2"}],
        output="wc -c",
        _vars=variables,
        _environment={"SHELL_WORD": "é"},
    )
    bad = pipe(input="echo x", remote={"shell": "echo ümläut >&2; exit 3"}, _vars=variables)
    return Play([{"name": "good", **good}, {"name": "bad", **bad}], ignore_errors=True)


@pytest.mark.parametrize("version", VERSIONS)
@together(lambda at: of_version(at.params["version"]))
def test_python(done: Done, version: str) -> None:
    good, bad = done.of("good"), done.of("bad")
    assert good.status == "ok", good.result["msg"]
    assert good.result["stages"][3]["stdout"] == f"{3 * 1024 * 1024}\n"
    assert Path(good.result["stages"][2]["stderr"].strip()).name == f"python{version}"
    link = good.result["links"][0]
    assert link["bytes"] == 3 * 1024 * 1024 and link["rtt"] is not None and link["waited"]["busy"] is not None
    assert bad.result["msg"] == "remote (/bin/sh) on h1 failed with exit status 3: ümläut"


@together(lambda at: of_version("2.7"))
def test_python_2(done: Done) -> None:
    for outcome in (done.of("good"), done.of("bad")):
        assert outcome.status == "failed" and outcome.result["changed"] is False
        assert re.search(r"\bh1: .*Python 3\.6 or later", outcome.result["msg"]), outcome.result["msg"]
        assert outcome.result["cause"]["host"] == "h1"
        assert outcome.at - outcome.started < 10


def old_peer(at: At) -> Play:
    if "3.6" not in PYTHONS:
        return Play(skip="there is no CPython 3.6 on this machine")
    task = {"input": {"shell": PARENT}, "remote": {"shell": f"cat; {PARENT}"}, "peer": "old"}
    old = {"of": "h2", "ansible_python_interpreter": PYTHONS["3.6"], "ansible_become_method": "su"}
    return Play([pipe(**task), pipe(**task, peer_become=True)], more={"old": old})


@together(old_peer)
def test_an_old_python_on_the_peer(done: Done) -> None:
    """Both ends, each with its own; also through files, where the program comes as source."""
    assert len(done.results) == 2
    for result in done.results:
        first, second = result["stages"][1]["stdout"].split()
        assert Path(first).name == "python3.6" and Path(second).name != "python3.6"


# -- not set

# hosts without ansible_python_interpreter, and every command shown
UNSET: dict[str, Any] = {"every": {"ansible_python_interpreter": None}, "args": ["-vvv"]}


def unknown(at: At) -> Play:
    setting = at.params["setting"]
    own = {"ansible_python_interpreter": setting} if setting else {}
    return Play(
        [
            pipe(input="echo x", remote={"shell": f"cat; {PARENT}"}),
            pipe(input={"shell": PARENT}, remote={"shell": f"cat; {PARENT}"}, peer=f"{setting}2"),
        ],
        hosts=f"{setting}1",
        more={f"{setting}{number}": {"of": f"h{number}", **own} for number in (1, 2)},
        **UNSET,
    )


@pytest.mark.parametrize("setting", [None, "auto", "auto_silent"])
@together(unknown)
def test_no_interpreter_is_known(done: Done, setting: str | None) -> None:
    """One is found in the same exec that starts the end."""
    words = [word for result in done.results for word in result["stages"][1]["stdout"].split()]
    assert words[0] == "x" and all(re.search(r"/python3[.\d]*$", word) for word in words[1:]) and len(words) == 4
    assert len(re.findall(r"SSH: EXEC ssh ", done.stdout)) == 3


def fallbacks(at: At) -> Play:
    script = at.work / "pythonx"
    script.write_text(f'#!/bin/sh\ntouch {at.work}/used\nexec /usr/bin/python3 "$@"\n', encoding="ascii")
    script.chmod(0o755)
    paths = ["/no/such/python", "no-such-python", str(script), "/usr/bin/python3"]
    more = {"falling": {"of": "h1", "ansible_interpreter_python_fallback": paths}}
    return Play([pipe(input="echo x", remote="cat")], hosts="falling", more=more, **UNSET)


@together(fallbacks)
def test_the_first_of_the_fallbacks_that_is_there(work: Path, done: Done) -> None:
    assert done.only.status == "ok"
    assert (work / "used").exists()


@together(
    {"name": "facts", "ansible.builtin.setup": {"gather_subset": ["!all", "!min"]}},
    {"name": "pipe", **pipe(input="echo x", remote={"shell": f"{PARENT}; cat"})},
    {"name": "found", "ansible.builtin.debug": {"msg": "{{ ansible_facts.discovered_interpreter_python }}"}},
    hosts="discovered",
    more={"discovered": {"of": "h1"}},
    **UNSET,
)
def test_what_ansible_has_discovered_is_used(done: Done) -> None:
    found = done.of("found").result["msg"]
    assert f"exec {found} -IS" in done.stdout
    assert Path(done.of("pipe").result["stages"][1]["stdout"].split()[0]).name.startswith("python3")


@together(
    pipe(input="echo x", remote="cat", _vars={"ansible_python_interpreter": "/usr/bin/env python3"}),
    pipe(
        input="echo x",
        remote="cat",
        _vars={"ansible_python_interpreter": "{{ '/usr/bin/' ~ name }}", "name": "python3"},
    ),
    pipe(input="echo x", remote="cat", peer="templated"),
    more={
        "templated": {"of": "h2", "ansible_python_interpreter": "{{ '/usr/bin/' ~ program }}", "program": "python3"},
    },
)
def test_interpreters_with_words_and_templates(done: Done) -> None:
    assert [result["stages"][1]["stdout"] for result in done.results] == ["x\n"] * 3


# -- wrong ones


@together(
    pipe(
        input="date",
        remote="cat",
        _become=True,
        _become_user="backup1",
        _vars={"ansible_become_exe": "/no/such/sudo"},
    ),
    pipe(input="date", remote="cat", peer="undoable"),
    more={
        "undoable": {
            "of": "h2",
            "ansible_become_exe": "/no/such/doas",
            "ansible_become": True,
            "ansible_become_user": "backup1",
        }
    },
    ignore_errors=True,
)
def test_a_program_to_become_another_user_that_is_not_there(done: Done) -> None:
    """It is not Python that is missing."""
    for result, program, host in zip(done.results, ("sudo", "doas"), ("h1", "undoable"), strict=True):
        why = f"become needs {program}, which is not installed"
        assert result["msg"].startswith(f"no end could be started on {host}: {why}"), result["msg"]
        assert result["cause"]["kind"] == "no become"


def unusable(at: At) -> Play:
    touch = {"shell": f"touch {at.work}/ran; cat"}
    none: dict[str, Any] = {"ansible_interpreter_python_fallback": ["no-such-python", "/no/such/python3"]}
    variables = {
        "missing": {"ansible_python_interpreter": "/no/such/python"},
        "file": {"ansible_python_interpreter": "/etc/passwd"},
        "fallback": {"ansible_python_interpreter": "auto", **none},
        "cat": {"ansible_python_interpreter": "/bin/cat"},
    }
    tasks = {name: pipe(input=touch, remote=touch, _vars=own) for name, own in variables.items()}
    peer = pipe(input=touch, remote=touch, peer="unusable")
    return Play(
        [tasks["missing"], tasks["file"], tasks["fallback"], peer, tasks["cat"]],
        more={"unusable": {"of": "h2", "ansible_python_interpreter": "/no/such/python3.9"}},
        ignore_errors=True,
    )


@together(unusable)
def test_no_usable_python(work: Path, done: Done) -> None:
    missing, file, fallback, peer, cat = done.results
    advice = "install Python 3.6 or later there, or set ansible_python_interpreter"
    assert missing["msg"].startswith("no end could be started on h1: no usable Python (/no/such/python")
    assert file["msg"].startswith("no end could be started on h1: no usable Python (/etc/passwd")
    assert fallback["msg"].startswith(
        "no end could be started on h1: no usable Python (no-such-python, /no/such/python3, "
    )
    assert peer["msg"].startswith("no end could be started on unusable: no usable Python (/no/such/python3.9")
    for result in (missing, file, fallback, peer):
        assert advice in result["msg"] and result["cause"]["kind"] == "no python"
    assert cat["msg"].startswith("no end could be started on h1: it ended without a report (exit status 1): ")
    assert cat["cause"]["kind"] == "launch" and "/bin/cat" in cat["msg"]
    assert all(result["changed"] is False for result in done.results)
    assert [result["cause"]["host"] for result in done.results] == ["h1", "h1", "h1", "unusable", "h1"]
    assert list(work.iterdir()) == []
    assert max(outcome.at - outcome.started for outcome in done.outcomes) < 15
