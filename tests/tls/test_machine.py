# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""In a machine whose kernel has TLS: the tests of the other files here, which are skipped elsewhere."""

from __future__ import annotations

import pytest

from tests.tape.guest import Guest

from .machine import passes


@pytest.mark.parametrize("file", ["traps", "between", "choice", "command", "destroyed"])
def test_in_the_guest(guest: Guest, file: str) -> None:
    passes(guest, f"tests/tls/test_{file}.py")


def test_what_a_preflight_foretells_comes_true(guest: Guest) -> None:
    passes(guest, "tests/unit/test_forecast.py", "-k", "comes_true")
