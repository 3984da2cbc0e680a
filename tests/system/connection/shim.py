# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection like that to a container: a client here, and there somebody who runs the command and reads on for ever.

As with docker, podman or kubectl exec, the command's standard output stays open when the client is gone.
"""

from __future__ import annotations

import subprocess
import sys

from ansible.plugins.connection import ConnectionBase

from tests.system import shims

DOCUMENTATION = """
name: shim
short_description: like a container's
description: For tests.
options:
  remote_addr:
    description: The host's address.
    vars: [{name: ansible_host}]
  shim:
    description: The socket of whoever runs commands there.
    vars: [{name: ansible_shim}]
"""


class Connection(ConnectionBase):
    """One command at a time, as a process here that carries the command's words."""

    transport = "shim"
    has_pipelining = True

    def _connect(self) -> Connection:
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        client = [sys.executable, shims.__file__, "client", self.get_option("shim"), cmd]
        done = subprocess.run(client, input=in_data or b"", capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        raise NotImplementedError

    def fetch_file(self, in_path: str, out_path: str) -> None:
        raise NotImplementedError

    def close(self) -> None:
        pass
