# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GNU tar and the checksum program of this host."""

import re

from ..common import tools
from ..common.problem import Problem
from ..common.process import Missing
from .crew import Lines
from .filenames import unescaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Container

    from .crew import Child

LEAST = (1, 26)  # RHEL 7
METADATA = ("xattrs", "acls", "selinux")
OTHER_FILE_SYSTEM = re.compile(r"tar: (.*?)/?: (?:file|directory) is on a different filesystem; not dumped\Z")
TOTAL = re.compile(r"Total bytes (?:written|read): (\d+) ")
AT_THE_END = "tar: Exiting with failure status due to previous errors"
NOT_FOUND = ": Not found in archive"
UNLINKED = re.compile(r'tar: "(\./(?:[^"\\]|\\.)*)": Cannot hard link to ')
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # the SHA-256 of no byte


class Tar:
    """The tar of this host: its name, its version, and the metadata that it supports."""

    def __init__(self) -> None:
        found = ""
        for name in (b"tar", b"gtar"):
            first = output([name, b"--version"])[1].partition("\n")[0]
            version = re.match(r"tar \(GNU tar\) ((\d+)\.(\d+)\S*)", first)
            if version:
                break
            found = found or first
        else:
            what = "its tar is another one (%s)" % found[:80] if found else "it has no tar"
            raise Problem("this host needs GNU tar, but %s: install the package tar" % what)
        self.name = name
        self.version = version.group(1)
        if (int(version.group(2)), int(version.group(3))) < LEAST:
            raise Problem("this host has tar %s, but tar 1.26 or later is required" % self.version)
        self.metadata = list(METADATA) if self.has(*METADATA) else [each for each in METADATA if self.has(each)]

    def has(self, *options: str) -> bool:
        """Whether it supports these options without a warning; a tar built without ACLs warns."""
        words = [b"--" + option.encode() for option in options]
        return output([self.name, b"-cf/dev/null", b"-T/dev/null"] + words) == (0, "")

    def argv(self, *words: "str | bytes") -> "list[bytes]":
        """Its command line: these words and the common options.

        Names are literal (--no-unquote: otherwise tar reads "a\\nb" as two lines, even in an argument), and tar writes
        them as one line of ASCII (--quoting-style=escape under LC_ALL=C).
        """
        usual = ["--no-unquote", "--quoting-style=escape", "--totals"] + ["--" + each for each in self.metadata]
        return [self.name] + [
            each if isinstance(each, bytes) else each.encode() for each in list(words[:1]) + usual + list(words[1:])
        ]


class TarSays(Lines):
    """The output of tar, sorted: warnings and errors, its total, other file systems."""

    def __init__(self) -> None:
        super().__init__()
        self.total = -1
        self.missing = 0  # requested members that are missing
        self.links: "list[tuple[bytes, str]]" = []  # if only some are requested: links that failed, and why
        self.unlinked = 0  # the number of those
        self.elsewhere: "list[str]" = []

    def add(self, line: str) -> None:
        total, elsewhere, unlinked = TOTAL.match(line), OTHER_FILE_SYSTEM.match(line), UNLINKED.match(line)
        if total:
            self.total = int(total.group(1))
        elif elsewhere:
            if elsewhere.group(1) not in self.elsewhere and len(self.elsewhere) < 100:
                self.elsewhere.append(elsewhere.group(1))
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


def output(argv: "list[bytes]") -> "tuple[int, str]":
    """(status, output) of a short command; 127 if the program does not exist."""
    try:
        status, out, err = tools.ask(argv)
    except Missing:
        return 127, ""
    return status, out + err


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
