# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image of a container from one host to another, by Podman; Docker's commands need a daemon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hosts import Fleet
from tests.system.traces import leaves_nothing

from .page import recipe, same
from .site import Site, missing, slowly, wait_until

PAGE = recipe("Containers")
[PLAY] = PAGE.plays
KILLED, NO_IMAGE, FULL = PAGE.messages
# its images on each host's own file system, and the simplest way to keep them, which works everywhere
STORAGE = """
[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/srv/containers"
"""
PREPARE = """
mount -t tmpfs -o size=128m none /srv
mount -t tmpfs none /etc/containers
echo "$0" >/etc/containers/storage.conf
echo '{"default": [{"type": "insecureAcceptAnything"}]}' >/etc/containers/policy.json
podman images
"""
IMAGE = "cd /srv && head -c 16M /dev/urandom >data && tar c data | podman import -q - app:1"


@pytest.fixture(scope="module")
def nodes(fleet: Fleet) -> Iterator[Site]:
    reason = missing({"podman": "podman"})
    if reason:
        pytest.skip(reason)
    site = Site(fleet, {"node1": "h1", "node2": "h2"})
    for name in site.names:
        site[name].run(["bash", "-ec", PREPARE, STORAGE])
    site.sh("node1", IMAGE)
    yield site


@pytest.fixture
def site(nodes: Site) -> Iterator[Site]:
    """Nothing that a test starts is left."""
    with leaves_nothing(nodes.fleet, but="h2: file /run/containers/storage/"):
        yield nodes


def images(site: Site, name: str) -> str:
    return site.sh(name, "podman images --noheading --format '{{.Repository}}:{{.Tag}} {{.ID}}'")


def failure(site: Site) -> str:
    return same(site.run(PLAY, rc=2).result["cause"]["msg"])


def test_a_part_of_an_image_is_none(site: Site) -> None:
    started = site.start(slowly(PLAY))
    wait_until(lambda: site.pids("node2", "podman load"), "a podman that loads")
    site.kill("node1", "podman save")
    assert same(started.wait().result["cause"]["msg"]) == KILLED
    assert images(site, "node2") == ""
    assert site.sh("node2", "ls -A /var/tmp") == ""
    assert "pipeDir" in site.sh("node1", "ls /var/tmp && rm -r /var/tmp/*")
    site.sh("node2", "fallocate -l 116M /srv/other")
    assert failure(site) == FULL
    site.sh("node2", "rm /srv/other")
    assert images(site, "node2") == "" and site.sh("node2", "ls -A /var/tmp") == ""


def test_an_image_arrives(site: Site) -> None:
    site.run(PLAY)
    assert images(site, "node2") == images(site, "node1") != ""
    site.sh("node1", "podman tag app:1 other:1 && podman untag app:1")
    assert failure(site) == NO_IMAGE
