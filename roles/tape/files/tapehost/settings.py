# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role's variables say, as SOCKETPIPE_TAPE holds them (JSON)."""

import json
import os

import encryption
from drive import FAR
from problem import Problem
from units import parse_duration, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLE = "SOCKETPIPE_TAPE"
REUSE = ("never", "scratch", "expired")
DEFAULTS: "dict[str, Any]" = {
    "devices": [],
    "catalog_dir": "/var/lib/socketpipe/tape",
    "block_size": "256K",
    "retention": "28d",
    "reuse": "scratch",
    "labels": ["*"],
    "set": "all",
    "paths": [],
    "capacity": "",
    "compression": None,
    "buffer": "",
    "wait": "1h",
    "lease": "1h",
    "steal": False,
    "reclaim": False,
    "changer": "",
    "barcodes": [],
    "next_command": "",
    "encryption": {},
}


class Settings:
    """The settings, checked: sizes are bytes, durations are seconds; raises Problem."""

    def __init__(self, given: "dict[str, Any]"):
        value = dict(DEFAULTS, **{name: given[name] for name in DEFAULTS if given.get(name) not in (None, "")})
        self.devices = [str(path) for path in value["devices"]]
        self.catalog_dir = str(value["catalog_dir"])
        self.block_size = parse_size(value["block_size"])
        self.retention = parse_duration(value["retention"])
        self.reuse = value["reuse"]
        self.labels = [str(pattern) for pattern in value["labels"]]
        self.set = str(value["set"])
        self.paths = [str(path) for path in value["paths"]]
        self.capacity = parse_size(value["capacity"]) if value["capacity"] else 0
        self.compression = value["compression"]
        self.buffer = parse_size(value["buffer"]) if value["buffer"] else 0
        self.wait = parse_duration(value["wait"])
        self.lease = parse_duration(value["lease"])
        self.steal = bool(value["steal"])
        self.reclaim = bool(value["reclaim"])
        self.changer = str(value["changer"])
        self.barcodes = [str(barcode) for barcode in value["barcodes"]]
        self.next_command = str(value["next_command"])
        self.encryption = dict(value["encryption"])
        encryption.check(self.encryption)
        if self.block_size % 512 or not 512 <= self.block_size <= FAR:
            raise Problem("tape_block_size: %d bytes" % self.block_size, "it must be a multiple of 512, and at most 4M")
        if self.reuse not in REUSE:
            raise Problem("tape_reuse: %r" % self.reuse, "it is one of " + ", ".join(REUSE))


def from_environment() -> "Settings":
    """Raises Problem."""
    try:
        given = json.loads(os.environ.get(VARIABLE) or "{}")
    except ValueError as exc:
        raise Problem("%s is not JSON: %s" % (VARIABLE, exc)) from None
    return Settings(given)
