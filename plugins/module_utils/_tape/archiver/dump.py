# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dump: an archive that is the output of a command, such as that of a database; check: the way back."""

import sys
import time

from ..common import names
from ..common.problem import SETTINGS, Problem
from .create import attempted
from .hooks import Hooks
from .machine import machine_id, same_machine
from .seal import Passage
from .state import States

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from .settings import Settings


def dump(settings: "Settings", words: "argparse.Namespace") -> None:
    """Write the output of the command to standard output, and its facts to the state; raises Problem."""
    run, host = names.checked("run", words.run), names.host(words.host)
    if not settings.source:
        raise Problem("there is no command to run", kind=SETTINGS)
    same_machine(host, words.machine)
    started = time.time()
    states = States(settings.state_dir)
    states.open(1)
    states.forget(run)
    states.prune([run])
    with Hooks(states, settings).around():
        passed = Passage(settings.source["run"]).run()
    states.save(run, attempted(facts(settings, run, host, started, passed), words.attempt))
    sys.stderr.write("%d bytes\n" % passed["bytes"])


def facts(settings: "Settings", run: str, host: str, started: float, passed: "dict[str, Any]") -> "dict[str, Any]":
    """The same fields as those of an archive of files, for the report."""
    return {
        "run": run,
        "host": host,
        "set": settings.set,
        "level": 0,
        "level_problem": "",
        "base": None,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "machine_id": machine_id(),
        "paths": [],
        **passed,
        "tar": 0,
        "incomplete": False,
        "warnings": [],
        "warning_count": 0,
        "other_file_systems": [],
        "files": 0,
        "elapsed": round(time.time() - started, 3),
        "filters": settings.filters,
        "source": {"name": settings.source["name"], "restore": settings.source["restore"]},
        "unlisted": True,
    }


def check(_settings: "Settings", words: "argparse.Namespace") -> None:
    """Pass standard input on; raises Problem unless it is the expected data, so that its reader gets no end of file."""
    passed = Passage().run()
    if (passed["bytes"], passed["sha256"]) != (words.bytes, words.sha256.lower()):
        raise Problem(
            "these are not the %d bytes in the catalog: they are %d, and their SHA-256 is %s, not %s; do not trust "
            "what was restored" % (words.bytes, passed["bytes"], passed["sha256"], words.sha256)
        )
