# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives as hosts send them, and what they say of them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from typing import Any

BLOCK = 4096


def tar_of(label: str, size: int = 3000, name: str = "data", block: int = BLOCK, pax: bool = True) -> bytes:
    """An archive as GNU tar makes it, with a label: one file of this size, padded to whole blocks."""
    out = io.BytesIO()
    kind, headers = (tarfile.PAX_FORMAT, {"GNU.volume.label": label}) if pax else (tarfile.GNU_FORMAT, {})
    with tarfile.open(fileobj=out, mode="w", format=kind, pax_headers=headers) as archive:
        if not pax:
            volume = tarfile.TarInfo(label)
            volume.type = b"V"
            archive.addfile(volume)
        entry = tarfile.TarInfo(name)
        entry.size = size
        archive.addfile(entry, io.BytesIO(hashlib.sha256(label.encode()).digest() * (size // 32 + 1)))
    whole = out.getvalue().rstrip(b"\0")
    whole += b"\0" * (-len(whole) % 512 + 1024)  # the end of an archive
    return whole + b"\0" * (-len(whole) % block)


def archive(run: str, host: str, level: int = 0, size: int = 3000, **more: Any) -> bytes:
    return tar_of("%s %s %d %s all" % (run, host, level, iso(run)), size, **more)


def iso(run: str) -> str:
    """The time of a run's archives: R7 was in the seventh hour."""
    number = int(run.lstrip("R") or 0) if run.lstrip("R").isdigit() else 0
    return "2026-11-%02dT%02d:00:00Z" % (1 + number // 24, number % 24)


def report(
    run: str,
    host: str,
    data: bytes,
    /,
    names: Iterable[bytes] = (b"./etc/", b"./etc/hosts"),
    listing: bytes | None = None,
    **more: Any,
) -> bytes:
    """What the host says of this archive."""
    lines = list(names)
    facts = {
        "run": run,
        "host": host,
        "set": "all",
        "level": 0,
        "base": None,
        "time": iso(run),
        "paths": ["/etc"],
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "tar": 0,
        "warnings": [],
        "warning_count": 0,
        "other_file_systems": [],
        "files": len(lines),
        **more,
    }
    packed = gzip.compress(b"".join(line + b"\n" for line in lines)) if listing is None else listing
    return json.dumps(facts).encode() + b"\n" + packed
