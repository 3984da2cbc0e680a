# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The look at both hosts, before anything moves: what is there, what would change, and why it cannot."""

import array
import fcntl
import grp
import os
import pwd
import stat

from .._tape.common.problem import NOT_FOUND, SETTINGS, Problem
from .files import (
    NO_ROOM,
    NOT_A_FILE,
    NOT_PERMITTED,
    READ_ONLY,
    check_regular,
    explained,
    facts,
    name_of_group,
    name_of_user,
    open_source,
    raw,
    sha256,
    shown,
    stat_of,
    text_of,
    user,
)
from .part import look as look_part
from .place import identity, without_links

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# FS_IOC_GETFLAGS of linux/fs.h is declared with a long, though the kernel writes an int
GET_FLAGS = 0x80086601 if array.array("l").itemsize == 8 else 0x80046601
FLAGS = {0x10: "immutable", 0x20: "append-only"}  # FS_IMMUTABLE_FL, FS_APPEND_FL
GRAINS = (100, 1000, 10**6, 10**7, 10**9, 2 * 10**9)  # nanoseconds: NTFS and CIFS, UDF, FUSE, exFAT, ext3, FAT
BACKUP_ADDS = len(".2026-11-26@02:00:10~")  # bytes
NO_ID = 2**32 - 1  # chown(2) leaves the owner or group alone


def look_source(asked: "dict[str, Any]") -> "dict[str, Any]":
    """The facts of a file that shall be sent; ``checksum``: with its SHA-256; raises Problem."""
    path = raw(asked["path"])
    fd = open_source(path)
    found = facts(os.fstat(fd))
    found["path"] = text_of(path)
    found["sha256"] = sha256(fd, path) if asked["checksum"] else None
    return found


def resolve(text: str, name: bytes) -> bytes:
    """The file that is replaced: within a directory one of the same name, and what a link points to; raises Problem."""
    path = raw(text)
    found = stat_of(path)  # refuses a loop
    if text.endswith("/") or found is not None and stat.S_ISDIR(found.st_mode):
        path = os.path.join(path, name)
        stat_of(path)
    return without_links(path)


