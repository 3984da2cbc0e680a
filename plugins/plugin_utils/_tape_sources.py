# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tape_sources: the archives of a host that have a name each, of commands or of paths, with commands around them.

A source is a set of its own, SET.NAME, so that the catalog, levels and restores need to know nothing of it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from ..module_utils._run.answers import Failure
from ._survey import is_empty, items
from ._tape_filters import command_words

NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
KEYS = {"name", "cmd", "paths", "become_user", "restore", "before", "after", "hook_timeout", "level", "retention"}
OF_COMMANDS = ("become_user", "restore")


@dataclasses.dataclass(frozen=True)
class Source:
    """One of them; commands are lists of words, [] for none."""

    name: str
    cmd: list[str]
    paths: list[str]
    restore: list[str]
    before: list[str]
    after: list[str]
    hook_timeout: int  # seconds
    level: int | None  # None: that of the host
    retention: str  # "": that of the host

    @property
    def hooked(self) -> bool:
        return bool(self.before or self.after)

    def settings(self) -> dict[str, Any]:
        """For the two programs."""
        found: dict[str, Any] = {"before": self.before, "after": self.after, "hook_timeout": self.hook_timeout}
        if self.cmd:
            found["source"] = {"name": self.name, "run": self.cmd, "restore": self.restore}
        return found


def set_of(tape_set: str, name: str) -> str:
    return f"{tape_set}.{name}" if name else tape_set


def sources_of(given: list[Any]) -> list[Source]:
    """The sources of a task; raises Failure."""
    found: list[Source] = []
    for each in given:
        source = source_of(each)
        if source.name in [other.name for other in found]:
            raise wrong(f"two of them have the name {source.name}")
        found.append(source)
    return found


def source_of(given: Any) -> Source:
    if not isinstance(given, Mapping):
        raise wrong(f"each must be a mapping with a name, not {given!r:.100}")
    name = given.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise wrong(f"the name {name!r:.100} is none: use letters, digits, - and _, at most 40 of them")
    unknown = sorted(map(str, set(given) - KEYS))
    if unknown:
        raise wrong(f"{name} has no {unknown[0]!r}: its keys are {', '.join(sorted(KEYS))}")
    if ("cmd" in given) == ("paths" in given):
        raise wrong(f"{name} must have either cmd or paths")
    for key in OF_COMMANDS:
        if key in given and "cmd" not in given:
            raise wrong(f"{name}: {key} is for a source with cmd")
    paths = given.get("paths", [])
    paths = items(paths) if isinstance(paths, str) else paths
    if not isinstance(paths, list) or not all(isinstance(each, str) for each in paths):
        raise wrong(f"{name}: paths must be a list of paths")
    user = given.get("become_user") or ""
    return Source(
        name,
        as_user(user, words_of(name, given, "cmd")),
        [str(each) for each in paths],
        as_user(user, words_of(name, given, "restore")),
        words_of(name, given, "before"),
        words_of(name, given, "after"),
        number_of(name, given, "hook_timeout", 1, 86400) or 60,
        0 if "cmd" in given else number_of(name, given, "level", 0, 9),
        str(given.get("retention") or ""),
    )


def words_of(name: str, given: Mapping[str, Any], key: str) -> list[str]:
    """A command; [] for none."""
    value = given.get(key)
    if value in (None, "", []):
        if key == "cmd" and key in given:
            raise wrong(f"{name}: cmd is empty")
        return []
    where = f"{name}: {key}"
    words, shell = command_words(where, value, wrong)
    if shell and isinstance(value, str):
        raise wrong(f"{where}: no shell runs {shell!r}: give a list such as [bash, -o, pipefail, -c, …]")
    return words


def number_of(name: str, given: Mapping[str, Any], key: str, least: int, most: int) -> int | None:
    value = given.get(key)
    if value is None or is_empty(value):
        return None
    if isinstance(value, bool) or not str(value).isdecimal() or not least <= int(value) <= most:
        raise wrong(f"{name}: {key} must be a number from {least} to {most}, not {value!r:.100}")
    return int(value)


def as_user(user: str, words: list[str]) -> list[str]:
    """A command as another user, without a login; runuser is part of util-linux."""
    return ["runuser", "-u", user, "--", *words] if user and words else words


def wrong(what: str) -> Failure:
    return Failure("settings", f"tape_sources: {what}")
