# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the copy of a catalog on a tape, without trusting it: it may be damaged, or written by anybody."""

import os
import tarfile
import tempfile

from ...common import files
from ...common.problem import Problem
from ..catalog import lists, records, restores
from . import source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..catalog.catalog import Catalog
    from ..catalog.records import Archive, Tape
    from ..reserve.reservation import Reservation


BLOCK = tarfile.BLOCKSIZE


def adopt(held: "Reservation", entry: "Archive") -> "tuple[list[Tape], dict[str, bytes]]":
    """The tapes of a copy of the catalog, none if it is incomplete, and its other files by their paths.

    Raises Problem if it cannot be read.
    """
    with tempfile.TemporaryFile() as copy:
        of_any_size: "Archive" = {**entry, "bytes": None}
        copied = source.read(held, of_any_size, copy.fileno())
        if not copied.ok:
            raise Problem("the copy of the catalog there cannot be read: %s" % copied.message)
        try:
            copy.seek(0)
            found = contents(copy)
        except (tarfile.TarError, EOFError, ValueError):
            return [], {}
    tapes: "list[Tape]" = []
    listed: "dict[str, bytes]" = {}
    for name, data in found.items():
        words = name.split("/")
        if words[0] == "tapes" and name.endswith(".json"):
            tapes += [tape for tape in [records.foreign_tape(data)] if tape]
        elif (words[0] == "lists" and len(words) == 3 and ".." not in words) or name == restores.NAME:
            listed[name] = data
    return tapes, listed


def contents(copy: "Any") -> "dict[str, bytes]":
    """All of its files; raises TarError, also at an unexpected end, where tarfile itself does not."""
    found, end = {}, 0
    with tarfile.open(fileobj=copy, mode="r:") as archive:
        for member in archive:
            end = member.offset_data - (-member.size // BLOCK) * BLOCK
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                found[member.name] = content.read()
    copy.seek(end)
    if copy.read(BLOCK) != bytes(BLOCK):  # a block of zeros ends every archive
        raise tarfile.ReadError("unexpected end")
    return found


def add_others(tapes: "dict[str, Tape | None]", copies: "list[Tape]", label: str) -> None:
    """Add entries from copies, oldest first, on other tapes than their own; the newest copy has precedence.

    ``tapes``: those of the catalog.  No entry of a tape is dropped, and additional entries of the same tape are added.
    """
    for copy in reversed(copies):
        if copy["label"] == label:
            continue
        known = tapes[copy["label"]]
        if known is None:
            tapes[copy["label"]] = copy
        elif known["id"] == copy["id"]:
            there = {each["file"] for each in known["archives"]}
            more = [each for each in copy["archives"] if each["file"] not in there and each["state"] != records.WRITING]
            if more:
                known["archives"] = sorted(known["archives"] + more, key=lambda each: int(each["file"]))


def add_lists(catalog: "Catalog", listed: "dict[str, bytes]") -> None:
    """Add missing file lists for archives in the catalog, and the record of restores if there is none."""
    last = listed.get(restores.NAME)
    if last is not None and not os.path.exists(restores.path(catalog.folder)):
        files.write_whole(restores.path(catalog.folder), last)
    for archive in catalog.archives():
        for path in (lists.path(catalog, archive), lists.former_path(catalog, archive)):
            data = listed.get(os.path.relpath(path, catalog.folder))
            if data is not None and not os.path.exists(path):
                files.write_whole(path, data)
