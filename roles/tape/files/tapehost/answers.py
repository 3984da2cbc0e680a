# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An answer that is too long for the result of one task is fetched in pieces, each by a request of its own."""

import contextlib
import json
import os
import time

import files
from problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from settings import Settings

KEPT = 86400.0  # seconds that an answer stays which nobody has fetched


def folder(settings: "Settings") -> str:
    return os.path.join(settings.catalog_dir, "answers")


def say(settings: "Settings", answer: "Any") -> str:
    """The answer as JSON, or how many pieces it has, and their name; raises Problem."""
    text = json.dumps(answer)
    if not 0 < settings.piece < len(text):
        return text
    place = folder(settings)
    with contextlib.suppress(FileNotFoundError):
        for old in os.listdir(place):
            with contextlib.suppress(OSError):
                if os.stat(os.path.join(place, old)).st_mtime < time.time() - KEPT:
                    os.unlink(os.path.join(place, old))
    name = os.urandom(8).hex()
    files.write_whole(os.path.join(place, name), text.encode("ascii"))
    return json.dumps({"pieces": -(-len(text) // settings.piece), "name": name})


def answer(settings: "Settings", args: "argparse.Namespace") -> str:
    """One piece of an answer, which goes with its last piece; raises Problem."""
    path = os.path.join(folder(settings), os.path.basename(args.name))
    try:
        with open(path, "rb") as source:
            source.seek(args.piece * settings.piece)
            piece, more = source.read(settings.piece), source.read(1)
    except FileNotFoundError:
        raise Problem("there is no answer %s any more" % args.name, "ask again") from None
    if not more:
        os.unlink(path)
    return piece.decode("ascii")
