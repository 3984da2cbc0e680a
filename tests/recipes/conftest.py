# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet for each test file, and the check that nothing of a recipe's commands is left running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts import Fleet
from tests.system.conftest import make_fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three hosts and a controller; skipped by name where they cannot be made."""
    yield from make_fleet(["h1", "h2", "h3"], tmp_path_factory.mktemp("fleet"))
