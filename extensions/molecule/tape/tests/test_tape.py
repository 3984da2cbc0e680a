# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge: the archives are on the tape, the catalog is right, the files are back; nothing else is left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import testinfra

WORK = Path(os.environ["SOCKETPIPE_MOLECULE"])
ROOT = Path(__file__).resolve().parents[4]
INVENTORY = str(ROOT / "extensions" / "molecule" / "inventory.py")
LABEL = "socketpipe:"  # on the command line of every end and guard
SCRIPT = "/proc/self/fd/"  # on that of the programs that are run from memory
TAPE, CATALOG = "/var/tmp/tapes/A", "/var/tmp/catalog"
# on the tape: the label, and each run's archives with a copy of the catalog behind them
FILES = [f"{TAPE}/{number:06d}" for number in range(7)]
# what a host has that it did not have before, but for what prepare.yml made
LEFT = {
    "tapehost": [*FILES, f"{CATALOG}/", "/root/state/all/"],
    "db1": ["/home/backup1/source/gamma", "/home/backup1/restored/", "/home/backup1/state/all/"],
}


def get_host(name: str) -> Any:
    return testinfra.get_host(f"ansible://{name}", ansible_inventory=INVENTORY)


@pytest.fixture
def tapehost() -> Any:
    return get_host("tapehost")


@pytest.fixture
def db1() -> Any:
    return get_host("db1")


@pytest.fixture(params=sorted(LEFT))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def each(name: str) -> Any:
    return get_host(name)


@pytest.fixture
def tape(tapehost: Any) -> dict[str, Any]:
    """What the catalog has of the tape."""
    return dict(json.loads(tapehost.file(f"{CATALOG}/tapes/WEEK01.json").content_string))


def test_the_archives_are_on_the_tape(tapehost: Any) -> None:
    assert tapehost.check_output(f"find {TAPE} -type f | sort").splitlines() == FILES
    for path in FILES:
        file = tapehost.file(path)
        assert (file.user, file.group) == ("root", "root")
        assert file.size == 8192 if path == FILES[0] else file.size % 262144 == 0


def test_the_catalog_is_right(tapehost: Any, tape: dict[str, Any]) -> None:
    """Of each archive: whose, of which level, and that it is the one that is there."""
    archives = [archive for archive in tape["archives"] if archive["kind"] == "archive"]
    assert sorted((each["host"], each["level"], each["state"]) for each in archives) == [
        ("db1", 0, "good"),
        ("db1", 1, "good"),
        ("tapehost", 0, "good"),
        ("tapehost", 1, "good"),
    ]
    for archive in archives:
        path = f"{TAPE}/{archive['file']:06d}"
        assert tapehost.file(path).sha256sum == archive["sha256"]
        assert tapehost.file(path).size == archive["bytes"]
        assert archive["verified"]["ok"] is True
        name = tapehost.check_output(f"tar tf {path} | head -n 1").split()
        assert name[:3] == [archive["run"], archive["host"], str(archive["level"])]
    assert tapehost.check_output(f"find {CATALOG} -type f -not -perm 600") == ""
    assert tapehost.check_output(f"find {CATALOG}/queue {CATALOG}/leases -type f") == ""


def test_the_full_archive_has_owner_and_mode(tapehost: Any, tape: dict[str, Any]) -> None:
    (full,) = [each for each in tape["archives"] if (each["host"], each["level"]) == ("db1", 0)]
    listed = tapehost.check_output(f"tar tvf {TAPE}/{full['file']:06d}").splitlines()
    assert [line.split()[:3] for line in listed if line.endswith("source/alpha")] == [
        ["-rw-r-----", "backup1/backup1", "250000"]
    ]


def test_db1_is_back_as_it_was(db1: Any) -> None:
    """With what came later, and without what was deleted."""
    back = "/home/backup1/restored/home/backup1/source"
    assert db1.check_output(f"ls {back}").split() == ["alpha", "gamma"]
    assert db1.run(f"diff -r {back} /home/backup1/source").rc == 0
    for name, mode in (("alpha", 0o640), ("gamma", 0o600)):
        file = db1.file(f"{back}/{name}")
        assert (file.user, file.group, file.mode) == ("backup1", "backup1", mode)
        assert file.mtime == db1.file(f"/home/backup1/source/{name}").mtime
    assert db1.file(back).mode == 0o750


def test_no_process_of_ours_is_left(each: Any) -> None:
    lines = each.check_output("ps -eo args").splitlines()
    assert [line for line in lines if LABEL in line or SCRIPT in line] == []


def test_nothing_listens_but_sshd(each: Any) -> None:
    addresses = {line.split()[3] for line in each.check_output("ss -Hltn").splitlines()}
    assert {address.rpartition(":")[2] for address in addresses} == {"22"}


def test_no_file_of_ours_is_left(each: Any, name: str) -> None:
    """Of what is newer than the end of prepare.yml: what the role is to keep, and nothing half made."""
    places = "/tmp /var/tmp /run /root /home /dev/shm"
    # the hosts see this repository, which may be in one of these
    found = each.run(f"find {places} -path '{ROOT}' -prune -o -type f -newer /var/tmp/prepared -print")
    files = found.stdout.splitlines()
    assert [path for path in files if not path.startswith(tuple(LEFT[name]))] == []
    assert [path for path in files if path.endswith((".part", ".new", ".tmp"))] == []
