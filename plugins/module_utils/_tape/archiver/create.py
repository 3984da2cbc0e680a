# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""create, report and estimate: archives of this host's files."""

import os
import shutil
import sys

from ..common import names
from ..common.names import shown
from ..common.problem import SETTINGS, Problem
from .command import tar_argv
from .creation import Creation
from .crew import Crew
from .gnutar import Tar, TarSays, complaint
from .machine import same_machine
from .plan import Plan, other_file_systems
from .settings import Settings
from .state import States

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

MOST_CHARACTERS = 1000  # characters of a name in an answer


def create(settings: Settings, words: "argparse.Namespace") -> None:
    """Write an archive to standard output, and its facts to the state."""
    run, host = names.checked("run", words.run), names.host(words.host)
    if os.isatty(1):
        raise Problem("standard output is a terminal: redirect it to receive the archive", kind=SETTINGS)
    kept = [names.checked("run", each) for each in words.keep.split(",") if each]
    same_machine(host, words.machine)
    tar = Tar()
    plan = Plan(settings, words)
    if plan.base == run:
        raise Problem("run %s cannot be its own base" % run, kind=SETTINGS)
    states = plan.states
    states.open(1)
    kept += [run] + ([plan.base] if plan.base else [])
    states.prune(kept)
    states.forget(run)
    try:
        facts = Creation(tar, plan, run, host).write()
    except BaseException:
        states.forget(run)
        states.prune(kept)
        raise
    states.save(run, facts)
    for line in facts["warnings"]:
        sys.stderr.write(line + "\n")
    sys.stderr.write("%d files, %d bytes, %d warnings\n" % (facts["files"], facts["bytes"], facts["warning_count"]))


def report(settings: Settings, words: "argparse.Namespace") -> None:
    """Write the facts as one line of JSON, then the compressed list of names.

    Reads both from the state, where create has saved them, and no file of the archive; marks the run as reported.
    """
    states = States(settings.state_dir)
    run = names.checked("run", words.run)
    try:
        facts = open(states.path(run, ".json"), "rb")
        listing = open(states.path(run, ".list.gz"), "rb")
    except FileNotFoundError:
        raise Problem(
            "run %s has no complete archive on this host: there is none in %s" % (run, shown(states.folder))
        ) from None
    with facts, listing:
        out = sys.stdout.buffer
        out.write(facts.read().rstrip(b"\n") + b"\n")
        shutil.copyfileobj(listing, out, 1024**2)
        out.flush()
    states.reported(run)


def estimate(settings: Settings, words: "argparse.Namespace") -> "dict[str, Any]":
    """Estimate the size of the archive: tar recognizes /dev/null and reads no file for it."""
    tar = Tar()
    plan = Plan(settings, words)
    says = TarSays()
    with plan.states.scratch() as snapshot, Crew() as crew:
        plan.write_snapshot(snapshot)
        snapshot.flush()
        snar = b"/proc/self/fd/%d" % snapshot.fileno()
        argv = tar_argv(tar, plan, snar, "--label=an estimate", "--file=/dev/null")
        fds = (snapshot.fileno(), *plan.states.descriptors)
        source = crew.start("tar", argv, fds=fds, ok=settings.tar_may_end_with, says=says)
        crew.wait()
    if source.failed or says.total <= 0:
        raise Problem(complaint(source), output=says.last[:-1])
    mounted = other_file_systems(plan, says.elsewhere)
    return {
        "bytes": says.total,
        "level": plan.level,
        "level_problem": plan.level_problem,
        "warnings": says.first,
        "warning_count": says.count,
        "other_file_systems": [each[:MOST_CHARACTERS] for each in mounted[:3]],
        "mounted": len(mounted),
    }
