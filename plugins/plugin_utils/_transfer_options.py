# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of transfer."""

from __future__ import annotations

import re
from typing import Any

from ._survey import is_empty
from ._task_options import PIPE_SPEC, OptionError, PeerArgs

# options of the connection, which transfer has as well
OF_LINK = (
    *("peer", "peer_become", "peer_become_user", "listen", "address", "ports", "connect_timeout", "stall_timeout"),
    *("dead_peer", "rate_limit", "congestion_control", "encryption", "progress", "progress_quiet"),
)
TRANSFER_SPEC: dict[str, dict[str, Any]] = {
    "src": {"type": "str", "required": True},
    "dest": {"type": "str", "required": True},
    "hosts": {"type": "list", "elements": "str"},
    "direction": {"type": "str", "default": "push", "choices": ["push", "pull"]},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "raw"},
    "checksum": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": True},
    "backup": {"type": "bool", "default": False},
    "validate": {"type": "str"},
    "resume": {"type": "bool", "default": False},
    **{name: PIPE_SPEC[name] for name in OF_LINK},
}


class TransferArgs(PeerArgs):
    """The validated options of a transfer; the mode is not yet converted."""

    src: str
    dest: str
    hosts: list[str] | None
    direction: str
    owner: str | None
    group: str | None
    mode: Any
    checksum: bool
    force: bool
    backup: bool
    validate: str | None
    resume: bool


def parse_mode(value: Any) -> int | str | None:
    """The mode of a file as a number; "preserve", and None, as they are; raises OptionError."""
    number = value
    if is_empty(value):
        return None
    if value == "preserve":
        return "preserve"
    if isinstance(value, str) and re.fullmatch("(0o?)?[0-7]{1,4}", value):
        number = int(value, 8)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= 0o7777:
        raise OptionError(f"mode: {value!r} is neither an octal number such as '0640' nor preserve")
    return int(number)
