# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds drives by their serial numbers, which stay when a drive gets another place or another host adapter."""

import glob
import os
import re

from ...common import names
from ...common.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator

BY_ID = "tape/by-id/*-nst"  # links that udev makes: BUS-SERIAL-nst, or with the WWN instead
NO_DRIVE = "serial "  # begins the name of a drive that is not there; a path never begins so
NST = re.compile(r"nst\d+\Z")


def device_of(given: "Any", dev: str = "/dev", sysfs: str = "/sys") -> str:
    """The device of an entry of tape_devices: a path, or {serial: …}; raises ValueError."""
    if isinstance(given, dict):
        found = given.get("serial")
        if set(given) != {"serial"} or not isinstance(found, str) or not found.strip() or "/" in found:
            raise ValueError("%r is no drive" % (given,))
        wanted = found.strip()
        return next((path for path, own in known(dev, sysfs) if wanted in own), NO_DRIVE + wanted)
    if not isinstance(given, str) or not given or "\0" in given:
        raise ValueError("%r is no drive" % (given,))
    return names.path(given)


def known(dev: str = "/dev", sysfs: str = "/sys") -> "Iterator[tuple[str, list[str]]]":
    """(device, its serial numbers) of each drive: as its name has it, and as the kernel has read it."""
    links = sorted(glob.glob(os.path.join(dev, BY_ID)))
    for path in links:
        yield path, [os.path.basename(path)[: -len("-nst")].partition("-")[2], serial(path, sysfs)]
    for name in sorted(os.listdir(dev)):  # without udev, as in a container
        if NST.match(name):
            path = os.path.join(dev, name)
            yield path, [serial(path, sysfs)]


def missing(path: str, dev: str = "/dev", sysfs: str = "/sys") -> Problem:
    """The problem that there is no drive for a name of device_of()."""
    others = sorted({own[-1] for _path, own in known(dev, sysfs)} - {""})
    hint = "its drives have: %s" % ", ".join(others) if others else "it has no drive at all: lsscsi -g lists drives"
    return Problem("there is no drive with the serial number %s on this host" % path[len(NO_DRIVE) :], hint)


def serial(device: str, sysfs: str = "/sys") -> str:
    """The serial number of a drive (SPC: vital product data, page 80h), "" if unknown to the kernel."""
    try:
        number = os.stat(device).st_rdev
        path = "dev/char/%d:%d/device/vpd_pg80" % (os.major(number), os.minor(number))
        with open(os.path.join(sysfs, path), "rb") as page:
            return page.read()[4:].decode("ascii", "replace").strip("\0 ")
    except OSError:
        return ""
