# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory variables that say where a host can be dialled: its addresses, its ports, and whether it listens."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean

from ..module_utils._run.plan import parse_ports
from ..module_utils._run.words import printable
from ._connections import HostError

ADDRESS, PORTS, LISTEN = "socketpipe_address", "socketpipe_ports", "socketpipe_listen"
# letters may be of any language; on core 2.18 and earlier an undefined variable leaves its template, which has spaces
AN_ADDRESS = re.compile(r"[\w.:%-]+")


@dataclasses.dataclass(frozen=True)
class Reachable:
    """What the variables of a host say; a task's own options take precedence."""

    addresses: list[str] = dataclasses.field(default_factory=list)  # [] to detect them
    ports: list[int] = dataclasses.field(default_factory=list)  # [] for the default
    listens: bool = True


NOTHING = Reachable()


def reachable(name: str, variables: Mapping[str, Any], templar: Any = None) -> Reachable:
    """From the variables of a host, rendered by ``templar`` if they do not render themselves; raises HostError."""
    found = {}
    for variable in (ADDRESS, PORTS, LISTEN):
        try:
            value = variables.get(variable)
            found[variable] = templar.template(value) if templar and value is not None else value
        except AnsibleError as exc:
            raise HostError(f"{name}: {variable}: {' '.join(str(exc).split())}") from None
    return Reachable(
        addresses(name, found[ADDRESS]),
        ports(name, found[PORTS]),
        listens(name, found[LISTEN]),
    )


def items(value: Any) -> list[Any]:
    """A list, or a text with commas, as Ansible accepts it for an option."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [item.strip() for item in value.split(",")]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def addresses(name: str, value: Any) -> list[str]:
    for item in items(value):
        if not isinstance(item, str) or not AN_ADDRESS.fullmatch(item):
            raise HostError(f"{name}: {ADDRESS}: {printable(repr(item))} is neither an address nor a name")
    return [str(item) for item in items(value)]


def ports(name: str, value: Any) -> list[int]:
    given = items(value)
    try:
        return parse_ports(",".join(str(item) for item in given)) if given else []
    except ValueError as exc:
        raise HostError(f"{name}: {PORTS}: {exc}") from None


def listens(name: str, value: Any) -> bool:
    if value is None or value == "":
        return True
    try:
        return bool(boolean(value))
    except TypeError:
        raise HostError(f"{name}: {LISTEN}: {printable(repr(value))} is neither true nor false") from None
