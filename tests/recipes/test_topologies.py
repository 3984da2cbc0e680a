# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plays of the guide Topologies. The chain to tape is that of the recipe to a file, so its commands are enough."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts import Fleet
from tests.system.traces import leaves_nothing

from .page import recipe
from .site import Site

NAMES = {"image1": "h1", "kvm1": "h2", "kvm2": "h3", "db1": "h1"}
FILE = "head -c 8M /dev/urandom"


@pytest.fixture(scope="module")
def made(fleet: Fleet) -> Site:
    site = Site(fleet, NAMES)
    site.group("hypervisors", ["kvm1", "kvm2"])
    for host in (fleet.controller, *fleet):
        host.run(["bash", "-ec", "mount -t tmpfs none /srv && mkdir /srv/images /srv/backup /srv/backups"])
    return site


@pytest.fixture
def site(made: Site) -> Iterator[Site]:
    """Nothing that a test starts is left."""
    with leaves_nothing(made.fleet):
        yield made


def test_one_file_to_many_hosts(site: Site) -> None:
    [play] = recipe("One file to many hosts", "topologies").plays
    site.sh("image1", f"{FILE} >/srv/images/gold.qcow2")
    site.sh("kvm1", "echo old >/srv/images/gold.qcow2")
    site.run(play)
    digests = {site.sh(name, "sha256sum /srv/images/*") for name in ("image1", "kvm1", "kvm2")}
    assert len(digests) == 1
    assert site.run(play).result["changed"] is False


def test_a_large_file_to_the_controller(site: Site) -> None:
    [play] = recipe("A large file to the controller", "topologies").plays
    site.sh("db1", f"{FILE} >/srv/backup/full.xb && chmod 600 /srv/backup/full.xb")
    site.run(play)
    here = site.fleet.controller.run(["sha256sum", "/srv/backups/db1.xb"]).stdout.split()[0]
    assert here == site.sh("db1", "sha256sum /srv/backup/full.xb").split()[0]
