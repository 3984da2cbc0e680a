# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a drive encrypts: archives and copies of the catalog, never a label, and nothing once they are written.

Its drive is a virtual tape that says it were a drive, and records what is done with it. An encrypting one: tests/tape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import detect, hardware, virtual
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import (
    encryption as drive_encryption,
)
from ansible_collections.plumbing.socketpipe.tests.unit.archives import archive
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import Done, TapeHost

Maker = Callable[..., TapeHost]
BEGIN = ["prepare", "encryption off"]
ARCHIVE = ["encryption mixed", "archive", "encryption off"]


def recording(log: Path) -> None:
    """In the process of the program: the drive, and stenc."""

    def note(words: str) -> None:
        with open(log, "a") as out:
            out.write(words + "\n")

    class Recording(virtual.VirtualTape):
        kind = "drive"

        def prepare(self, compression: bool | None) -> None:
            note("prepare")

        def write_label(self, block: bytes) -> None:
            note("label")
            super().write_label(block)

        @contextmanager
        def output(self, number: int) -> Iterator[int]:
            note("archive")
            with super().output(number) as fd:
                yield fd

        def read_first(self, number: int) -> bytes:
            note("look")
            return bytes(super().read_first(number))

        @contextmanager
        def input(self, number: int) -> Iterator[int]:
            note("read")
            with super().input(number) as fd:
                yield fd

    def encryption(_device: str, setting: dict[str, Any], writing: bool = True) -> dict[str, Any]:
        note("encryption %s" % setting.get("mode", "mixed" if setting else "as it is"))
        return {"mode": setting.get("mode"), "note": "recorded"}

    detect.drive_at = Recording
    drive_encryption.encryption = encryption
    hardware.alerts = lambda _device: ([], "")
    hardware.medium = lambda _device: {}


@pytest.fixture
def key(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "key").write_text("00" * 32)
    (tmp_path / "key").chmod(0o600)
    return {"key_file": str(tmp_path / "key")}


def recorded(host: TapeHost, *words: str, data: bytes = b"", **settings: Any) -> tuple[Done, list[str]]:
    """What came of a call, and what it has done with the drive."""
    log = host.folder / "log"
    log.write_text("")
    done = host.run(*words, data=data, before=partial(recording, log), **settings)
    return done, log.read_text().splitlines()


SINK = ("sink", "--run", "R2", "--host", "h1")


def test_a_label_is_written_in_clear(key: dict[str, Any], tape_host: Maker) -> None:
    host = tape_host(labelled=False, encryption=key)
    done, said = recorded(host, "label", "--label", "A")
    assert (done.answer["label"], said) == ("A", [*BEGIN, "label"])


def test_an_archive_is_encrypted_and_nothing_else(key: dict[str, Any], tape_host: Maker) -> None:
    host = tape_host(encryption=key, lease=0)
    for number in (1, 2):
        done, said = recorded(host, *SINK, data=archive("R2", "h1"))
        assert (done.answer["file"], said) == (number, [*BEGIN, *ARCHIVE])
        assert done.answer["encryption"] == {"mode": None, "note": "recorded"}
        assert host.tape()["archives"][-1]["encryption"]["note"] == "recorded"
    done, said = recorded(host, "finish", "--run", "R2")
    assert (done.answer["warnings"], said) == ([], [*BEGIN, *ARCHIVE])


def test_a_tape_that_is_begun_afresh(key: dict[str, Any], tape_host: Maker) -> None:
    """Its label is in clear, and its first archive is not."""
    host = tape_host(encryption=key, lease=0, retention="0d", reuse="expired", expire_last=True)
    host.backup("R1", "h1")
    done, said = recorded(host, *SINK, data=archive("R2", "h1"))
    assert (done.answer["file"], said) == (1, [*BEGIN, "label", *ARCHIVE])


def test_what_is_read_is_decrypted(key: dict[str, Any], tape_host: Maker) -> None:
    """By a restore, a verification, and a rebuild of the catalog, whose copies on the tape are encrypted, too."""
    host = tape_host(encryption=key, lease=0)
    host.backup("R1", "h1")
    host.ok("finish", "--run", "R1")
    done, said = recorded(host, "source", "--tape", "A", "--file", "1")
    assert (done.out, said) == (archive("R1", "h1"), ["encryption mixed", "prepare", "read", "encryption off"])
    done, said = recorded(host, "verify")
    assert len(done.answer["verified"]) == 1
    assert said == ["encryption mixed", "prepare", "read", "encryption off"]
    host.forget()
    done, said = recorded(host, "inventory", "--rebuild")
    assert done.answer["rebuilt"] == [{"label": "A", "archives": 2, "added": 2}]
    assert said == ["prepare", "encryption mixed", "look", "look", "prepare", "read", "look", "encryption off"]


@pytest.mark.parametrize("data", [b"", b"x"], ids=["nothing came", "half a block"])
def test_after_an_archive_that_failed(data: bytes, key: dict[str, Any], tape_host: Maker) -> None:
    host = tape_host(encryption=key)
    done, said = recorded(host, *SINK, data=data)
    assert (done.status, said) == (1, [*BEGIN, *ARCHIVE])


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, ["prepare", "encryption as it is", "archive"]),  # it only makes sure that the drive does not encrypt
        ({"mode": "keep"}, ["prepare", "encryption keep", "archive"]),  # the library's affair, labels included
        ({"mode": "off"}, ["prepare", "encryption off", "encryption off", "archive", "encryption off"]),
    ],
)
def test_without_a_key_of_ours(setting: dict[str, Any], expected: list[str], tape_host: Maker) -> None:
    host = tape_host(encryption=setting)
    done, said = recorded(host, *SINK, data=archive("R2", "h1"))
    assert (done.status, said) == (0, expected)
