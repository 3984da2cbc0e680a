# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After the playbooks: the archives are on the tape, the files are back, and nothing of ours runs or lies about."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from verifying import (
    NAMES,
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

TAPE = "/var/tmp/tape-a"
# what each host keeps: that of db1 is of the user who logs in there
KEPT = {
    "tapehost": [TAPE, "/var/tmp/catalog", "/var/tmp/tape-state"],
    "db1": ["/var/tmp/catalog-of-tapehost", "/var/tmp/tape-state", "/var/tmp/restored", "/var/tmp/source"],
}


def catalog(host: Any, folder: str = "/var/tmp/catalog") -> list[dict[str, Any]]:
    tape = json.loads(host.check_output(f"cat {folder}/tapes/WEEK01.json"))
    return [archive for archive in tape["archives"] if archive["kind"] == "archive"]


def test_every_archive_is_good_and_verified(tapehost: Any) -> None:
    archives = catalog(tapehost)
    rows = sorted((each["host"], each["level"], each["state"], each["verified"]["ok"]) for each in archives)
    assert rows == [(host, level, "good", True) for host in ("db1", "tapehost") for level in (0, 1)]


def test_an_archive_is_read_with_tar_alone(tapehost: Any) -> None:
    (first,) = [each for each in catalog(tapehost) if (each["host"], each["level"]) == ("db1", 0)]
    path = f"{TAPE}/{first['file']:06d}"
    archive = tapehost.file(path)
    assert (archive.user, archive.group) == ("root", "root")
    assert archive.size == first["bytes"]
    assert archive.size % first["block_size"] == 0
    assert tapehost.check_output(f"sha256sum {path}").split()[0] == first["sha256"]
    assert tapehost.check_output(f"tar -xOf {path} ./var/tmp/source/beta") == "\n".join(["beta of db1"] * 20000)


def test_the_label_says_how(tapehost: Any) -> None:
    text = tapehost.check_output(f"cat {TAPE}/000000")
    assert tapehost.file(f"{TAPE}/000000").size == 8192
    assert "tar -xpf -" in text


def test_the_files_are_back_as_they_were_last(db1: Any) -> None:
    back = "/var/tmp/restored/var/tmp/source"
    assert sorted(db1.file(back).listdir()) == ["beta", "gamma"], "what was deleted since level 0 does not come back"
    assert (db1.file(f"{back}/gamma").mode, db1.file(f"{back}/gamma").user) == (0o600, "backup1")
    assert db1.run(f"cmp {back}/beta /var/tmp/source/beta").rc == 0


def test_the_other_host_has_a_copy_of_the_catalog(tapehost: Any, db1: Any) -> None:
    assert [each["sha256"] for each in catalog(db1, "/var/tmp/catalog-of-tapehost")] == [
        each["sha256"] for each in catalog(tapehost)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_no_file_is_left_but_what_each_host_keeps(name: str) -> None:
    found = new_files(name)
    assert [path for path in found if not path.startswith(tuple(KEPT[name])) or path.endswith(".part")] == []
