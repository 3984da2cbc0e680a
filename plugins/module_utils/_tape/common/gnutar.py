# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GNU tar of this host."""

import re

from . import tools
from .problem import Problem
from .process import Missing

LEAST = (1, 26)  # RHEL 7
METADATA = ("xattrs", "acls", "selinux")


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


def output(argv: "list[bytes]") -> "tuple[int, str]":
    """(status, output) of a short command; 127 if the program does not exist."""
    try:
        status, out, err = tools.ask(argv)
    except Missing:
        return 127, ""
    return status, out + err
