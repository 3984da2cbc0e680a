# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of a catalog that is on a tape: what may be believed of it, for it may be damaged, or anybody's."""

import json
import os
import tarfile
import tempfile

import files
import names
import source
from problem import Problem
from units import parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from catalog import Archive, Catalog, Tape
    from holding import Holding
    from settings import Settings

TAPE = {"label": str, "id": str, "barcode": str, "block_size": int, "labelled": str, "archives": list, "full": bool}
ARCHIVE = {"kind": str, "run": str, "host": str, "set": str, "level": int, "time": str, "file": int, "state": str}
NUMBERS = {"block_size": int, "keep_until": (int, float), "bytes": (int, type(None))}  # type: dict[str, Any]
TEXTS = {"sha256": (str, type(None)), "base": (str, type(None))}  # type: dict[str, Any]


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
            tapes += [tape for tape in [tape_of(data)] if tape]
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


def tape_of(data: bytes) -> "Tape | None":
    """A tape of the catalog, None if this is none."""
    try:
        tape = json.loads(data.decode())
        if not is_like(tape, TAPE):
            return None
        names.checked("tape", tape["label"])
        for archive in tape["archives"]:
            if not all(is_like(archive, fields) for fields in (ARCHIVE, NUMBERS, TEXTS)):
                return None
            names.checked("run", archive["run"])
            names.checked("set", archive["set"])
            names.host(archive["host"])
            parse_time(archive["time"])
    except (ValueError, RecursionError, Problem):
        return None
    return dict(tape)


def is_like(value: "Any", fields: "dict[str, Any]") -> bool:
    return isinstance(value, dict) and all(
        name in value and isinstance(value[name], kinds) for name, kinds in fields.items()
    )
