# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands before and after the archive of a source, such as those that make and remove a snapshot."""

import contextlib
import json
import os
import sys

from ..common import tools
from ..common.files import sync_folder
from ..common.names import shown
from ..common.problem import Problem
from ..common.process import Missing
from .state import States, private

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any, Iterator

    from .settings import Settings

PENDING = b"after"  # in the folder of the states: the command that must still run
OTHERS = 0o022  # write permission of group and others


class Hooks:
    """The hooks of one archive.  ``after`` runs whatever happens, and once.

    After a good archive, this process runs it, because its status decides.  After anything else, undo() does, when
    nothing of the backup runs any more; without it (a person has started this program), this process does.  If there
    was no time for that, after a power failure, for example, the next backup runs it first.
    """

    def __init__(self, states: "States", settings: "Settings"):
        self.folder = states.folder
        self.path = os.path.join(states.folder, PENDING)
        self.before, self.after, self.limit = settings.before, settings.after, settings.hook_timeout
        self.undone = settings.undone

    @contextlib.contextmanager
    def around(self) -> "Iterator[None]":
        """Run them around the block, with the states locked; raises Problem if one fails."""
        self.overdue()
        if self.after:
            self.remember(self.after, self.limit)
        try:
            if self.before:
                run("before", self.before, self.limit)
            yield
        except BaseException as exc:
            if self.undone:
                raise
            try:
                self.finish()
            except Problem as other:
                if isinstance(exc, Problem):
                    raise Problem("%s; and then: %s" % (exc, other), kind=exc.kind, output=exc.output) from None
                sys.stderr.write("%s\n" % other)
            raise
        self.finish()

    def remember(self, after: "list[str]", limit: float, tried: bool = False) -> None:
        """Save what must still run; ``tried``: only the next backup tries it again."""
        with open(self.path + b".tmp", "w", encoding="ascii", opener=private) as text:
            json.dump({"after": after, "limit": limit, "tried": tried}, text)
            text.flush()
            os.fsync(text.fileno())
        os.rename(self.path + b".tmp", self.path)
        sync_folder(self.folder)

    def tried(self, after: "list[str]", limit: float) -> None:
        """Leave it to the next backup, unless the disk is full: the command itself may make room."""
        with contextlib.suppress(OSError):
            self.remember(after, limit, tried=True)

    def finish(self) -> None:
        if self.after:
            try:
                run("after", self.after, self.limit)
            except Problem:
                self.tried(self.after, self.limit)
                raise
            os.unlink(self.path)

    def overdue(self) -> None:
        """Run the command that a killed process, or one before a power failure, left undone."""
        found = self.pending()
        if found:
            sys.stderr.write("the backup before was killed: its command after the archive runs now\n")
            self.tried(found["after"], found["limit"])
            run("after, left from a killed backup,", found["after"], found["limit"])
            os.unlink(self.path)

    def pending(self) -> "dict[str, Any] | None":
        """The command that must still run; raises Problem if another user could have written it."""
        try:
            with open(self.path, encoding="ascii", opener=no_link) as text:
                facts = os.fstat(text.fileno())
                found = json.load(text)
        except FileNotFoundError:
            return None
        if facts.st_uid != os.geteuid() or facts.st_mode & OTHERS:
            raise Problem("another user could have written the command in %s" % shown(self.path), "check and remove it")
        return dict(found)


def undo(settings: "Settings", _words: "argparse.Namespace") -> None:
    """After a failed backup whose processes are gone: run the command after the archive, unless that has been tried."""
    states = States(settings.state_dir)
    hooks = Hooks(states, settings)
    if not states.free():  # another backup has begun, and runs it first
        return
    found = hooks.pending()
    if found and not found.get("tried"):
        hooks.tried(found["after"], found["limit"])  # so that nobody does it again if this is killed
        run("after", found["after"], found["limit"])
        os.unlink(hooks.path)


def no_link(path: "Any", flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def run(which: str, argv: "list[str]", limit: float) -> None:
    """Raises Problem unless it exits with status 0 in time."""
    what = "the command %s (%s)" % (which, argv[0])
    try:
        status, out, err = tools.run(argv, limit, dict(os.environ))
    except Missing as exc:
        raise Problem("%s: %s" % (what, exc.what), exc.hint, kind=exc.kind) from None
    except tools.TooLong as exc:
        said = ": %s" % exc if str(exc) else ""
        raise Problem("%s was killed after %g seconds, its timeout%s" % (what, limit, said)) from None
    if status:
        how = "was killed by signal %d" % -status if status < 0 else "failed with status %d" % status
        raise Problem("%s %s: %s" % (what, how, tools.last_lines(err) or tools.last_lines(out) or "it gave no reason"))
