# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SELinux context of a new file: that of the file it replaces, or the one that the policy has for its name."""

import ctypes
import os

ATTRIBUTE = "security.selinux"
ENABLED = "/sys/fs/selinux/enforce"


def of_policy(path: bytes, mode: int) -> bytes:
    """What the policy says for this path, "" if it says nothing (matchpathcon(3))."""
    try:
        library = ctypes.CDLL("libselinux.so.1", use_errno=True)
    except OSError:
        return b""
    found = ctypes.c_char_p()
    if library.matchpathcon(path, ctypes.c_uint(mode), ctypes.byref(found)) != 0:
        return b""
    try:
        return found.value or b""
    finally:
        library.freecon(found)


def of_file(path: bytes) -> bytes:
    try:
        return os.getxattr(path, ATTRIBUTE, follow_symlinks=False).rstrip(b"\0")
    except OSError:
        return b""


def label(fd: int, path: bytes, mode: int, replaces: bool) -> None:
    """Give the open file the context for this path; raises OSError."""
    if not os.path.exists(ENABLED):
        return
    context = of_file(path) if replaces else of_policy(path, 0o100000 | mode)
    if context:
        os.setxattr(fd, ATTRIBUTE, context + b"\0")
