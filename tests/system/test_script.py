# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command that is a program of the controller's: it runs on its host from memory, and is in no file there."""

from __future__ import annotations

from pathlib import Path

from tests.hosts import Fleet

from . import playbook
from .conftest import SCRATCH
from .playbook import pipe

# whether this program, or its text, is in a file that anybody could find
LOOK = """
import os, sys
path = os.readlink("/proc/self/fd/3")
print(sys.argv[1:], os.path.exists(path), sys.stdin.read().split())
"""


def test_a_script_runs_on_either_host(fleet: Fleet, work: Path) -> None:
    (work / "look here.py").write_text(LOOK, encoding="utf-8")
    (work / "upper.sh").write_text('tr "$1" "$2"; echo done\n', encoding="utf-8")
    done = playbook.run(
        fleet,
        pipe(
            input={"script": f"{work}/upper.sh a-z A-Z", "executable": "/bin/sh -e"},
            remote={"script": f"'{work}/look here.py' 'one word' two"},
            peer="h2",
        ),
        hosts="h1",
    )
    result = done.result
    assert [stage["argv"][0] for stage in result["stages"]] == [f"{work}/upper.sh", f"{work}/look here.py"]
    assert result["stages"][1]["stdout"] == "['one word', 'two'] False ['done']\n"


def test_a_script_under_become(fleet: Fleet, work: Path) -> None:
    (work / "who.py").write_text("import os; print(os.getuid())", encoding="utf-8")
    done = playbook.run(
        fleet, pipe(input="true", remote={"script": f"{work}/who.py"}, _become=True, _become_user="backup1"), hosts="h1"
    )
    assert done.result["stages"][1]["stdout"].strip() not in ("", "0")


def test_what_runs_a_script_is_looked_up_before_anything_starts(fleet: Fleet, work: Path) -> None:
    (work / "x.py").write_text("", encoding="utf-8")
    done = playbook.run(
        fleet,
        pipe(input=f"touch {SCRATCH}/started", remote={"script": f"{work}/x.py", "executable": "no-such-shell"}),
        hosts="h1",
        rc=2,
    )
    assert "there is no 'no-such-shell' in PATH" in done.result["msg"]
    done = playbook.run(fleet, pipe(input="true", remote={"script": "no-such-file.py"}), hosts="h1", rc=2)
    assert done.result["msg"].startswith("remote: script: no-such-file.py: Could not find or access 'no-such-file.py'")
