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

from .control import make_control
from .guard import fork
from .patience import Patience
from .watch import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from .connect import Connection
    from .control import Control
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
            """Write a failure as the result, unless there is one."""

        def stand_by(self, watch: "Watch") -> None:
            """In place of an end, where no stage is to run: wait for the end of what keeps the job, as a guard does."""

        def witness(self) -> None:
            """In the guard, at its end: wait for the end of what keeps the job, and see that there is a result."""

        def keep(self, out: int, end: int, controls: "dict[str, Control]", watch: "Watch") -> None:
            """Wait for all ends of the run, and write the result.  ``watch``: has a signal that has come before."""

    Made = dict[str, Connection]

DETACH, DETACHED = b"detach", b"detached"


def detach(plan: "EndPlan", made: "Made", watch: "Watch", deadline: float, home: "Home | None") -> "Refusal | None":
    """Detach this end; returns the reason if that is not possible.

    ``made``: the connections of all links.  Those to other ends of the job remain open only where they are needed.
    ``home``: at home, what keeps the job there.  Raises watch.Cancelled.
    """
    controls, problem = meet(plan, made, deadline)
    if problem:
        return problem
    for control in () if home else controls.values():
        control.say(DETACH)
    problem = heard(controls, DETACH if home else DETACHED, watch, deadline)
    if home:
        problem = problem or home.prepare()
    if problem:
        return problem
    for control in controls.values() if home else ():
        control.say(DETACHED)
    report: "Report" = home.report() if home else {"detached": True}
    try:
        leave(watch, {**report, "end": plan["end"]}, [] if home else [*controls.values()])
    except OSError as exc:
        if home:
            home.forget()
        return {"kind": "no fork", "error": exc.strerror or str(exc)}
    if home:
        watch.out = part(home, controls, made, watch)
        if not plan["stages"]:
            home.stand_by(watch)
            os._exit(0)
    else:
        control = next(iter(controls.values()))  # the only one
        watch.attend(control)
    return None


def meet(plan: "EndPlan", made: "Made", deadline: float) -> "tuple[dict[str, Control], Refusal | None]":
    """({end: the control connection to it}, the reason if one cannot be encrypted)."""
    patience = Patience(plan["patience"]).tls
    controls: "dict[str, Control]" = {}
    for spec in [spec for spec in plan["links"] if spec["control"]]:
        left = max(0.1, min(patience, deadline - time.monotonic()))
        control, problem = make_control(plan, spec, made.pop(spec["id"]), left)
        if control is None:
            return controls, problem
        controls[spec["end"]] = control
    return controls, None


def heard(controls: "dict[str, Control]", label: bytes, watch: "Watch", deadline: float) -> "Refusal | None":
    """Wait for a message from each of them; returns the reason if one does not come."""
    waiting = dict(controls)
    while waiting:
        left = deadline - time.monotonic()
        ends = {control.sock.fileno(): end for end, control in waiting.items()}
        found = watch.poll(dict.fromkeys(ends, select.POLLIN), max(0.0, min(left, 1.0)))
        for end in [ends[fd] for fd in found]:
            try:
                if waiting[end].hear(label):
                    del waiting[end]
            except OSError:
                return {"kind": "not detached", "end": end}
        if waiting and left <= 0:
            return {"kind": "not detached", "end": min(waiting)}
    return None


def leave(watch: "Watch", report: "Report", controls: "list[Control]") -> None:
    """Move to a session of its own; what the login sees ends with this report.  Raises OSError.

    ``controls``: to which this end then reports.
    """
    told, tell = os.pipe()
    child = fork()
    if child:
        os.close(tell)
        if os.read(told, 1):
            try:
                watch.say(report)
            except Cancelled:
                pass
        else:
            os.waitpid(child, 0)  # it has died, or reports by itself why it could not leave
        os._exit(0)
    os.close(told)
    os.setsid()
    for control in controls:
        control.part()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.write(tell, b".")
    os.close(tell)


def part(home: "Home", controls: "dict[str, Control]", made: "Made", watch: "Watch") -> int:
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
        home.keep(out, end, controls, watch)
        os._exit(0)
    os.close(out)
    for control in controls.values():
        control.sock.close()
    home.keeper = os.getppid()
    return into
