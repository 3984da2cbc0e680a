# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lists of names that tar writes: one name a line, beginning with "./"."""

import re
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

# a line of --verbose --verbose with --quoting-style=c: type, owner/group, size, time, name, and the target of a link;
# a line "Creating directory" has no owner
LONG = re.compile(
    rb'(.)\S{9,10} [^"]*/[^"]* [-+0-9:., ]+"(\./(?:[^"\\]|\\.)*)"(?: (?:->|link to) "((?:[^"\\]|\\.)*)")?\Z'
)
ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
LETTERS = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
LETTERS.update((each, each) for each in (b"\\", b'"', b"?", b" "))
GZIP = 16 + zlib.MAX_WBITS  # selects the gzip format in zlib


class List:
    """Compresses and counts the names that tar puts into an archive."""

    def __init__(self, target: "BinaryIO"):
        self.target = target
        self.count = 0
        self.packer = zlib.compressobj(6, zlib.DEFLATED, GZIP)

    def __call__(self, chunk: bytes) -> None:
        self.count += chunk.count(b"\n")
        self.write(self.packer.compress(chunk))

    def write(self, data: bytes) -> None:
        try:
            self.target.write(data)
            self.target.flush()
        except OSError as exc:
            exc.filename = self.target.name  # which open(2) sets, but write(2) does not
            raise

    def finish(self) -> None:
        self.write(self.packer.flush())
        self.target.close()


class Found:
    """The names that tar extracts: their number, the missing requested ones, and links."""

    def __init__(
        self,
        asked: "list[bytes]",
        record: "BinaryIO | None" = None,
        listing: "Callable[[bytes], None] | None" = None,
    ):
        """``asked``: requested names, [] for all.  For all, tar prints only names, unless there is a ``listing``.

        Otherwise it prints long lines.
        """
        self.listing = listing
        self.asked = set(asked)
        self.missing = set(asked)
        self.record = record
        self.count = 0
        self.links: "dict[bytes, bytes]" = {}  # {requested name: the name with its data, which was not requested}
        self.rest = b""

    def __call__(self, chunk: bytes) -> None:
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            name = self.long(line) if self.asked or self.listing else self.short(line)
            if name and self.listing:
                self.listing(line)
            if name:
                self.count += 1
                if self.record:
                    self.record.write(name + b"\0")

    def short(self, line: bytes) -> bytes:
        """The name, b"" for the label of the archive."""
        if not line.startswith(b"./"):
            return b""
        return unescaped(line) if self.record else line

    def long(self, line: bytes) -> bytes:
        found = LONG.match(line)
        if not found:
            return b""
        name, link = unescaped(found.group(2)), found.group(3)
        self.missing -= above(name.rstrip(b"/"), self.missing)
        if self.asked and found.group(1) == b"h" and link is not None and not above(unescaped(link), self.asked):
            self.links[name] = unescaped(link)
        return name


def above(name: bytes, names: "set[bytes]") -> "set[bytes]":
    """The names that equal this one or are directories above it."""
    found = set()
    while name and names:
        if name in names:
            found.add(name)
        name = name.rpartition(b"/")[0]
    return found


def unescaped(name: bytes) -> bytes:
    """A name without the escapes of --quoting-style=escape or c, in the locale C."""
    return ESCAPED.sub(lambda found: LETTERS.get(found.group(1)) or bytes([int(found.group(1), 8)]), name)
