# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of files, one of each good archive: lists/RUN/SET,HOST.gz in the catalog, as tar has written it."""

import contextlib
import fnmatch
import gzip
import os
import re

from ...common import names
from . import catalog as catalogs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Iterable

    from .catalog import Archive, Catalog

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


def opened(catalog: "Catalog", archive: "Archive") -> "IO[bytes]":
    """The list of an archive, uncompressed; raises OSError."""
    name = path(catalog, archive)
    if not os.path.exists(name) and os.path.exists(former_path(catalog, archive)):
        name = former_path(catalog, archive)
    return gzip.open(name, "rb")  # type: ignore[return-value] # it is one in all that is done with it


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


def named(paths: "Iterable[bytes]", wanted: bytes) -> "list[bytes]":
    """The path itself, or what matches it as a pattern of the shell."""
    if not any(character in wanted for character in b"*?["):
        return [path for path in paths if path == wanted][:1]
    return [path for path in paths if path == wanted or fnmatch.fnmatchcase(path, wanted)]
