# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines for people: tables, and the progress of a run, which no callback shows."""

from __future__ import annotations

from ansible import constants
from ansible.utils.display import Display

FOR_PROGRAMS = ("json", "jsonl")  # callbacks whose standard output is for a program

display = Display()


def show(line: str) -> None:
    """Show a line on the terminal and in the events of a runner, whatever the settings of the callback.

    It goes to standard error if standard output is for a program, which could not read it then.
    """
    display.display(line, stderr=is_for_a_program())


def is_for_a_program() -> bool:
    return str(constants.DEFAULT_STDOUT_CALLBACK).rpartition(".")[2] in FOR_PROGRAMS
