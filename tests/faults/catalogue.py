# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults: when they can strike, what they hit, and what the task or the command must say then."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping

# in the order of a run; "connect": one host's Python has not started yet; "linked": its connections are made and it has
# split off no guard; "after": the sink has all and still works
MOMENTS = ("connect", "handshake", "linked", "first", "stream", "last", "after")
RUNNING = ("first", "stream", "last")
NUMBERS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}
STAGES = ("source", "middle", "sink")
RELAYS = ("seal", "open")  # of links that relays encrypt
PARTS = ("remote end", "remote guard", "remote login", "remote session", "peer end", "peer guard")


@dataclasses.dataclass(frozen=True)
class Fault:
    name: str
    moments: tuple[str, ...]
    outcome: str = "failed"  # what it must come to once it has struck: "ok", "failed", or "any"
    kinds: tuple[str, ...] = ()  # of which kind its cause may be; empty: any
    blamed: str = ""  # "source", "middle", "sink", "remote", "peer", "link": whom the cause must name
    victim: str = ""  # a stage, a part or a relay that gets a signal
    number: int = 0
    lost: bool = False  # it may leave nobody who could say what became of the run


ENDED = ("end", "unreachable", "launch", "not connected", "no python")


def of_stages() -> list[Fault]:
    found = []
    for word, number in NUMBERS.items():
        for stage in STAGES:
            moments = (*RUNNING, "after") if stage == "sink" else RUNNING
            found.append(
                Fault(f"{word} {stage}", moments, kinds=("failed",), blamed=stage, victim=stage, number=number)
            )
    child = Fault("kill child", RUNNING, kinds=("failed",), blamed="source", victim="child", number=signal.SIGKILL)
    return [*found, child]


def of_parts() -> list[Fault]:
    found = []
    for word, number in NUMBERS.items():
        for part in PARTS:
            side, _space, _what = part.partition(" ")
            found.append(Fault(f"{word} {part}", MOMENTS, kinds=ENDED, blamed=side, victim=part, number=number))
    again = Fault("cut and retried", ("connect", *RUNNING), kinds=ENDED, blamed="remote", victim="remote session")
    return [*found, dataclasses.replace(again, number=signal.SIGKILL)]


def of_socketpipe() -> list[Fault]:
    """Signals for the command; "interrupt" is Ctrl-C, for its whole process group."""
    found = []
    for word, number in {**NUMBERS, "interrupt": signal.SIGINT, "hang up": signal.SIGHUP}.items():
        name = f"{word} command"
        lost = number == signal.SIGKILL
        found.append(Fault(name, MOMENTS, kinds=("interrupted",), victim="command", number=number, lost=lost))
    return found


# what the commands do by themselves
OF_COMMANDS = [
    Fault("none", RUNNING, "ok"),
    Fault("source exits 1", RUNNING, kinds=("failed",), blamed="source"),
    Fault("source kills itself", RUNNING, kinds=("failed",), blamed="source"),
    Fault("source says nothing", ("connect",), kinds=("failed",), blamed="source"),
    Fault("source closes early", ("last",), "ok"),
    Fault("grandchild holds", ("last",), kinds=("held",), blamed="source"),
    Fault("thread holds", ("last",), kinds=("held",), blamed="source"),
    Fault("generations hold", ("last",), kinds=("held",), blamed="source"),
    Fault("hidden holds", ("last",), kinds=("held",), blamed="source"),
    Fault("thread writes late", ("last",), "ok"),
    Fault("generations write late", ("last",), "ok"),
    Fault("sink exits 1", ("stream",), kinds=("failed",), blamed="sink"),
    Fault("sink exits 0", ("stream",), kinds=("stopped reading",), blamed="sink"),
    Fault("sink is full", ("stream",), kinds=("failed",), blamed="sink"),
    Fault("sink pauses", ("stream",), "ok"),
    Fault("sink ignores all", ("stream", "last"), kinds=("failed",), blamed="source"),
    Fault("command missing", ("connect",), kinds=("refused",)),
    Fault("timeout", RUNNING),
    Fault("sink ignores timeout", RUNNING),
]


