# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of the archiver."""

import os
import re

from ..common import settings as base
from ..common.names import encode, shown
from ..common.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULTS: "dict[str, Any]" = {
    "paths": [],
    "excludes": [],
    "exclude_files": [],
    "exclude_caches": False,
    "exclude_tag": [],
    "one_file_system": True,
    "keep_incomplete": False,
    "set": "all",
    "block_size": "256K",
    "state_dir": "/var/lib/socketpipe/tape-state",
    "tape_host": "localhost",
    "filters": [],
    "source": {},
    "before": [],
    "after": [],
    "hook_timeout": 60,
    "undone": False,
}


class Settings(base.Settings):
    """All settings, checked except for the paths, which a restore does not need; raises Problem."""

    DEFAULTS = DEFAULTS

    def __init__(self, given: "dict[str, Any]"):
        super().__init__(given)
        self.set = self.name("set")
        self.block_size = self.size_of_blocks()
        self.one_file_system = self.flag("one_file_system")
        # 2: some files could not be read, and the archive has the others
        self.tar_may_end_with = (0, 1, 2) if self.flag("keep_incomplete") else (0, 1)
        self.state_top = encode(os.path.normpath(self.folder("state_dir")))
        # the folder for the states of this set and tape host; archives of another one cannot be a base
        host = encode(self.word("tape_host"))
        escaped = re.sub(rb"[^A-Za-z0-9._-]|\A\.", lambda each: b"%%%02x" % ord(each.group()), host)
        self.state_dir = os.path.join(self.state_top, escaped, encode(self.set))
        # these are made and checked by the module
        self.filters = self.value["filters"]
        self.source, self.before, self.after = (self.value[name] for name in ("source", "before", "after"))
        self.hook_timeout: float = self.value["hook_timeout"]
        self.undone = self.flag("undone")  # whether undo runs after a failure
        # patterns without a trailing slash, which would never match in tar
        self.excludes = [encode(each).rstrip(b"/") for each in self.words("excludes")]
        if b"" in self.excludes:
            raise self.wrong("excludes", " contains an empty pattern, or /")
        self.exclude_caches = self.flag("exclude_caches")
        self.exclude_tag = [encode(each) for each in self.words("exclude_tag")]
        for tag in self.exclude_tag:
            if tag in (b"", b".", b"..") or b"/" in tag:
                raise self.wrong("exclude_tag", " contains %r: it must be the name of a file, without /" % shown(tag))
        self.exclude_files = [encode(each) for each in self.words("exclude_files")]
        for path in self.exclude_files:
            if not path.startswith(b"/"):
                raise self.wrong("exclude_files", " contains %r: each path must begin with /" % shown(path))

    @property
    def paths(self) -> "list[bytes]":
        """The paths to archive; each must exist and must not be a link to a directory."""
        found: "list[bytes]" = []
        for given in self.words("paths"):
            path = encode(given)
            if not path.startswith(b"/"):
                raise self.wrong("paths", " contains %r: each path must begin with /" % given)
            path = b"/" + os.path.normpath(path).lstrip(b"/")
            if path not in found:
                found.append(path)
        if not found:
            raise self.wrong("paths", " is empty: there is nothing to back up")
        missing = [shown(path) for path in found if not os.path.lexists(path)]
        if missing:
            raise Problem(
                "not on this host: %s (each of tape_paths must exist; set tape_paths for this host if it differs)"
                % ", ".join(missing)
            )
        for path in found:
            if os.path.islink(path) and os.path.isdir(path):
                raise Problem(
                    "%s of tape_paths is a symbolic link, and tar would store only the link: use %s instead"
                    % (shown(path), shown(os.path.realpath(path)))
                )
        return found
