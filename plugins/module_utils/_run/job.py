# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file of a job that outlives its controller, as ansible.builtin.async_status reads it.

It is in the directory for jobs (async_dir of Ansible's shell plugins) of the user of the task, named after the run.
"""

import json
import os
import pwd
import re
import sys

from .._end.wire import MARK, to_json
from .labels import end_all, labelled, outermost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping

    from .records import JobAnswer, JobTask

NAME = re.compile(r"[0-9a-f]{32}(\.new)?")
ROOM = 4096  # bytes that the file takes from the start, so that a short result fits even if the disk is full
KEPT = 7 * 24 * 3600  # seconds for which a result is kept


def expanded(path: str) -> str:
    """A path with ~ and ~USER replaced; by the database of users, because HOME may be that of another one."""
    user, slash, rest = path[1:].partition("/")
    if not path.startswith("~"):
        return path
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.geteuid())
    except KeyError:
        return os.path.expanduser(path)
    return entry.pw_dir + slash + rest


class JobFile:
    """The file of one job; ``mark``: of the one run that makes it, as a later one may have the same name."""

    def __init__(self, directory: str, run: str, mark: str = ""):
        self.unfinished = {"finished": False, "mark": mark} if mark else {"finished": False}
        self.directory = expanded(directory)
        self.run = run
        self.path = os.path.join(self.directory, run)

    def text(self, state: "Mapping[str, object]") -> bytes:
        found = json.dumps({"started": True, "ansible_job_id": self.run, **state}).encode("ascii")
        return found.ljust(ROOM) + b"\n"

    def create(self) -> None:
        """Make it, for a job that runs; raises OSError, also if it exists."""
        os.makedirs(self.directory, 0o700, exist_ok=True)
        self.write(self.path, self.unfinished)

    def write(self, path: str, state: "Mapping[str, object]") -> None:
        """Write a new file; raises OSError, and leaves nothing then."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb", 0) as new:
                put(new.fileno(), self.text(state))
        except OSError:
            remove(path)
            raise

    def replace(self, state: "Mapping[str, object]") -> None:
        """Replace the content at once; raises OSError.  A reader sees the old or the new one."""
        new = self.path + ".new"
        remove(new)
        self.write(new, state)
        os.rename(new, self.path)

    def running(self, progress: "Mapping[str, object]") -> None:
        """Show how far the job is, unless somebody has removed the file."""
        if os.path.exists(self.path):
            try:
                self.replace({**self.unfinished, "progress": progress})
            except OSError:
                pass  # the disk is full, for example; the job goes on

    def finish(self, result: "Mapping[str, object]", brief: "Mapping[str, object]") -> None:
        """Write the result; ``brief``, which needs no room on the disk, if it does not fit there.  Raises OSError."""
        try:
            self.replace({**result, "finished": True})
        except OSError:
            fd = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                put(fd, self.text({**brief, "finished": True})[:ROOM])
            finally:
                os.close(fd)

    def finished(self) -> bool:
        """Whether it has a result, or is gone, or is that of a later run."""
        try:
            with open(self.path, encoding="utf-8") as file:
                state = json.load(file)
                return bool(state["finished"]) or "mark" in self.unfinished and state["mark"] != self.unfinished["mark"]
        except FileNotFoundError:
            return True
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def sweep(self, now: float) -> None:
        """Remove old files: results, and those of runs that nothing continues, as after a power cut."""
        for name in os.listdir(self.directory):
            old = JobFile(self.directory, name)
            try:
                aged = NAME.fullmatch(name) and os.lstat(old.path).st_mtime < now - KEPT
                if aged and (old.finished() or not labelled(["socketpipe:%s" % name[:32]])):
                    os.unlink(old.path)
            except OSError:
                pass


def put(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def is_name(text: str) -> bool:
    """Whether this may be the identifier of a job."""
    return bool(NAME.fullmatch(text)) and len(text) == 32


# -- a program of its own, for what a task does with a job


def leave(told: "JobTask") -> "JobAnswer":
    """Make the file of a job that is finished already, as in check mode."""
    file = JobFile(told["directory"], told["run"])
    try:
        file.create()
        file.finish(told["result"], told["result"])
    except OSError as exc:
        return {"error": exc.strerror or str(exc), "path": file.path}
    return {"path": file.path}


def look(told: "JobTask") -> "JobAnswer":
    """Say how far a job is."""
    file = JobFile(told["directory"], told["run"])
    try:
        with open(file.path, encoding="utf-8") as state:
            progress = json.load(state).get("progress")
    except (OSError, ValueError):
        progress = None
    return {"path": file.path, "finished": file.finished(), "progress": progress}


def take(told: "JobTask") -> "JobAnswer":
    """Say what is in the file of a job, if there is one, and whether anything still works on it."""
    file = JobFile(told["directory"], told["run"])
    found = len(labelled(["socketpipe:%s" % told["run"]]))  # before the file is read: the last one writes the result
    try:
        with open(file.path, encoding="utf-8") as text:
            state = json.load(text)
    except FileNotFoundError:
        return {"path": file.path, "exists": False, "found": found}
    except (OSError, ValueError) as exc:
        return {"path": file.path, "exists": True, "found": found, "error": str(exc)}
    return {"path": file.path, "exists": True, "found": found, "state": state}


def forget(told: "JobTask") -> "JobAnswer":
    """Remove the file of a job."""
    file = JobFile(told["directory"], told["run"])
    remove(file.path)
    return {"path": file.path, "exists": os.path.exists(file.path)}


def cancel(told: "JobTask") -> "JobAnswer":
    """Stop a job, and wait until its result is there."""
    file = JobFile(told["directory"], told["run"])
    label = "socketpipe:%s" % told["run"]
    found = len(labelled([label]))
    end_all([label], outermost)  # the process that keeps the job: if only an end is stopped, its host is blamed
    left = len(labelled([label]))
    return {"path": file.path, "exists": os.path.exists(file.path), "found": found, "left": left}


def main(told: "JobTask") -> int:
    does = {"result": leave, "look": look, "take": take, "forget": forget}
    answer = next((does[name] for name in does if name in told), cancel)(told)
    sys.stdout.write("\n%s%s\n" % (MARK, to_json(answer)))
    return 0
