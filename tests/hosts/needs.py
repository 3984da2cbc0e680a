# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Can hosts be made on this machine? And finding the programs it takes."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys

from .layout import SANE_PATH

PROGRAMS = ("ip", "ss", "nft", "sshd", "ssh", "ssh-keygen", "nsenter", "unshare", "setpriv", "setsid")
# Everything that a fleet does and a container or an old kernel may refuse, in namespaces that vanish at once.
TRIAL = (
    "ip link set lo up && ip link add sp-br type bridge && ip link add sp-a type veth peer name sp-b"
    " && nft add table inet sp && mount -t tmpfs none /run"
)


def program(name: str) -> str:
    """The full path of a program of the system."""
    found = shutil.which(name, path=SANE_PATH)
    if found is None:
        raise FileNotFoundError(f"{name} is not installed")
    return found


@functools.cache
def requirements() -> str | None:
    """None when hosts can be made here, else one sentence that says what is missing."""
    if not sys.platform.startswith("linux"):
        return "test hosts are made of Linux namespaces"
    if os.geteuid() != 0:
        return "only root can make test hosts"
    missing = [name for name in PROGRAMS if shutil.which(name, path=SANE_PATH) is None]
    if missing:
        return f"test hosts need these programs: {', '.join(missing)}"
    command = [program("unshare"), "-mnpui", "--fork", "--mount-proc", "sh", "-c", TRIAL]
    result = subprocess.run(
        command, env={"PATH": SANE_PATH}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if result.returncode:
        return f"namespaces for test hosts cannot be made here: {result.stderr.strip() or result.returncode}"
    return None
