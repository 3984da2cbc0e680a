# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ansible-cores that the collection is for, and those of them that run on this machine's Pythons."""

from __future__ import annotations

from pathlib import Path

from . import pythons, venvs

# first and last Python of the controller, as ansible-core's own "requires" and CONTROLLER_PYTHON_VERSIONS have it
CORES = {
    "2.16": ("3.10", "3.12"),
    "2.17": ("3.10", "3.12"),
    "2.18": ("3.11", "3.13"),
    "2.19": ("3.11", "3.13"),
    "2.20": ("3.12", "3.14"),
    "2.21": ("3.12", "3.14"),
}
DEVEL = "devel"  # the branch that will be the next version: fetched from its repository, and not part of CORES
DEVEL_PYTHONS = ("3.12", "3.14")
DEVEL_SOURCE = "ansible-core @ https://github.com/ansible/ansible/archive/devel.tar.gz"
# the oldest Python that each may meet on a target
TARGETS = {"2.16": "3.6", "2.17": "3.7", "2.18": "3.8", "2.19": "3.8", "2.20": "3.9", "2.21": "3.9"}


def may_run_on(core: str) -> tuple[str, str]:
    """First and last Python of the controller."""
    return DEVEL_PYTHONS if core == DEVEL else CORES[core]


def python_for(core: str) -> tuple[str, Path] | None:
    """(version, interpreter) of a Python that this core runs on: the oldest one that is here."""
    first, last = map(pythons.order, may_run_on(core))
    for version, path in pythons.found().items():
        if first <= pythons.order(version) <= last:
            return version, path
    return None


def why_not(core: str) -> str:
    """The reason why this core cannot be had on this machine, if there is one."""
    if python_for(core):
        return ""
    return "it needs Python {} to {}, which is not on this machine".format(*may_run_on(core))


def here() -> list[str]:
    """The cores that run here, the oldest first."""
    return [core for core in CORES if not why_not(core)]


def venv(core: str) -> Path:
    """The virtual environment with this core."""
    found = python_for(core)
    if found is None:
        raise LookupError(f"ansible-core {core}: {why_not(core)}")
    return venvs.ensure(f"core-{core}", [DEVEL_SOURCE if core == DEVEL else f"ansible-core=={core}.*"], found[1])
