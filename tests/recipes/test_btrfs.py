# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots between two machines whose kernel has btrfs: user-mode-linux, as for the tape role."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.hosts import Fleet
from tests.tape.guest import Guest
from tests.tape.needs import requirements

from .page import recipe, same
from .site import Site, missing, slowly, wait_until

PAGE = recipe("Snapshots of btrfs")
[PLAY] = PAGE.plays
[DELETE] = PAGE.commands
KILLED, FULL = PAGE.messages
DISK = "/dev/shm/disk"
MAKE = f"truncate -s 160M {DISK} && mkfs.btrfs -q {DISK} && mount -o loop {DISK} /srv"
FILL = "btrfs subvolume create /srv/data && head -c 16M /dev/urandom >/srv/data/file"

Guests = dict[str, Guest]


@pytest.fixture(scope="module")
def guests(fleet: Fleet) -> Iterator[Guests]:
    reason = requirements([]) or missing({"btrfs": "btrfs-progs"})
    if not os.path.exists("/dev/net/tun"):
        reason = reason or "a guest in a fleet needs /dev/net/tun"
    if reason:
        pytest.skip(reason)
    where = fleet.directory
    with (
        Guest(where / "nas1", fleet["h1"], modules=["loop"]) as nas1,
        Guest(where / "nas2", fleet["h2"], modules=["loop"]) as nas2,
    ):
        for each in (nas1, nas2):
            each.sh(MAKE)
        nas1.sh(FILL)
        yield {"nas1": nas1, "nas2": nas2}


@pytest.fixture
def site(fleet: Fleet, guests: Guests) -> Site:
    return Site(fleet, {"nas1": "h1", "nas2": "h2"})


def pids(guest: Guest, command: str) -> list[str]:
    return [line.split()[0] for line in guest.processes() if line.partition(" ")[2].startswith(command)]


def shown(guest: Guest) -> list[str]:
    """What a snapshot on the guest is: its received UUID, and its flags."""
    lines = guest.sh("btrfs subvolume show /srv/monday").stdout.splitlines()
    fields = dict(line.strip().split(":", 1) for line in lines if ":" in line)
    return [fields["Received UUID"].strip(), fields["Flags"].strip()]


def test_a_part_of_a_snapshot_is_none(site: Site, guests: Guests) -> None:
    nas1, nas2 = guests["nas1"], guests["nas2"]
    started = site.start(slowly(PLAY))
    wait_until(lambda: pids(nas2, "btrfs receive"), "a btrfs that receives")
    wait_until(lambda: nas2.sh("ls /srv").stdout.split() == ["monday"], "a subvolume on nas2")
    nas1.run(["kill", "-KILL", *pids(nas1, "btrfs send")])
    assert same(started.wait().outcomes[-1].result["cause"]["msg"]) == KILLED
    assert shown(nas2) == ["-", "-"]
    nas2.sh(DELETE)
    nas2.sh("cat /dev/zero >/srv/other || sync")
    assert same(site.run(PLAY, rc=2).outcomes[-1].result["cause"]["msg"]) == FULL
    assert shown(nas2) == ["-", "-"]
    nas2.sh(f"rm /srv/other && {DELETE}")


def test_a_snapshot_arrives(site: Site, guests: Guests) -> None:
    nas1, nas2 = guests["nas1"], guests["nas2"]
    site.run(PLAY)
    assert shown(nas2)[0] != "-" and shown(nas2)[1] == "readonly"
    digest = "sha256sum /srv/monday/file"
    assert nas1.sh(digest).stdout == nas2.sh(digest).stdout
    assert not pids(nas1, "btrfs") and not pids(nas2, "btrfs")
    nas2.sh(DELETE)
