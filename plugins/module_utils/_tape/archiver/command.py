# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of tar for an archive: the included and excluded paths."""

import os
import re

from . import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .gnutar import Tar
    from .plan import Plan
    from .settings import Settings
    from .state import States

# warnings that tar would give for every directory and socket, each night
SILENT = ("new-directory", "rename-directory", "file-ignored")
# file times that cannot be restored or only record the backup itself
NO_TIMES = "--pax-option=delete=atime,delete=ctime"


def literal(name: bytes) -> bytes:
    """A pattern that only this name matches."""
    return re.sub(rb"[\\*?[]", rb"\\\g<0>", name)


def exclude_options(states: "States", settings: "Settings", more: "list[bytes]") -> "list[bytes]":
    """Options for the exclude patterns.  As in tar, a pattern with a leading / matches a whole path, any other its end.

    ``more`` are absolute names.  Never use --wildcards: it also applies to the names to archive, and tar 1.34 then
    omits all directories.
    """
    more = [literal(each) for each in more] + [literal(settings.state_top) + b"/*"]
    whole = [b"." + each for each in more + settings.excludes if each.startswith(b"/")]
    parts = [each for each in settings.excludes if not each.startswith(b"/")]
    found = []
    for option, patterns in ((b"--anchored", whole), (b"--no-anchored", parts)):
        # tar would change these two if it read them from a file
        words = [each for each in patterns if b"\n" in each or each[-1:].isspace()]
        lines = [each + b"\n" for each in patterns if each not in words]
        found += [option, b"--exclude-from=" + states.unnamed(lines)] + [b"--exclude=" + each for each in words]
    return found


def tar_argv(tar: "Tar", plan: "Plan", snapshot: bytes, *words: "str | bytes") -> "list[bytes]":
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
        *exclude_options(states, settings, plan.out_of_reach),
        "--null",
        b"--files-from=" + states.unnamed(names),
    )


def named(settings: "Settings") -> "list[bytes]":
    """The paths without files below another path, which tar would archive twice.

    The gate (gate.py) relies on this: the first file of a directory is listed in that directory's header.
    """
    paths = settings.paths
    return [path for path in paths if os.path.isdir(path) or not any(reaches(settings, top, path) for top in paths)]


def reaches(settings: "Settings", top: bytes, path: bytes) -> bool:
    """Whether a file is below a directory, with all directories between them in the archive."""
    if not mounts.below(path, [top]):
        return False
    device = os.lstat(top).st_dev
    while path != top:
        if settings.one_file_system and os.lstat(path).st_dev != device:
            return False
        path = os.path.dirname(path)
    return True
