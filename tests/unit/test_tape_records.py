# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of the tape programs' answers, which only type checkers see, are those of real answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.plumbing.socketpipe.tests.unit.archiving import Host
from ansible_collections.plumbing.socketpipe.tests.unit.records import load, misfits
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

RECORDS = load("plugin_utils/_tape_records.py")


def wrong(record: str, answer: dict[str, Any]) -> list[str]:
    """What an action would miss in an answer; programs may say more than is read."""
    return misfits(answer, RECORDS[record], RECORDS, record, more=True)


def test_the_answers_of_the_tape_host(tape_host: Callable[..., TapeHost]) -> None:
    """Each subcommand whose answer an action reads, at a backup and afterwards."""
    host = tape_host(labelled=False, capacity=2**20)
    assert wrong("Labelled", host.ok("label", "--label", "A")) == []
    assert wrong("Committed", host.backup("20250101T000000Z", "h1")) == []
    assert wrong("Finished", host.ok("finish", "--run", "20250101T000000Z")) == []
    asked = {"hosts": {"h1": {"level": 1}, "h3": {"level": 0}}}
    assert wrong("Planned", host.ok("plan", data=json.dumps(asked).encode())) == []
    assert wrong("Info", host.ok("info")) == []
    assert wrong("Found", host.ok("find", "--path", "*")) == []
    assert wrong("Chain", host.ok("chain", "--host", "h1")) == []
    checked = host.ok("verify")
    assert checked["verified"] and wrong("Checked", checked) == []
    assert wrong("Inventory", host.ok("inventory", "--rebuild")) == []
    assert wrong("Chain", host.ok("chain", "--host", "h1")) == []


def test_the_answers_of_the_archiver(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.file("one", "content")
    done = host.run("estimate", "--level", "0")
    assert wrong("Estimate", json.loads(done.stdout)) == []
    assert wrong("Extracted", host.extract(host.create(), tmp_path / "to")) == []
