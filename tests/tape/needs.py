# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Can the machine with tape drives run here?"""

from __future__ import annotations

import os
import shutil
import typing as t

from tests.hosts.layout import SANE_PATH

PACKAGES = {
    "linux": "user-mode-linux",
    "mbuffer": "mbuffer",
    "mkfs.ext4": "e2fsprogs",
    "mt-st": "mt-st",
    "mtx": "mtx",
    "sg_logs": "sg3-utils",
    "stenc": "stenc",
}
BOOT = ("linux", "mkfs.ext4")


def requirements(programs: t.Collection[str] = tuple(PACKAGES)) -> str | None:
    """None when the guest, and these programs in it, can run here, else one sentence that says what is missing."""
    if os.uname().machine != "x86_64":
        return "the guest with tape drives is for x86_64"
    if os.geteuid() != 0:
        return "only root can start the guest with tape drives"
    wanted = {*BOOT, *programs}
    missing = sorted({PACKAGES[name] for name in wanted if not shutil.which(name, path=SANE_PATH)})
    if missing:
        return f"the guest with tape drives needs these packages: {', '.join(missing)}"
    return None
