# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts of a task: found where Ansible looks for files, and decrypted if they are in a vault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible.errors import AnsibleError

from ._script import Reader, ScriptError, read_file, read_program
from ._task_run import one_line

if TYPE_CHECKING:
    from ansible.plugins.action import ActionBase


def script_reader(action: ActionBase) -> Reader:
    """Reads the program of a script by its name; raises ScriptError and OSError."""

    def decrypted(path: str) -> bytes:
        try:
            real = action._loader.get_real_file(path)
        except AnsibleError as exc:
            raise ScriptError(one_line(exc)) from None
        try:
            return read_file(real)
        finally:
            action._loader.cleanup_tmp_file(real)

    def read(name: str) -> bytes:
        try:
            path = action._find_needle("files", name)
        except AnsibleError as exc:
            raise ScriptError(one_line(exc)) from None
        return read_program(path, decrypted)

    return read
