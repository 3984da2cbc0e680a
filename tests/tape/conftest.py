# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The machine with tape drives, booted once, and the check that every test leaves it as it found it.

`guest` is alone and quick. `site` is a fleet of h1, h2, h3 and tape1, where tape1 is another such machine: for plays.
"""

from __future__ import annotations

import dataclasses
import os
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hosts
from tests.system import playbook

from .guest import Guest, requirements
from .library import Library

PATIENCE = 8.0  # seconds for what a test has started to be gone


@dataclasses.dataclass(frozen=True)
class Site:
    """Hosts to back up, and the tape host."""

    fleet: hosts.Fleet
    tape1: Guest


def left_on(guest: Guest) -> list[str]:
    deadline = time.monotonic() + PATIENCE
    while (left := guest.processes()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def lend(guest: Guest) -> Iterator[Guest]:
    """To one test: on, with an empty library; afterwards nothing of the test runs there any more."""
    if not guest.is_on:
        guest.power_off()
        guest.power_on()
    guest.library.clear()
    yield guest
    guest.library.clear()
    if guest.is_on:
        left = left_on(guest)
        if left:
            guest.power_off()  # the next test shall not suffer
        assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture(scope="session")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    reason = requirements()
    if reason:
        pytest.skip(reason)
    with Guest(tmp_path_factory.mktemp("guest")) as made:
        yield made


@pytest.fixture
def guest(booted: Guest) -> Iterator[Guest]:
    """The machine, with empty drives."""
    yield from lend(booted)


@pytest.fixture
def library(guest: Guest) -> Library:
    return guest.library


@pytest.fixture
def scratch(guest: Guest, request: pytest.FixtureRequest) -> Path:
    """A directory of this test that the machine and the test see under the same path, and that a power cut spares."""
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)
    path = guest.scratch / name
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    reason = requirements() or hosts.requirements()
    if not os.path.exists("/dev/net/tun"):
        reason = reason or "the tape host of a fleet needs /dev/net/tun"
    if reason:
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("site")
    prefix = playbook.ansible_playbook().parents[1]
    fleet = hosts.Fleet.create(["h1", "h2", "h3", "tape1"], directory=directory, visible=[prefix])
    with fleet, Guest(directory / "tape", fleet["tape1"]) as tape1:
        yield Site(fleet, tape1)


@pytest.fixture
def site(built: Site) -> t.Iterator[Site]:
    """The fleet and its tape host, with empty drives."""
    for _lent in lend(built.tape1):
        yield built
