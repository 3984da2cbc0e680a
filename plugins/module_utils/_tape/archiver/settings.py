# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the role, as a module sends them, or from the environment variable SOCKETPIPE_TAPE."""

import json
import os
import re

from ..common.problem import SETTINGS, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VARIABLE = b"SOCKETPIPE_TAPE"
SUFFIXES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
LARGEST_BLOCK = 16 * 1024**2  # what the Linux tape driver takes at most
# a name that is part of a file's name, and a word of a label
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def encode(text: str) -> bytes:
    """A setting as a file's name: UTF-8, whatever the locale is; other bytes come as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def shown(name: bytes) -> str:
    """A file's name for people and JSON: bytes that are not UTF-8 as \\xNN."""
    return name.decode("utf-8", "backslashreplace")


def wrong(name: str, what: str) -> Problem:
    return Problem("tape_%s %s" % (name, what), kind=SETTINGS)


def block_size(value: "Any") -> int:
    """Bytes for 262144, "256K" or "1M"."""
    found = re.match(r"(\d+)\s*([KMG]?)(?:I?B)?\Z", str(value).strip().upper())
    size = int(found.group(1)) * SUFFIXES[found.group(2)] if found else 0
    if not found or size % 512 or not 512 <= size <= LARGEST_BLOCK:
        raise wrong("block_size", "is %r: it must be a multiple of 512 bytes, such as 256K, and at most 16M" % value)
    return size


def checked(kind: str, name: str) -> str:
    """A run's or a set's name; it becomes part of a path."""
    if not NAME.match(name):
        raise Problem("%r is no name of a %s: letters, digits, '.', '_' and '-'" % (name, kind), kind=SETTINGS)
    return name


class Settings:
    """The mapping, each value checked when it is first needed."""

    def __init__(self, given: "dict[str, Any] | None" = None) -> None:
        """``given``: in place of what the environment says."""
        if given is not None:
            self.given: "Any" = given
            return
        raw = os.environb.get(VARIABLE, b"{}").decode("utf-8", "surrogateescape")
        try:
            self.given = json.loads(raw)
        except ValueError as exc:
            raise Problem(
                "the environment variable %s is no JSON: %s" % (VARIABLE.decode(), exc), kind=SETTINGS
            ) from None
        if not isinstance(self.given, dict):
            raise Problem("the environment variable %s is no JSON object" % VARIABLE.decode(), kind=SETTINGS)

    def value(self, name: str, default: "Any") -> "Any":
        found = self.given.get(name)
        return default if found is None else found

    def names(self, name: str) -> "list[str]":
        found = self.value(name, [])
        if not isinstance(found, list) or not all(isinstance(each, str) and "\0" not in each for each in found):
            raise wrong(name, "must be a list of strings")
        return found

    @property
    def set(self) -> str:
        return checked("set", str(self.value("set", "all")))

    @property
    def block_size(self) -> int:
        return block_size(self.value("block_size", "256K"))

    @property
    def one_file_system(self) -> bool:
        return bool(self.value("one_file_system", True))

    @property
    def tar_may_end_with(self) -> "tuple[int, ...]":
        """2: something could not be read, and the rest is in the archive."""
        return (0, 1, 2) if self.value("keep_incomplete", False) else (0, 1)

    @property
    def state_top(self) -> bytes:
        top = str(self.value("state_dir", "/var/lib/socketpipe/tape-state"))
        if not top.startswith("/"):
            raise wrong("state_dir", "is %r: it must begin with /" % top)
        return encode(os.path.normpath(top))

    @property
    def state_dir(self) -> bytes:
        """The folder of the states of this set on the tapes of this tape host: no other one's archives are a base."""
        tape_host = re.sub(rb"[^A-Za-z0-9._-]|\A\.", lambda each: b"%%%02x" % ord(each.group()), encode(self.tape_host))
        return os.path.join(self.state_top, tape_host, encode(self.set))

    @property
    def tape_host(self) -> str:
        return str(self.value("tape_host", "localhost"))

    @property
    def excludes(self) -> "list[bytes]":
        """Patterns; a slash at the end would keep tar from ever finding a match."""
        found = [encode(each).rstrip(b"/") for each in self.names("excludes")]
        if b"" in found:
            raise wrong("excludes", "has a pattern that is empty, or /")
        return found

    @property
    def paths(self) -> "list[bytes]":
        """What is to be in the archive; each must be there, and must not be a link that stands for a directory."""
        found: "list[bytes]" = []
        for given in self.names("paths"):
            path = encode(given)
            if not path.startswith(b"/"):
                raise wrong("paths", "has %r: every path must begin with /" % given)
            path = b"/" + os.path.normpath(path).lstrip(b"/")
            if path not in found:
                found.append(path)
        if not found:
            raise wrong("paths", "is empty: there is nothing to back up")
        missing = [shown(path) for path in found if not os.path.lexists(path)]
        if missing:
            raise Problem(
                "not on this host: %s (each of tape_paths must be there; set it for this host alone if it differs)"
                % ", ".join(missing)
            )
        for path in found:
            if os.path.islink(path) and os.path.isdir(path):
                raise Problem(
                    "%s of tape_paths is a symbolic link: tar would store the link and nothing behind it; name %s"
                    % (shown(path), shown(os.path.realpath(path)))
                )
        return found
