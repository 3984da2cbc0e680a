# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module os; where nothing has loaded it, what an end needs of it, since loading takes an end 1.3 ms.

All functions of system calls are those of the C module posix, as in os.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from typing import Any, AnyStr, Callable

KIND, DIRECTORY, FILE = 0o170000, 0o040000, 0o100000  # inode(7)


class Paths:
    """What an end needs of os.path."""

    def __init__(self, look: "Callable[[str | bytes], Any]", look_at_links: "Callable[[str | bytes], Any]") -> None:
        """Both are functions like stat(2)."""
        self.look, self.look_at_links = look, look_at_links

    @staticmethod
    def join(path: "AnyStr", *more: "AnyStr") -> "AnyStr":
        slash: "AnyStr" = "/" if isinstance(path, str) else b"/"
        for each in more:
            if each.startswith(slash):
                path = each
            else:
                path += each if not path or path.endswith(slash) else slash + each
        return path

    def kind(self, path: "str | bytes") -> int:
        """0 if it does not exist."""
        try:
            return int(self.look(path).st_mode) & KIND
        except (OSError, ValueError):
            return 0

    def exists(self, path: "str | bytes") -> bool:
        return self.kind(path) != 0

    def isdir(self, path: "str | bytes") -> bool:
        return self.kind(path) == DIRECTORY

    def isfile(self, path: "str | bytes") -> bool:
        return self.kind(path) == FILE

    def lexists(self, path: "str | bytes") -> bool:
        try:
            self.look_at_links(path)
        except (OSError, ValueError):
            return False
        return True


def made() -> "Any":
    """Most of os, without loading it."""
    import posix

    found: "Any" = type(sys)("os")
    found.__dict__.update((name, value) for name, value in posix.__dict__.items() if name[:2] != "__")
    found.path = Paths(posix.stat, posix.lstat)
    found.environb = found.__dict__.pop("environ")
    found.devnull, found.defpath, found.SEEK_SET = "/dev/null", "/bin:/usr/bin", 0
    return found


if not TYPE_CHECKING:
    os = sys.modules.get("os") or made()

__all__ = ["os"]
