# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records the files that the archives of one restore have created; the last archive removes the record."""

import os
import shutil
import stat

from ..common.names import shown
from ..common.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

HIDDEN = b".socketpipe-restore"
ALL, NAMES, LINKS = b"all", b"names", b"links"
LISTING, DRILL = b"listing", b"drill"


class Record:
    """A hidden directory in the target directory, on the same file system."""

    def __init__(self, to: bytes, begins: bool):
        self.path = os.path.join(to, HIDDEN)
        self.loaded: "set[int] | None" = None
        try:
            at = os.lstat(self.path)
        except FileNotFoundError:
            self.is_there = False
            return
        if not stat.S_ISDIR(at.st_mode) or at.st_uid != os.geteuid() or stat.S_IMODE(at.st_mode) & 0o077:
            raise Problem("%s was not made by a restore of this collection: remove it" % shown(self.path))
        self.is_there = not begins
        if begins:  # left over from a killed restore
            self.remove()

    def file(self, name: bytes) -> bytes:
        return os.path.join(self.path, name)

    def has(self, name: bytes, is_directory: bool) -> bool:
        """Whether an earlier archive of this restore created this; a directory and a link are different entries."""
        if not self.is_there or os.path.exists(self.file(ALL)):
            return self.is_there
        if self.loaded is None:
            self.loaded = set()
            with open(self.file(NAMES), "rb") as text:
                rest = b""
                for chunk in iter(lambda: text.read(1024**2), b""):
                    *names, rest = (rest + chunk).split(b"\0")
                    self.loaded.update(map(hash, names))
        return hash(name + b"/" if is_directory else name) in self.loaded

    def start(self, everything: bool) -> "BinaryIO | None":
        """The file for the names restored now; None if everything in the directory was restored."""
        if not self.is_there:
            os.mkdir(self.path, 0o700)
            if everything:
                open(self.file(ALL), "wb").close()
        return None if os.path.exists(self.file(ALL)) else open(self.file(NAMES), "ab")

    def mark(self, drill: str) -> None:
        """Note the drill that has created the directory."""
        with open(self.file(DRILL), "w", encoding="ascii") as text:
            text.write(drill)

    def is_of(self, drill: str) -> bool:
        """Whether that drill has created the directory: another may run, or have been restored with its files."""
        try:
            with open(self.file(DRILL), encoding="ascii", errors="replace") as text:
                return self.is_there and text.read() == drill != ""
        except FileNotFoundError:
            return False

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
