# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiver of the role tape, where not all of a host can be read: a dying disk, a user's file system."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import NOT_ROOT, Host

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")
KEEPING = "; tape_keep_incomplete keeps such an archive"
# a file system in user space whose daemon is a user's: the kernel refuses everybody else, without asking it
FUSE = """
import ctypes, os, sys
fd = os.open("/dev/fuse", os.O_RDWR)
options = "fd=%d,rootmode=40000,user_id=1234,group_id=1234%s" % (fd, sys.argv[2])
if ctypes.CDLL(None, use_errno=True).mount(b"fuse", sys.argv[1].encode(), b"fuse.test", 6, options.encode()):
    sys.exit("mount: " + os.strerror(ctypes.get_errno()))
"""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def fuse(host: Host, point: Path, options: str = "") -> None:
    """It is gone with its namespace.  With its daemon gone every question fails, and does not wait."""
    point.mkdir(parents=True)
    (host.top / "fuse.py").write_text(FUSE, encoding="utf-8")
    host.within_mounts(shlex.join([sys.executable, str(host.top / "fuse.py"), str(point), options]))


@pytest.mark.parametrize("one_file_system", [True, False])
@as_root
def test_a_user_s_file_system_that_root_cannot_look_at(host: Host, one_file_system: bool) -> None:
    host.file("home/user/a", "x")
    mount = host.root / "home/user/re*mote [1]"
    host.file("home/user/remote 1/kept", "x")
    fuse(host, mount)
    host.settings["one_file_system"] = one_file_system
    said = json.loads(host.run("estimate", "--level", "0").stdout)
    facts = host.create().facts
    assert (facts["tar"], facts["incomplete"], facts["warnings"]) == (0, False, [])
    assert facts["other_file_systems"] == said["other_file_systems"] == [str(mount)]
    assert sorted(name.removeprefix(f".{host.root}/") for name in host.report()[1]) == [
        *["", "home/", "home/user/", "home/user/a", "home/user/remote 1/", "home/user/remote 1/kept"]
    ]


@as_root
def test_a_file_system_whose_daemon_is_gone(host: Host) -> None:
    mount = host.root / "mount"
    fuse(host, mount, ",allow_other")
    facts = host.create().facts
    assert (facts["tar"], facts["other_file_systems"]) == (0, [str(mount)])
    host.settings["paths"].append(str(mount))
    assert host.said(*host.words()).startswith(f"archiver create: not on this host: {mount} (")


def deep(host: Host) -> None:
    """A path longer than PATH_MAX: the kernel takes it by parts, and tar's messages do."""
    back = os.open(".", os.O_RDONLY)
    os.chdir(host.root)
    for _number in range(25):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    Path("file").write_text("x", encoding="utf-8")
    os.fchdir(back)
    os.close(back)


def test_a_path_that_is_too_long_for_tar(host: Host) -> None:
    host.file("a", "x")
    deep(host)
    said = host.said(*host.words()).splitlines()[-1]
    assert said.startswith("archiver create: tar failed with status 2: ./")
    assert said.endswith(KEEPING)
    assert host.states() == ["lock"]
    host.settings["keep_incomplete"] = True
    archive = host.create()
    facts = archive.facts
    assert (facts["tar"], facts["incomplete"], facts["bytes"]) == (2, True, len(archive.data))
    assert facts["warning_count"] == len(facts["warnings"]) > 0
    assert f".{host.root}/a" in archive.names
    assert host.states() == ["R0.json", "R0.list.gz", "R0.reported", "lock"]
    done = host.run("extract", "--to", str(host.top / "back"), *archive.expected, data=archive.data)
    assert done.returncode == 0, done.stderr
    assert (host.restored_as(host.top / "back") / "a").read_text(encoding="utf-8") == "x"


def test_it_is_never_a_base(host: Host) -> None:
    """What could not be read is older than the archive, so no increment to it would have it."""
    host.file("a", "x")
    deep(host)
    host.settings["keep_incomplete"] = True
    host.create("R0")
    facts = host.create("R1", 1, "R0").facts
    assert (facts["level"], facts["base"]) == (0, None)
    assert facts["level_problem"] == "level 0 instead of 1: the archive of run R0 has errors"
    assert facts["level_problem"] not in facts["warnings"]
    estimated = json.loads(host.run("estimate", "--level", "1", "--base", "R0").stdout)
    assert (estimated["level"], estimated["bytes"]) == (0, facts["bytes"])


def test_what_is_no_archive_is_not_kept(host: Host) -> None:
    """A tar that gives up has written no end, and no total."""
    host.file("a", "x")
    host.settings["keep_incomplete"] = True
    host.program("tar", 'case $* in *--create*) echo "tar: no" >&2; exit 2;; esac; exec REAL "$@"')
    assert host.said(*host.words()) == "archiver create: tar failed with status 2: no" + NOT_ROOT
    host.program("tar", 'case $* in *--create*) REAL "$@"; kill -9 $$;; esac; exec REAL "$@"')
    assert host.said(*host.words()).startswith("archiver create: tar was killed by SIGKILL")
    assert host.states() == ["lock"]


@as_root
def test_a_disk_that_is_dying(host: Host) -> None:
    """A damaged ext4: a file and a directory that give EIO."""
    image = host.top / "image"
    tree = host.top / "tree"
    (tree / "dir").mkdir(parents=True)
    for name in ("good", "bad", "dir/lost"):
        (tree / name).write_bytes(os.urandom(3000000))
    with open(image, "wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-d", tree, image], check=True)
    subprocess.run(
        ["debugfs", "-w", "-R", "set_inode_field bad block[0] 0xffff", image], check=True, capture_output=True
    )
    subprocess.run(
        ["debugfs", "-w", "-R", "set_inode_field dir block[0] 0xffff", image], check=True, capture_output=True
    )
    host.within_mounts(f"mount -o loop,ro {image} {host.root}")
    assert host.said(*host.words()).endswith(KEEPING)
    host.settings["keep_incomplete"] = True
    archive = host.create()
    assert (archive.facts["tar"], archive.facts["incomplete"]) == (2, True)
    assert any("Input/output error" in line or "Structure needs cleaning" in line for line in archive.facts["warnings"])
    host.argv = host.archiver
    done = host.run("extract", "--to", str(host.top / "back"), *archive.expected, data=archive.data)
    assert done.returncode == 0, done.stderr
    assert (host.restored_as(host.top / "back") / "good").read_bytes() == (tree / "good").read_bytes()
