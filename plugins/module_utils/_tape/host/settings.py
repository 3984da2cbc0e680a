# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role's variables say, as SOCKETPIPE_TAPE holds them (JSON)."""

import json
import os

from ..common import names
from ..common.problem import Problem
from ..common.units import parse_duration, parse_retention, parse_size, say_size
from .drives import encryption
from .drives.drive import FAR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VARIABLE = "SOCKETPIPE_TAPE"
REUSE = ("never", "scratch", "expired")
YES = ("true", "yes", "on", "1")  # as -e on a command line gives them
NO = ("false", "no", "off", "0")
NUMBERS = 'write each in quotes ("042142"): without, YAML reads it as a number, and with a 0 before it as an octal one'
LEAST_BUFFER = 10  # blocks: mbuffer wants 5
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
    "expire_last": False,
    "accept_catalog": False,
    "accept_new_machine": False,
    "changer": "",
    "barcodes": [],
    "next_command": "",
    "encryption": {},
}


class Settings:
    """The settings, checked: sizes are bytes, durations are seconds; raises Problem."""

    def __init__(self, given: "dict[str, Any]"):
        self.value = dict(DEFAULTS, **{name: given[name] for name in DEFAULTS if given.get(name) not in (None, "")})
        self.devices = [names.path(each) for each in self.words("devices")]
        self.catalog_dir = names.path(self.word("catalog_dir"))
        if not self.catalog_dir.startswith("/"):
            raise Problem("tape_catalog_dir: %r is not a path" % self.catalog_dir, "it must begin with /")
        self.block_size = self.parsed("block_size", parse_size)
        self.retention = self.parsed("retention", parse_retention)
        self.reuse = self.value["reuse"]
        self.labels = self.words("labels", NUMBERS)
        self.paths = self.words("paths")
        self.capacity = self.parsed("capacity", parse_size)
        self.compression = None if self.value["compression"] is None else self.flag("compression")
        self.buffer = self.parsed("buffer", parse_size)
        self.wait = self.parsed("wait", parse_duration)
        self.lease = self.parsed("lease", parse_duration)
        self.steal = self.flag("steal")
        self.reclaim = self.flag("reclaim")
        self.expire_last = self.flag("expire_last")
        self.accept_catalog = self.flag("accept_catalog")
        self.accept_new_machine = self.flag("accept_new_machine")
        self.changer = self.word("changer")
        self.barcodes = self.words("barcodes", NUMBERS)
        self.next_command = self.word("next_command")
        self.encryption = self.value["encryption"]
        self.set = self.word("set")
        self.check()

    def check(self) -> None:
        try:
            names.checked("set", self.set)
        except Problem as exc:
            raise Problem("tape_set: " + exc.what, exc.hint) from None
        if not isinstance(self.encryption, dict):
            raise Problem(
                "tape_encryption: %r is not a mapping" % (self.encryption,),
                "its keys are in the documentation of the role",
            )
        self.encryption = dict(self.encryption)
        encryption.check(self.encryption)
        if self.block_size % 512 or not 512 <= self.block_size <= FAR:
            raise Problem("tape_block_size: %d bytes" % self.block_size, "it must be a multiple of 512, and at most 4M")
        if self.buffer and self.buffer < LEAST_BUFFER * self.block_size:
            raise Problem(
                "tape_buffer: " + say_size(self.buffer),
                "it must be at least %d blocks of tape_block_size, or empty" % LEAST_BUFFER,
            )
        if self.reuse not in REUSE:
            raise Problem("tape_reuse: %r" % (self.reuse,), "it is one of " + ", ".join(REUSE))

    def parsed(self, name: str, parse: "Callable[[object], int]") -> int:
        """A size or a duration."""
        if self.value[name] == "":
            return 0
        try:
            return parse(self.value[name])
        except Problem as exc:
            raise Problem("tape_%s: %s" % (name, exc.what), exc.hint, kind=exc.kind) from None

    def word(self, name: str) -> str:
        value = self.value[name]
        if name == "catalog_dir" and not isinstance(value, str):
            raise Problem("tape_%s: %r is not a path" % (name, value), "it must begin with /")
        if not isinstance(value, (str, int)) or isinstance(value, bool) or "\0" in str(value):
            raise Problem("tape_%s: %r" % (name, value), "it must be one word")
        return str(value)

    def words(self, name: str, numbers: str = "") -> "list[str]":
        """A list of words; one word is a list, too. ``numbers``: why there may be none among them."""
        value = [self.value[name]] if isinstance(self.value[name], str) else self.value[name]
        if not isinstance(value, list) or not all(
            isinstance(each, (str, int)) and not isinstance(each, bool) and "\0" not in str(each) for each in value
        ):
            raise Problem("tape_%s: %r is not a list" % (name, value), "it must be a list of words")
        if numbers and any(not isinstance(each, str) for each in value):
            raise Problem("tape_%s: %r has a number in it" % (name, value), numbers)
        return [str(each) for each in value]

    def flag(self, name: str) -> bool:
        value = self.value[name]
        text = str(value).lower()
        if text not in YES + NO:
            raise Problem("tape_%s: %r" % (name, value), "it is true or false")
        return text in YES


def from_environment() -> "Settings":
    """Raises Problem."""
    try:
        given = json.loads(os.environ.get(VARIABLE) or "{}")
    except (ValueError, RecursionError) as exc:
        raise Problem("%s is not JSON: %s" % (VARIABLE, exc)) from None
    if not isinstance(given, dict):
        raise Problem("%s is not a JSON object" % VARIABLE)
    return Settings(given)
