# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of a program: the variables of the role, without the prefix "tape_".

Each program has its own class with the keys and their defaults.  All values are checked at the start, and messages name
the variable.
"""

from . import names
from .problem import SETTINGS, Problem
from .units import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

YES = ("true", "yes", "on", "1")  # as given with -e on a command line
NO = ("false", "no", "off", "0")
LARGEST_BLOCK = 2**22  # bytes


class Settings:
    """Sizes are bytes, durations are seconds; raises Problem."""

    DEFAULTS: "dict[str, Any]" = {}

    def __init__(self, given: "dict[str, Any]"):
        known = {name: given[name] for name in self.DEFAULTS if given.get(name) not in (None, "")}
        self.value = dict(self.DEFAULTS, **known)

    def wrong(self, name: str, what: str, hint: str = "") -> Problem:
        return Problem("tape_" + name + what, hint, kind=SETTINGS)

    def parsed(self, name: str, parse: "Callable[[object], int]") -> int:
        """A size or a duration."""
        if self.value[name] == "":
            return 0
        try:
            return parse(self.value[name])
        except Problem as exc:
            raise self.wrong(name, ": " + exc.what, exc.hint) from None

    def size_of_blocks(self) -> int:
        size = self.parsed("block_size", parse_size)
        if size % 512 or not 512 <= size <= LARGEST_BLOCK:
            raise self.wrong("block_size", ": %d bytes" % size, "it must be a multiple of 512, and at most 4M")
        return size

    def word(self, name: str) -> str:
        value = self.value[name]
        if not isinstance(value, (str, int)) or isinstance(value, bool) or "\0" in str(value):
            raise self.wrong(name, ": %r" % (value,), "it must be one word")
        return str(value)

    def name(self, name: str) -> str:
        """A word that becomes part of a path."""
        try:
            return names.checked(name, self.word(name))
        except Problem as exc:
            raise self.wrong(name, ": " + exc.what, exc.hint) from None

    def folder(self, name: str) -> str:
        value = self.value[name]
        if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
            raise self.wrong(name, ": %r is not a path" % (value,), "it must begin with /")
        return value

    def words(self, name: str, numbers: str = "") -> "list[str]":
        """A list of words, or a single word; ``numbers``: why numbers are not allowed, "" if they are."""
        value = [self.value[name]] if isinstance(self.value[name], str) else self.value[name]
        if not isinstance(value, list) or not all(
            isinstance(each, (str, int)) and not isinstance(each, bool) and "\0" not in str(each) for each in value
        ):
            raise self.wrong(name, ": %r is not a list" % (value,), "it must be a list of words")
        if numbers and any(not isinstance(each, str) for each in value):
            raise self.wrong(name, ": %r contains a number" % (value,), numbers)
        return [str(each) for each in value]

    def flag(self, name: str) -> bool:
        value = self.value[name]
        text = str(value).lower()
        if text not in YES + NO:
            raise self.wrong(name, ": %r" % (value,), "it must be true or false")
        return text in YES
