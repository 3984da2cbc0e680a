# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role plumbing.socketpipe.kernel_tls: the module now and at each boot, and a reason where it cannot be.

No module is loaded into the kernel of this machine: modprobe, /sys/module and /etc/modules-load.d are the host's own.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.hosts import Fleet

from . import playbook
from .conftest import make_fleet

ROLE = "plumbing.socketpipe.kernel_tls"
TOOLS, BOOT, MODULE = "/usr/local/sbin", "/etc/modules-load.d", "/sys/module/tls"
# modprobe on a kernel of the kind in the file beside it; each call is logged
MODPROBE = f"""#!/bin/sh
echo "$*" >>$0.log
kind=$(cat $0.kind)
case "$kind $*" in
"none -D tls") echo "modprobe: FATAL: Module tls not found in directory /lib/modules/1.0" >&2; exit 1 ;;
"builtin -D tls") echo "builtin tls" ;;
*" -D tls") echo "insmod /lib/modules/1.0/kernel/net/tls/tls.ko" ;;
"locked tls") echo "modprobe: ERROR: could not insert 'tls': Operation not permitted" >&2; exit 1 ;;
"forbidden tls") ;;
*" -r tls") rm -r {MODULE} ;;
*" tls") mkdir {MODULE} && echo 0 >{MODULE}/refcnt ;;
*) exit 3 ;;
esac
"""
FRESH = f"rm -rf {MODULE} {BOOT}/* {TOOLS}/modprobe.log; echo %s >{TOOLS}/modprobe.kind"
RELEASE = os.uname().release


class Step(NamedTuple):
    """The role once: what is done before, and how it is called."""

    before: str = "true"
    state: str = "present"
    check: bool = False
    guest: str = "kvm"


class Came(NamedTuple):
    """What it came to: changed tasks, the message of a failure, loaded, files for boots, and calls of modprobe."""

    changed: list[str]
    failed: str
    loaded: bool
    boot: list[str]
    calls: list[str]


STEPS = {
    "container": Step(FRESH % "module", guest="container"),
    "container, loaded": Step(f"{FRESH % 'module'}; mkdir {MODULE}", guest="container"),
    "container, absent": Step(state="absent", guest="container"),
    "none": Step(FRESH % "none"),
    "none, absent": Step(state="absent"),
    "locked": Step(FRESH % "locked"),
    "forbidden": Step(FRESH % "forbidden"),
    "builtin": Step(FRESH % "builtin"),
    "checked": Step(FRESH % "module", check=True),
    "loaded": Step(),
    "again": Step(),
    "in use": Step(f"echo 1 >{MODULE}/refcnt; echo tls >{BOOT}/tls.conf", state="absent"),
    "free, checked": Step(f"echo 0 >{MODULE}/refcnt", state="absent", check=True),
    "free": Step(state="absent"),
    "gone": Step(state="absent"),
}
# what is there, and what modprobe was called for since the last time
LOOK = f"test -e {MODULE} && echo yes || echo no; ls {BOOT} | xargs; tr '\\n' '|' <{TOOLS}/modprobe.log"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    for made in make_fleet(["h1"], tmp_path_factory.mktemp("fleet")):
        for path in (TOOLS, BOOT, os.path.dirname(MODULE)):
            made["h1"].run(["mount", "-n", "-t", "tmpfs", "none", path])
        made["h1"].run(["sh", "-c", f"cat >{TOOLS}/modprobe; chmod 755 {TOOLS}/modprobe"], input=MODPROBE)
        yield made


