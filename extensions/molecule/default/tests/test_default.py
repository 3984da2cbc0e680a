# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge: the archives are there, whole and their owners'; of ours nothing is left, on no host."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from verifying import (
    NAMES,
    WORK,
    db1,
    new_files,
    tapehost,
    test_no_process_of_ours_is_left,
    test_no_process_of_ours_is_left_on_the_controller,
    test_nothing_listens_but_sshd,
)

# they are tests and fixtures here, too
__all__ = [
    "db1",
    "tapehost",
    "test_no_process_of_ours_is_left",
    "test_no_process_of_ours_is_left_on_the_controller",
    "test_nothing_listens_but_sshd",
]

ARCHIVES = {"tapehost": "/var/tmp/tape", "db1": "/var/tmp/tape.bz2"}


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


@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_ours_is_left(name: str) -> None:
    assert new_files(name) == [ARCHIVES[name]]
