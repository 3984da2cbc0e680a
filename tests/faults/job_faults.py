# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of runs that outlive their controller: tasks of pipe with async."""

from __future__ import annotations

import dataclasses
import signal

from .catalogue import ENDED, GROUPS, LOST, NUMBERS, OF_COMMANDS, RUNNING, Fault, of_stages

# at home, which is the task's host: "connected": all connections are made; "kept": the file of the job is there, and
# nobody has been told; "told": the others have been told, and it is still in its login; "linked": it has left that
LOGGED_IN = ("connect", "handshake", "connected", "kept", "told")
DETACHED = ("linked", *RUNNING, "after")
OF_JOB = (*LOGGED_IN, *DETACHED)
# once there are more than one.  Of these at home, one must live to write the result: the keeper or the guard
BOTH = ("keeper+guard", "keeper+end", "guard+end", "keeper+guard+end")
NOBODY = tuple(f"kill remote {both}" for both in BOTH if "keeper+guard" in both)
STOPPED = ("stopped",)
AGAIN = "launched twice"
CANCELLED, NO_FILE, NO_RESULT = "cancelled", "no room for the job", "no room for the result"
RESET, CUT = "control reset", "control cut"
HANG_UP = "masters closed"


def of_parts() -> list[Fault]:
    found = []
    for word, number in NUMBERS.items():
        for part in ("remote end", "peer end"):
            side = part.partition(" ")[0]
            # at home the end becomes the keeper, which takes SIGTERM as a request to stop the job
            asked = STOPPED if (word, side) == ("term", "remote") else ()
            kinds = (*ENDED, "refused", *asked)
            found.append(Fault(f"{word} {part}", OF_JOB, kinds=kinds, blamed=side, victim=part, number=number))
        for part in ("remote guard", "peer guard", "remote keeper"):
            side, _space, what = part.partition(" ")
            alone: tuple[str, ...] = STOPPED if (word, what) == ("term", "keeper") else ("end",)
            found.append(Fault(f"{word} {part}", DETACHED[1:], kinds=alone, blamed=side, victim=part, number=number))
    kill = signal.SIGKILL
    for both in BOTH:
        part = f"remote {both}"
        lost = f"kill {part}" in NOBODY
        found.append(Fault(f"kill {part}", DETACHED[1:], kinds=("end",), victim=part, number=kill, lost=lost))
    found.append(
        Fault("kill peer guard+end", DETACHED[1:], kinds=("end",), blamed="peer", victim="peer guard+end", number=kill)
    )
    for part in ("remote login", "remote session"):
        found.append(Fault(f"kill {part}", LOGGED_IN, kinds=ENDED, blamed="remote", victim=part, number=kill))
    moments = ("connect", *LOGGED_IN[2:])
    retried = Fault(
        "cut and retried", moments, kinds=(*ENDED, "refused"), blamed="remote", victim="remote session", number=kill
    )
    return [*found, retried]


def that_stop() -> list[Fault]:
    """Processes that stand still; if it is an end, the limit that async sets ends the job all the same."""
    parts = ("remote keeper", "remote guard", "remote end", "peer guard", "peer end")
    # who is done wakes the process that waits for it.  An end that is woken at the limit may find that all is done
    outcome = {True: "any", False: "ok"}
    return [
        Fault(f"stop {part}", RUNNING, outcome[part.endswith("end")], victim=part, number=signal.SIGSTOP)
        for part in parts
    ]


OF_JOBS = [
    Fault(CANCELLED, (*RUNNING, "after"), kinds=STOPPED, blamed="remote"),
    Fault(RESET, RUNNING, kinds=("end",), blamed="peer"),
    Fault(CUT, RUNNING, kinds=("end",), blamed="peer"),
    Fault(NO_FILE, ("connect",), kinds=("refused",), blamed="remote"),
    Fault(NO_RESULT, (*RUNNING, "after"), "ok"),
    Fault(AGAIN, ("connect",), "any"),
    Fault(AGAIN, RUNNING, "ok"),
]
ALIKE = ("hidden holds", "thread writes late", "generations write late")  # nothing of this depends on async
LIMITED = ("timeout", "sink ignores timeout", *(fault.name for fault in that_stop() if fault.outcome != "ok"))


def of_the_command(fault: Fault) -> Fault:
    return dataclasses.replace(fault, kinds=STOPPED) if fault.name in LIMITED else fault


EACH_OF_JOB = [
    *of_stages(),
    *of_parts(),
    *that_stop(),
    *[of_the_command(fault) for fault in OF_COMMANDS if fault.name not in ALIKE],
    *OF_JOBS,
]


def of_group(fault: Fault) -> list[Fault]:
    """What ends the controller does so before the logins have ended, and not after it."""
    # whoever is held at "linked" does not answer; after that, it is as if nothing had happened
    later = dataclasses.replace(fault, moments=DETACHED[1:], lost=False)
    if fault.number:
        before = dataclasses.replace(fault, name=f"{fault.name} early", moments=OF_JOB[:6], outcome="any")
        return [dataclasses.replace(later, outcome="ok"), before]
    if fault.kinds == LOST:
        # who has not detached is refused; who is told to stop, because another end has failed, was stopped
        kinds = (*LOST, "refused", "stopped")
        return [dataclasses.replace(fault, moments=OF_JOB, kinds=kinds, lost=fault.name == "reboot")]
    return [later]


GROUPS_OF_JOB = [
    *[each for fault in GROUPS for each in of_group(fault)],
    Fault(HANG_UP, DETACHED[1:], "ok", number=signal.SIGKILL),
    Fault("peer reboot", OF_JOB[2:], kinds=(*LOST, "refused")),
]
