# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages of a pipeline that read or write a file, by the program of transfer."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ._program_run import pack, program_stage

if TYPE_CHECKING:
    from ..module_utils._end.records import Command

ENTRY = "from socketpipe._transfer.stream import main\n\nraise SystemExit(main())\n"


@functools.cache
def program() -> bytes:
    return pack(ENTRY, ["_tape/common", "_transfer"], top="socketpipe")


def file_stage(what: str, path: str) -> Command:
    """``what``: read or write."""
    stage = program_stage("", what, program(), {"words": [what], "settings": {}, "input": {"path": path}})
    stage["argv"] = [what, path]  # for results and messages
    stage.pop("keep")  # it answers nothing
    return stage


def read_stage(path: str) -> Command:
    return file_stage("read", path)


def write_stage(path: str) -> Command:
    stage = file_stage("write", path)
    stage["blocks"] = True  # it reads all that it asks for, and does not poll
    return stage
