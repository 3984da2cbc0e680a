# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tar's command line for an archive: what is in it, and what is not."""

import os
import re

from . import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .create import Plan
    from .gnutar import Tar
    from .settings import Settings
    from .state import States

# what tar says of every directory and every socket of a host, each night
SILENT = ("new-directory", "rename-directory", "file-ignored")
# of each file the times that cannot be restored, or would only say when it was backed up
NO_TIMES = "--pax-option=delete=atime,delete=ctime"


def literal(name: bytes) -> bytes:
    """A pattern that only this name matches."""
    return re.sub(rb"[\\*?[]", rb"\\\g<0>", name)


def exclude_options(states: "States", settings: "Settings", more: "list[bytes]") -> "list[bytes]":
    """A pattern that begins with / is of the whole name, any other one of its last parts, as tar has it.

    ``more`` are names, each from /.  Never --wildcards: it is about the names to archive too, and then tar 1.34 leaves
    out all directories.
    """
    more = [literal(each) for each in more] + [literal(settings.state_top) + b"/*"]
    whole = [b"." + each for each in more + settings.excludes if each.startswith(b"/")]
    parts = [each for each in settings.excludes if not each.startswith(b"/")]
    found = []
    for option, patterns in ((b"--anchored", whole), (b"--no-anchored", parts)):
        # tar does not read these two from a file as they are
        words = [each for each in patterns if b"\n" in each or each[-1:].isspace()]
        lines = [each + b"\n" for each in patterns if each not in words]
        found += [option, b"--exclude-from=" + states.unnamed(lines)] + [b"--exclude=" + each for each in words]
    return found


def tar_argv(tar: "Tar", plan: "Plan", snapshot: bytes, *words: "str | bytes") -> "list[bytes]":
    """tar's command line, for an archive and for the estimate of one.

    Names are relative to /, where it runs, and begin with "./": then "/" itself is one like the others.
    """
    settings, states = plan.settings, plan.states
    names = [b"." + path + b"\0" if path != b"/" else b".\0" for path in named(settings)]
    return tar.argv(
        "--create",
        "--format=posix",  # whole names, large numbers, fractions of a second; extended attributes need it
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
    """The paths, without those files that are in the archive anyway, as tar would put them there a second time.

    The gate (gate.py) knows the first file of the directories by its being in one of them.
    """
    paths = settings.paths
    return [path for path in paths if os.path.isdir(path) or not any(reaches(settings, top, path) for top in paths)]


def reaches(settings: "Settings", top: bytes, path: bytes) -> bool:
    """Whether a file is below a directory, and all between them is in the archive."""
    if not mounts.below(path, [top]):
        return False
    device = os.lstat(top).st_dev
    while path != top:
        if settings.one_file_system and os.lstat(path).st_dev != device:
            return False
        path = os.path.dirname(path)
    return True
