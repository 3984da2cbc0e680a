# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resuming an interrupted transfer: whether the part at the destination is the beginning of the source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible.utils.display import Display

from ..module_utils._run.transferred import DESTINATION, SOURCE
from ..module_utils._run.words import printable

if TYPE_CHECKING:
    from ._transfer_run import Transfer

display = Display()
ANEW = "%s: the part of an interrupted transfer (%s, %d bytes) differs from the source. Everything is sent again."


def part_of(
    transfer: Transfer, source: Mapping[str, Any], look: Mapping[str, Any], check: bool
) -> dict[str, Any] | None:
    """The part to continue, if there is one; raises Failure.  ``check``: without comparing it with the source."""
    host, part = transfer.hosts[DESTINATION].name, look["part"]
    if look["refused"]:
        display.warning(f"{host}: {printable(look['refused'])}")
    if part is None or check:
        return part  # type: ignore[no-any-return]
    given = {
        SOURCE: {"path": source["path"], "source": source, "part": part},
        DESTINATION: {"path": look["path"], "source": None, "part": part},
    }
    sums = transfer.ask_both("checksum", given)
    if sums[SOURCE] == sums[DESTINATION]:
        return part  # type: ignore[no-any-return]
    display.warning(ANEW % (host, printable(part["path"]), part["size"]))
    return None
