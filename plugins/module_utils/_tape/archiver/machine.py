# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The identity of this machine, whatever its name."""

import re

from ..common.problem import MACHINE, Problem


def same_machine(host: str, wanted: str) -> None:
    """Raises Problem if the archives with this name are of another machine."""
    found = machine_id()
    if wanted and found not in (None, wanted):
        raise Problem(
            "this is machine %s, but the last good archive of %s is of machine %s (/etc/machine-id): "
            "two hosts with the same name must not share a tape host; after a reinstallation set "
            "tape_accept_new_machine once" % (found, host, wanted),
            kind=MACHINE,
        )


def machine_id() -> "str | None":
    """The machine-id, which tells two hosts with the same name apart; None if there is none."""
    try:
        with open("/etc/machine-id", encoding="ascii") as text:
            found = text.read(100).strip()
    except (OSError, ValueError):
        return None
    return found if re.match(r"[0-9a-f]{32}\Z", found) else None
