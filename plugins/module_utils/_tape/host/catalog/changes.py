# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of several files of the catalog at once: after a kill, or a power failure, the next one completes them.

A journal has all that is new, and is whole or not there.  The catalog's lock is held, and its next holder comes here
first, so nobody changes one of these files in between.
"""

import contextlib
import os

from ...common import files
from . import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .index import Index

NAME = "change.part"  # no copy of a catalog has files of this name


class Journal:
    """The journal of a catalog, beside its files."""

    def __init__(self, index: "Index"):
        self.index = index
        self.path = os.path.join(index.folder, NAME)

    def write(self, tapes: "dict[str, Any]") -> None:
        """Write all of these files, None: remove it.  One alone needs no journal."""
        if len(tapes) > 1:
            files.write_json(self.path, tapes)
        self.apply(tapes)
        if len(tapes) > 1:
            self.drop()

    def finish(self) -> None:
        """Complete what was broken off; a journal that cannot be read is put aside: each file is whole, old or new."""
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
        """Remove what a killed one was writing: nobody but the lock's holder writes here."""
        for name in os.listdir(self.index.folder) if os.path.isdir(self.index.folder) else []:
            if name.endswith(".part") and name != NAME:
                os.unlink(os.path.join(self.index.folder, name))

    def apply(self, tapes: "dict[str, Any]") -> None:
        """What is new comes first: a tape that gets another name is never in none of the files."""
        for label in sorted(tapes, key=lambda each: (tapes[each] is None, each)):
            if tapes[label] is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.index.path(label))
            else:
                files.write_json(self.index.path(label), dict(tapes[label], format=records.FORMAT))
            self.index.forget(label)

    def drop(self) -> None:
        """It must not come back after a power failure, when there may be newer changes."""
        files.sync_folder(self.index.folder)
        os.unlink(self.path)
        files.sync_folder(self.index.folder)
