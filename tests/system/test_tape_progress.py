# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role tape shows while it waits: how far it is, for whom it waits, and what would end that."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import time
from collections.abc import Iterator
from typing import Any

from . import taping
from .playbook import Started
from .taping import Site

WAITS: dict[str, Any] = {"tape_wait": "1h", "tape_progress_quiet": 1}
LIMIT = r"; for up to 1:00:00 \(tape_wait\)"
HOLDER = {"what": "the archive", "host": "db1", "run": "R0", "pid": 7, "since": "a while"}
BUSY = r"drive \S+/A is in use for the archive of db1 in run R0, since a while \(process 7\)"


FLEET = taping.HOSTS


def test_a_backup_waits_for_a_tape_of_another_run(site: Site) -> None:
    """Its size is known: the estimate of tar."""
    lease = site.catalog / "leases" / "WEEK01.json"
    lease.parent.mkdir(exist_ok=True)
    lease.write_text(json.dumps({"run": "R0", "until": time.time() + 3600}), encoding="utf-8")
    started = site.start("backup", args=["--limit", "h1"], tape_estimate=True, **WAITS)
    wait_for(
        started,
        r"h1: (stalled, )?the host → the tape [\d.]+ \w+ of 256\.0 KiB \(\d+ %\), [^;]*; "
        r"waiting for a drive: drive \S+/A: "
        rf"its tape WEEK01 belongs to run R0 until \S+ \(tape_steal overrides this\){LIMIT}",
    )
    lease.unlink()
    done = started.wait()
    assert done.rc == 0, done.output


def test_reading_waits_for_a_drive(site: Site) -> None:
    """Those that verify have no link at all.  One of the two waits for the other."""
    site.run("backup", args=["--limit", "h1"])
    with held(site):
        verifies = site.start("verify", **WAITS)
        restores = site.start("restore", restore_host="h1", restore_to=str(site.top / "back" / "waited"), **WAITS)
        why = rf"({BUSY}|others have been waiting for longer)"
        wait_for(verifies, rf"\w+: waiting for tape WEEK01: {why}{LIMIT}")
        link = r"the tape → the host 0 bytes of 256\.0 KiB \(0 %\), [^;]*; "
        wait_for(restores, rf"h1: (stalled, )?{link}waiting for tape WEEK01: {why}{LIMIT}")
        assert re.search(BUSY, verifies.said() + restores.said())
    for started in (verifies, restores):
        done = started.wait()
        assert done.rc == 0, done.output


def wait_for(started: Started, pattern: str) -> None:
    """A whole line; those before it may lack the figures of a host that had none yet."""
    deadline = time.monotonic() + 120
    while not re.search(rf"(?m)^{pattern}$", started.said()):
        if time.monotonic() > deadline:
            started.kill()
            raise AssertionError(f"no line {pattern}:\n{started.said()}")
        time.sleep(0.05)


@contextlib.contextmanager
def held(site: Site) -> Iterator[None]:
    """The drive, as by another job."""
    tape = site.tape().stat()
    with (site.catalog / "locks" / f"virtual-{tape.st_dev}-{tape.st_ino}").open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        json.dump(HOLDER, file)
        file.flush()
        yield
        file.truncate(0)
