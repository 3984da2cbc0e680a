# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses the headers of a tar archive as far as needed to find the next one: ustar, pax, and long names of GNU."""

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

BLOCK = 512
PAX, PAX_OF_ALL, LONG_NAME, LONG_LINK = b"x", b"g", b"L", b"K"
EXTENDED = (PAX, PAX_OF_ALL, LONG_NAME, LONG_LINK)
DIRECTORY, LINK, SPARSE = b"5", b"1", b"S"
LARGEST = 1024**3  # bytes of an extended header, which may list all files of a directory
DUMPDIR = b"GNU.dumpdir"  # for a directory in an incremental archive: a letter and a name for each entry
LENGTH = re.compile(rb"(\d{1,12}) ")


class Member:
    """A file of the archive."""

    def __init__(self, name: bytes, is_directory: bool, size: int, dumpdir: "bytes | None"):
        self.name = name  # relative to the target directory: "." is that directory, "./a" a file in it
        self.is_directory = is_directory
        self.size = size  # bytes after the header, rounded up to blocks
        self.dumpdir = dumpdir


def number(field: bytes) -> int:
    """A number in octal digits, or in GNU's binary form; raises ValueError."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return int(field.rstrip(b"\0 ") or b"0", 8)


def blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def is_header(block: bytes) -> bool:
    if len(block) < BLOCK:
        return False
    try:
        return number(block[148:156]) == sum(block) - sum(block[148:156]) + 8 * ord(" ")
    except ValueError:
        return False


def records(body: bytes) -> "dict[bytes, bytes]":
    """The records of an extended header, "LENGTH KEY=VALUE\\n"; raises ValueError."""
    found, start = {}, 0
    while start < len(body):
        length = LENGTH.match(body, start)
        end = start + int(length.group(1)) if length else 0
        if not length or end <= length.end() or end > len(body):
            raise ValueError("no extended header")
        key, equals, value = body[length.end() : end - 1].partition(b"=")
        if equals:
            found[key] = value
        start = end
    return found


def normal(name: bytes) -> bytes:
    """The name relative to the target directory, as tar interprets it."""
    return b"/".join([b"."] + [part for part in name.split(b"/") if part not in (b"", b".")])


class Headers:
    """Reads headers in order.  ``take(n)`` returns the next n bytes of the archive, fewer only at its end."""

    def __init__(self, take: "Callable[[int], bytes]"):
        self.take = take
        self.raw = b""  # bytes taken for the last member

    def next(self) -> "Member | None":
        """The next member; None at the end, or if it is unknown, which tar itself will report."""
        self.raw = b""
        more: "dict[bytes, bytes]" = {}
        try:
            while True:
                block = self.read(BLOCK)
                if not is_header(block):
                    return None
                kind, size = block[156:157], number(block[124:136])
                if kind not in EXTENDED:
                    break
                if size > LARGEST:
                    return None
                body = self.read(blocks(size))[:size]
                if kind == PAX:
                    more.update(records(body))
                elif kind == LONG_NAME:
                    more[b"path"] = body.rstrip(b"\0")
            return None if kind == SPARSE else member(block, kind, size, more)
        except ValueError:
            return None

    def read(self, count: int) -> bytes:
        taken = self.take(count)
        self.raw += taken
        return taken


def member(block: bytes, kind: bytes, size: int, more: "dict[bytes, bytes]") -> Member:
    name = block[:100].split(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].split(b"\0")[0] + b"/" + name
    name = more.get(b"GNU.sparse.name", more.get(b"path", name))
    size = 0 if kind == LINK else int(more.get(b"size", b"%d" % size))
    if size < 0:
        raise ValueError("no size")
    return Member(normal(name), kind == DIRECTORY or name.endswith(b"/"), blocks(size), more.get(DUMPDIR))
