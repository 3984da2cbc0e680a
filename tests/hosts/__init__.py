# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Test hosts made of Linux namespaces, each with its own sshd, addresses, users, firewall and processes.

Example::

    with Fleet.create(["h1", "h2"], directory=path) as fleet:
        fleet["h1"].run(["hostname"])
        fleet.controller.run(["ansible-playbook", "-i", str(fleet.inventory()), "play.yml"], timeout=300)

A host has /etc, /root, /home, /tmp, /var/tmp, /run and /dev/shm of its own and shares the rest of the machine's files.
In these it sees only the fleet's directory, this repository, the interpreter, pyenv, and what `visible` names, and the
directories below /etc (see OWN_ETC). The end of its PID 1 (pid1.py) is the end of everything on it, and PID 1 ends when
the process that made the fleet does.

Modules: layout (what a host is) <- files, network, process, state (the parts) <- host, fleet (the whole).
"""

from __future__ import annotations

from .fleet import CONTROLLER, Fleet
from .host import Host
from .layout import ROOT_PASSWORD, FleetError, HostSpec
from .needs import requirements
from .process import HostProcess, Process

__all__ = [
    "CONTROLLER",
    "ROOT_PASSWORD",
    "Fleet",
    "FleetError",
    "Host",
    "HostProcess",
    "HostSpec",
    "Process",
    "requirements",
]
