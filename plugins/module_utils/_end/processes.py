# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes below an end: which are alive, which may still have a link open, and how to signal them.

wait(2) is authoritative: end and guard are subreapers, so without a child there is no descendant.  /proc only
identifies them.  It may hide processes (of other users, or with hidepid), and a fork can be faster than a reader of it.
"""

from .system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Collection, Iterable

    from .records import Process

RELAYS = ("socketpipe-seal", "socketpipe-open")  # names of processes that are forks of an end, to tell them from it
HAS, MAY = "has", "may"  # one of our sockets open; MAY: it cannot be examined
HIDDEN = ""  # the name of a process that cannot be read: one of another user
LOOKS = 50  # consecutive scans of changing processes, before the end tries again later


class Changed(Exception):
    """The processes changed during a scan, so its result is not valid."""


class Stat:
    """/proc/PID/stat (proc(5)), which every user may read unless hidepid is set."""

    __slots__ = ("group", "name", "parent", "session", "started", "state", "threads")

    def __init__(self, text: str):
        self.name = text[text.index("(") + 1 : text.rindex(")")]
        fields = text[text.rindex(")") + 2 :].split()
        self.state = fields[0]
        self.parent, self.group, self.session = (int(field) for field in fields[1:4])
        self.threads, self.started = int(fields[17]), int(fields[19])

    @property
    def dead(self) -> bool:
        """Whether it is a zombie without living threads, which could still write."""
        return self.state in "ZX" and self.threads <= 1


def proc_is_ours() -> bool:
    """Whether /proc shows our own PID namespace; in another one, the same pids belong to other processes."""
    try:
        own, seen = os.readlink("/proc/self"), stat(os.getpid())
    except OSError:
        return False
    # the own pid can be equal in both by chance, so group and session are compared as well, unless we lead them
    return own == str(os.getpid()) and seen is not None and (seen.group, seen.session) == (os.getpgrp(), os.getsid(0))


def stat(pid: int) -> "Stat | None":
    """The status of a process, None if it does not exist or is hidden."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return Stat(file.read().decode("utf-8", "replace"))
    except OSError:
        return None


def exists(pid: int) -> bool:
    """Whether this process exists, hidden or not; a zombie counts."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def has_children() -> bool:
    """Whether this process has a child, which no setting of /proc can hide."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children(pid: int) -> "list[int]":
    """The pids of the children of a process, including dead and hidden ones."""
    try:
        found = _listed_children(pid)
        while True:  # the kernel may skip one if another is reaped meanwhile; the next pass then shows it
            again = _listed_children(pid)
            if again == found:
                return found
            found = again
    except OSError:  # it is hidden or does not exist, or the kernel lacks these files (CONFIG_PROC_CHILDREN)
        every = ((entry, stat(entry)) for entry in pids())
        return [entry for entry, seen in every if seen and seen.parent == pid]


def _listed_children(pid: int) -> "list[int]":
    folder = "/proc/%d/task" % pid
    found: "list[str]" = []
    for thread in os.listdir(folder):
        with open("%s/%s/children" % (folder, thread)) as file:
            found += file.read().split()
    return sorted(int(child) for child in found)


