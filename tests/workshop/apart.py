# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command where it can do no harm: a changed program may delete, kill or dial anything.

It can write only to its own folder, which has its /tmp, too; it sees and kills only what it has started, and reaches
nothing but loopback.  Whatever it has started ends with it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

UNSHARE = [
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--pid",
    "--net",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
]
SCRIPT = r"""
set -e
ip link set lo up
mkdir -p "$0/tmp"; chmod 1777 "$0/tmp"
mount --bind "$0" "$0"
while read -r _id _parent _device _root point _rest; do
    point=$(printf "$point")  # a blank is \040 there
    case $point in
        /proc|/proc/*|/sys|/sys/*|/dev/pts|/dev/shm|"$0") ;;
        *) mount -o remount,bind,ro "$point" ;;
    esac
done </proc/self/mountinfo
mount --bind "$0/tmp" /tmp
export HOME=/tmp
cd "$PWD"
set +e
"$@"
exit $?  # not by exec: process 1 has orphans to wait for
"""


def command(folder: Path, argv: Sequence[str]) -> list[str]:
    """The command line that runs another one with only this folder to write to."""
    if os.getuid() != 0:
        raise SystemExit("needs root: changed programs run in namespaces of their own")
    if Path("/tmp") in folder.resolve().parents:
        raise SystemExit(f"cannot work below /tmp, in whose place there is another: {folder}")
    return [*UNSHARE, "sh", "-c", SCRIPT, str(folder.resolve()), *argv]
