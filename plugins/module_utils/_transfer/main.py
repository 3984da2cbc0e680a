# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of a transfer, on all its hosts: look, checksum, send, receive, settle."""

from .._tape.common.call import Call, served
from .._tape.common.process import end_on_signals


def run(call: Call) -> None:
    # imported here, after the signal handlers are set
    from . import chain, look, part, sender, sink, tree

    commands = {
        "look-source": tree.look_source,
        "look-destination": look.look_destination,
        "checksum": part.checksum,
        "send": sender.send,
        "receive": sink.receive,
        "receive-along": chain.receive,
        "settle": sink.settle,
        "look-tree": tree.look_destination,
        "send-tree": tree.send,
        "receive-tree": tree.receive,
    }
    answer = commands[call.words[0]](call.input or {})
    if answer is not None:
        call.answer(answer)


def main() -> int:
    """Returns the exit status, see served()."""
    call = Call()
    end_on_signals()
    return served(call, lambda: run(call), "the transfer")
