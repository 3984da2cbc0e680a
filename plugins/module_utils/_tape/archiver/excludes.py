# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for files that an archive leaves out: their options of tar, and how much each of them left out.

tar does not report the names that a pattern left out.  But its snapshot has the names in each directory that was read,
those left out among them, so the patterns are compared with these.  The C library does that, as for tar.
"""

import hashlib
import re

from ..common.names import shown
from ..common.problem import SETTINGS, Problem
from ..common.process import c_library
from .state import States, read_snapshot  # pylint: disable=unused-import  # States is a type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from .settings import Settings

FNM_LEADING_DIR = 8  # fnmatch.h of glibc and musl: a pattern also matches what is below a directory
LC_CTYPE = 0  # locale.h
SPECIAL = re.compile(rb"[*?\[\]\\]")
CACHES, CACHE_TAG = "tape_exclude_caches", b"CACHEDIR.TAG"
MOST_RULES = 50  # rules in a report
MOST_CHARACTERS = 1000  # characters of one


class Rule:
    """A pattern."""

    def __init__(self, option: str, pattern: bytes):
        self.option, self.pattern = option, pattern
        self.count: "int | None" = 0  # files and directories that it left out; None if that is unknown


def rules_of(settings: "Settings") -> "list[Rule]":
    """All patterns, each once; raises Problem."""
    found: "dict[bytes, Rule]" = {}
    for pattern in settings.excludes:
        found.setdefault(pattern, Rule("tape_excludes", pattern))
    for path in settings.exclude_files:
        for pattern in patterns_in(path):
            found.setdefault(pattern, Rule("tape_exclude_files", pattern))
    return list(found.values())


def patterns_in(path: bytes) -> "list[bytes]":
    """The patterns in a file, one a line, as tar --exclude-from reads it; raises Problem."""
    try:
        with open(path, "rb") as text:
            lines = text.read().split(b"\n")
    except OSError as exc:
        what = "%s of tape_exclude_files cannot be read: %s" % (shown(path), exc.strerror)
        raise Problem(what, kind=SETTINGS) from None
    found = [line.rstrip() for line in lines]
    if any(b"\0" in line for line in found):
        raise Problem("%s of tape_exclude_files is not a text" % shown(path), kind=SETTINGS)
    if any(line and not line.strip(b"/") for line in found):
        raise Problem("%s of tape_exclude_files contains the pattern /" % shown(path), kind=SETTINGS)
    return [line.rstrip(b"/") for line in found if line]


def fingerprint(rules: "list[Rule]") -> str:
    """The same for the same patterns, whatever their order."""
    return hashlib.sha256(b"\0".join(sorted(rule.pattern for rule in rules))).hexdigest()


def literal(name: bytes) -> bytes:
    """A pattern that only this name matches."""
    return re.sub(rb"[\\*?[]", rb"\\\g<0>", name)


def options(states: "States", settings: "Settings", rules: "list[Rule]", more: "list[bytes]") -> "list[bytes]":
    """Options for all rules.  As in tar, a pattern with a leading / matches a whole path, any other its end.

    ``more`` are absolute names.  Never use --wildcards: it also applies to the names to archive, and tar 1.34 then
    omits all directories.
    """
    more = [literal(each) for each in more] + [literal(settings.state_top) + b"/*"]
    patterns = [rule.pattern for rule in rules]
    whole = [b"." + each for each in more + patterns if each.startswith(b"/")]
    parts = [each for each in patterns if not each.startswith(b"/")]
    found = [b"--exclude-caches"] if settings.exclude_caches else []
    found += [b"--exclude-tag=" + each for each in settings.exclude_tag]
    for option, patterns in ((b"--anchored", whole), (b"--no-anchored", parts)):
        # tar would change these two if it read them from a file
        words = [each for each in patterns if b"\n" in each or each[-1:].isspace()]
        lines = [each + b"\n" for each in patterns if each not in words]
        found += [option, b"--exclude-from=" + states.unnamed(lines)] + [b"--exclude=" + each for each in words]
    return found


class Matcher:
    """Finds the rule that left out a name such as ./srv/cache."""

    def __init__(self, rules: "list[Rule]"):
        self.whole: "dict[bytes, int]" = {}
        self.ends: "dict[bytes, int]" = {}
        self.wild: "list[tuple[int, bytes, bool, bytes, bytes]]" = []
        for number, rule in enumerate(rules):
            anchored = rule.pattern.startswith(b"/")
            pattern = b"." + rule.pattern if anchored else rule.pattern
            if SPECIAL.search(pattern):
                self.wild.append((number, pattern, anchored, *needed(pattern)))
            else:
                (self.whole if anchored else self.ends)[pattern] = number
        c_library.setlocale(LC_CTYPE, b"C")  # that of tar

    def rule_of(self, name: bytes) -> "list[int]":
        """The number of the first rule that matches, [] for none; no rule matches the directory, which was read."""
        found = [self.whole[name]] if name in self.whole else []
        rest, slash = name, b"/"
        while slash and self.ends:
            if rest in self.ends:
                found.append(self.ends[rest])
            _first, slash, rest = rest.partition(b"/")
        for number, pattern, anchored, part, tail in self.wild:
            if name.endswith(tail) and part in name and matches(pattern, name, anchored):
                found.append(number)
                break
        return [min(found)] if found else []


def needed(pattern: bytes) -> "tuple[bytes, bytes]":
    """(a part, an end) of each name that a pattern with wildcards matches, to compare only few names with it."""
    runs: "list[bytes]" = re.split(rb"[*?\\]", pattern.partition(b"[")[0])
    return max(runs, key=len), SPECIAL.split(pattern)[-1]


def matches(pattern: bytes, name: bytes, anchored: bool) -> bool:
    """Whether tar leaves out a name because of this pattern."""
    while c_library.fnmatch(pattern, name, FNM_LEADING_DIR):
        _first, slash, name = name.partition(b"/")
        if anchored or not slash:
            return False
    return True


def count(rules: "list[Rule]", snapshot: bytes, paths: "list[bytes]") -> None:
    """Count the names that each pattern left out; ``snapshot``: a file that tar has written; ``paths``: given to it."""
    found = [0] * len(rules)
    try:
        for number in left_out(Matcher(rules), snapshot, paths) if rules else ():
            found[number] += 1
    except Problem:  # the next archive will not be based on this one, and says why
        found = [None] * len(rules)  # type: ignore[list-item]
    for rule, number in zip(rules, found):
        rule.count = number


def left_out(matcher: Matcher, snapshot: bytes, paths: "list[bytes]") -> "Iterator[int]":
    """The rule of each name that was left out; raises Problem."""
    for path in paths:
        steps = (b"." + path).split(b"/")
        above = [b"/".join(steps[:end]) for end in range(2, len(steps) + 1)]
        yield from [number for name in above for number in matcher.rule_of(name)][:1]
    with open(snapshot, "rb") as source:
        records = read_snapshot(source)
        next(records, b"")  # the head
        for record in records:
            name, *entries = record.split(b"\0")[5:]
            for entry in entries:
                if entry.startswith(b"N"):  # left out, or unchanged since the base
                    yield from matcher.rule_of(name + b"/" + entry[1:])


def report(settings: "Settings", rules: "list[Rule]", tagged: "dict[bytes, int]") -> "dict[str, int]":
    """{rule: files and directories that it left out}, of many rules those with the most; ``tagged``: by tag."""
    tags = dict.fromkeys(settings.exclude_tag, 0)
    caches = 0
    for tag, number in tagged.items():
        if tag == CACHE_TAG and settings.exclude_caches:
            caches = number
        elif tag in tags:
            tags[tag] = number
    counts = [(told(rule.option, rule.pattern), rule.count) for rule in rules if rule.count is not None]
    counts += [(CACHES, caches)] if settings.exclude_caches else []
    counts += [(told("tape_exclude_tag", tag), number) for tag, number in tags.items()]
    found: "dict[str, int]" = {}
    for name, number in counts:  # names that were cut may be equal
        found[name] = found.get(name, 0) + number
    most = sorted(found, key=lambda name: -found[name])[:MOST_RULES]
    return {name: number for name, number in found.items() if name in most}


def told(option: str, pattern: bytes) -> str:
    return "%s: %s" % (option, shown(pattern)[:MOST_CHARACTERS])


def by_option(counts: "dict[str, int]") -> "dict[str, int]":
    """The same without patterns, which may contain names of files."""
    found: "dict[str, int]" = {}
    for name, number in counts.items():
        option = name.partition(":")[0]
        found[option] = found.get(option, 0) + number
    return found
