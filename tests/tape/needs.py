# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Can the machine with tape drives run here?"""

from __future__ import annotations

import os
import shutil

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


def requirements() -> str | None:
    """None when the guest can run here, else one sentence that says what is missing."""
    if os.uname().machine != "x86_64":
        return "the guest with tape drives is for x86_64"
    if os.geteuid() != 0:
        return "only root can start the guest with tape drives"
    missing = sorted({package for name, package in PACKAGES.items() if not shutil.which(name, path=SANE_PATH)})
    if missing:
        return f"the guest with tape drives needs these packages: {', '.join(missing)}"
    return None
