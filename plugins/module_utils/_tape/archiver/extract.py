# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""extract: restores an archive from standard input below a directory."""

import os

from ..common.names import encode
from ..common.problem import SETTINGS, Problem
from . import links
from .beginning import Beginning
from .compare import Listing
from .extraction import Extraction
from .filenames import Found
from .gate import Gate, Selection
from .gnutar import escaped
from .settings import Settings
from .target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from .. import answers


# the default answer
NOTHING: "dict[str, Any]" = {"files": 0, "deleted": 0, "again": False, "whole": True}
NOTHING.update((key, []) for key in ("deleted_names", "kept_links", "missing", "gone", "warnings"))


def member(path: str) -> bytes:
    """The name in the archive for a path from the user; b"." means everything."""
    name = encode(os.path.normpath("/" + path.lstrip("/")))
    if ".." in path.split("/"):
        raise Problem("%r: a path to restore must not contain '..'" % path, kind=SETTINGS)
    return b"." + name if name != b"/" else b"."


def extract(settings: Settings, words: "argparse.Namespace") -> "answers.Extracted":
    asked = {member(path): path for path in words.paths}
    if words.bytes <= 0 or len(words.sha256) != 64:
        raise Problem("--bytes and --sha256 must be those of the archive in the catalog", kind=SETTINGS)
    members = [] if b"." in asked else list(asked)
    if words.early_exit is not None and (not members or words.delete or words.drill or words.again):
        raise Problem("--early-exit needs PATHs, and excludes --delete, --drill and --again", kind=SETTINGS)
    target = Target(words)
    done = False
    try:
        answer: "Any" = dict(NOTHING, to=words.to, bytes=words.bytes, sha256=words.sha256.lower())
        answer.update(links.fetch(words, target) if words.again else restore(words, target, members))
        done = True
    finally:
        target.put_back()
        if not words.drill and (not done or not (words.more or answer["again"])):
            target.record.remove()
    gone = set(answer.pop("gone"))
    answer["gone"] = [path for name, path in asked.items() if name in gone]
    missing = set(answer.pop("missing"))
    answer["missing"] = [path for name, path in asked.items() if name in missing]
    if answer["missing"] and words.strict_paths:
        raise Problem(
            "not in this archive: %s" % ", ".join(escaped(os.fsencode(path)).decode() for path in answer["missing"])
        )
    extracted: "answers.Extracted" = answer
    return extracted


def restore(words: "argparse.Namespace", target: Target, members: "list[bytes]") -> "dict[str, Any]":
    """Restore all members or the requested ones, and remove files of earlier archives that this one does not list."""
    record = target.record
    plain = target.is_new and not words.incremental  # the directory is empty, so there is nothing to check
    gate = None if plain else Gate(target.real, Selection(members), record, words.delete)
    recorded = record.start(target.is_new) if words.more or words.may_repeat or words.drill else None
    if words.drill:
        record.mark(words.drill)
    listing = Listing(record) if words.drill else None
    found = Found(members, recorded, listing)
    extraction = Extraction(words, target, members)
    beginning = None if words.early_exit is None else Beginning(Selection(members), words.early_exit)
    try:
        extraction.read(found, target.real, gate, beginning)
    finally:
        if recorded:
            recorded.close()
    says, gate_says = extraction.says, extraction.gate_says
    errors = says.first if extraction.has_errors else []
    again = links.remember(words, target, found.links)
    if gate and words.delete and not words.more:
        gate.remove_now([os.fsencode(name) for name in gate_says["later"]])
    return {
        **(listing.compare(target.real, words.more) if listing else {}),
        "tar": extraction.status,
        "files": found.count,
        "deleted": gate_says["count"] + (gate.count if gate else 0),
        "deleted_names": gate_says["deleted"] + (gate.deleted if gate else []),
        "kept_links": gate_says["kept"],
        "missing": found.missing,
        "gone": [os.fsencode(name) for name in gate_says["gone"]],
        "warnings": [] if extraction.has_errors else says.first,
        "errors": errors,
        "error_count": says.count if errors else 0,
        "again": again,
        "whole": beginning is None,
    }
