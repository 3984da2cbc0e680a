# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of files, one of each good archive: lists/RUN/SET,HOST.gz in the catalog, as tar has written it."""

import contextlib
import fnmatch
import os
import re
import zlib

from ...common import names
from . import catalog as catalogs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .catalog import Archive, Catalog

GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say gzip
PIECE = 2**20  # bytes
PLAIN = re.compile(rb"[A-Za-z0-9._/-]+")  # what tar never escapes
# what tar writes for what is no printable ASCII (--quoting-style=escape)
ESCAPE = re.compile(rb"\\([abtnvfr\\]|[0-7]{3})")
ESCAPES = dict(
    zip((b"a", b"b", b"t", b"n", b"v", b"f", b"r", b"\\"), (b"\a", b"\b", b"\t", b"\n", b"\v", b"\f", b"\r", b"\\"))
)


def folder(catalog: "Catalog") -> str:
    return os.path.join(catalog.folder, "lists")


def path(catalog: "Catalog", archive: "Archive") -> str:
    """Of its own for each set and host of a run: a set's name has no comma."""
    return os.path.join(folder(catalog), archive["run"], names.path("%s,%s.gz" % (archive["set"], archive["host"])))


def former_path(catalog: "Catalog", archive: "Archive") -> str:
    """Where the first catalogs have it: there web.x/all and web/x.all shared a list."""
    name = "%s.%s.gz" % (archive["host"].replace("/", "_"), archive["set"])
    return os.path.join(folder(catalog), archive["run"], names.path(name))


def pieces(catalog: "Catalog", archive: "Archive") -> "Iterator[bytes]":
    """The list of an archive, unpacked, in pieces of whole lines; raises OSError, zlib.error, EOFError."""
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
    """The paths in the list of an archive that match; raises what pieces() raises.

    Only lines that have the longest literal part of what is wanted are looked at one by one.  A path is there once, but
    the list is unpacked to its checksum.
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


def literal_of(wanted: bytes) -> bytes:
    """The longest part of a pattern that is in each line that matches, as tar writes it."""
    parts: "list[bytes]" = PLAIN.findall(wanted.split(b"[", 1)[0])
    return max(parts or [b""], key=len).strip(b"/")


def lines_with(text: bytes, literal: bytes) -> "Iterator[bytes]":
    """The lines that have this in them, b"": all."""
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
    """Remove the lists of archives that have gone with their tapes; to be called with the catalog's lock held."""
    kept = set()
    for tape in catalog.tapes():
        for archive in tape["archives"]:
            if archive["kind"] == catalogs.ARCHIVE:
                kept |= {path(catalog, archive), former_path(catalog, archive)}
    if catalog.damaged:  # nobody knows which archives it has
        return
    for top, _folders, found in os.walk(folder(catalog), topdown=False):
        for name in found:
            if os.path.join(top, name) not in kept:
                os.unlink(os.path.join(top, name))
        with contextlib.suppress(OSError):
            os.rmdir(top)  # if it is empty now


def path_of(line: bytes) -> bytes:
    """A path without its first slash, of a line of tar's index: relative to /, in one line of ASCII."""
    name = line.rstrip(b"\n")
    name = name[2:] if name.startswith(b"./") else name
    if b"\\" in name:
        name = ESCAPE.sub(lambda match: ESCAPES.get(match.group(1)) or bytes([int(match.group(1), 8) & 255]), name)
    return name.rstrip(b"/")