@pytest.fixture(scope="module")
def came(fleet: Fleet) -> dict[str, Came]:
    """All steps in one play, one after the other."""
    tasks: list[dict[str, object]] = []
    guest = ""
    for name, step in STEPS.items():
        facts = {"virtualization_tech_guest": [step.guest], "kernel": RELEASE, "cacheable": True}
        role = {"ansible.builtin.import_role": {"name": ROLE}, "vars": {"kernel_tls_state": step.state}}
        if step.guest != guest:
            guest = step.guest
            tasks.append({"name": f"facts of {name}", "ansible.builtin.set_fact": facts})
        tasks += [
            {"name": f"before {name}", "ansible.builtin.raw": f"{step.before}; : >{TOOLS}/modprobe.log"},
            {
                "name": name,
                "block": [{"name": "The role", **role, "check_mode": step.check}],
                "rescue": [{"name": "It has failed", "ansible.builtin.debug": {"msg": "so it has"}}],
            },
            {"name": f"after {name}", "ansible.builtin.raw": f"sh -c {shlex.quote(LOOK)}"},
        ]
    done = playbook.run(fleet, tasks, timeout=400)
    found: dict[str, Came] = {}
    changed: list[str] = []
    failed = ""
    for each in done.outcomes:
        what, _space, name = each.task.partition(" ")
        if what == "before":
            changed, failed = [], ""
        elif what == "after":
            loaded, boot, calls = each.result["stdout"].replace("\r", "").split("\n")[:3]
            found[name] = Came(changed, failed, loaded == "yes", boot.split(), [c for c in calls.split("|") if c])
        elif each.task.startswith(ROLE):
            changed += [each.task.removeprefix(f"{ROLE} : ")] if each.result.get("changed") else []
            failed += each.result["msg"] if each.status == "failed" else ""
            failed += (
                each.result["msg"] if each.task.endswith("Report why the module stays") and each.status == "ok" else ""
            )
    assert list(found) == list(STEPS)
    return found


OURS = ["socketpipe-tls.conf"]
LOAD, BOOTS = "Load the module", "Load it at each boot"
GONE, UNLOAD = "Do not load it at boots", "Unload the module"


def test_a_container_has_the_kernel_of_its_host(came: dict[str, Came]) -> None:
    """What is loaded there is not to be loaded or unloaded here."""
    assert came["container, loaded"] == Came([], "", True, [], [])
    assert came["container, absent"] == Came([], "", True, [], [])
    if Path("/proc/net/tls_stat").exists():
        pytest.skip("the kernel of this machine has TLS, which its containers see")
    msg = "h1 is a container, and the kernel module tls is not loaded: "
    assert came["container"] == Came([], f"{msg}use this role on the host that the container runs on", False, [], [])


def test_a_host_is_found_to_be_a_container(fleet: Fleet) -> None:
    """By its own facts."""
    host = fleet["h1"]
    host.run(["sh", "-c", "mkdir /run/systemd; echo docker >/run/systemd/container"])
    try:
        task = {"ansible.builtin.import_role": {"name": ROLE}}
        done = playbook.run(fleet, task, rc=None, play={"gather_facts": False})
    finally:
        host.run(["rm", "-r", "/run/systemd"])
    assert "h1 is a container" in done.output


def test_a_kernel_without_the_module(came: dict[str, Came]) -> None:
    why = "modprobe: FATAL: Module tls not found in directory /lib/modules/1.0"
    none = came["none"]
    assert none.failed.startswith(f"h1 has no module tls for its kernel {RELEASE} ({why}): install the rest ")
    assert none == Came([], none.failed, False, [], ["-D tls"])
    assert came["none, absent"] == Came([], "", False, [], [])


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("locked", "modprobe: ERROR: could not insert 'tls': Operation not permitted"),
        ("forbidden", "modprobe reported no error"),
    ],
)
def test_a_module_that_is_not_loaded(came: dict[str, Came], kind: str, why: str) -> None:
    """Then there is no file for boots."""
    msg = f"h1 did not load the kernel module tls ({why}): only root may load it (become)"
    assert came[kind].failed.startswith(msg)
    assert (came[kind].loaded, came[kind].boot, came[kind].calls) == (False, [], ["-D tls", "tls"])


def test_a_module_that_is_part_of_the_kernel(came: dict[str, Came]) -> None:
    assert came["builtin"] == Came([BOOTS], "", False, OURS, ["-D tls"])


def test_there_and_gone(came: dict[str, Came]) -> None:
    assert came["checked"] == Came([LOAD, BOOTS], "", False, [], ["-D tls"])
    assert came["loaded"] == Came([LOAD, BOOTS], "", True, OURS, ["-D tls", "tls"])
    assert came["again"] == Came([], "", True, OURS, [])
    # a connection uses it, and a file of somebody else loads it
    stays = "h1 keeps the module tls until the next boot: it is in use"
    assert came["in use"] == Came([GONE], stays, True, ["tls.conf"], [])
    assert came["free, checked"] == Came([UNLOAD], "", True, ["tls.conf"], [])
    assert came["free"] == Came([UNLOAD], "", False, ["tls.conf"], ["-r tls"])
    assert came["gone"] == Came([], "", False, ["tls.conf"], [])
