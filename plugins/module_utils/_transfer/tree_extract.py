# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory received by Python's tarfile, on a host without GNU tar.

Only the reading of headers is that of tarfile.  Its extraction follows symbolic links that are already there, also
those that another user has set, so each file is created here, below the open target directory.
"""

import contextlib
import decimal
import errno
import functools
import grp
import os
import pwd
import stat
import tarfile

from .._tape.common.problem import Problem
from .files import CHUNK, INCOMPLETE, explained, shown
from .tree_write import BUFFER, forget

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, BinaryIO

END = 1024  # bytes of zeros at the end of an archive, at least
OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


class Tail:
    """A stream whose last bytes are remembered, since tarfile takes a damaged header for the end."""

    def __init__(self, file: "BinaryIO") -> None:
        self.file, self.window, self.total = file, b"", 0

    def read(self, size: int) -> bytes:
        try:
            data = self.file.read(size)
        except OSError as exc:
            raise Problem("the archive was broken off (%s)" % exc.strerror, kind=INCOMPLETE) from None
        self.window = (self.window + data)[-4 * BUFFER :]
        self.total += len(data)
        return data

    def check_end(self, end: int) -> None:
        """Whether there are only zeros from this place on, up to the end of the stream; raises Problem."""
        start = end - (self.total - len(self.window))
        padding = self.window[max(0, start) :]
        while start >= 0 and not padding.strip(b"\0"):
            data = self.read(BUFFER)
            if not data:
                break
            padding = data
        if start < 0 or padding.strip(b"\0"):
            raise Problem("the archive is damaged at byte %d" % end, kind=INCOMPLETE)
        if self.total - end < END:
            raise Problem("the stream ended before the end of the archive", kind=INCOMPLETE)


def receive(folder: int, stream: int, path: bytes) -> None:
    """Extract an archive into a directory; raises Problem."""
    target, umask = Target(folder, path), os.umask(0)
    try:
        with os.fdopen(os.dup(stream), "rb", buffering=CHUNK) as file:
            extract(Tail(file), target)
        target.finish()
    finally:
        os.umask(umask)
        target.leave()


def extract(tail: Tail, target: "Target") -> None:
    """Raises Problem."""
    stream: "Any" = tail
    try:
        with tarfile.open(
            fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape", bufsize=BUFFER
        ) as archive:
            while True:
                member = archive.next()
                if member is None:
                    break
                forget(archive)
                target.add(archive, member)
            tail.check_end(archive.offset)
    except tarfile.TarError as exc:
        raise Problem("the archive is incomplete or damaged (%s)" % exc, kind=INCOMPLETE) from None


@functools.lru_cache(None)
def number(name: str, fallback: int, database: str) -> int:
    """The number of a user or group with this name here, else that of the archive."""
    try:
        if name:
            return pwd.getpwnam(name).pw_uid if database == "user" else grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        pass
    return fallback


class Target:
    """The directory that receives the files."""

    def __init__(self, folder: int, path: bytes) -> None:
        self.folder, self.path = folder, path
        self.last: "list[bytes]" = []  # a directory below it, open as ``fd``
        self.fd = os.dup(folder)
        self.directories: "list[tuple[list[bytes], tarfile.TarInfo]]" = []
        self.root = os.geteuid() == 0

    def leave(self) -> None:
        if self.fd != -1:
            os.close(self.fd)
            self.fd = -1

    def parts(self, name: str) -> "list[bytes]":
        """Raises Problem for a name that leads out of the directory."""
        found = [part for part in encoded(name).split(b"/") if part not in (b"", b".")]
        if name.startswith("/") or b".." in found:
            raise Problem("the archive has a file %s outside of its directory" % shown(encoded(name)), kind=INCOMPLETE)
        return found

    def enter(self, parts: "list[bytes]") -> int:
        """A directory below the target, made if it is missing; links on the way are not followed; raises OSError."""
        if parts == self.last and self.fd != -1:
            return self.fd
        self.leave()
        fd = os.dup(self.folder)
        for part in parts:
            above = fd
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=above)
                fd = os.open(part, OPEN, dir_fd=above)
            finally:
                os.close(above)
        self.last, self.fd = parts, fd
        return fd

    def add(self, archive: "tarfile.TarFile", member: "tarfile.TarInfo") -> None:
        """Raises Problem and OSError."""
        parts = self.parts(member.name)
        if not parts:
            self.directories.append((parts, member))
            return
        full = os.path.join(self.path, *parts)
        try:
            folder, name = self.enter(parts[:-1]), parts[-1]
            if member.isdir():
                self.make_directory(folder, name)
                self.directories.append((parts, member))
                return
            remove(folder, name)
            if member.isreg():
                self.write(archive, member, folder, name)
            elif member.islnk():
                self.link(member, parts)
            else:
                self.make_special(member, folder, name)
        except OSError as exc:
            raise explained(exc, full, "written") from None

    @staticmethod
    def make_directory(folder: int, name: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)  # also a link to a directory, as tar does it
                os.mkdir(name, 0o700, dir_fd=folder)

    def write(self, archive: "tarfile.TarFile", member: "tarfile.TarInfo", folder: int, name: bytes) -> None:
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        with os.fdopen(fd, "wb", buffering=0) as file:
            source: "Any" = archive.extractfile(member)
            sparse = member.issparse()
            while True:
                data = bytes(source.read(BUFFER))
                if not data:
                    break
                if sparse and not data.strip(b"\0"):
                    os.lseek(fd, len(data), os.SEEK_CUR)
                    continue
                view = memoryview(data)
                while view:
                    view = view[file.write(view) or 0 :]
            os.ftruncate(fd, member.size)
            self.settle(fd, member)

    def link(self, member: "tarfile.TarInfo", parts: "list[bytes]") -> None:
        """A hard link; its first name is in the archive before it."""
        target = self.parts(member.linkname)
        with contextlib.ExitStack() as stack:
            there = os.dup(self.enter(target[:-1]))
            stack.callback(os.close, there)
            here = self.enter(parts[:-1])
            os.link(target[-1], parts[-1], src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)

    def make_special(self, member: "tarfile.TarInfo", folder: int, name: bytes) -> None:
        """With its mode from the beginning, because chmod(2) would follow a link; the umask is 0."""
        if member.issym():
            os.symlink(encoded(member.linkname), name, dir_fd=folder)
        elif member.isfifo():
            os.mkfifo(name, stat.S_IMODE(member.mode), dir_fd=folder)
        elif member.isdev():
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            device = os.makedev(member.devmajor, member.devminor)
            os.mknod(name, kind | stat.S_IMODE(member.mode), device, dir_fd=folder)
        else:
            raise Problem("the archive has a file of unknown type, %s" % shown(encoded(member.name)), kind=INCOMPLETE)
        if self.root:
            os.chown(name, *self.owner(member), dir_fd=folder, follow_symlinks=False)
        os.utime(name, ns=times(member), dir_fd=folder, follow_symlinks=False)

    @staticmethod
    def owner(member: "tarfile.TarInfo") -> "tuple[int, int]":
        return number(member.uname, member.uid, "user"), number(member.gname, member.gid, "group")

    def settle(self, fd: int, member: "tarfile.TarInfo") -> None:
        """Owner, mode and time of an open file; only root may keep the owner."""
        if self.root:
            os.chown(fd, *self.owner(member))
        os.chmod(fd, stat.S_IMODE(member.mode))
        os.utime(fd, ns=times(member))

    def finish(self) -> None:
        """Attributes of directories, last: their files change their times, and may need permissions; raises Problem."""
        for parts, member in reversed(self.directories):
            try:
                self.settle(self.enter(parts), member)
            except OSError as exc:
                raise explained(exc, os.path.join(self.path, *parts), "given its owner, mode and time") from None
        self.leave()


def remove(folder: int, name: bytes) -> None:
    """What is in the place of a file; of directories only an empty one; raises OSError."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    except OSError as exc:
        if exc.errno not in (errno.EISDIR, errno.EPERM):
            raise
        os.rmdir(name, dir_fd=folder)


def times(member: "tarfile.TarInfo") -> "tuple[int, int]":
    """Its time of modification in nanoseconds, exactly."""
    when = int(decimal.Decimal(member.pax_headers.get("mtime", str(member.mtime))) * 10**9)
    return when, when
