# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry point where the command is installed as a package, whose modules Python compiles once."""

import sys

from . import start


def main() -> None:
    start.default_interrupt()
    if sys.argv[1:2] == ["-s"]:
        from .serve import serve

        start.leave(serve(sys.argv[2:]))
    from .command import main

    start.leave(main(sys.argv[1:]))
