# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog of a tape, from the tape alone: its label, the catalogs on it, and the name of each archive."""

import io
import json
import os
import tarfile
import tempfile

import catalog as catalogs
import source
from drive import FAR
from problem import Problem
from units import now_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from catalog import Archive, Catalog
    from holding import Holding
    from settings import Settings


def rebuild(settings: "Settings", catalog: "Catalog", holding: "Holding") -> "dict[str, Any]":
    """Read a tape's files from first to last, and add to the catalog what it lacks; raises Problem."""
    import label as labels

    drive = holding.drive
    label = labels.parse(drive.first_block())
    if label is None:
        raise Problem("the tape in %s has no label of ours: there is nothing to rebuild from" % drive.path)
    drive.prepare(None)
    found: "list[Archive]" = []
    number = 1
    while True:
        block = drive.read_first(number)
        if not block:
            break
        archive = archive_of(block, number, label)
        found.append(archive)
        if archive["kind"] == catalogs.CATALOG:
            adopt(settings, catalog, holding, archive, label["id"], found)
        number += 1
    for index, archive in enumerate(found):
        archive["base"] = archive["base"] or base_of(archive, found[:index])
    with catalog.lock():
        tape = catalog.tape(label["label"])
        if tape is None or tape["id"] != label["id"]:
            tape = {key: label[key] for key in ("label", "id", "barcode", "block_size", "labelled")}
            tape.update(archives=[], full=False, medium=drive.kind)
        known = {archive["file"]: archive for archive in tape["archives"] if archive["file"] < number}
        tape["archives"] = [known.get(archive["file"], archive) for archive in found]
        tape.pop("relabelling", None)
        catalog.save(tape)
    return {"label": label["label"], "archives": len(found), "added": len(found) - len(known)}


def archive_of(block: bytes, number: int, label: "dict[str, Any]") -> "Archive":
    """What the first block of a tape file says: tar's label is "run host level date set", or "catalog run date"."""
    words = volume_label(block).split(" ")
    kind = catalogs.CATALOG if words[0] == "catalog" else catalogs.ARCHIVE
    if kind == catalogs.CATALOG:
        words = words[1:2] + [label["host"], "0"] + words[2:]
    known = len(words) >= 4 and words[2].isdigit()
    return {
        "kind": kind,
        "run": words[0] if known else "unknown",
        "host": words[1] if known else "unknown",
        "set": words[4] if len(words) > 4 else "all",
        "level": int(words[2]) if known else 0,
        "base": None,
        "time": words[3] if known else now_iso(),
        "paths": [],
        "file": number,
        "block_size": len(block) if len(block) % 512 == 0 and len(block) < FAR else label["block_size"],
        "bytes": None,
        "sha256": None,
        # whether it is whole is not known before it has been verified
        "state": catalogs.WRITTEN if known else catalogs.FAILED,
        "keep_until": 2**40,
        "rebuilt": now_iso(),
    }


def base_of(archive: "Archive", before: "list[Archive]") -> "str | None":
    """The run that an increment is to: the newest of a lower level, as plan chooses it."""
    own = (archive["kind"], archive["host"], archive["set"])
    for other in reversed(before):
        if (other["kind"], other["host"], other["set"]) == own and other["level"] < archive["level"]:
            return str(other["run"])
    return None


def volume_label(block: bytes) -> str:
    """The name that tar --label gave an archive, "" if it has none: a member of type V, or a header of pax."""
    try:
        with tarfile.open(fileobj=io.BytesIO(block), mode="r:") as archive:
            name = archive.pax_headers.get("GNU.volume.label", "")
            if name:
                return str(name)
            first = archive.next()
            return first.name if first is not None and first.type == b"V" else ""
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return ""


def adopt(
    settings: "Settings",
    catalog: "Catalog",
    holding: "Holding",
    entry: "Archive",
    identity: str,
    found: "list[Archive]",
) -> None:
    """Take from a catalog on the tape what it says of this tape, and of tapes that are not known here."""
    with tempfile.TemporaryFile() as copy:
        copied = source.read(settings, holding, dict(entry, bytes=None), copy.fileno())
        copy.seek(0)
        if not copied.ok:
            return
        with tarfile.open(fileobj=copy, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member)
                if content is None or not member.isfile():
                    continue
                if member.name.startswith("tapes/"):
                    adopt_tape(catalog, json.loads(content.read().decode()), identity, found)
                elif member.name.startswith("lists/") and ".." not in member.name:
                    import files

                    files.write_whole(os.path.join(catalog.folder, member.name), content.read())


def adopt_tape(catalog: "Catalog", tape: "dict[str, Any]", identity: str, found: "list[Archive]") -> None:
    """One tape of a catalog on a tape: for this tape its entries are better than what the archives themselves say."""
    if tape["id"] == identity:
        better = {archive["file"]: archive for archive in tape["archives"] if archive["state"] != catalogs.WRITING}
        for index, archive in enumerate(found):
            found[index] = better.get(archive["file"], archive)
    else:
        with catalog.lock():
            if catalog.tape(tape["label"]) is None:
                catalog.save(tape)
