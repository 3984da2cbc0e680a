# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the program on the tape host."""

from ..common import names
from ..common import settings as base
from ..common.units import parse_duration, parse_retention, parse_size, say_size
from .drives import encryption, serials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REUSE = ("never", "scratch", "expired")
EJECT_TO = ("slot", "mail_slot")  # of a changer
NUMBERS = 'quote each one ("042142"): otherwise YAML reads it as a number, with a leading 0 as an octal one'
LEAST_BUFFER = 10  # blocks; mbuffer requires 5
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
    "max_age": "",
    "metrics_file": "",
    "lease": "1h",
    "steal": False,
    "eject": False,
    "eject_to": "slot",
    "reclaim": False,
    "expire_last": False,
    "accept_clock": False,
    "accept_catalog": False,
    "accept_new_machine": False,
    "changer": "",
    "barcodes": [],
    "next_command": "",
    "encryption": {},
    "filters": [],
    "source": {},
}


class Settings(base.Settings):
    """All settings, checked; raises Problem."""

    DEFAULTS = DEFAULTS

    def __init__(self, given: "dict[str, Any]"):
        super().__init__(given)
        self.devices = self.drives()
        self.catalog_dir = names.path(self.folder("catalog_dir"))
        self.block_size = self.size_of_blocks()
        self.retention = self.parsed("retention", parse_retention)
        self.reuse = self.value["reuse"]
        self.labels = self.words("labels", NUMBERS)
        self.paths = self.words("paths")
        self.capacity = self.parsed("capacity", parse_size)
        self.compression = None if self.value["compression"] is None else self.flag("compression")
        self.buffer = self.parsed("buffer", parse_size)
        self.wait = self.parsed("wait", parse_duration)
        self.max_age = self.parsed("max_age", parse_duration)
        self.metrics_file = self.file_of_metrics()
        self.lease = self.parsed("lease", parse_duration)
        self.steal = self.flag("steal")
        self.eject = self.flag("eject")
        self.eject_to = self.value["eject_to"]
        self.reclaim = self.flag("reclaim")
        self.expire_last = self.flag("expire_last")
        self.accept_clock = self.flag("accept_clock")
        self.accept_catalog = self.flag("accept_catalog")
        self.accept_new_machine = self.flag("accept_new_machine")
        self.changer = self.word("changer")
        self.barcodes = self.words("barcodes", NUMBERS)
        self.next_command = self.word("next_command")
        self.encryption = self.value["encryption"]
        # these two are made and checked by the module
        self.filters, self.source = self.value["filters"], self.value["source"]
        self.set = self.name("set")
        self.check()

    def file_of_metrics(self) -> str:
        if not self.value["metrics_file"]:
            return ""
        path = names.path(self.folder("metrics_file"))
        if not path.endswith(".prom"):
            raise self.wrong("metrics_file", ": %s" % path, "its name must end in .prom: node_exporter reads no other")
        return path

    def drives(self) -> "list[str]":
        """The devices of tape_devices."""
        value = self.value["devices"]
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list):
            raise self.wrong("devices", ": %r is not a list" % (value,), "it must be a list of drives")
        try:
            return [serials.device_of(each) for each in value]
        except ValueError as exc:
            hint = "it must be a path, or a mapping such as {serial: HU1234567A}; quote a serial number of digits"
            raise self.wrong("devices", ": %s" % exc, hint) from None

    def check(self) -> None:
        if not isinstance(self.encryption, dict):
            raise self.wrong(
                "encryption",
                ": %r is not a mapping" % (self.encryption,),
                "the documentation of the role lists its keys",
            )
        self.encryption = dict(self.encryption)
        encryption.check(self.encryption)
        if self.buffer and self.buffer < LEAST_BUFFER * self.block_size:
            raise self.wrong(
                "buffer",
                ": " + say_size(self.buffer),
                "it must be at least %d blocks of tape_block_size, or empty" % LEAST_BUFFER,
            )
        if self.eject_to not in EJECT_TO:
            raise self.wrong("eject_to", ": %r" % (self.eject_to,), "it must be one of " + ", ".join(EJECT_TO))
        if self.reuse not in REUSE:
            raise self.wrong("reuse", ": %r" % (self.reuse,), "it must be one of " + ", ".join(REUSE))
