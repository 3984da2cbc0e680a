# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python that an end runs with: 3.6 and later, what Ansible has discovered, none, or a wrong one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet
from tests.hosts.fleet import pyenv_root

from . import playbook
from .conftest import SCRATCH
from .playbook import Done, pipe

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


@pytest.fixture(scope="module")
def each(fleet: Fleet) -> Done:
    """With each of them: data both ways, a stage on the same host in between, and a failure."""
    tasks: list[dict[str, Any]] = []
    for version, python in PYTHONS.items():
        variables = {"ansible_python_interpreter": python}
        tasks += [
            {
                "name": f"{version} good",
                **pipe(
                    input="head -c 3M /dev/zero",
                    remote=[{"cmd": "cat"}, {"shell": f"cat; {PARENT} >&2"}],
                    output="wc -c",
                    _vars=variables,
                    _environment={"SHELL_WORD": "é"},
                ),
            },
            {
                "name": f"{version} bad",
                **pipe(input="echo x", remote={"shell": "echo ümläut >&2; exit 3"}, _vars=variables),
            },
        ]
    return playbook.run(fleet, tasks, ignore_errors=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_python(each: Done, version: str) -> None:
    if version not in PYTHONS:
        pytest.skip(f"there is no CPython {version} on this machine")
    good, bad = each.of(f"{version} good"), each.of(f"{version} bad")
    assert good.status == "ok", good.result["msg"]
    assert good.result["stages"][3]["stdout"] == f"{3 * 1024 * 1024}\n"
    assert Path(good.result["stages"][2]["stderr"].strip()).name == f"python{version}"
    link = good.result["links"][0]
    assert link["bytes"] == 3 * 1024 * 1024 and link["rtt"] is not None and link["waited"]["busy"] is not None
    assert bad.result["msg"] == "remote (/bin/sh) on h1 failed with exit status 3: ümläut"


def test_python_2(each: Done) -> None:
    if "2.7" not in PYTHONS:
        pytest.skip("there is no CPython 2.7 on this machine")
    for outcome in (each.of("2.7 good"), each.of("2.7 bad")):
        assert outcome.status == "failed" and outcome.result["changed"] is False
        assert re.search(r"\bh1: .*Python 3\.6 or later", outcome.result["msg"]), outcome.result["msg"]
        assert outcome.result["cause"]["host"] == "h1"
        assert outcome.at - outcome.started < 10


@pytest.mark.skipif("3.6" not in PYTHONS, reason="there is no CPython 3.6 on this machine")
def test_an_old_python_on_the_peer(fleet: Fleet) -> None:
    """Both ends, each with its own; also through files, where the program comes as source."""
    old = PYTHONS["3.6"]
    done = playbook.run(
        fleet,
        [
            pipe(input={"shell": PARENT}, remote={"shell": f"cat; {PARENT}"}, peer="h2"),
            pipe(input={"shell": PARENT}, remote={"shell": f"cat; {PARENT}"}, peer="h2", peer_become=True),
        ],
        inventory={
            "h1": {"ansible_python_interpreter": "/usr/bin/python3"},
            "h2": {"ansible_python_interpreter": old, "ansible_become_method": "su"},
        },
    )
    for result in done.results:
        first, second = result["stages"][1]["stdout"].split()
        assert Path(first).name == "python3.6" and Path(second).name != "python3.6"


# -- not set


@pytest.mark.parametrize("setting", [None, "auto", "auto_silent"])
def test_no_interpreter_is_known(fleet: Fleet, setting: str | None) -> None:
    """One is found in the same exec that starts the end."""
    done = playbook.run(
        fleet,
        [
            pipe(input="echo x", remote={"shell": f"cat; {PARENT}"}),
            pipe(input={"shell": PARENT}, remote={"shell": f"cat; {PARENT}"}, peer="h2"),
        ],
        inventory={"all": {"ansible_python_interpreter": setting}},
        args=["-vvv"],
    )
    words = [word for result in done.results for word in result["stages"][1]["stdout"].split()]
    assert words[0] == "x" and all(re.search(r"/python3[.\d]*$", word) for word in words[1:]) and len(words) == 4
    assert len(re.findall(r"SSH: EXEC ssh ", done.output)) == 3


def test_the_first_of_the_fallbacks_that_is_there(fleet: Fleet) -> None:
    h1 = fleet["h1"]
    script = f"{SCRATCH}/pythonx"
    text = f'#!/bin/sh\\ntouch {SCRATCH}/used\\nexec /usr/bin/python3 "$@"\\n'
    h1.run(
        [
            "sh",
            "-c",
            f"printf '{text}' >{script}; chmod 755 {script}",
        ]
    )
    playbook.run(
        fleet,
        pipe(input="echo x", remote="cat"),
        inventory={
            "all": {
                "ansible_python_interpreter": None,
                "ansible_interpreter_python_fallback": [
                    "/no/such/python",
                    "no-such-python",
                    script,
                    "/usr/bin/python3",
                ],
            }
        },
    )
    assert f"{SCRATCH}/used" in h1.files()


def test_what_ansible_has_discovered_is_used(fleet: Fleet) -> None:
    done = playbook.run(
        fleet,
        [
            {"name": "facts", "ansible.builtin.setup": {"gather_subset": ["!all", "!min"]}},
            {"name": "pipe", **pipe(input="echo x", remote={"shell": f"{PARENT}; cat"})},
            {"name": "found", "ansible.builtin.debug": {"msg": "{{ ansible_facts.discovered_interpreter_python }}"}},
        ],
        inventory={"all": {"ansible_python_interpreter": None}},
        args=["-vvv"],
    )
    found = done.of("found").result["msg"]
    assert f"exec {found} -IS" in done.output
    assert Path(done.of("pipe").result["stages"][1]["stdout"].split()[0]).name.startswith("python3")


def test_interpreters_with_words_and_templates(fleet: Fleet) -> None:
    done = playbook.run(
        fleet,
        [
            pipe(input="echo x", remote="cat", _vars={"ansible_python_interpreter": "/usr/bin/env python3"}),
            pipe(
                input="echo x",
                remote="cat",
                _vars={"ansible_python_interpreter": "{{ '/usr/bin/' ~ name }}", "name": "python3"},
            ),
            pipe(input="echo x", remote="cat", peer="h2"),
        ],
        inventory={"h2": {"ansible_python_interpreter": "{{ '/usr/bin/' ~ program }}", "program": "python3"}},
    )
    assert [result["stages"][1]["stdout"] for result in done.results] == ["x\n"] * 3


# -- wrong ones


def test_a_program_to_become_another_user_that_is_not_there(fleet: Fleet) -> None:
    """It is not Python that is missing."""
    task = pipe(
        input="date", remote="cat", _become=True, _become_user="backup1", _vars={"ansible_become_exe": "/no/such/sudo"}
    )
    own = {"h2": {"ansible_become_exe": "/no/such/doas", "ansible_become": True, "ansible_become_user": "backup1"}}
    done = playbook.run(fleet, [task, pipe(input="date", remote="cat", peer="h2")], inventory=own, ignore_errors=True)
    for result, program, host in zip(done.results, ("sudo", "doas"), ("h1", "h2"), strict=True):
        why = f"become needs {program}, which is not installed"
        assert result["msg"].startswith(f"no end could be started on {host}: {why}"), result["msg"]
        assert result["cause"]["kind"] == "no become"


def test_no_usable_python(fleet: Fleet, work: Path) -> None:
    touch = {"shell": f"touch {work}/ran; cat"}
    none: dict[str, Any] = {"ansible_interpreter_python_fallback": ["no-such-python", "/no/such/python3"]}
    done = playbook.run(
        fleet,
        [
            pipe(input=touch, remote=touch, _vars={"ansible_python_interpreter": "/no/such/python"}),
            pipe(input=touch, remote=touch, _vars={"ansible_python_interpreter": "/etc/passwd"}),
            pipe(input=touch, remote=touch, _vars={"ansible_python_interpreter": "auto", **none}),
            pipe(input=touch, remote=touch, peer="h2"),
            pipe(input=touch, remote=touch, _vars={"ansible_python_interpreter": "/bin/cat"}),
        ],
        inventory={"h2": {"ansible_python_interpreter": "/no/such/python3.9"}},
        ignore_errors=True,
    )
    missing, file, fallback, peer, cat = done.results
    advice = "install Python 3.6 or later there, or set ansible_python_interpreter"
    assert missing["msg"].startswith("no end could be started on h1: no usable Python (/no/such/python")
    assert file["msg"].startswith("no end could be started on h1: no usable Python (/etc/passwd")
    assert fallback["msg"].startswith(
        "no end could be started on h1: no usable Python (no-such-python, /no/such/python3, "
    )
    assert peer["msg"].startswith("no end could be started on h2: no usable Python (/no/such/python3.9")
    for result in (missing, file, fallback, peer):
        assert advice in result["msg"] and result["cause"]["kind"] == "no python"
    assert cat["msg"].startswith("no end could be started on h1: it ended without a report (exit status 1): ")
    assert cat["cause"]["kind"] == "launch" and "/bin/cat" in cat["msg"]
    assert all(result["changed"] is False for result in done.results)
    assert [result["cause"]["host"] for result in done.results] == ["h1", "h1", "h1", "h2", "h1"]
    assert list(work.iterdir()) == []
    assert max(outcome.at - outcome.started for outcome in done.outcomes) < 15
