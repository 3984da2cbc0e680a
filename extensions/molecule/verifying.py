# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verifiers of all scenarios share: the hosts, and that nothing of ours runs on them or lies about."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import testinfra

WORK = Path(os.environ["SOCKETPIPE_MOLECULE"])
ROOT = Path(__file__).resolve().parents[2]
INVENTORY = str(ROOT / "extensions" / "molecule" / "inventory.py")
LABEL = "socketpipe:"  # on the command line of every end and guard
NAMES = ("db1", "tapehost")
PLACES = "/tmp /var/tmp /run /root /home /dev/shm"


def get_host(name: str) -> Any:
    return testinfra.get_host(f"ansible://{name}", ansible_inventory=INVENTORY)


@pytest.fixture
def tapehost() -> Any:
    return get_host("tapehost")


@pytest.fixture
def db1() -> Any:
    return get_host("db1")


def new_files(name: str) -> list[str]:
    """What is newer than the end of prepare.yml, where this user, who is the one that the end ran as, may look."""
    # the hosts see this repository, which may be in one of these places
    words = f"find {PLACES} -path {shlex.quote(str(ROOT))} -prune -o -type f -newer /var/tmp/prepared -print"
    return list(get_host(name).run(words).stdout.splitlines())


@pytest.mark.parametrize("name", NAMES)
def test_no_process_of_ours_is_left(name: str) -> None:
    assert [line for line in get_host(name).check_output("ps -eo args").splitlines() if LABEL in line] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_listens_but_sshd(name: str) -> None:
    addresses = {line.split()[3] for line in get_host(name).check_output("ss -Hltn").splitlines()}
    assert {address.rpartition(":")[2] for address in addresses} == {"22"}


def test_no_process_of_ours_is_left_on_the_controller() -> None:
    """In the network that we are in; other tests on this machine have their own."""
    network = os.readlink("/proc/self/ns/net")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            assert LABEL not in words or os.readlink(process / "ns" / "net") != network, words
        except (FileNotFoundError, ProcessLookupError):
            continue