def that_stop() -> list[Fault]:
    """Parts that stand still, until the task's timeout; the ends of such a run are ended all the same."""
    parts = [part for part in PARTS if part.endswith((" end", " guard"))]
    outcome = {True: "ok", False: "failed"}  # an end wakes its guard when it is done
    return [
        Fault(f"stop {part}", RUNNING, outcome[part.endswith("guard")], victim=part, number=signal.SIGSTOP)
        for part in parts
    ]


def of_relays(words: Mapping[str, int]) -> list[Fault]:
    """Relays that are hit while they work. Whoever stops one has a time-out."""
    found = []
    for word, number in words.items():
        plain = Fault(f"{word} relay", RUNNING, blamed="link", number=number)
        if number != signal.SIGSTOP:
            plain = dataclasses.replace(plain, kinds=("relay",))
        found += [dataclasses.replace(plain, name=f"{word} {relay}", victim=relay) for relay in RELAYS]
    return found


EACH = [*of_stages(), *of_parts(), *that_stop(), *OF_COMMANDS]
OF_RELAYS = of_relays({**NUMBERS, "stop": signal.SIGSTOP})
OF_TIMEOUT = (
    *("timeout", "sink ignores timeout", "stop seal", "stop open", "stop source", "stop sink"),
    *(fault.name for fault in that_stop()),
)


def needs_timeout(fault: Fault) -> bool:
    """Whether its task needs a time-out; that is short, and a run that ends by itself may take longer."""
    return fault.name in OF_TIMEOUT and fault.outcome != "ok"


# what hits all runs of a batch at once; a dead peer is also found by a login that fails
LOST = ("dead peer", "link", *ENDED)
GROUPS = [
    Fault("kill playbook", MOMENTS, number=signal.SIGKILL, lost=True),
    Fault("link down", MOMENTS, kinds=LOST),
    Fault("term playbook", MOMENTS, number=signal.SIGTERM, lost=True),
    Fault("kill worker", MOMENTS, number=signal.SIGKILL, lost=True),
    Fault("link blinks", RUNNING, "ok"),
    Fault("interrupt", MOMENTS, number=signal.SIGINT, lost=True),
    Fault("deaf", MOMENTS, kinds=LOST),
    Fault("reboot", MOMENTS, kinds=LOST),
    Fault("mute", MOMENTS, kinds=LOST),
    Fault("reset", RUNNING, kinds=LOST),
    Fault("term worker", MOMENTS, number=signal.SIGTERM, lost=True),
    Fault("freeze", (*RUNNING, "after"), "ok"),
]

# of the command: it has no time-out of its own, nobody launches its ends again, and what hits Ansible does not hit it
EACH_OF_COMMAND = [fault for fault in EACH if fault.name not in (*OF_TIMEOUT, "cut and retried")] + of_socketpipe()
RELAYS_OF_COMMAND = of_relays(NUMBERS)
GROUPS_OF_COMMAND = [fault for fault in GROUPS if not fault.number]

# of transfer: "look": the task's host examines its file; "checked": the sink has the end of the stream, and a command
# validates the file; "rename": all is done but this; "renamed": only the report is missing
OF_TRANSFER = ("look", "linked", "first", "stream", "last", "checked", "rename", "renamed")
SENDING = ("first", "stream", "last")
RECEIVING = OF_TRANSFER[2:]


TAIL = ("tail end", "tail guard", "tail session")


