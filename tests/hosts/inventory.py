# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Ansible inventories of a fleet."""

from __future__ import annotations

import itertools
import json
import shlex
import typing as t
from pathlib import Path

from .layout import CONTROL_DIR, FleetError, Json, Seat

Variables = t.Mapping[str, t.Mapping[str, t.Any]]
GROUP = "fleet"


def write(
    directory: Path, seats: t.Sequence[Seat], controller: str, key: Path, known_hosts: Path, variables: Variables
) -> Path:
    """A new file for each different content: JSON, which is YAML too."""
    unknown = set(variables) - {seat.name for seat in seats} - {"all", GROUP}
    if unknown:
        raise FleetError(f"variables for hosts that are not there: {', '.join(sorted(unknown))}")
    hosts = {seat.name: merge({"ansible_host": seat.address}, variables.get(seat.name)) for seat in seats}
    inventory: Json = {
        "all": {
            "vars": merge(common(key, known_hosts), variables.get("all")),
            "hosts": {controller: hosts.pop(controller)},
            "children": {GROUP: {"hosts": hosts, "vars": dict(variables.get(GROUP, {}))}},
        }
    }
    text = json.dumps(inventory, indent=2) + "\n"
    (directory / "inventory").mkdir(exist_ok=True)
    for number in itertools.count(1):
        path = directory / "inventory" / f"hosts{number}.yml"
        if not path.exists():
            path.write_text(text, encoding="utf-8")
        if path.read_text(encoding="utf-8") == text:
            return path
    raise AssertionError


def common(key: Path, known_hosts: Path) -> Json:
    options = [
        f"UserKnownHostsFile={known_hosts}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "IdentitiesOnly=yes",
    ]
    return {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(key),
        "ansible_ssh_common_args": shlex.join(word for option in options for word in ("-o", option)),
        "ansible_control_path_dir": CONTROL_DIR,
        "ansible_python_interpreter": "/usr/bin/python3",
    }


def merge(ours: Json, theirs: t.Mapping[str, t.Any] | None) -> Json:
    return {name: value for name, value in {**ours, **(theirs or {})}.items() if value is not None}
