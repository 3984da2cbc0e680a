# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""More than one shared ssh connection to a host that many tasks use at once.

sshd allows ten sessions in one connection (MaxSessions).  For each further one, ssh makes a connection of its own, and
its login costs more than a short run does.  So the tasks that use a host at the same time share as many connections as
they need, a few sessions in each.  ssh keeps these open as long as the first one (ControlPersist).
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
from typing import Any

from ansible.errors import AnsibleError

SESSIONS = 8  # in one connection; the rest of the ten are for what else this controller does on the host
MOST = 512  # tasks to count


def share(connection: Any) -> socket.socket | None:
    """Choose a shared ssh connection to a host; returns the place among those who use it, which is free when closed."""
    try:
        if connection.get_option("control_path"):
            return None  # the user has chosen one
        login = [str(connection.get_option(option)) for option in ("host", "port", "remote_user")]
    except (KeyError, AnsibleError):  # it is not ssh
        return None
    number, place = take(digest(str(os.getuid()), *login))
    if number >= SESSIONS:  # the first ones use the connection of all of Ansible's tasks
        path = digest(*login, str(number // SESSIONS))[:10]  # short, for the path of a socket has few characters
        connection.set_option("control_path", f"%(directory)s/{path}")
    return place


def take(name: str) -> tuple[int, socket.socket | None]:
    """The first free place of this name, and what keeps it: a socket with an abstract name, which leaves nothing.

    Nobody can connect to it, for it does not listen (unix(7)).
    """
    for number in range(MOST):
        place = socket.socket(socket.AF_UNIX)
        try:
            place.bind(f"\0socketpipe:sessions:{name[:16]}:{number}")
            return number, place
        except OSError as exc:
            place.close()
            if exc.errno != errno.EADDRINUSE:
                break  # another system than Linux: more logins are no failure
    return 0, None


def digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()
