# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a transfer, always in the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..module_utils._run.transferred import DESTINATION, SOURCE, facts
from ..module_utils._run.words import printable

if TYPE_CHECKING:
    from ._transfer_run import Moved, Transfer


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
        **facts(after),
        "checksum": checksum,
        "bytes": moved.link["bytes"] if moved else None,
        "resumed": None,
        "link": moved.link if moved else None,
        "run": moved.run if moved else None,
        "hosts": None,
        "archivers": None,
    }
