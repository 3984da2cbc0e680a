# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are either complete or absent, locks that a crash releases, and a queue in the order of arrival."""

import contextlib
import errno
import fcntl
import json
import os
import tempfile
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LOCK_POLL = 0.2  # seconds: polling interval for a lock that another process holds


def make_folder(path: str) -> None:
    os.makedirs(path, mode=0o700, exist_ok=True)


def sync_folder(path: "str | bytes") -> None:
    """Make a rename in this folder survive a power failure (fsync(2))."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno != errno.EINVAL:  # a file system without fsync for directories, such as CIFS
            raise
    finally:
        os.close(fd)


def write_whole(path: str, data: bytes) -> None:
    """Replace a file atomically: after a power failure it has either the old or the new content."""
    folder = os.path.dirname(path)
    make_folder(folder)
    part = "%s.%d.part" % (path, os.getpid())
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.rename(part, path)
    except BaseException as exc:
        with contextlib.suppress(OSError):
            os.unlink(part)
        if isinstance(exc, OSError):
            exc.filename = path  # which open(2) sets, but write(2) does not
        raise
    sync_folder(folder)


def publish(path: str, data: bytes, mode: int) -> None:
    """Replace a file atomically in a directory to which others may write; raises OSError.

    Its temporary file has a name that nobody can create first, and no link is followed.
    """
    folder, name = os.path.split(path)
    fd, part = tempfile.mkstemp(prefix=".%s." % name, suffix=".part", dir=folder)
    try:
        with os.fdopen(fd, "wb") as out:
            out.write(data)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        os.rename(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise


def write_json(path: str, value: "Any") -> None:
    write_whole(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: str) -> "Any":
    """The content of a JSON file, None if there is none; raises OSError, ValueError."""
    try:
        with open(path, "rb") as source:
            return json.loads(source.read().decode())
    except FileNotFoundError:
        return None


class Lock:
    """A lock on a file (flock(2)), held until this process and all children that inherit ``fd`` have exited.

    The file describes the holder, as a JSON object.
    """

    def __init__(self, path: str):
        self.path = path
        self.fd = -1

    def take(self, holder: "dict[str, Any]") -> bool:
        """Try to take the lock, without waiting."""
        make_folder(os.path.dirname(self.path))
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(fd)
            if exc.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return False
        os.ftruncate(fd, os.pwrite(fd, json.dumps(holder).encode(), 0))
        self.fd = fd
        return True

    def holder(self) -> "dict[str, Any]":
        """The holder, {} if unknown."""
        try:
            return read_json(self.path) or {}
        except ValueError:
            return {}

    def release(self) -> None:
        if self.fd != -1:
            os.ftruncate(self.fd, 0)
            os.close(self.fd)
            self.fd = -1


@contextlib.contextmanager
def locked(path: str) -> "Iterator[None]":
    """Wait for a lock that is only ever held briefly."""
    make_folder(os.path.dirname(path))
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


class Ticket:
    """A place in a queue: a locked file, whose name contains the time and the run."""

    def __init__(self, folder: str, kind: str, run: str):
        self.folder = folder
        self.kind = kind
        self.run = run
        self.name = ""
        self.queue()

    def queue(self) -> None:
        """Take a place at the end of the queue."""
        while not self.draw():
            pass

    def draw(self) -> bool:
        """Create and lock the file; False if another process removed it in between, as that of a dead one."""
        # in order of arrival; the monotonic clock cannot be set, unlike CLOCK_REALTIME
        self.name = "%s,%020d,%d,%s" % (self.kind, int(time.monotonic() * 1e6), os.getpid(), self.run)
        self.lock = Lock(os.path.join(self.folder, self.name))
        if not self.lock.take({}):
            return False
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self.lock.path).st_ino == os.fstat(self.lock.fd).st_ino:
                return True
        self.lock.release()
        return False

    def first(self, of_run: bool) -> bool:
        """Whether no living process (of our run) has waited longer; removes the tickets of dead ones."""
        for name in sorted(os.listdir(self.folder)):
            if name == self.name:
                return True
            if name.count(",") < 3:  # not a ticket: NFS renames a removed file that is still open to .nfs…
                continue
            kind, _time, _pid, run = name.split(",", 3)
            if kind != self.kind or (of_run and run != self.run):
                continue
            other = Lock(os.path.join(self.folder, name))
            if not other.take({}):
                return False
            with contextlib.suppress(FileNotFoundError):
                os.unlink(other.path)
            other.release()
        return True

    def drop(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.lock.path)
        self.lock.release()