def of_transfer() -> list[Fault]:
    found = []
    for word, number in NUMBERS.items():
        source = Fault(f"{word} source", SENDING, kinds=("failed",), blamed="source", victim="source", number=number)
        sink = Fault(f"{word} sink", RECEIVING, kinds=("failed",), blamed="sink", victim="sink", number=number)
        found += [source, sink]
        for part in PARTS:
            side = part.partition(" ")[0]
            moments = OF_TRANSFER if side == "remote" else OF_TRANSFER[1:]  # its own look is short, and over or to come
            found.append(Fault(f"{word} {part}", moments, kinds=ENDED, blamed=side, victim=part, number=number))
        # of the last host of a chain
        tail = Fault(f"{word} tail", RECEIVING, kinds=("failed",), blamed="tail", victim="tail", number=number)
        found += [tail]
        for part in TAIL:
            found.append(
                Fault(f"{word} {part}", OF_TRANSFER[1:], kinds=ENDED, blamed="tail", victim=part, number=number)
            )
    stop = signal.SIGSTOP
    found += [Fault(f"stop {stage}", ("stream",), victim=stage, number=stop) for stage in ("source", "sink")]
    return [*found, *[Fault(f"stop {part}", ("stream",), victim=part, number=stop) for part in PARTS if "end" in part]]


# what happens to files meanwhile
OF_FILES = [
    Fault("none", OF_TRANSFER, "ok"),
    Fault("source grows", ("linked", "first", "stream"), kinds=("changed",), blamed="source"),
    Fault("source shrinks", ("linked", "first", "stream"), kinds=("changed",), blamed="source"),
    Fault("disk fills", ("linked", "first", "stream"), kinds=("no room",), blamed="sink"),
    Fault("directory is replaced", ("linked",), kinds=("changed",), blamed="sink"),
    Fault("directory is moved", ("stream", "checked"), "ok"),
    Fault("another file appears", ("stream", "checked", "rename"), kinds=("changed",), blamed="sink"),
    Fault("old file is replaced", ("stream", "checked", "rename"), "ok"),
    Fault("validation fails", ("checked",), kinds=("validation",), blamed="sink"),
    Fault("timeout", RECEIVING[1:-1]),
]
EACH_OF_TRANSFER = [*of_transfer(), *OF_FILES]


def of_network_or_controller(fault: Fault) -> Fault:
    """But a look has only Ansible's connection, on which a dead host is noticed as by any task: when ssh does."""
    silent = fault.name in ("link down", "deaf", "mute")
    moments = SENDING if fault.moments == RUNNING else OF_TRANSFER[1:] if silent else OF_TRANSFER
    return dataclasses.replace(fault, moments=moments)


GROUPS_OF_TRANSFER = [of_network_or_controller(fault) for fault in GROUPS]

# of pipeline, at the host in the middle: "made": its links are; "ready": it has said so, and waits; "go": that has
# come, and it has not passed it on
BARRIER = ("made", "ready", "go")
OF_PIPELINE = (*MOMENTS[:1], "linked", *BARRIER, *MOMENTS[3:])
PLACES = ("first", "middle", "last")


def of_chain() -> list[Fault]:
    found = []
    for place in PLACES:
        kill = [f"{place} {what}" for what in ("end", "guard", "login", "session")]
        for word, victims in {"kill": kill, "term": kill[:1]}.items():
            for victim in victims:
                fault = Fault(f"{word} {victim}", OF_PIPELINE, kinds=ENDED, blamed=place, victim=victim)
                # the other ends have nothing to do yet, or their links are not made
                moments = OF_PIPELINE if place == "middle" else OF_PIPELINE[2:]
                found.append(dataclasses.replace(fault, moments=moments, number=NUMBERS[word]))
    return found


EACH_OF_PIPELINE = [*of_stages(), *of_chain(), *[fault for fault in OF_COMMANDS if fault.name != "hidden holds"]]


def with_the_barrier(fault: Fault) -> Fault:
    return dataclasses.replace(fault, moments=fault.moments if fault.moments[0] in RUNNING else OF_PIPELINE)


GROUPS_OF_PIPELINE = [with_the_barrier(fault) for fault in GROUPS]
