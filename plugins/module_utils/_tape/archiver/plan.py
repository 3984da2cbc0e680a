# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checked request for an archive or its estimate, and the command line of tar for it."""

import os
import time

from ..common import names
from ..common.names import shown
from ..common.problem import NO_BASE, SETTINGS, Problem
from . import excludes, mounts
from .settings import Settings
from .state import States

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..common.gnutar import Tar

# warnings that tar would give for every directory and socket, each night
SILENT = ("new-directory", "rename-directory", "file-ignored")
# file times that cannot be restored or only record the backup itself
NO_TIMES = "--pax-option=delete=atime,delete=ctime"
REPORT_SIZE = 64 * 1024  # characters of a list in a report


class Plan:
    """The checked request, before anything starts."""

    def __init__(self, settings: Settings, words: "argparse.Namespace", states: "States | None" = None):
        self.settings = settings
        self.level: int = words.level
        self.base: "str | None" = names.checked("run", words.base) if words.base else None
        if (self.level > 0) != (self.base is not None):
            raise Problem(
                "level %d %s a --base" % (self.level, "needs" if self.level else "does not take"), kind=SETTINGS
            )
        self.base_sha256: "str | None" = words.base_sha256
        self.ahead: int = words.ahead
        self.block_size, self.rules = settings.block_size, excludes.rules_of(settings)
        self.started = time.time()
        self.now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.started))
        self.states = states or States(settings.state_dir)
        self.file_systems = mounts.identify(settings.paths)
        self.out_of_reach = mounts.out_of_reach(
            settings.paths, [rule.pattern for rule in self.rules], settings.one_file_system
        )
        self.level_problem = ""
        # the contents of the archive: an increment must not include more than its base
        self.wanted = {
            "host": getattr(words, "host", ""),  # an estimate has no name
            "paths": bounded([shown(path) for path in settings.paths]),
            "excludes": bounded([shown(rule.pattern) for rule in self.rules]),
            "excludes_sha256": excludes.fingerprint(self.rules),
            "one_file_system": settings.one_file_system,
        }  # type: dict[str, Any]

    def write_snapshot(self, target: "Any") -> None:
        """Write the snapshot file that tar starts from: that of the base, or an empty one for level 0."""
        if self.base is None:
            return
        try:
            self.states.check(self.base, self.level, self.now, self.file_systems, self.wanted, self.base_sha256)
            self.states.copy(self.base, target, self.ahead)
        except Problem as exc:
            if exc.kind != NO_BASE:
                raise
            target.seek(0)
            target.truncate()
            self.level_problem = "level 0 instead of %d: %s" % (self.level, exc)
            self.level, self.base = 0, None


def bounded(texts: "list[str]") -> "list[str]":
    """The texts, cut to the limit of a report."""
    kept: "list[str]" = []
    room = REPORT_SIZE
    for text in texts:
        room -= len(text) + 4
        if room < 0:
            return kept + ["and %d more" % (len(texts) - len(kept))]
        kept.append(text)
    return kept


def other_file_systems(plan: Plan, skipped: "list[str]") -> "list[str]":
    """What is mounted below the paths and therefore not in the archive, though it has files; ``skipped``: by tar."""
    found = {name[1:] for name in skipped} | set(map(shown, plan.out_of_reach))
    return bounded(mounts.with_files(sorted(found - set(map(shown, plan.settings.paths)))))


def tar_argv(tar: "Tar", plan: Plan, snapshot: bytes, *words: "str | bytes") -> "list[bytes]":
    """The command line of tar, for an archive or for its estimate.

    It runs in /, and names are relative to it and begin with "./", so "/" itself needs no special case.
    """
    settings, states = plan.settings, plan.states
    names = [b"." + path + b"\0" if path != b"/" else b".\0" for path in named(settings)]
    return tar.argv(
        "--create",
        "--format=posix",  # long names, large numbers, fractions of a second; required for extended attributes
        NO_TIMES,
        "--sparse",
        "--blocking-factor=%d" % (settings.block_size // 512),
        b"--listed-incremental=" + snapshot,
        "--no-check-device",
        *words,
        *["--warning=no-" + each for each in SILENT],  # after --verbose, which turns them on
        *(["--one-file-system"] if settings.one_file_system else []),
        *excludes.options(states, settings, plan.rules, plan.out_of_reach),
        "--null",
        b"--files-from=" + states.unnamed(names),
    )


def named(settings: Settings) -> "list[bytes]":
    """The paths without files below another path, which tar would archive twice.

    The gate (gate.py) relies on this: the first file of a directory is listed in that directory's header.
    """
    paths = settings.paths
    return [path for path in paths if os.path.isdir(path) or not any(reaches(settings, top, path) for top in paths)]


def reaches(settings: Settings, top: bytes, path: bytes) -> bool:
    """Whether a file is below a directory, with all directories between them in the archive."""
    if not mounts.below(path, [top]):
        return False
    device = os.lstat(top).st_dev
    while path != top:
        if settings.one_file_system and os.lstat(path).st_dev != device:
            return False
        path = os.path.dirname(path)
    return True
