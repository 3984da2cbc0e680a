# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The machines; connections that the kernel encrypts, and ends on such links, skipped where the kernel cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.tape.guest import Guest
from tests.unit import conftest as unit  # which also puts the collection where Python finds it

from .machine import TLS, machine
from .pair import Pair, why_not

launch = unit.launch


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A machine whose kernel has TLS."""
    yield from machine(tmp_path_factory.mktemp("tls"), TLS)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A machine whose kernel has none."""
    yield from machine(tmp_path_factory.mktemp("bare"), [])


@pytest.fixture(scope="session")
def kernel_tls() -> None:
    if why := why_not():
        pytest.skip(f"test_machine runs this where the kernel has TLS: {why}")


@pytest.fixture
def connect(kernel_tls: None) -> Iterator[Callable[..., Pair]]:
    """Makes a Pair; what is left of it is closed after the test."""
    made: list[Pair] = []

    def make(cipher: str = "chacha20-poly1305") -> Pair:
        made.append(Pair(cipher))
        return made[-1]

    yield make
    for pair in made:
        pair.close()
