# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is mounted on this host: which file system is which, and what is not in an archive."""

import os
import re

from ..common.names import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable, Iterator

# file systems that the kernel makes, that are in memory, or that show what is elsewhere too (a container's, a snap's)
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
        """Whether it is a file system in user space of somebody else, who lets nobody see it, not even root."""
        return self.is_fuse and b"allow_other" not in self.options and b"user_id=%d" % user not in self.options


def mounted() -> "Iterator[Mount]":
    with open("/proc/self/mounts", "rb") as mounts:
        for line in mounts.read().split(b"\n")[:-1]:
            yield Mount(line)


def identify(paths: "Iterable[bytes]") -> "dict[str, str]":
    """{path: UUID of its file system} as far as udev knows: not of NFS, btrfs, ZFS, in a container."""
    folder = "/dev/disk/by-uuid"
    known = {}
    for uuid in os.listdir(folder) if os.path.isdir(folder) else []:
        try:
            known[os.stat(os.path.join(folder, uuid)).st_rdev] = uuid
        except OSError:  # a device that has just gone
            pass
    numbers = {shown(path): os.lstat(path).st_dev for path in paths}
    return {path: known[number] for path, number in numbers.items() if number in known}


def with_files(points: "Iterable[str]") -> "list[str]":
    """Those mount points, as shown, that somebody may want an archive of."""
    kinds = {shown(mount.point): mount.kind for mount in mounted()}
    return [point for point in points if kinds.get(point) not in NO_FILES]


def below(path: bytes, tops: "Iterable[bytes]") -> bool:
    return any(path.startswith(top.rstrip(b"/") + b"/") for top in tops)


def out_of_reach(paths: "list[bytes]", excludes: "list[bytes]", one_file_system: bool) -> "list[bytes]":
    """Mount points below the paths of which tar would say that it cannot look at them: they are no part of an archive.

    Nothing is asked of a file system whose answer is known, or not wanted: it may never come.
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
