# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""More than one shared ssh connection to a host that many tasks use at once.

sshd allows ten sessions in one connection (MaxSessions).  For each further one, ssh makes a connection of its own, and
its login costs more than a short run does.  So the tasks that use a host at the same time share as many connections as
they need, a few sessions in each.  ssh keeps these open as long as the first one (ControlPersist).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from typing import IO, Any

from ansible import constants as C
from ansible.errors import AnsibleError

SESSIONS = 8  # in one connection; the rest of the ten are for what else this controller does on the host
MOST = 512  # tasks to count


def share(connection: Any, name: str) -> IO[bytes] | None:
    """Choose a shared ssh connection to this host; returns the file that keeps a place among those who use it.

    The place is free again when the file is closed, if only by the death of this process.
    """
    try:
        if connection.get_option("control_path"):
            return None  # the user has chosen one
        login = [str(connection.get_option(option)) for option in ("host", "port", "remote_user")]
    except (KeyError, AnsibleError):  # it is not ssh
        return None
    number, place = take(os.path.join(C.DEFAULT_LOCAL_TMP, "sessions"), name)
    if number >= SESSIONS:  # the first ones use the connection of all of Ansible's tasks
        socket = digest(*login, str(number // SESSIONS))[:10]  # short, for the path of a socket has few characters
        connection.set_option("control_path", f"%(directory)s/{socket}")
    return place


def take(folder: str, name: str) -> tuple[int, IO[bytes] | None]:
    """The first free place among those who use a host now, and the file that keeps it.

    ``folder``: one for all workers of this ansible-playbook.
    """
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for number in range(MOST):
            place = open(os.path.join(folder, f"{digest(name)[:16]}.{number}"), "wb", 0)
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                place.close()
            else:
                return number, place
    except OSError:  # a full disk, or a file system without locks: more logins are no failure
        pass
    return 0, None


def digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()
