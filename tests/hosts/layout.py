# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""What a host is: its name, addresses and where its files lie. No side effects here."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t
from pathlib import Path

# Debian's own directories only: a developer's PATH may have shims in it that behave differently on "another host".
SANE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONTROL_DIR = "/run/cp"  # on every host, short enough for the names of ssh's control sockets
NET4 = ipaddress.ip_network("10.203.0.0/22")
MOST = 400  # hosts of a fleet
NET6 = ipaddress.ip_network("fd53:5350::/64")
SSH_PORT = 22
USERS = {"backup1": 5001, "backup2": 5002}
# root's password on the test hosts, for become by su. Only in the private shadow files.
ROOT_PASSWORD = "socketpipe"
ROOT_HASH = "$6$socketpipe$t64JewJc8hC9NRqJWHSek9l.ej2.zBtYahAgdaE52AT66yQH9CYRrxuzXjSo2cf64Ci4WCTw4OUQ9z4tSNYei."
# Directory of the machine that each host has a private one of -> its name below the host's own directory.
PRIVATE = {"/etc": "etc", "/root": "root", "/home": "home", "/tmp": "tmp", "/var/tmp": "var-tmp"}
TMPFS = ("/run", "/dev/shm")
# The directories of /etc of which a host has its own; the others are the machine's, and nobody can write there: to copy
# a thousand files for each host would cost more than all else that makes one.
OWN_ETC = ("ssh", "sudoers.d")

Json = dict[str, t.Any]


class FleetError(Exception):
    """The hosts could not be made, reached or taken down."""


@dataclasses.dataclass(frozen=True)
class HostSpec:
    """What a host should be like. A plain name means HostSpec(name)."""

    name: str
    v4: bool = True
    v6: bool = True
    addresses: tuple[str, ...] = ()  # more addresses on eth0, each with its prefix length
    max_startups: str | None = None
    max_sessions: int | None = None
    sshd_config: tuple[str, ...] = ()  # more lines, before ours: sshd takes the first value it finds

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,30}", self.name):
            raise FleetError(f"{self.name!r} is not a usable host name")
        if not (self.v4 or self.v6):
            raise FleetError(f"host {self.name} would have no address")
        for address in self.addresses:
            ipaddress.ip_interface(address)

    def to_json(self) -> Json:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Json) -> HostSpec:
        return cls(**{**data, "addresses": tuple(data["addresses"]), "sshd_config": tuple(data["sshd_config"])})


@dataclasses.dataclass(frozen=True)
class Seat:
    """A host's place in its fleet: everything about it that never changes."""

    spec: HostSpec
    index: int
    directory: Path

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def v4(self) -> str | None:
        return str(NET4[self.index]) if self.spec.v4 else None

    @property
    def v6(self) -> str | None:
        return str(NET6[self.index]) if self.spec.v6 else None

    @property
    def address(self) -> str:
        return t.cast(str, self.v4 or self.v6)

    @property
    def addresses(self) -> list[str]:
        """All of them, in the form that `ip address add` takes."""
        own = [f"{self.v4}/{NET4.prefixlen}" if self.v4 else "", f"{self.v6}/{NET6.prefixlen}" if self.v6 else ""]
        return [address for address in own if address] + list(self.spec.addresses)

    @property
    def log(self) -> Path:
        return self.directory.parent.parent / "log" / f"{self.name}.log"


def hidden(path: Path) -> bool:
    """Is this path below a directory that hosts have private ones of?"""
    return any(path != Path(top) and path.is_relative_to(top) for top in (*PRIVATE, *TMPFS))
