# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge: the archives are there, whole and their owners'; of ours nothing is left, on no host."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
import testinfra

WORK = Path(os.environ["SOCKETPIPE_MOLECULE"])
ROOT = Path(__file__).resolve().parents[4]
INVENTORY = str(ROOT / "extensions" / "molecule" / "inventory.py")
LABEL = "socketpipe:"  # on the command line of every end and guard
ARCHIVES = {"tapehost": "/var/tmp/tape", "db1": "/var/tmp/tape.bz2"}


def get_host(name: str) -> Any:
    return testinfra.get_host(f"ansible://{name}", ansible_inventory=INVENTORY)


@pytest.fixture
def tapehost() -> Any:
    return get_host("tapehost")


@pytest.fixture
def db1() -> Any:
    return get_host("db1")


@pytest.fixture(params=sorted(ARCHIVES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def each(name: str) -> Any:
    return get_host(name)


def files(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Owner, mode and content of each file."""
    return {
        str(path.relative_to(directory)): (path.stat().st_uid, path.stat().st_mode, path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_the_tape_holds_the_whole_directory(tapehost: Any) -> None:
    tape = tapehost.file("/var/tmp/tape")
    assert (tape.user, tape.group) == ("root", "root")
    assert tape.size % 10240 == 0, "a tar archive ends in whole records"
    listed = tapehost.check_output("tar tvf /var/tmp/tape --numeric-owner").splitlines()
    owners_and_sizes = {words[-1]: words[1:3] for words in map(str.split, listed) if not words[-1].endswith("/")}
    assert owners_and_sizes == {"./data/alpha": ["5001/0", "250000"], "./data/beta": ["5001/0", "200000"]}
    for member in ("alpha", "beta"):
        assert tapehost.check_output(f"tar xOf /var/tmp/tape ./data/{member}") == member * 50_000


def test_what_was_restored_is_what_was_there() -> None:
    assert files(WORK / "restored") == files(WORK / "source")
    assert sorted(files(WORK / "restored")) == ["data/alpha", "data/beta"]


def test_the_peers_archive_is_whole_and_the_peers(db1: Any) -> None:
    tape = db1.file("/var/tmp/tape.bz2")
    assert (tape.user, tape.group) == ("backup1", "backup1")
    assert db1.run("bzip2 -t /var/tmp/tape.bz2").rc == 0
    for member in ("gamma", "delta"):
        assert db1.check_output(f"tar xjOf /var/tmp/tape.bz2 ./{member}") == member * 50_000


def test_no_process_of_ours_is_left(each: Any) -> None:
    assert [line for line in each.check_output("ps -eo args").splitlines() if LABEL in line] == []


def test_nothing_listens_but_sshd(each: Any) -> None:
    addresses = {line.split()[3] for line in each.check_output("ss -Hltn").splitlines()}
    assert {address.rpartition(":")[2] for address in addresses} == {"22"}


def test_no_file_of_ours_is_left(each: Any, name: str) -> None:
    """Of what is newer than the end of prepare.yml, where this user, who is the one that the end ran as, may look."""
    places = "/tmp /var/tmp /run /root /home /dev/shm"
    # the hosts see this repository, which may be in one of these
    found = each.run(f"find {places} -path {shlex.quote(str(ROOT))} -prune -o -type f -newer /var/tmp/prepared -print")
    assert found.stdout.splitlines() == [ARCHIVES[name]]


def test_no_process_of_ours_is_left_on_the_controller() -> None:
    """In the network that we are in; other tests on this machine have their own."""
    network = os.readlink("/proc/self/ns/net")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace")
            assert LABEL not in words or os.readlink(process / "ns" / "net") != network, words
        except (FileNotFoundError, ProcessLookupError):
            continue
