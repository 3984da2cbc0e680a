# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalog of a tape, from the tape alone: its label, the catalogs on it, and the name of each archive."""

import io
import os
import tarfile

import adopt
import catalog as catalogs
import label as labels
import names
from drive import FAR
from problem import Problem
from units import now_iso, parse_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from catalog import Archive, Catalog, Tape
    from holding import Holding
    from settings import Settings


def rebuild(settings: "Settings", catalog: "Catalog", holding: "Holding") -> "dict[str, Any]":
    """Read a tape's files from first to last, and add to the catalog what it lacks; raises Problem."""
    drive = holding.drive
    if not drive.status().loaded:  # else an attempt to read waits for two minutes
        raise Problem("there is no tape in %s" % drive.path)
    label = labels.parse(drive.first_block())
    if label is None:
        raise Problem("the tape in %s has no label of ours: there is nothing to rebuild from" % drive.path)
    known_as(catalog, label)
    drive.prepare(None)
    found: "list[Archive]" = []
    copies: "list[Tape]" = []
    while True:
        number = len(found) + 1
        block = drive.read_first(number)
        if not block:
            break
        if drive.kind == "virtual":  # a file does not tell in which blocks it was written
            block = block[: label["block_size"]]
        found.append(archive_of(block, number, label))
        if found[-1]["kind"] == catalogs.CATALOG:
            copies += adopt.adopt(settings, catalog, holding, found[-1])
    with catalog.lock():
        tape = known_as(catalog, label)
        known: "dict[int, Archive]" = {}
        for copy in [other for other in copies if other["id"] == label["id"]]:
            known.update((each["file"], each) for each in copy["archives"] if each["state"] != catalogs.WRITING)
        added = len(found)
        if tape is None or tape["id"] != label["id"]:
            tape = {key: label[key] for key in ("label", "id", "barcode", "block_size", "labelled")}
            tape.update(archives=[], full=False, medium=drive.kind)
        for each in tape["archives"]:
            known[each["file"]] = each
            added -= each["file"] <= len(found)
        tape["archives"] = [known.get(archive["file"], archive) for archive in found]
        tape.pop("relabelling", None)
        catalog.save(tape)
        for copy in copies:
            if copy["label"] != label["label"] and catalog.tape(copy["label"]) is None:
                catalog.save(copy)
    return {"label": label["label"], "archives": len(found), "added": added}


def known_as(catalog: "Catalog", label: "dict[str, Any]") -> "Tape | None":
    """What the catalog has of this tape, None if that is nothing or damaged; raises Problem if it is another one's."""
    path = catalog.tape_path(label["label"])
    try:
        tape = catalog.tape(label["label"])
    except Problem:
        os.rename(path, path + ".damaged")
        return None
    if tape and label["id"] not in (tape["id"], (tape.get("relabelling") or {}).get("id")) and tape["archives"]:
        raise Problem(
            "the catalog has another tape %s, labelled %s; this one was labelled %s"
            % (tape["label"], tape["labelled"], label["labelled"]),
            "remove %s if that tape is gone" % path,
        )
    return tape


def archive_of(block: bytes, number: int, label: "dict[str, Any]") -> "Archive":
    """What the first block of a tape file says: tar's label is "run host level date set", or "catalog run date"."""
    words = volume_label(block).split(" ")
    kind = catalogs.CATALOG if words[0] == "catalog" else catalogs.ARCHIVE
    if kind == catalogs.CATALOG:
        words = words[1:2] + [label["host"], "0"] + words[2:]
    known = is_ours(words)
    run, host, level, time = words[:4] if known else ["unknown", "unknown", "0", now_iso()]
    return {
        "kind": kind,
        "run": run,
        "host": host,
        "set": words[4] if known and len(words) > 4 else "all",
        "level": int(level),
        "base": None,  # catalog.base_of finds it
        "time": time,
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


def is_ours(words: "list[str]") -> bool:
    """Whether a volume label is one that this collection gives."""
    try:
        run, host, level, time = words[:4]
        names.checked("run", run)
        names.host(host)
        names.checked("set", (words[4:] or ["all"])[0])
        parse_time(time)
    except (Problem, ValueError):
        return False
    return level in "0123456789" and len(level) == 1


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
