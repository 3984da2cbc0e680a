# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detects the kind of drive behind a path in tape_devices."""

import os
import stat

from ...common.problem import Problem
from . import serials
from .drive import Drive
from .virtual import VirtualTape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    AnyDrive = Union[Drive, VirtualTape]


def drive_at(path: str) -> "AnyDrive":
    """The drive of a device, or the virtual tape of a directory; raises Problem."""
    if path.startswith(serials.NO_DRIVE):
        raise serials.missing(path)
    try:
        mode = os.stat(path).st_mode
    except OSError as exc:
        hint = "check tape_devices of this host; ls -l /dev/tape/by-id shows its drives, and mkdir makes a virtual tape"
        raise Problem("drive %s: %s" % (path, exc.strerror), hint) from None
    return VirtualTape(path) if stat.S_ISDIR(mode) else Drive(path)
