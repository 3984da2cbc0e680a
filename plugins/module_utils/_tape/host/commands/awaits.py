# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""awaits: which tape a person must load before the next archive is written or read; turn: waits for it."""

from ..reserve import requests, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from ... import answers
    from ..reserve.requests import Request
    from ..session import Session


def awaits(session: "Session", args: "argparse.Namespace") -> "answers.Awaited":
    """Returns a sentence for the person, "" if nobody is needed; raises Problem."""
    session.run = args.run or session.run
    request: "Request" = requests.WriteRequest(session, args.expect)
    if args.tape:
        request = requests.ReadRequest(args.tape, "reading the label")
    return {"text": scan.awaited(session, request)}


def turn(session: "Session", args: "argparse.Namespace") -> "dict[str, str]":
    """Wait until an archive can be written at once, and lease the tape to its run; raises Problem.

    Commands around an archive run only then.  Otherwise a snapshot would grow while its host waits for a drive.
    """
    session = session.of(args.run, args.host)
    with scan.reserve_for(session, requests.WriteRequest(session, args.expect)) as held:
        held.renew_lease()
        return {"tape": str(held.label["label"])}
