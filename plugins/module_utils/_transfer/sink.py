# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stage that receives a file: it writes beside the destination, and replaces it at a clean end of the stream."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shlex
import signal
import stat
import subprocess
import time

from .._tape.common.files import sync_folder
from .._tape.common.problem import BUSY, SETTINGS, Problem
from .._tape.common.process import Children, Ended, signals_held
from . import selinux
from .files import INCOMPLETE, VALIDATION, explained, facts, raw, shown, stat_of, text_of
from .frames import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

NAME_MOST = 255  # bytes of a name (NAME_MAX)
SYNCED = 64 * 1024 * 1024  # bytes after which they are written to the disk, so that the end does not take long
SUFFIX = b".socketpipe"
SAID_MOST = 500  # characters of a validation's output in a message


def stem(path: bytes) -> bytes:
    """The beginning of the name of each temporary file for this destination."""
    name = os.path.basename(path)
    if len(name) > 128:  # the name shall have room for the rest
        name = name[:100] + b"~" + hashlib.sha256(name).hexdigest()[:16].encode()
    return b"." + name + b"."


def temporary(path: bytes, source: "dict[str, Any]") -> bytes:
    """The temporary file of this source for this destination."""
    told = "%d-%d-%d" % (source["size"], source["mtime"], source["inode"])
    return os.path.join(os.path.dirname(path), stem(path) + told.encode() + SUFFIX)


@contextlib.contextmanager
def folder_locked(folder: bytes) -> "Iterator[None]":
    """One at a time makes its temporary file; the file systems that cannot lock a directory do without."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def remove_others(path: bytes) -> None:
    """Remove what killed transfers to this destination have left; raises Problem if one is running."""
    folder, beginning = os.path.dirname(path), stem(path)
    for name in os.listdir(folder):
        middle = name[len(beginning) : -len(SUFFIX)]
        if not (name.startswith(beginning) and name.endswith(SUFFIX) and middle.replace(b"-", b"").isdigit()):
            continue
        other = os.path.join(folder, name)
        try:
            fd = os.open(other, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise explained(exc, other, "examined") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(other)
        except BlockingIOError:
            text = "another transfer is writing %s (its file is %s)" % (shown(path), shown(other))
            raise Problem(text, "wait for it", BUSY) from None
        finally:
            os.close(fd)


@contextlib.contextmanager
def opened(path: bytes, source: "dict[str, Any]") -> "Iterator[Sink]":
    """A new file beside its destination, removed at the end of the block unless it took its place."""
    sink = Sink(path, source)
    try:
        sink.open()
        yield sink
    finally:
        try:
            sink.close()
        except Ended:  # it comes once, perhaps before anything was removed
            sink.close()
            raise


class Sink:
    """One new file beside its destination."""

    def __init__(self, path: bytes, source: "dict[str, Any]") -> None:
        self.path, self.source = path, source
        self.part = b""  # while it exists
        self.fd = -1
        self.backup = b""

    def open(self) -> None:
        """Create it, if nobody else writes this destination; raises Problem."""
        part = temporary(self.path, self.source)
        try:
            with signals_held(), folder_locked(os.path.dirname(self.path)):
                remove_others(self.path)
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self.fd = os.open(part, flags, 0o600)
                self.part = part
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise explained(exc, part, "created") from None

    def close(self) -> None:
        """Remove it unless it took its place; may be called again."""
        if self.part:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.part)
            self.part = b""
        if self.fd != -1:
            fd, self.fd = self.fd, -1
            os.close(fd)

    # -- the data

    def receive(self, stream: int) -> None:
        """Write all of the stream; raises Problem unless it is complete, and OSError if it was broken."""
        reader, size, received = Reader(stream), self.source["size"], 0
        at = synced = 0
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
        if place != size or reader.some(1):
            text = "the stream has %d bytes of the file, not %d" % (place, size)
            raise Problem(text if place != size else "the stream goes on after its end", kind=INCOMPLETE)
        try:
            os.ftruncate(self.fd, size)  # a hole at the end
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

    def settle(self, wanted: "dict[str, Any]", replaced: "os.stat_result | None") -> None:
        """Owner, group, mode, SELinux context and time; raises Problem."""
        asked = wanted["uid"], wanted["gid"]
        uid, gid = (-1 if number is None else number for number in asked)
        if replaced:  # it keeps what the task does not set, if this user may do that
            kept = replaced.st_uid if uid == -1 else -1, replaced.st_gid if gid == -1 else -1
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

    def validate(self, command: str) -> None:
        """Raises Problem if the command does not accept the new file."""
        words = [word.replace("%s", text_of(self.part)).encode("utf-8", "surrogateescape") for word in split(command)]
        with Children() as children:
            child = children.start(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said = (child.stdout.read() if child.stdout else b"").decode("utf-8", "replace").strip()
            status = child.wait()
        if status:
            how = "failed with exit status %d" % status
            if status < 0:
                how = "was killed by %s" % signal.Signals(-status).name
            text = "validate: %s %s" % (command, how)
            raise Problem(text, said[-SAID_MOST:].replace("\n", "; ") or "with no output", VALIDATION)

    # -- taking its place

    def commit(self, backup: bool) -> None:
        """Replace the destination, and make that last; raises Problem."""
        try:
            os.fsync(self.fd)
        except OSError as exc:
            raise explained(exc, self.path, "written") from None
        with signals_held():
            if backup:
                self.keep_old()
            try:
                os.rename(self.part, self.path)
            except OSError as exc:
                if self.backup:
                    os.unlink(self.backup)
                raise explained(exc, self.path, "replaced") from None
            self.part = b""
            try:
                sync_folder(os.path.dirname(self.path))
            except OSError as exc:
                text = "%s is complete, but a power failure may undo it: its directory cannot be synced: %s"
                raise Problem(text % (shown(self.path), exc.strerror)) from None

    def keep_old(self) -> None:
        """The old file under a second name; it stays in place meanwhile."""
        name = "%s.%s~" % (text_of(self.path), time.strftime("%Y-%m-%d@%H:%M:%S"))
        for number in range(100):
            target = raw(name if not number else "%s.%d~" % (name[:-1], number))
            try:
                os.link(self.path, target)
            except FileNotFoundError:
                return  # there is no old file
            except OSError as exc:
                if exc.errno == errno.EEXIST:
                    continue
                raise explained(exc, self.path, "kept under a second name (backup)") from None
            self.backup = target
            return


def split(command: str) -> "list[str]":
    try:
        return shlex.split(command)
    except ValueError as exc:
        raise Problem("validate: unbalanced quotes in %r (%s)" % (command, exc), kind=SETTINGS) from None


def receive(asked: "dict[str, Any]") -> "dict[str, Any]":
    """The subcommand ``receive``; the input comes on standard input."""
    path = raw(asked["path"])
    with opened(path, asked["source"]) as sink:
        sink.receive(0)
        sink.settle(asked["wanted"], stat_of(path))
        if asked["validate"]:
            sink.validate(asked["validate"])
        sink.commit(asked["backup"])
        return dict(facts(os.fstat(sink.fd)), backup=text_of(sink.backup))


def settle(asked: "dict[str, Any]") -> "dict[str, Any]":
    """The subcommand ``settle``: owner, group and mode of a file whose content stays."""
    path, wanted = raw(asked["path"]), asked["wanted"]
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file any more")
        os.chown(fd, *(-1 if wanted[each] is None else wanted[each] for each in ("uid", "gid")))
        os.chmod(fd, wanted["mode"])
    except OSError as exc:
        raise explained(exc, path, "given its owner, group and mode") from None
    return dict(facts(os.fstat(fd)), backup="")
