# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What GNU tar prints, and the checksum program of this host."""

import re

from ..common.gnutar import output
from ..common.problem import Problem
from .crew import Lines
from .filenames import unescaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Container

    from .crew import Child

OTHER_FILE_SYSTEM = re.compile(r"tar: (.*?)/?: (?:file|directory) is on a different filesystem; not dumped\Z")
TAGGED = re.compile(r"tar: .*: contains a cache directory tag (.*); contents not dumped\Z")
TOTAL = re.compile(r"Total bytes (?:written|read): (\d+) ")
AT_THE_END = "tar: Exiting with failure status due to previous errors"
NOT_FOUND = ": Not found in archive"
UNLINKED = re.compile(r'tar: "(\./(?:[^"\\]|\\.)*)": Cannot hard link to ')
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # the SHA-256 of no byte


class TarSays(Lines):
    """The output of tar, sorted: warnings and errors, its total, other file systems."""

    def __init__(self) -> None:
        super().__init__()
        self.total = -1
        self.missing = 0  # requested members that are missing
        self.links: "list[tuple[bytes, str]]" = []  # if only some are requested: links that failed, and why
        self.unlinked = 0  # the number of those
        self.elsewhere: "list[str]" = []
        self.tagged: "dict[bytes, int]" = {}  # {tag: directories whose contents are left out because of it}

    def add(self, line: str) -> None:
        total, elsewhere, unlinked = TOTAL.match(line), OTHER_FILE_SYSTEM.match(line), UNLINKED.match(line)
        if total:
            self.total = int(total.group(1))
        elif elsewhere:
            if elsewhere.group(1) not in self.elsewhere and len(self.elsewhere) < 100:
                self.elsewhere.append(elsewhere.group(1))
        elif TAGGED.match(line):
            tag = unescaped(TAGGED.sub(r"\1", line).encode())
            self.tagged[tag] = self.tagged.get(tag, 0) + 1
        elif unlinked:
            self.links.append((unescaped(unlinked.group(1).encode()), line))
        elif line.endswith(NOT_FOUND):
            self.missing += 1
        elif line != AT_THE_END:
            super().add(line)

    def resolve_links(self, expected: "Container[bytes]") -> None:
        """Ignore failed links with expected names; count the others as errors."""
        for name, line in self.links:
            if name in expected:
                self.unlinked += 1
            else:
                super().add(line)


def escaped(name: bytes) -> bytes:
    """A name with the escapes of --quoting-style=escape, in the locale C."""
    special = {7: b"\\a", 8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r", 92: b"\\\\"}
    return b"".join(special.get(byte, b"%c" % byte if 32 <= byte < 127 else b"\\%03o" % byte) for byte in name)


def checksum_argv() -> "list[bytes]":
    """A program that prints the SHA-256 of its input as the first word with 64 digits.

    openssl comes first because it uses the processor's instructions on every distribution: 1.6 GB/s, instead of
    0.3 GB/s with Debian's sha256sum, which would be slower than a tape.
    """
    for argv in ([b"openssl", b"dgst", b"-sha256", b"-r"], [b"sha256sum"]):
        status, said = output(argv)
        if status == 0 and said[:64] == EMPTY:
            return argv
    raise Problem("this host has neither a working openssl nor sha256sum (coreutils)")


def complaint(tar: "Child") -> str:
    """How tar failed, with its last line; the other lines are for ``output`` of Problem."""
    said = (tar.says.last or ["it gave no reason"])[-1][:400]
    last_of = " (the last of %d lines)" % tar.says.count if tar.says.count > 1 else ""
    return "tar %s: %s%s" % (tar.how(), said[5:] if said.startswith("tar: ") else said, last_of)
