# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""discard: removes the scratch directory of a restore drill, and nothing else."""

import os

from ..common import tools
from ..common.names import shown
from ..common.problem import SETTINGS, Problem
from .record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from .settings import Settings


def discard(_settings: "Settings", words: "argparse.Namespace") -> "dict[str, Any]":
    """Remove a directory that this drill created; raises Problem for any other, and if something is left."""
    path = os.fsencode(words.to)
    if not path.startswith(b"/") or os.path.realpath(path) == b"/":
        raise Problem("%r is no directory of a drill" % words.to, kind=SETTINGS)
    if not os.path.lexists(path):
        return {}
    record = Record(os.path.realpath(path), begins=False)
    if os.path.islink(path) or not record.is_of(words.drill):
        raise Problem(
            "%s was not made by this restore drill" % shown(path),
            "it stays, because it was there before or belongs to another drill",
            kind=SETTINGS,
        )
    if tools.call([b"rm", b"-rf", b"--one-file-system", b"--", path]) or os.path.lexists(path):
        raise Problem("%s could not be removed completely" % shown(path), "remove the rest yourself")
    return {}
