# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that receives a file: it writes beside the destination, and replaces it at a clean end of the stream."""

import contextlib
import errno
import fcntl
import os
import signal
import time

from .._tape.common.files import sync_folder
from .._tape.common.problem import Problem
from .._tape.common.process import ENDING, Ended, signals_held
from . import selinux
from .files import CHANGED, INCOMPLETE, REPLACED, explained, facts, raw, shown, text_of
from .frames import Reader
from .part import reopen
from .place import folder_locked, open_folder, remove_others, temporary
from .validation import validate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SYNCED = 64 * 1024 * 1024  # bytes after which they are written to the disk, so that the end does not take long
IDENTITY = ("device", "inode", "size", "mtime", "uid")
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # some file systems


@contextlib.contextmanager
def opened(
    path: bytes,
    source: "dict[str, Any]",
    folder: "dict[str, int]",
    resume: bool = False,
    part: "dict[str, Any] | None" = None,
) -> "Iterator[Sink]":
    """A new file beside its destination, removed at the end of the block unless it took its place.

    ``folder``: the identity of its directory at the look; ``resume``: keep it if the stream breaks off; ``part``: that
    of an earlier stream.
    """
    sink = Sink(path, source, resume)
    try:
        sink.open(folder, part)
        yield sink
    finally:
        try:
            sink.close()
        except Ended:  # it comes once, perhaps before anything was removed
            sink.close()
            raise


