# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words with which pipe and transfer refuse a task."""

from __future__ import annotations

from ._connections import NO_ADDRESS, NO_BECOME, UNKNOWN, HostError

# errors of a host, with the option to change
WITH_OPTION = {
    UNKNOWN: "peer: %s",
    NO_BECOME: "peer_become_user needs peer_become: true",
    NO_ADDRESS: "%s: set address",
}


def about_host(exc: HostError) -> str:
    return WITH_OPTION.get(exc.kind, "%s").replace("%s", str(exc))
