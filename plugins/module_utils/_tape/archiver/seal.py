# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""seal: the last stage on a host whose archive passes through filters, which change its length and checksum."""

import json
import os
import sys
from subprocess import DEVNULL

from ..common import names
from ..common.names import encode
from ..common.problem import Problem
from .crew import Child, Crew, pipe  # pylint: disable=unused-import  # Child is a type
from .gnutar import checksum_argv
from .state import SEAL, States, private

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from .settings import Settings

GONE = "the reader of the archive has gone, so the archive is incomplete: the reason is on the other host"


def seal(settings: "Settings", words: "argparse.Namespace") -> None:
    """Pass standard input on, and save its length and checksum in the state of the run; raises Problem."""
    run = names.checked("run", words.run)
    states = States(settings.state_dir)
    facts = Passage().run()
    # the program before has exited well by now, so the state of this run exists
    with open(states.unfinished(run, SEAL), "w", encoding="ascii", opener=private) as text:
        json.dump(facts, text)
    states.finish(run, SEAL)
    sys.stderr.write("%d bytes after all filters\n" % facts["bytes"])


class Passage:
    """standard input | tee >(checksum) >(wc) | standard output, once; or a command in place of standard input."""

    def __init__(self, command: "list[str] | None" = None) -> None:
        self.command = command
        self.digest, self.length = bytearray(), bytearray()

    def run(self) -> "dict[str, Any]":
        """The length and checksum of the data; raises Problem unless all of it was passed on."""
        checksum = checksum_argv()
        with Crew() as crew:
            summed, summed_in = pipe()
            counted, counted_in = pipe()
            sum_out, count_out = crew.listen(self.digest.extend), crew.listen(self.length.extend)
            programs = [crew.start("the checksum program", checksum, stdin=summed, stdout=sum_out)]
            programs.append(crew.start("wc", [b"wc", b"-c"], stdin=counted, stdout=count_out))
            branches = (summed_in, counted_in)
            argv = [b"tee"] + [b"/proc/self/fd/%d" % fd for fd in branches]
            source, ends = self.start(crew)
            tee = crew.start("tee", argv, ends[0] if ends else 0, 1, fds=branches)
            for fd in ends:
                os.close(fd)
            for fd in (summed, summed_in, counted, counted_in, sum_out, count_out):
                os.close(fd)
            crew.wait(out=1)
        self.judge(source, tee, programs, crew.reader_gone)
        return {"bytes": int(self.length), "sha256": self.digest[:64].decode("ascii")}

    def start(self, crew: Crew) -> "tuple[Child | None, tuple[int, ...]]":
        """The command, if there is one, and the pipe that it writes to."""
        if not self.command:
            return None, ()
        ends = pipe()
        argv = [encode(word) for word in self.command]
        return crew.start(self.command[0], argv, DEVNULL, ends[1], env=dict(os.environ)), ends

    @staticmethod
    def judge(source: "Child | None", tee: "Child", programs: "list[Child]", reader_gone: bool) -> None:
        for each in programs:
            if each.failed and not each.killed:
                raise Problem("%s %s: %s" % (each.name, each.how(), " ".join(each.says.last)))
        if source and source.failed and not source.killed and not source.by_pipe:
            last = (source.says.last or ["it gave no reason"])[-1][:400]
            raise Problem("%s %s: %s" % (source.name, source.how(), last), output=source.says.last[:-1])
        said = " ".join(tee.says.last)
        if reader_gone or tee.by_pipe:
            raise Problem(GONE + (" (%s)" % said if said else ""))
        if source and source.failed or tee.failed or any(each.failed for each in programs):
            raise Problem("the archive was cut off: %s" % (said or "tee " + tee.how()))