class Sink:
    """One new file beside its destination."""

    def __init__(self, path: bytes, source: "dict[str, Any]", keeps: bool = False) -> None:
        """``keeps``: as long as it is not complete, it stays for another attempt."""
        self.path, self.source, self.keeps = path, source, keeps
        self.start = 0  # what an earlier stream has written
        self.name = os.path.basename(path)
        self.part = b""  # while it exists
        self.fd = self.folder = -1
        self.backup = b""

    def open(self, folder: "dict[str, int]", told: "dict[str, Any] | None") -> None:
        """Create it, or open the part of an earlier stream, if nobody else writes this destination; raises Problem."""
        part = temporary(self.path, self.source)
        name = os.path.basename(part)
        try:
            self.folder = open_folder(self.path, folder)
            with folder_locked(self.folder, self.path), signals_held():
                remove_others(self.folder, self.path, name if told else b"")
                if told:
                    self.fd, self.start = reopen(self.folder, self.path, name, told), told["size"]
                    self.part = part
                else:
                    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                    self.fd = os.open(name, flags, 0o600, dir_fd=self.folder)
                    self.part = part
                    fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise explained(exc, part, "created") from None

    def close(self) -> None:
        """Remove it unless it took its place or is kept; may be called again."""
        if self.keeps and self.fd != -1 and os.fstat(self.fd).st_size:
            self.part = b""
        self.close_part()
        for fd in (self.fd, self.folder):
            if fd != -1:
                os.close(fd)
        self.fd = self.folder = -1

    def close_part(self) -> None:
        if self.part:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.basename(self.part), dir_fd=self.folder)
            self.part = b""

    # -- the data

    def receive(self, reader: Reader) -> None:
        """Write all data of the stream; raises Problem unless it is complete, and OSError if it was broken."""
        size, at = self.source["size"], self.start
        received = synced = 0
        while True:
            place, length = reader.head()
            if not length:
                break
            if place < at or place + length > size:
                raise Problem("the stream is not that of this file", kind=INCOMPLETE)
            at = place + length
            while length:
                data = reader.some(length)
                if not data:
                    raise Problem("the stream ended before the end of the file", kind=INCOMPLETE)
                self.write(data, place)
                place, length = place + len(data), length - len(data)
                received += len(data)
                if received - synced >= SYNCED:
                    self.sync()
                    synced = received
        if place != size:
            raise Problem("the stream has %d bytes of the file, not %d" % (place, size), kind=INCOMPLETE)
        try:
            os.ftruncate(self.fd, size)  # a hole at the end
            self.keeps = False  # from now on others may get hold of it
        except OSError as exc:
            raise explained(exc, self.path, "written") from None

    def write(self, data: memoryview, place: int) -> None:
        while data:
            try:
                count = os.pwrite(self.fd, data, place)
            except OSError as exc:
                raise explained(exc, self.path, "written") from None
            data, place = data[count:], place + count

    def sync(self) -> None:
        try:
            os.fdatasync(self.fd)
        except OSError as exc:
            raise explained(exc, self.path, "written") from None

    # -- its attributes

    def settle(self, wanted: "dict[str, Any]", replaced: "dict[str, Any] | None") -> None:
        """Owner, group, mode, SELinux context and time; raises Problem.

        ``replaced``: the old file at the look; another one, set since, must not get hold of the new file by its owner.
        """
        asked = wanted["uid"], wanted["gid"]
        uid, gid = (-1 if number is None else number for number in asked)
        if replaced:  # it keeps what the task does not set, if this user may do that
            kept = replaced["uid"] if uid == -1 else -1, replaced["gid"] if gid == -1 else -1
            for owner, group in ((kept[0], -1), (-1, kept[1])):
                with contextlib.suppress(OSError):
                    os.chown(self.fd, owner, group)
        try:
            os.chown(self.fd, uid, gid)
            os.chmod(self.fd, wanted["mode"])
            selinux.label(self.fd, self.path, wanted["mode"], replaced is not None)
            os.utime(self.fd, ns=(int(time.time() * 1e9), self.source["mtime"]))
        except OSError as exc:
            raise explained(exc, self.path, "given its owner, group, mode and time") from None

    # -- taking its place

    def flush(self) -> None:
        """Raises Problem."""
        try:
            os.fsync(self.fd)
        except OSError as exc:
            raise explained(exc, self.path, "written") from None

    def commit(self, backup: bool, force: bool) -> None:
        """Replace the destination, and make that last; raises Problem, of the kind REPLACED if that is done."""
        if not self.is_ours(os.path.basename(self.part)):
            raise Problem("another file has taken the place of %s" % shown(self.part), kind=CHANGED)
        if backup:
            self.keep_old()
        try:
            if not force:
                self.take_free_name()
            else:
                os.rename(os.path.basename(self.part), self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)
                self.part = b""
        except OSError as exc:
            if self.backup:
                os.unlink(os.path.basename(self.backup), dir_fd=self.folder)
            raise explained(exc, self.path, "replaced") from None
        try:
            sync_folder(b"/proc/self/fd/%d" % self.folder)
        except OSError as exc:
            text = "%s is complete, but a power failure may undo it: its directory cannot be synced: %s"
            raise Problem(text % (shown(self.path), exc.strerror), kind=REPLACED) from None

    def is_ours(self, name: bytes) -> bool:
        """Whether this name is the open file's; who owns the directory can rename what is in it."""
        try:
            return os.path.samestat(os.stat(name, dir_fd=self.folder, follow_symlinks=False), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def take_free_name(self) -> None:
        """With ``force: false``: unlike rename(2), link(2) replaces nothing; raises Problem and OSError."""
        part, to = os.path.basename(self.part), {"src_dir_fd": self.folder, "dst_dir_fd": self.folder}
        try:
            os.link(part, self.name, follow_symlinks=False, **to)
        except FileExistsError:
            raise Problem("%s was created by another program after the look" % shown(self.path), kind=CHANGED) from None
        except OSError as exc:
            if exc.errno not in NO_LINKS:
                raise
            os.rename(part, self.name, **to)
        self.close_part()

    def keep_old(self) -> None:
        """The old file under a second name; it stays in place meanwhile."""
        name = b"%s.%s~" % (self.name, time.strftime("%Y-%m-%d@%H:%M:%S").encode())
        for number in range(100):
            target = name if not number else b"%s.%d~" % (name[:-1], number)
            try:
                os.link(self.name, target, src_dir_fd=self.folder, dst_dir_fd=self.folder, follow_symlinks=False)
            except FileNotFoundError:
                return  # there is no old file
            except OSError as exc:
                if exc.errno == errno.EEXIST:
                    continue
                raise explained(exc, self.path, "kept under a second name (backup)") from None
            self.backup = os.path.join(os.path.dirname(self.path), target)
            return


def receive(asked: "dict[str, Any]", stream: int = 0) -> "dict[str, Any]":
    """The subcommand ``receive``; the input comes on standard input."""
    return received(asked, Reader(stream))


def received(asked: "dict[str, Any]", reader: Reader) -> "dict[str, Any]":
    """Replace the destination by the file that this reads; returns its facts."""
    place = raw(asked["path"]), asked["source"], asked["folder"]
    with opened(*place, resume=asked.get("resume", False), part=asked.get("part")) as sink:
        sink.receive(reader)
        sink.settle(asked["wanted"], asked["current"])
        if asked["validate"]:
            validate(asked["validate"], sink.part)
        sink.flush()
        if reader.some(1):  # the end of file: whoever sent this was successful
            raise Problem("the stream goes on after its end", kind=INCOMPLETE)
        # until the exit: a signal to stop comes before it is replaced, or too late, and never hides that
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        sink.commit(asked["backup"], asked["force"])
        return dict(facts(os.fstat(sink.fd)), backup=text_of(sink.backup))


def settle(asked: "dict[str, Any]") -> "dict[str, Any]":
    """The subcommand ``settle``: owner, group and mode of a file whose content stays."""
    path, wanted = raw(asked["path"]), asked["wanted"]
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = facts(os.fstat(fd))
        # another user may have set a link (link(2)) to a file of his choice instead
        if any(found[each] != asked["current"][each] for each in IDENTITY):
            raise Problem("%s was changed after the look" % shown(path), kind=CHANGED)
        os.chmod(fd, found["mode"] & wanted["mode"] & 0o777)  # at no moment more for the new owner than it shall have
        try:
            os.chown(fd, *(-1 if wanted[each] is None else wanted[each] for each in ("uid", "gid")))
        except OSError:
            os.chmod(fd, found["mode"])
            raise
        os.chmod(fd, wanted["mode"])
    except OSError as exc:
        raise explained(exc, path, "given its owner, group and mode") from None
    return dict(facts(os.fstat(fd)), backup="")