def flags_of(path: bytes) -> str:
    """The attribute of chattr(1) that forbids to replace this, "" for none, or if that cannot be told."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        flags = array.array("i", [0, 0])
        fcntl.ioctl(fd, GET_FLAGS, flags)
    except OSError:
        return ""
    finally:
        os.close(fd)
    return next((name for flag, name in FLAGS.items() if flags[0] & flag), "")


def check_changeable(paths: "list[bytes]") -> None:
    """Whether they can be changed at all, by any user; all are on one file system; raises Problem."""
    try:
        read_only = os.statvfs(paths[0]).f_flag & os.ST_RDONLY
    except OSError as exc:
        raise explained(exc, paths[0], "examined") from None
    if read_only:
        raise Problem("the file system of %s is mounted read-only" % shown(paths[0]), kind=READ_ONLY)
    for each in paths:
        flag = flags_of(each)
        if flag:
            raise Problem("%s has the attribute %s" % (shown(each), flag), "see lsattr and chattr", READ_ONLY)


def check_settle(path: bytes, found: os.stat_result, attributes: "dict[str, Any]") -> None:
    """Whether the attributes of a file can be changed; raises Problem."""
    check_changeable([path])
    if os.geteuid() not in (0, found.st_uid):
        text = "%s belongs to %s, and only that user may change its attributes"
        raise Problem(text % (shown(path), name_of_user(found.st_uid)), "try become", NOT_PERMITTED)
    check_owner(attributes["uid"], attributes["gid"], found)


def check_place(path: bytes, current: "os.stat_result | None") -> None:
    """Whether a file here can be made or replaced; raises Problem."""
    folder = os.path.dirname(path)
    found = stat_of(folder)
    if found is None:
        raise Problem("there is no directory %s" % shown(folder), "create it first", NOT_FOUND)
    if not stat.S_ISDIR(found.st_mode):
        raise Problem("%s is not a directory" % shown(folder), kind=NOT_A_FILE)
    check_changeable([folder] + ([path] if current else []))
    if not os.access(folder, os.W_OK | os.X_OK):
        text = "user %s may not write in the directory %s" % (user(), shown(folder))
        raise Problem(text, "try become", NOT_PERMITTED)
    me = os.geteuid()
    if current and found.st_mode & stat.S_ISVTX and me not in (0, found.st_uid, current.st_uid):
        text = "%s belongs to %s, and only that user may replace it" % (shown(path), name_of_user(current.st_uid))
        raise Problem("%s (its directory is sticky)" % text, "try become", NOT_PERMITTED)


def check_backup(path: bytes, current: os.stat_result) -> None:
    """Whether the old file can get a second name; raises Problem."""
    most = os.pathconf(os.path.dirname(path), "PC_NAME_MAX")
    if len(os.path.basename(path)) + BACKUP_ADDS > most:
        text = "%s cannot be kept under a second name (backup), which would be longer than %d bytes"
        raise Problem(text % (shown(path), most))
    # what the kernel asks for with fs.protected_hardlinks (proc(5))
    if os.geteuid() not in (0, current.st_uid) and not os.access(path, os.R_OK | os.W_OK):
        text = "%s belongs to %s, and user %s may not keep it under a second name (backup)"
        raise Problem(text % (shown(path), name_of_user(current.st_uid), user()), "try become", NOT_PERMITTED)


def check_room(path: bytes, needed: int) -> None:
    """Raises Problem."""
    folder = os.path.dirname(path)
    place = os.statvfs(folder)
    free = (place.f_bfree if os.geteuid() == 0 else place.f_bavail) * place.f_frsize
    if place.f_blocks and needed > free:  # some file systems do not know
        text = "there is no room in %s: the file needs %d bytes, and %d are free" % (shown(folder), needed, free)
        raise Problem(text, kind=NO_ROOM)


def number_of(given: "str | None", database: str) -> "int | None":
    """The number of a user or group that a task names; raises Problem."""
    if given is None:
        return None
    try:
        return pwd.getpwnam(given).pw_uid if database == "user" else grp.getgrnam(given).gr_gid
    except (KeyError, ValueError):  # also letters that the locale or the database cannot have
        pass
    try:
        number = int(given.encode("ascii")) if given.isdigit() else NO_ID
    except ValueError:
        number = NO_ID
    if not 0 <= number < NO_ID:
        raise Problem("there is no %s %s" % (database, given), kind=SETTINGS)
    return number


def check_owner(uid: "int | None", gid: "int | None", of_file: "os.stat_result | None") -> None:
    """Whether a file may get this owner and group; ``of_file``: an existing file that gets it; raises Problem."""
    me = os.geteuid()
    if me == 0:
        return
    has = of_file.st_uid if of_file else me
    if uid is not None and uid != has:
        raise Problem("only root may give a file to user %s" % name_of_user(uid), "try become", NOT_PERMITTED)
    has = of_file.st_gid if of_file else os.getegid()
    if gid is not None and gid not in [has] + os.getgroups():
        text = "user %s is not in the group %s" % (user(), name_of_group(gid))
        raise Problem(text, "try become", NOT_PERMITTED)


def umask() -> int:
    old = os.umask(0o077)
    os.umask(old)
    return old


def owners(uid: "int | None", gid: "int | None", current: "os.stat_result | None", folder: bytes) -> "tuple[int, int]":
    """Owner and group that a new file will have; ``current``: the old file, whose owner and group stay if possible."""
    me, place = os.geteuid(), os.stat(folder)
    if uid is None:
        uid = current.st_uid if current and me == 0 else me
    if gid is None:
        gid = place.st_gid if place.st_mode & stat.S_ISGID else os.getegid()
        if current and (me == 0 or current.st_gid in [os.getegid()] + os.getgroups()):
            gid = current.st_gid
    return uid, gid


def kept_mode(current: os.stat_result, uid: int, gid: int, group: bool) -> int:
    """The mode of an old file for a new one, without permissions that would now be those of others.

    As chown(2) does it, what ran as the old owner does not run as another one.  ``group``: the task sets the group.
    """
    mode = stat.S_IMODE(current.st_mode)
    if (uid, gid) != (current.st_uid, current.st_gid):
        mode &= ~(stat.S_ISUID | stat.S_ISGID)
    if gid != current.st_gid and not group:  # the old one cannot be kept
        mode &= ~stat.S_IRWXG | (mode & stat.S_IRWXO) << 3
    return mode


def wanted(
    asked: "dict[str, Any]",
    uid: "int | None",
    gid: "int | None",
    current: "os.stat_result | None",
    has: "tuple[int, int]",
) -> "dict[str, Any]":
    """Owner, group and mode of the file; None for an owner or group that the task does not set.

    ``has``: owner and group that it will have.
    """
    mode = asked["mode"]
    if mode == "preserve":
        mode = asked["source"]["mode"]
    elif mode is None and current:
        mode = kept_mode(current, has[0], has[1], gid is not None)
    elif mode is None:
        mode = asked["source"]["mode"] & 0o777 & ~umask()
    return {"uid": uid, "gid": gid, "mode": mode}


def same_time(one: int, other: int) -> bool:
    """Whether two times of change are the same, or one is the other as a file system with a coarser clock stores it."""
    earlier, later = sorted((one, other))
    return earlier == later or any(earlier == later - later % grain for grain in GRAINS)


def same_content(path: bytes, current: "dict[str, Any]", source: "dict[str, Any]") -> bool:
    """By size and time or, if the source has a checksum, by that; raises Problem."""
    if current["size"] != source["size"]:
        return False
    if source["sha256"] is None:
        return same_time(current["mtime"], source["mtime"])
    fd = open_source(path)
    try:
        current["sha256"] = sha256(fd, path)
    finally:
        os.close(fd)
    return bool(current["sha256"] == source["sha256"])


def same_file(
    path: bytes, found: os.stat_result, current: "dict[str, Any]", asked: "dict[str, Any]", uid: "int | None"
) -> bool:
    """Whether the file can stay where it is; raises Problem.

    The content of another user's file is not handed to the new owner: it was compared in a hurry, or is still being
    written.
    """
    if not same_content(path, current, asked["source"]):
        return False
    return uid in (None, found.st_uid) or found.st_uid == os.geteuid()


def look_destination(asked: "dict[str, Any]") -> "dict[str, Any]":
    """What is at the destination, and what to do: "nothing", "settle" (its attributes) or "move"; raises Problem."""
    source = asked["source"]
    path = resolve(asked["path"], asked["name"].encode("utf-8", "surrogateescape"))
    found = stat_of(path, follow=False)
    current = None
    if found:
        check_regular(path, found)
        current = facts(found)
    uid, gid = number_of(asked["owner"], "user"), number_of(asked["group"], "group")
    folder, part, refused = os.path.dirname(path), None, ""
    if found is None or current is None or not (same_file(path, found, current, asked, uid) or not asked["force"]):
        do = "move"
        check_place(path, found)
        check_owner(uid, gid, None)
        if asked.get("resume"):
            part, refused = look_part(path, source)
        check_room(path, source["allocated"] - (part["allocated"] if part else 0))
        if found and asked["backup"]:
            check_backup(path, found)
        has = owners(uid, gid, found, folder)
        attributes = wanted(asked, uid, gid, found, has)
    else:
        has = found.st_uid if uid is None else uid, found.st_gid if gid is None else gid
        attributes = wanted(asked, uid, gid, found, has)
        differs = [each for each in ("uid", "gid", "mode") if attributes[each] not in (None, current[each])]
        do = "settle" if differs and asked["force"] else "nothing"
        if do == "settle":
            check_settle(path, found, attributes)
    content = source if do == "move" or current is None else current
    after = dict(attributes, size=content["size"], mtime=content["mtime"])
    after.update(owner=name_of_user(has[0]), group=name_of_group(has[1]))
    told = {"path": text_of(path), "folder": identity(folder), "part": part, "refused": refused}
    return dict(told, do=do, current=current, wanted=attributes, after=after)