def pids() -> "list[int]":
    """The pids of all visible processes."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def blind() -> bool:
    """Whether there may be hidden children that are not listed anywhere."""
    listed = os.path.exists("/proc/%d/task/%d/children" % (os.getpid(), os.getpid()))
    return not listed and stat(1) is None


def descendants(root: int) -> "dict[int, str]":
    """{pid: command name} of every living process below ``root``."""
    found: "dict[int, str]" = {}
    todo = [root]
    while todo:
        for pid in children(todo.pop()):
            seen = stat(pid)
            if not seen and exists(pid) or seen and not seen.dead:
                found[pid] = seen.name if seen else HIDDEN
                todo.append(pid)
    return found


def holders(inodes: "set[int]", others: "Collection[int]" = ()) -> "dict[int, tuple[str, str]]":
    """{pid: (command name, HAS or MAY)} of the descendants that have, or may have, one of these sockets open.

    ``others``: children that lead a session in which no process ever had them.  Raises Changed if the processes come
    and go too fast to be sure.
    """
    corpses: "set[tuple[int, int]]" = set()
    for _look in range(LOOKS):
        if not has_children():
            return {}
        found, changed = _look_at_all(inodes, others, corpses)
        if found or not changed:
            return found
    raise Changed


def _look_at_all(
    inodes: "set[int]", others: "Collection[int]", corpses: "set[tuple[int, int]]"
) -> "tuple[dict[int, tuple[str, str]], bool]":
    """One scan: (processes that have or may have one, whether some may have been missed).

    A process without one cannot pass one to later children, so its children are listed after it was checked.  A process
    that loses its parent meanwhile becomes our child (or that of another subreaper, if its parent died during the
    scan), and the scan is repeated.
    """
    first = children(os.getpid())
    found = {0: (HIDDEN, MAY)} if blind() else {}
    changed = False
    todo = [pid for pid in first if pid not in others]
    while todo:
        pid = todo.pop()
        seen = stat(pid)
        if seen is None:
            if exists(pid):
                found[pid] = (HIDDEN, MAY)
                todo += children(pid)
            else:
                changed = True
        elif seen.dead:
            # if it was dead in the previous scan, its orphans were our children by then
            changed = changed or (pid, seen.started) not in corpses
            corpses.add((pid, seen.started))
        elif seen.session not in others:
            try:
                how = has_open(pid, inodes)
            except Changed:
                how, changed = "", True
            if how:
                found[pid] = (seen.name, how)
            todo += children(pid)
    return found, changed or children(os.getpid()) != first


def has_open(pid: int, inodes: "set[int]") -> str:
    """HAS or MAY if a process has, or may have, one of these sockets open, otherwise ""; raises Changed."""
    wanted = {"socket:[%d]" % inode for inode in inodes}
    folder = "/proc/%d/task" % pid
    answer = ""
    try:
        threads = os.listdir(folder)
        for thread in threads:  # each one: a dead leader lists no descriptors, and threads need not share them
            how = _thread_has_open("%s/%s" % (folder, thread), wanted)
            if how == HAS:
                return HAS
            answer = answer or how
        if not answer and os.listdir(folder) != threads:
            raise Changed
    except PermissionError:
        return MAY
    except OSError:
        raise Changed
    return answer


def _thread_has_open(folder: str, wanted: "set[str]") -> str:
    names = _descriptors(folder)
    if names is None:
        return MAY
    closed = False
    for name in names:
        try:
            if os.readlink("%s/fd/%s" % (folder, name)) in wanted:
                return HAS
        except PermissionError:  # root without CAP_SYS_PTRACE may list descriptors of other users, but not read them
            if os.lstat("%s/fd/%s" % (folder, name)).st_mode & 0o600 == 0o600:
                return MAY  # otherwise it is open only for reading or only for writing, which no socket is
        except OSError:
            closed = True
    if closed or _descriptors(folder) != names:  # one may have been moved during the check (dup2(2))
        raise Changed
    return ""


def _descriptors(folder: str) -> "list[str] | None":
    """The names of the descriptors of a thread; None if we may not list them."""
    try:
        return os.listdir(folder + "/fd")
    except PermissionError:
        with open(folder + "/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] in b"ZX":
                return []  # a dead process has none, whoever owns its files
        return None


def listed(found: "dict[int, str]") -> "list[Process]":
    """Processes {pid: name} for a report."""
    return [{"pid": pid, "name": name} for pid, name in sorted(found.items())]


def kill(pids: "Iterable[int]", number: int) -> "list[int]":
    """Send a signal to each; returns the pids that we may not signal."""
    refused = []
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            refused.append(pid)
    return refused


def kill_with_groups(alive: "Iterable[int]", number: int) -> "list[int]":
    """The same for descendants and their process groups, because a fork cannot escape a signal to its group (fork(2)).

    Another session than ours was created by a descendant, so all its members are descendants.
    """
    own = os.getsid(0)
    seen = [stat(pid) for pid in alive]
    for group in {each.group for each in seen if each and each.session not in (0, own) and each.group > 1}:
        try:
            os.killpg(group, number)
        except OSError:
            pass
    return kill(alive, number)
