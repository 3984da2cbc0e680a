# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of a transfer, on both hosts: look, send, receive, settle."""

import os

from .._tape.common.call import Call
from .._tape.common.problem import FAILED, Problem
from .._tape.common.process import Ended, end_on_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(command: str, asked: "dict[str, Any]") -> "dict[str, Any] | None":
    # imported here, after the signal handlers are set
    from . import look, sender, sink

    commands = {
        "look-source": look.look_source,
        "look-destination": look.look_destination,
        "send": sender.send,
        "receive": sink.receive,
        "settle": sink.settle,
    }
    return commands[command](asked)


def main() -> int:
    """Returns the exit status: 0, 1, or 128 + n after signal n; unless 0, standard error ends with the problem."""
    call = Call()
    end_on_signals()
    try:
        answer = run(call.words[0], call.input or {})
        if answer is not None:
            call.answer(answer)
    except Problem as exc:
        said, status, kind = str(exc), 1, exc.kind
    except Ended as exc:
        said, status, kind = str(exc), exc.status, FAILED
    except OSError as exc:
        where = "" if exc.filename is None else ": %s" % os.fsdecode(exc.filename)
        said, status, kind = "the transfer failed: %s%s" % (exc.strerror, where), 1, FAILED
    else:
        return 0
    call.fail(kind, said)
    return status
