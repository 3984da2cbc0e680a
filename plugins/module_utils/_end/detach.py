# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Detaches the ends of a plan from the logins that started them, for a run that outlives its controller.

One end is at *home*, the host that keeps the result.  It has a control connection to each other end, which is made and
authenticated like a link.  When all links of an end are made, it says "detach" to home, and goes on to watch its login.
When all have said so, home makes the file of the job, answers "detached", and only then does any stage start.  Each end
then moves to a session of its own, away from its login, which ends.  From then on the control connection takes its
place: samples, heartbeats and the report go over it, and its loss stops the end.

Before that, every failure is a reset, and nothing has been started anywhere.
"""

import os
import select
import time

from .guard import fork
from .kernel import keep_alive
from .lean import compare_digest, socket
from .watch import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .connect import Connection
    from .records import EndPlan, Refusal, Report
    from .watch import Watch

    class Home(Protocol):
        """What the end at home calls; see _run.home."""

        keeper: int  # pid of the process that keeps the job

        def prepare(self) -> "Refusal | None":
            """Make the file of the job; returns the reason if that fails."""

        def report(self) -> "Report":
            """What the login of the end at home reports."""

        def forget(self) -> None:
            """Remove the file: nothing was started."""

        def last_word(self, why: str) -> None:
            """Write a failure as the result, unless there is one, or what keeps the job still lives."""

        def keep(self, out: int, end: int, controls: "dict[str, socket.socket]") -> None:
            """Wait for all ends of the run, and write the result."""

    Made = dict[str, Connection]

DETACH, DETACHED = b"detach", b"detached"
SIZE = 32  # bytes of each message
DEAD_PEER = 120  # seconds without a packet after which a control connection is lost, unless the plan has another limit


def detach(plan: "EndPlan", made: "Made", watch: "Watch", deadline: float, home: "Home | None") -> "Refusal | None":
    """Detach this end; returns the reason if that is not possible.

    ``made``: the connections of all links.  Those to other ends of the job remain open only where they are needed.
    ``home``: at home, what keeps the job there.  Raises watch.Cancelled.
    """
    specs = [spec for spec in plan["links"] if spec["control"]]
    controls = {spec["end"]: made.pop(spec["id"]) for spec in specs}
    for spec in specs:
        keep_alive(controls[spec["end"]].sock, spec["dead_peer"] or DEAD_PEER)
    if home:
        problem = heard(controls, DETACH, watch, deadline) or home.prepare()
        if problem:
            return problem
        say(controls, DETACHED)
    else:
        say(controls, DETACH)
        problem = heard(controls, DETACHED, watch, deadline)
        if problem:
            return problem
    report: "Report" = home.report() if home else {"detached": True}
    try:
        leave(watch, {**report, "end": plan["end"]})
    except OSError as exc:
        if home:
            home.forget()
        return {"kind": "no fork", "error": exc.strerror or str(exc)}
    if home:
        watch.out = part(home, controls, made)
    else:
        (control,) = controls.values()
        control.sock.setblocking(True)
        watch.attend(control.sock)
    return None


def proof(control: "Connection", label: bytes) -> bytes:
    """The message: a MAC with the secret of this connection."""
    return control.prove(label) if control.prove else b""


def say(controls: "Made", label: bytes) -> None:
    """Send a message; it fits into the empty queue of its connection.  A broken one is noticed later."""
    for control in controls.values():
        try:
            control.sock.send(proof(control, label))
        except OSError:
            pass


def heard(controls: "Made", label: bytes, watch: "Watch", deadline: float) -> "Refusal | None":
    """Wait for a message from each of them; returns the reason if one does not come."""
    waiting = dict(controls)
    received = dict.fromkeys(controls, b"")
    while waiting:
        left = deadline - time.monotonic()
        ends = {control.sock.fileno(): end for end, control in waiting.items()}
        found = watch.poll(dict.fromkeys(ends, select.POLLIN), max(0.0, min(left, 1.0)))
        for fd in found:
            end, control = ends[fd], waiting[ends[fd]]
            try:
                chunk = control.sock.recv(SIZE - len(received[end]))
            except BlockingIOError:
                continue
            except OSError:
                chunk = b""
            received[end] += chunk
            if len(received[end]) == SIZE and compare_digest(received[end], proof(control, label)):
                del waiting[end]
            elif not chunk or len(received[end]) == SIZE:
                return {"kind": "not detached", "end": end}
        if waiting and left <= 0:
            return {"kind": "not detached", "end": min(waiting)}
    return None


def leave(watch: "Watch", report: "Report") -> None:
    """Move to a session of its own; what the login sees ends with this report.  Raises OSError."""
    told, tell = os.pipe()
    if fork():
        os.close(tell)
        if os.read(told, 1):  # else it has died
            try:
                watch.say(report)
            except Cancelled:
                pass
        os._exit(0)
    os.close(told)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.write(tell, b".")
    os.close(tell)


def part(home: "Home", controls: "Made", made: "Made") -> int:
    """Split off the process that keeps the job; returns the descriptor to which this end reports."""
    try:
        out, into = os.pipe()
        end = fork()
    except OSError as exc:
        home.last_word(str(exc))
        os._exit(0)
    if end:
        os.close(into)
        for link in made.values():
            link.sock.close()
        home.keep(out, end, {name: control.sock for name, control in controls.items()})
        os._exit(0)
    os.close(out)
    for control in controls.values():
        control.sock.close()
    home.keeper = os.getppid()
    return into
