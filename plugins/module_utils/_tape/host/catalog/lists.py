# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file lists of good archives, as written by tar: lists/RUN/SET,HOST.gz in the catalog."""

import contextlib
import fnmatch
import os
import re
import zlib

from ...common import names
from . import records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .catalog import Catalog
    from .records import Archive

GZIP = 16 + zlib.MAX_WBITS  # selects the gzip format in zlib
PIECE = 2**20  # bytes
PLAIN = re.compile(rb"[A-Za-z0-9._/-]+")  # characters that tar never escapes
# escapes of tar for everything but printable ASCII (--quoting-style=escape)
ESCAPE = re.compile(rb"\\([abtnvfr\\]|[0-7]{3})")
ESCAPES = dict(
    zip((b"a", b"b", b"t", b"n", b"v", b"f", b"r", b"\\"), (b"\a", b"\b", b"\t", b"\n", b"\v", b"\f", b"\r", b"\\"))
)


def folder(catalog: "Catalog") -> str:
    return os.path.join(catalog.folder, "lists")


def path(catalog: "Catalog", archive: "Archive") -> str:
    """The path of a list; the comma is unambiguous, because a set has none in its name."""
    return os.path.join(folder(catalog), archive["run"], names.path("%s,%s.gz" % (archive["set"], archive["host"])))


def former_path(catalog: "Catalog", archive: "Archive") -> str:
    """The path in the first catalogs, where web.x/all and web/x.all shared a list."""
    name = "%s.%s.gz" % (archive["host"].replace("/", "_"), archive["set"])
    return os.path.join(folder(catalog), archive["run"], names.path(name))


def pieces(catalog: "Catalog", archive: "Archive") -> "Iterator[bytes]":
    """The uncompressed list of an archive, in pieces of whole lines; raises OSError, zlib.error, EOFError."""
    try:
        packed = open(path(catalog, archive), "rb")
    except FileNotFoundError:
        packed = open(former_path(catalog, archive), "rb")
    with packed:
        unpack, rest, start = zlib.decompressobj(GZIP), packed.read(PIECE), b""
        while rest and not unpack.eof:
            piece = start + unpack.decompress(rest, PIECE)
            end = piece.rfind(b"\n") + 1
            yield piece[:end]
            start = piece[end:]
            rest = unpack.unconsumed_tail or packed.read(PIECE)
        if not unpack.eof:
            raise EOFError
        yield start


def search(catalog: "Catalog", archive: "Archive", wanted: bytes) -> "Iterator[bytes]":
    """The matching paths in the list of an archive; raises the errors of pieces().

    Only lines that contain the longest literal part of the pattern are examined.  A path occurs only once, but the list
    is unpacked to its end, to verify its checksum.
    """
    exact = not any(character in wanted for character in b"*?[")
    literal = literal_of(wanted)
    done = False
    for piece in pieces(catalog, archive):
        for line in lines_with(piece, literal) if not done else ():
            found = path_of(line)
            if found == wanted:
                yield found
                if exact:
                    done = True
                    break
            elif not exact and fnmatch.fnmatchcase(found, wanted):
                yield found


def has_file(catalog: "Catalog", archive: "Archive", wanted: bytes) -> bool:
    """Whether the archive has this file, which is no directory; raises the errors of pieces()."""
    literal = literal_of(wanted)
    found = False
    for piece in pieces(catalog, archive):
        for line in lines_with(piece, literal) if not found else ():
            found = found or (path_of(line) == wanted and not line.rstrip(b"\n").endswith(b"/"))
    return found


def count_below(catalog: "Catalog", archive: "Archive", wanted: "set[bytes]") -> int:
    """The number of entries of the archive that are one of these paths or below one; raises the errors of pieces().

    A path may occur more than once.
    """
    count = 0
    for piece in pieces(catalog, archive):
        for line in piece.splitlines():
            name = path_of(line)
            while name and name not in wanted:
                name = name.rpartition(b"/")[0]
            count += bool(name)
    return count


def literal_of(wanted: bytes) -> bytes:
    """The longest literal part of a pattern, which every matching line contains, as tar writes it."""
    parts: "list[bytes]" = PLAIN.findall(wanted.split(b"[", 1)[0])
    return max(parts or [b""], key=len).strip(b"/")


def lines_with(text: bytes, literal: bytes) -> "Iterator[bytes]":
    """The lines that contain this; b"" means all."""
    if not literal:
        yield from text.splitlines()
        return
    at = text.find(literal)
    while at >= 0:
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        yield text[text.rfind(b"\n", 0, at) + 1 : end]
        at = text.find(literal, end)


def prune(catalog: "Catalog") -> None:
    """Remove the lists of archives that no longer exist; call this with the lock of the catalog held."""
    kept = set()
    for tape in catalog.tapes():
        for archive in tape["archives"]:
            if archive["kind"] == records.ARCHIVE:
                kept |= {path(catalog, archive), former_path(catalog, archive)}
    if catalog.damaged:  # its archives are unknown
        return
    for top, _folders, found in os.walk(folder(catalog), topdown=False):
        for name in found:
            if os.path.join(top, name) not in kept:
                os.unlink(os.path.join(top, name))
        with contextlib.suppress(OSError):
            os.rmdir(top)  # if now empty


def path_of(line: bytes) -> bytes:
    """The path, relative to /, in a line of a list: one line of ASCII."""
    name = line.rstrip(b"\n")
    name = name[2:] if name.startswith(b"./") else name
    if b"\\" in name:
        name = ESCAPE.sub(lambda match: ESCAPES.get(match.group(1)) or bytes([int(match.group(1), 8) & 255]), name)
    return name.rstrip(b"/")
