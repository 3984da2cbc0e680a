# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes several files of the catalog together; after a kill or a power failure, the next process completes them.

A journal contains all new files and is either complete or absent.  It is written under the lock of the catalog, and the
next holder of the lock first completes it, so no other change comes in between.
"""

import contextlib
import os

from ...common import files
from . import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .index import Index

NAME = "change.part"  # copies of a catalog have no files with this name


class Journal:
    """The journal of a catalog."""

    def __init__(self, index: "Index"):
        self.index = index
        self.path = os.path.join(index.folder, NAME)

    def write(self, tapes: "dict[str, Any]") -> None:
        """Write these files, or remove those that are None.  A single file needs no journal."""
        if len(tapes) > 1:
            files.write_json(self.path, tapes)
        self.apply(tapes)
        if len(tapes) > 1:
            self.drop()

    def finish(self) -> None:
        """Complete an interrupted change.  An unreadable journal is renamed; each file is old or new, but complete."""
        self.tidy()
        try:
            tapes = files.read_json(self.path)
            if tapes is None:
                return
            if not isinstance(tapes, dict) or not all(each is None or records.is_tape(each) for each in tapes.values()):
                raise ValueError
        except (ValueError, RecursionError):
            os.rename(self.path, self.path + ".damaged")
            return
        self.apply(tapes)
        self.drop()

    def tidy(self) -> None:
        """Remove incomplete files of a killed process; only the holder of the lock writes here."""
        for name in os.listdir(self.index.folder) if os.path.isdir(self.index.folder) else []:
            if name.endswith(".part") and name != NAME:
                os.unlink(os.path.join(self.index.folder, name))

    def apply(self, tapes: "dict[str, Any]") -> None:
        """New files come first, so that a renamed tape is always in some file."""
        for label in sorted(tapes, key=lambda each: (tapes[each] is None, each)):
            if tapes[label] is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.index.path(label))
            else:
                files.write_json(self.index.path(label), dict(tapes[label], format=records.FORMAT))
            self.index.forget(label)

    def drop(self) -> None:
        """Remove the journal, so that it cannot return after a power failure and undo newer changes."""
        files.sync_folder(self.index.folder)
        os.unlink(self.path)
        files.sync_folder(self.index.folder)
