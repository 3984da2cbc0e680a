# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of a catalog that is on a tape: what may be believed of it, for it may be damaged, or anybody's."""

import os
import tarfile
import tempfile

import files
import records
import source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from catalog import Archive, Catalog, Tape
    from holding import Holding
    from settings import Settings


def adopt(settings: "Settings", catalog: "Catalog", holding: "Holding", entry: "Archive") -> "list[Tape]":
    """The tapes of a catalog on the tape, none if it is not whole; its lists of files are kept if they are not here."""
    with tempfile.TemporaryFile() as copy:
        copied = source.read(settings, holding, dict(entry, bytes=None), copy.fileno())
        try:
            copy.seek(0)
            found = contents(copy) if copied.ok else {}
        except (tarfile.TarError, EOFError, ValueError):
            return []
    tapes = []
    for name, data in found.items():
        words = name.split("/")
        if words[0] == "tapes" and name.endswith(".json"):
            tapes += [tape for tape in [records.foreign_tape(data)] if tape]
        elif words[0] == "lists" and len(words) == 3 and ".." not in words:
            path = os.path.join(catalog.folder, name)
            if not os.path.exists(path):
                files.write_whole(path, data)
    return tapes


def contents(copy: "Any") -> "dict[str, bytes]":
    """All of its files; raises TarError, also when it ends too early."""
    found = {}
    with tarfile.open(fileobj=copy, mode="r:") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                found[member.name] = content.read()
                if len(found[member.name]) != member.size:
                    raise tarfile.ReadError("it ends too early")
    return found
