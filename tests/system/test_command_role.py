# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role plumbing.socketpipe.command: the one file on hosts, run there over ssh, and removed again."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .conftest import SCRATCH

BIN, MAN = f"{SCRATCH}/bin", f"{SCRATCH}/man/man1"  # /usr/local is this machine's
DIRECTORIES = [BIN, f"{SCRATCH}/man", MAN]
FILES = sorted([*DIRECTORIES, f"{BIN}/socketpipe", f"{MAN}/socketpipe.1"])
VARS = {"command_bin_dir": BIN, "command_man_dir": MAN}


def role(
    fleet: Fleet, rc: int = 0, hosts: str = "h1:h2", args: list[str] | None = None, **variables: Any
) -> playbook.Done:
    """Each of its modules costs as much as a whole test of another kind: where one host is enough, let it be one."""
    task = {"ansible.builtin.import_role": {"name": "plumbing.socketpipe.command"}, "vars": {**VARS, **variables}}
    return playbook.run(fleet, task, hosts=hosts, rc=rc, args=args or [])


def changed(done: playbook.Done) -> set[tuple[str, str]]:
    """(host, task) of what has changed."""
    return {(each.host, each.task) for each in done.outcomes if each.result.get("changed")}


def found(fleet: Fleet, host: str = "h1") -> list[str]:
    """What there is on a host; of the controller's temporary files the fixture `clean` takes care."""
    return [path for path in fleet[host].files() if path.startswith(SCRATCH + "/")]


def test_a_state_that_there_is_not(fleet: Fleet) -> None:
    done = role(fleet, rc=2, command_state="latest")
    assert "value of command_state must be one of: present, absent, got: latest" in done.output
    assert found(fleet) == []


def test_there_in_use_and_gone(fleet: Fleet) -> None:
    """That it does nothing in check mode, and nothing twice, is seen by the integration target of the role."""
    assert {host for host, _task in changed(role(fleet))} == {"h1", "h2"}
    assert found(fleet) == found(fleet, "h2") == FILES
    assert changed(role(fleet)) == set()

    # from one host to the other, where it is not any more
    fleet["h2"].run(["rm", "-r", BIN])
    words = [f"{BIN}/socketpipe", "-b", "-i", "{", "seq", "1", "100000", "}"]
    words += ["-l", "{", "ssh", "-F", str(fleet.ssh_config), "h2", "}", "-r", "{", "gzip", "-c", "}"]
    words += ["-o", "{", "dd", f"of={SCRATCH}/numbers.gz", "}"]
    done = fleet["h1"].run(words)
    assert done.stdout == ""
    script = f"seq 1 100000 | cmp - <(zcat {SCRATCH}/numbers.gz) && rm {SCRATCH}/numbers.gz"
    fleet["h1"].run(["bash", "-c", script])
    if shutil.which("man"):
        shown = fleet["h1"].run(["man", "-M", f"{SCRATCH}/man", "socketpipe"], env={"MANWIDTH": "80"}).stdout
        assert "zero overhead remote process plumbing" in shown

    assert changed(role(fleet, command_state="absent")) != set()
    assert found(fleet) == DIRECTORIES and found(fleet, "h2") == DIRECTORIES[1:]


def test_a_python_that_is_not_in_the_path(fleet: Fleet) -> None:
    role(fleet, hosts="h1", command_python="/usr/bin/python3")
    first = fleet["h1"].run(["head", "-n", "1", f"{BIN}/socketpipe"]).stdout
    assert first.startswith("#!/usr/bin/python3 -ISc")
    nowhere = ["env", "PATH=/nowhere", f"{BIN}/socketpipe", "--version"]
    assert fleet["h1"].run(nowhere).stdout.startswith("socketpipe ")


@pytest.mark.parametrize("lost", [["h1"], ["h1", "h2"]], ids=["the first", "all"])
def test_a_host_that_is_lost_on_the_way_leaves_nothing_on_the_controller(fleet: Fleet, lost: list[str]) -> None:
    """The first one stands for all when the temporary files are made and removed; `clean` looks for them."""
    port = f"{{{{ 1 if command_made is defined and inventory_hostname in {lost} else 22 }}}}"
    done = role(fleet, rc=2, ansible_port=port)
    failed = {each.host: each.result["msg"] for each in done.outcomes if each.status == "failed"}
    assert sorted(failed) == lost
    assert all(msg.startswith("the connection was lost: ") for msg in failed.values())
    for host in ("h1", "h2"):
        assert found(fleet, host) == (DIRECTORIES if host in lost else FILES)
