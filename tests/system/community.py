# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other collections, from the package `ansible`: modules that examples call, and callbacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import playbook

VENV = playbook.REPOSITORY / ".build" / "venvs" / "community"


def collections() -> Path:
    """The directory with ansible_collections, for ANSIBLE_COLLECTIONS_PATH; without it, the test is skipped by name."""
    if not (VENV / "made").exists():
        pytest.skip(f"there are no other collections: make {VENV.relative_to(playbook.REPOSITORY)}/made")
    (found,) = VENV.glob("lib/python3*/site-packages/ansible_collections")
    return found.parent
