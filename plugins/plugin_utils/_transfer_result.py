# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a transfer, always in the same shape."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..module_utils._run.words import printable
from ._transfer_run import DESTINATION, SOURCE

if TYPE_CHECKING:
    from ._transfer_run import Moved, Transfer

SECOND = 10**9
# fields that a failure has, too
NOTHING = (
    *("src", "dest", "source_host", "destination_host", "size", "mtime", "checksum", "owner", "group", "uid", "gid"),
    *("mode", "backup_file", "bytes", "resumed", "link", "run", "elapsed", "peer", "hosts", "archivers"),
)


def failed(kind: str, msg: str, host: str, changed: bool = False) -> dict[str, Any]:
    """``changed``: whether the destination may have been replaced."""
    cause = {"kind": kind, "host": host, "msg": msg}
    return {"failed": True, "changed": changed, "msg": msg, "cause": cause, **dict.fromkeys(NOTHING)}


def shape(
    transfer: Transfer,
    source: Mapping[str, Any],
    look: Mapping[str, Any],
    after: Mapping[str, Any],
    moved: Moved | None,
) -> dict[str, Any]:
    """``after``: the file at the destination, as it is now or, in check mode, as it would be."""
    if look["do"] == "nothing":
        after = look["current"]
    checksum = source["sha256"]
    if look["do"] == "nothing" and look["current"].get("sha256") != checksum:
        checksum = look["current"].get("sha256")  # of a file that was left alone (force: false)
    return {
        "changed": look["do"] != "nothing",
        "msg": "ok",
        "cause": None,
        "src": printable(source["path"]),
        "dest": printable(look["path"]),
        "source_host": transfer.hosts[SOURCE].name,
        "destination_host": transfer.hosts[DESTINATION].name,
        "size": after["size"],
        "mtime": round(after["mtime"] / SECOND, 6),
        "checksum": checksum,
        "owner": after["owner"],
        "group": after["group"],
        "uid": after["uid"],
        "gid": after["gid"],
        "mode": f"{after['mode']:04o}",
        "bytes": moved.link["bytes"] if moved else None,
        "resumed": None,
        "link": moved.link if moved else None,
        "run": moved.run if moved else None,
        "hosts": None,
        "archivers": None,
    }


def diff(look: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Attributes, since a file of any size is not shown."""
    header = printable(look["path"])
    return {
        "before_header": header,
        "before": described(look["current"]) if look["current"] else "",
        "after_header": header,
        "after": described(after),
    }


def described(found: Mapping[str, Any]) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found["mtime"] // SECOND))
    lines = {
        "size": found["size"],
        "mtime": f"{when[:-1]}.{found['mtime'] % SECOND:09d}Z",
        "owner": found["owner"],
        "group": found["group"],
        "mode": f"{found['mode']:04o}",
    }
    return "".join(f"{name}: {value}\n" for name, value in lines.items())
