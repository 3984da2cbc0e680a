# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program waits for or does now: lines on standard error, for a person or for the progress lines of a module."""

import sys

MARK = "now: "  # begins each line for a module, as in _end/telling.py
MOST = 1500  # characters: a line that a pipe takes as a whole


class Reader:
    """Who reads the lines."""

    mark = ""  # MARK for a module


def tell(text: str) -> None:
    """Replace what was told before; "" if there is nothing to tell any more."""
    if text or Reader.mark:
        sys.stderr.write("%s%s\n" % (Reader.mark, " ".join(text.split())[:MOST]))
        sys.stderr.flush()
