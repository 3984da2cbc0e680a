# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program on the tape host: tapehost SUBCOMMAND [OPTION…].

The modules send these words and the settings in the archive of the program; for a person, the settings are JSON in the
environment variable SOCKETPIPE_TAPE.
"""

import argparse
import errno
import importlib
import os
import sys

from ..common import names
from ..common.call import Call
from ..common.problem import FAILED, Problem
from ..common.process import Ended, end_on_signals
from .session import Session
from .settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

RUN = ("--run", {"required": True})
HOST = ("--host", {"required": True})
SOME_RUN = ("--run", {"default": ""})
SOME_HOST = ("--host", {"default": ""})
SOME_TAPE = ("--tape", {"default": ""})

# these change what tape_metrics_file shows; a run has many archives, so it does that once, at its end
CHANGES = ("finish", "label", "inventory", "verify", "mark", "restored", "import")

# {subcommand: (module and function, options)}
SUBCOMMANDS: "dict[str, Any]" = {
    "plan": ("plan.plan", []),
    "sink": (
        "sink.sink",
        [
            RUN,
            HOST,
            ("--level", {"type": int, "default": 0}),
            ("--base", {"default": None}),
            ("--attempt", {"default": ""}),
            ("--expect", {"type": int, "default": 0}),
        ],
    ),
    "base": ("bases.base", [RUN, HOST, ("--level", {"type": int, "default": 0})]),
    "commit": ("commit.commit", [RUN, HOST]),
    "finish": ("finish.finish", [RUN]),
    "label": (
        "label.label",
        [
            ("--label", {"required": True}),
            ("--device", {"default": ""}),
            ("--barcode", {"default": ""}),
            ("--overwrite", {"default": ""}),
        ],
    ),
    "info": (
        "info.info",
        [("--gather", {"default": "drives,tapes,runs,archives,hosts"}), SOME_HOST, SOME_RUN, SOME_TAPE],
    ),
    "inventory": ("inventory.inventory", [("--rebuild", {"action": "store_true"})]),
    "find": ("find.find", [("--path", {"required": True}), SOME_HOST]),
    "chain": (
        "chain.chain",
        [
            HOST,
            ("--as-of", {"default": ""}),
            ("--path", {"action": "append", "default": []}),
            ("--early-exit", {"action": "store_true"}),
        ],
    ),
    "source": ("source.source", [("--tape", {"required": True}), ("--file", {"type": int, "required": True})]),
    "verify": ("source.verify", [SOME_RUN, SOME_TAPE, SOME_HOST]),
    "awaits": (
        "awaits.awaits",
        [SOME_TAPE, SOME_RUN, ("--expect", {"type": int, "default": 0})],
    ),
    "turn": ("awaits.turn", [RUN, HOST, ("--expect", {"type": int, "default": 0})]),
    "mark": (
        "mark.mark",
        [
            ("--label", {"required": True}),
            ("--reason", {"default": ""}),
            ("--found", {"action": "store_true"}),
            ("--location", {"default": ""}),
            ("--dry", {"action": "store_true"}),
        ],
    ),
    "restored": (
        "restored.restored",
        [
            HOST,
            ("--kind", {"choices": ["restored", "drilled"], "default": "restored"}),
            ("--failed", {"action": "store_true"}),
        ],
    ),
    "drill": ("restored.drill", []),
    "page": ("page.page", []),
    "keep": ("host_copy.keep", [("--of", {"required": True})]),
    "import": ("host_copy.bring_back", []),
}


def parse(words: "list[str]") -> "tuple[str, argparse.Namespace]":
    """(subcommand, its options); exits with status 2 if they are wrong."""
    name = words[0] if words else ""
    if name not in SUBCOMMANDS:
        sys.stderr.write("tapehost: error: unknown subcommand %r; valid ones: %s\n" % (name, ", ".join(SUBCOMMANDS)))
        raise SystemExit(2)
    parser = argparse.ArgumentParser(prog="tapehost " + name)
    for option, details in SUBCOMMANDS[name][1]:
        parser.add_argument(option, **details)
    return name, parser.parse_args(words[1:])


def check(subcommand: str, args: "argparse.Namespace") -> None:
    """Check the arguments that become part of a path or a name; raises Problem."""
    given = vars(args)
    for name in ("tape", "run"):
        if given.get(name) or subcommand in ("sink", "commit", "finish", "source", "turn") and name in given:
            names.checked(name, given[name])
    if given.get("host") or subcommand in ("sink", "commit", "turn"):
        names.host(args.host)
    if not 0 <= given.get("level", 0) <= names.HIGHEST:
        raise Problem("level %d" % args.level, "it must be from 0 (everything) to %d" % names.HIGHEST)


def main() -> int:
    """Write a JSON object to standard output, or the problem as the last line of standard error.

    Returns the exit status: 0, 1, 2 for wrong words, 128 + n after signal n.
    """
    end_on_signals()
    call = Call()
    subcommand, args = parse(call.words)
    args.input = call.input
    module, function = SUBCOMMANDS[subcommand][0].split(".")  # only this one, because loading the others takes time
    try:
        for fd, name in enumerate(("input", "output")):  # otherwise the next opened file would get this number
            if not os.path.exists("/proc/self/fd/%d" % fd):
                raise Problem("standard %s is closed" % name)
        check(subcommand, args)
        command = getattr(importlib.import_module("%s.commands.%s" % (__package__, module)), function)
        session = Session(Settings(call.settings()), ahead=call.ahead)
        answer = command(session, args)
        if subcommand in CHANGES and session.settings.metrics_file and not vars(args).get("dry"):
            answer = with_metrics(session, answer)
        if answer is not None:
            call.answer(answer)
    except Problem as exc:
        call.fail(exc.kind, str(exc))
    except OSError as exc:
        call.fail(FAILED, say_error(exc))
    except Ended as exc:
        call.fail(FAILED, str(exc))
        return exc.status
    else:
        return 0
    return 1


def with_metrics(session: Session, answer: "Any") -> "Any":
    """Write the metrics; the answer, with a warning if they cannot be written: the work is done all the same."""
    from .catalog import metrics  # which takes time to load, and few use it

    try:
        metrics.write(session)
    except (Problem, OSError) as exc:
        why = say_error(exc) if isinstance(exc, OSError) else str(exc)
        return {**answer, "warnings": [*answer.get("warnings", []), "metrics were not written: " + why]}
    return answer


def say_error(exc: OSError) -> str:
    """A sentence for a system error: what happened to which file, and what to try."""
    text = "%s%s" % ("%s: " % exc.filename if exc.filename else "", exc.strerror or exc)
    if exc.errno in (errno.EACCES, errno.EPERM):
        who = ": this program runs as user ID %d: set tape_become, or give that user access"
        text += who % os.geteuid()
    return text
