# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tree, images and a repository: what fails leaves the old one as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.hosts import Fleet
from tests.system.traces import leaves_nothing

from .page import recipe, same
from .site import Site, missing, slowly, wait_until

NAMES = {"web1": "h1", "web2": "h2", "app1": "h1", "git1": "h1", "kvm1": "h1", "kvm2": "h2", "store": "h2"}
SIZE = "64m"  # of /srv on each host


@pytest.fixture(scope="module")
def recipes(fleet: Fleet) -> Site:
    return Site(fleet, NAMES)


@pytest.fixture
def site(recipes: Site) -> Iterator[Site]:
    """With an empty /srv on each host. Nothing that a test starts is left."""
    for name in ("h1", "h2"):
        recipes.fleet[name].run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", "/srv"])
    with leaves_nothing(recipes.fleet):
        yield recipes
    for name in ("h1", "h2"):
        recipes.fleet[name].run(["umount", "/srv"])


def failure(site: Site, play: dict[str, Any]) -> str:
    return same(site.run(play, rc=2).outcomes[-1].result["cause"]["msg"])


def killed(site: Site, play: dict[str, Any], name: str, program: str) -> str:
    """The message when this program is killed while the last one runs on the store."""
    started = site.start(slowly(play))
    wait_until(lambda: site.pids("store", "dd") and site.pids(name, program), f"{program}, and a dd that writes")
    site.kill(name, program)
    return same(started.wait().outcomes[-1].result["cause"]["msg"])


TREE = recipe("A tree")


def test_a_tree_takes_the_place_of_the_old_one(site: Site) -> None:
    reason = missing({"setfacl": "acl"})
    if reason:
        pytest.skip(reason)
    make = "mkdir -p www/a && seq 9 >www/a/b && chown 5001:5002 www/a/b && chmod 4750 www/a/b && ln -s a/b www/c"
    site.sh("web1", f"cd /srv && {make} && setfacl -m u:5002:r www/a/b && truncate -s 1G www/hole")
    site.sh("web2", "mkdir /srv/www && touch /srv/www/old")
    site.run(*TREE.plays)
    facts = "cd /srv/www && stat -c '%n %A %u %g %s %Y' . a a/b c hole && getfacl -np a/b && cat a/b && du hole"
    assert site.sh("web1", facts) == site.sh("web2", facts)
    assert site.sh("web2", "ls /srv /srv/www.old") == "/srv:\nwww\nwww.old\n\n/srv/www.old:\nold"


def test_a_tree_that_cannot_be_copied_leaves_the_old_one(site: Site) -> None:
    site.sh("web2", "mkdir /srv/www && touch /srv/www/old")
    assert failure(site, *TREE.plays) == TREE.messages[0]
    assert site.sh("web2", "find /srv -mindepth 1 | sort") == "/srv/www\n/srv/www.new\n/srv/www/old"
    site.sh("web1", "mkdir /srv/www && head -c 16M /dev/urandom >/srv/www/data")
    site.sh("web2", "fallocate -l 56M /srv/other")
    assert failure(site, *TREE.plays) == TREE.messages[1]
    assert site.sh("web2", "ls /srv/www /srv/www.new") == "/srv/www:\nold\n\n/srv/www.new:\ndata"


IMAGE = recipe("A disk image")
WRITE, READ = IMAGE.plays


def image(site: Site) -> None:
    """A file system on app1, and the image of last week on the store."""
    reason = missing({"mkfs.ext4": "e2fsprogs", "zstd": "zstd"})
    if reason:
        pytest.skip(reason)
    make = "mkdir d && head -c 16M /dev/urandom >d/data && mkfs.ext4 -q -d d home.img 32M && rm -r d"
    site.sh("app1", f"cd /srv && {make}")
    site.sh("store", "mkdir /srv/backup && echo 'last week' >/srv/backup/home.img.zst")


def test_a_disk_image_comes_back(site: Site) -> None:
    image(site)
    site.run(WRITE)
    site.sh("app1", "mv /srv/home.img /srv/first.img")
    site.run(READ)
    site.sh("app1", "cmp /srv/home.img /srv/first.img && e2fsck -fn /srv/home.img")
    assert int(site.sh("app1", "du -k /srv/home.img").split()[0]) < 24 << 10  # of 32 MiB: holes stay holes
    assert site.sh("store", "ls /srv/backup") == "home.img.zst"
    site.sh("store", "printf x | dd of=/srv/backup/home.img.zst bs=1 seek=8000000 conv=notrunc status=none")
    # some versions of zstd shorten the path
    assert failure(site, READ).replace("/srv/backup", "/backup") == IMAGE.messages[3]


