# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mounted file systems of this host: their identity, and those that no archive contains."""

import os
import re

from ..common.names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator

# virtual file systems, those in memory, and those that show files from elsewhere (containers, snaps)
NO_FILES = ["autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs"]
NO_FILES += ["efivarfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "overlay", "proc", "pstore", "ramfs", "rpc_pipefs"]
NO_FILES += ["securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs", "tracefs"]
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "afs", "ocfs2", "gfs2", "lustre", "glusterfs")


class Mount:
    """A line of /proc/self/mounts."""

    def __init__(self, line: bytes):
        _device, point, kind, options = line.split(b" ")[:4]
        self.point = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal.group(1), 8)]), point)
        self.kind = kind.decode("ascii", "replace")
        self.options = options.split(b",")

    @property
    def is_fuse(self) -> bool:
        return self.kind in ("fuse", "fuseblk") or self.kind.startswith("fuse.")

    @property
    def is_remote(self) -> bool:
        return self.kind in REMOTE

    def refuses(self, user: int) -> bool:
        """Whether it is a FUSE file system of another user that even root cannot read."""
        return self.is_fuse and b"allow_other" not in self.options and b"user_id=%d" % user not in self.options


def mounted() -> "Iterator[Mount]":
    with open("/proc/self/mounts", "rb") as mounts:
        for line in mounts.read().split(b"\n")[:-1]:
            yield Mount(line)


def identify(paths: "Iterable[bytes]") -> "dict[str, str]":
    """{path: UUID of its file system} where udev knows it; not for NFS, btrfs, ZFS, or in a container."""
    folder = "/dev/disk/by-uuid"
    known = {}
    for uuid in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            known[os.stat(os.path.join(folder, uuid)).st_rdev] = uuid
        except OSError:  # the device has just disappeared
            pass
    numbers = {shown(path): os.lstat(path).st_dev for path in paths}
    return {path: known[number] for path, number in numbers.items() if number in known}


def with_files(points: "Iterable[str]") -> "list[str]":
    """The mount points, as shown, whose file systems contain files worth archiving."""
    kinds = {shown(mount.point): mount.kind for mount in mounted()}
    return [point for point in points if kinds.get(point) not in NO_FILES]


def below(path: bytes, tops: "Iterable[bytes]") -> bool:
    return any(path.startswith(top.rstrip(b"/") + b"/") for top in tops)


def out_of_reach(paths: "list[bytes]", excludes: "list[bytes]", one_file_system: bool) -> "list[bytes]":
    """Mount points below the paths that tar cannot read, to exclude them.

    A file system is not accessed unless that is necessary, because it may never respond.
    """
    found = []
    for mount in mounted():
        if not below(mount.point, paths) or mount.point in paths or below(mount.point + b"/", excludes):
            continue
        if mount.refuses(os.geteuid()) or (one_file_system and mount.is_fuse and not answers(mount.point)):
            found.append(mount.point)
    return sorted(set(found))


def answers(path: bytes) -> bool:
    try:
        os.lstat(path)
    except OSError:
        return False
    return True
