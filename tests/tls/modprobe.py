# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""modprobe(8) of a guest: kmod need not be installed on the machine whose files the guest sees.

modprobe [-D|-r|-a] MODULE...
"""

from __future__ import annotations

import ctypes
import os
import sys

FINIT_MODULE, DELETE_MODULE = 313, 176  # of x86_64
FOLDER = "/usr/lib/uml/modules/" + os.uname().release
LIBC = ctypes.CDLL(None, use_errno=True)


def paths(name: str) -> list[str]:
    """The files of a module, after those that it needs."""
    with open(FOLDER + "/modules.dep", encoding="ascii") as lines:
        for line in lines:
            path, _colon, needs = line.partition(":")
            if plain(path) == name.replace("-", "_"):
                return [*needs.split()[::-1], path]
    sys.exit(f"modprobe: FATAL: Module {name} not found in directory {FOLDER}")


def plain(path: str) -> str:
    return os.path.basename(path).partition(".")[0].replace("-", "_")


def call(number: int, *words: object) -> None:
    if LIBC.syscall(number, *words):
        sys.exit("modprobe: ERROR: " + os.strerror(ctypes.get_errno()))


def main(words: list[str]) -> None:
    options, names = [word for word in words if word[0] == "-"], [word for word in words if word[0] != "-"]
    for name in names:
        if "-r" in options:
            call(DELETE_MODULE, name.encode(), os.O_NONBLOCK)
            continue
        for path in paths(name):
            if "-D" in options:
                print(f"insmod {FOLDER}/{path}")
            elif not os.path.exists("/sys/module/" + plain(path)):
                with open(f"{FOLDER}/{path}", "rb") as module:
                    call(FINIT_MODULE, module.fileno(), b"", 0)


main(sys.argv[1:])