def test_an_image_that_cannot_be_written_leaves_the_last_one(site: Site) -> None:
    image(site)
    assert killed(site, WRITE, "app1", "zstd") == IMAGE.messages[1]
    site.sh("store", "cd /srv && fallocate -l 56M other")
    assert failure(site, WRITE) == IMAGE.messages[2]
    assert site.sh("store", "ls /srv/backup && cat /srv/backup/home.img.zst") == (
        "home.img.zst\nhome.img.zst.part\nlast week"
    )
    site.sh("store", "rm /srv/backup/home.img.zst.part")
    site.sh("app1", "rm /srv/home.img")
    assert failure(site, WRITE) == IMAGE.messages[0]
    assert site.sh("store", "ls /srv/backup") == "home.img.zst"


GIT = recipe("A git repository")


def repository(site: Site) -> None:
    """With much that cannot be compressed."""
    reason = missing({"git": "git"})
    if reason:
        pytest.skip(reason)
    make = """
        export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
        cd /srv && mkdir git && git init -q -b main work && cd work && head -c 16M /dev/urandom >data
        git add data && git commit -q -m first && git tag v1 && git clone -q --mirror . /srv/git/app.git
    """
    site.sh("git1", make)
    site.sh("store", "mkdir /srv/backup && echo 'last week' >/srv/backup/app.bundle")


def test_a_repository_comes_back(site: Site) -> None:
    repository(site)
    site.run(*GIT.plays)
    assert site.sh("store", "ls /srv/backup") == "app.bundle"
    [restore] = GIT.commands
    site.sh("store", restore)
    refs = [site.sh(*where) for where in (("git1", REFS.format("git/")), ("store", REFS.format("")))]
    assert refs[0] == refs[1] and "refs/tags/v1" in refs[0]
    site.sh("store", "git -C /srv/app.git fsck --strict")


REFS = "git -C /srv/{}app.git show-ref"


def test_a_bundle_that_cannot_be_written_leaves_the_last_one(site: Site) -> None:
    repository(site)
    [play] = GIT.plays
    assert killed(site, play, "git1", "git pack-objects") == GIT.messages[1]
    assert site.sh("store", "cat /srv/backup/app.bundle && rm /srv/backup/app.bundle.part") == "last week"
    site.sh("git1", "mv /srv/git /srv/tig")
    assert failure(site, play) == GIT.messages[0]
    assert site.sh("store", "ls /srv/backup") == "app.bundle"


def test_git_takes_the_half_of_a_bundle_for_good(site: Site) -> None:
    repository(site)
    half = "git bundle create -q - --all >/tmp/whole && head -c 8M /tmp/whole >/tmp/half && rm /tmp/whole"
    site.sh("git1", f"cd /srv/git/app.git && {half} && git bundle verify /tmp/half && rm /tmp/half")


MACHINE = recipe("Virtual machines")


def test_the_image_of_a_machine_replaces_the_old_one_when_it_is_good(site: Site) -> None:
    reason = missing({"qemu-img": "qemu-utils"})
    if reason:
        pytest.skip(reason)
    for name in ("kvm1", "kvm2"):
        site.sh(name, "mkdir /srv/images")
    site.sh("kvm2", "echo old >/srv/images/gold.qcow2")
    [play] = MACHINE.plays
    assert failure(site, play) == MACHINE.messages[0]
    make = "head -c 16M /dev/urandom >/srv/raw && qemu-img convert -f raw -O qcow2 /srv/raw gold.qcow2"
    site.sh("kvm1", f"cd /srv/images && {make} && rm /srv/raw && cp gold.qcow2 /srv/good")
    site.sh("kvm1", "truncate -s -64K /srv/images/gold.qcow2")
    assert failure(site, play) == MACHINE.messages[1]
    site.sh("kvm1", "cp /srv/good /srv/images/gold.qcow2")
    site.sh("kvm2", "fallocate -l 56M /srv/other")
    assert failure(site, play) == MACHINE.messages[2]
    assert site.sh("kvm2", "ls -A /srv/images && cat /srv/images/gold.qcow2 && rm /srv/other") == "gold.qcow2\nold"
    site.run(play)
    digest = "sha256sum /srv/images/gold.qcow2 && ls -A /srv/images"
    assert site.sh("kvm1", digest) == site.sh("kvm2", digest)
