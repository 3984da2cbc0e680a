# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an end says comes from a host, which may say anything: how much of it is kept, and whether it is a report.

All that is wrong with a report is found here, once, when it comes in.  Whoever
uses it afterwards (run, verdict, result, progress) finds the fields, the types
and the names of stages, links and ends that it must have.
"""

from .._end import link
from .._end.stage import KEPT, KEPT_MOST
from .._end.watch import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# bytes of one marked line: a stage's arguments are at most 2 MiB (execve(2)), in JSON up to six times that, beside
# the 64 KiB that are kept of each of its outputs
REPORT_MOST = 16 * 1024 * 1024
NOISE_MOST = 64 * 1024  # bytes that are kept of what is no report: the last ones, for the sentence that says so
LIST_MOST = 10_000  # entries of a list in a report
STATES = (link.OPEN, link.COMMITTED, link.DONE, link.EOF, link.READ, link.LEFT, link.RESET, link.ABORTED)
MARKED = MARK.encode("ascii")


class Heard:
    """An end's output as it comes, cut anywhere: of whatever length it is, a bounded part is kept."""

    def __init__(self) -> None:
        self.line = bytearray()  # what has come of a line that is marked, or may be
        self.noise = bytearray()  # the last part of all others
        self.marked = b""  # the last marked line that is whole
        self.noisy = False  # the rest of this line is noise

    def feed(self, chunk: bytes) -> "list[str]":
        """The marked lines that are whole now."""
        found: "list[str]" = []
        at = chunk.find(b"\n")
        self._go_on(chunk if at < 0 else chunk[:at])
        while at >= 0:
            self._end_line(found)
            at += 1
            if not chunk.startswith(MARKED, at):  # then all to the next mark is noise, or to the last line
                mark = chunk.find(b"\n" + MARKED, at)
                stop = 1 + (mark if mark >= 0 else chunk.rfind(b"\n"))
                self._add_noise(chunk[at:stop])
                at = stop
            stop = chunk.find(b"\n", at)
            self._go_on(chunk[at:] if stop < 0 else chunk[at:stop])
            at = stop
        return found

    def _end_line(self, found: "list[str]") -> None:
        if self.line.startswith(MARKED):
            self.marked = bytes(self.line)
            found.append(self.marked.decode("utf-8", "replace"))
        else:
            self._add_noise(self.line + b"\n")
        self.line.clear()
        self.noisy = False

    def _go_on(self, piece: bytes) -> None:
        self.line += piece
        if self.noisy or not MARKED.startswith(self.line[: len(MARKED)]) or len(self.line) > REPORT_MOST:
            self.noisy = True
            self._add_noise(self.line)
            self.line.clear()

    def _add_noise(self, noise: "bytes | bytearray") -> None:
        self.noise += noise
        if len(self.noise) > 2 * NOISE_MOST:  # not each time: it moves what stays
            del self.noise[:-NOISE_MOST]

    def text(self) -> str:
        """What is left to conclude from, the last marked line last."""
        return b"\n".join((self.noise[-NOISE_MOST:], self.marked, self.line)).decode("utf-8", "replace")


# -- the form of a report: {field: shape}, [shape of each entry], (one shape, or another), or a test of the value


def text(value: "Any") -> bool:
    return isinstance(value, str) and len(value) <= KEPT


def output(value: "Any") -> bool:
    """flaw() knows how much of it this stage was to keep."""
    return isinstance(value, str) and len(value) <= KEPT_MOST


def figure(value: "Any") -> bool:
    """A number that can be calculated with, or None; not NaN, which is no number, nor what overflows when divided."""
    return value is None or type(value) in (int, float) and (not value or 1e-12 < abs(value) < 2**63)


def number(value: "Any") -> bool:
    return value is not None and figure(value)


def flag(value: "Any") -> bool:
    return isinstance(value, bool)


def nothing(value: "Any") -> bool:
    return value is None


PROBLEM = {"kind": text, "text": text}
STAGE = {
    "name": text,
    "rc": figure,
    "signal": figure,
    "elapsed": figure,
    "started_at": figure,
    "ended_at": figure,
    "cpu": figure,
    "problem": (nothing, PROBLEM),
    "blame": [text],
    "stderr": (nothing, text),  # none is kept of a stage that has inherited it
    "stdout": output,
    "stdout_truncated": flag,
}
SIDE = {
    "id": text,
    "side": lambda value: value in ("W", "R"),
    "state": lambda value: value in STATES,
    "problem": text,
    "bytes": figure,
    "unread": figure,
    "padding": figure,
    "elapsed": figure,
    "ended_at": figure,
    "rtt": figure,
    "retransmits": figure,
    "waited": {"receiver": figure, "buffer": figure, "busy": figure},
    "address": text,
    "peer": text,
}
DIALLED = {"end": text, "address": text, "port": figure, "outcome": text}
CONNECT = {"listening": [figure], "taken": [text], "dialled": [DIALLED], "dials": flag, "strangers": number}
REPORT = {
    "end": text,
    "refused": text,
    "stage": text,
    "skipped": text,
    "cancelled": text,
    "died": text,
    "not_connected": text,
    "preflight": flag,
    "stages": [STAGE],
    "links": [SIDE],
    "connect": CONNECT,
    "warnings": [text],
    "left": [text],
}
SAMPLE = {"sample": [SIDE], "at": number}


def misfit(value: "Any", shape: "Any", where: str = "") -> str:
    """The place of the first thing that has not the shape it must have; empty when all has."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return where
        places = ((value.get(key, misfit), inner, f"{where}.{key}") for key, inner in shape.items())
    elif isinstance(shape, list):
        if not isinstance(value, list) or len(value) > LIST_MOST:
            return where
        places = ((item, shape[0], f"{where}[{index}]") for index, item in enumerate(value))
    elif isinstance(shape, tuple):
        return "" if any(not misfit(value, each, where) for each in shape) else where
    else:
        return "" if shape(value) else where
    return next((found for found in (misfit(*place) for place in places) if found), "")


def flaw(message: "dict[str, Any]", told: "dict[str, Any]") -> str:
    """What is wrong with the report of an end that was told this plan; empty when nothing is."""
    found = misfit(message, {key: shape for key, shape in REPORT.items() if key in message})
    if found:
        return f"its {found.lstrip('.')} is not as it should be"
    if message.get("end", told["end"]) != told["end"]:
        return "it is another end's"
    stages = {stage["name"]: stage.get("keep", KEPT) for stage in told["stages"]}
    sides = {(spec["id"], side) for spec in told["links"] for side in spec["side"].replace("local", "WR")}
    for stage in message.get("stages", ()):
        if stage["name"] not in stages:
            return "it is of a stage that is not this end's"
        if len(stage["stdout"]) > stages[stage["name"]]:
            return "it has more of an output than was to be kept"
    if not {(side["id"], side["side"]) for side in message.get("links", ())} <= sides:
        return "it is of a link that is not this end's"
    if not {entry["end"] for entry in message.get("connect", {}).get("dialled", ())} <= set(told["dial"]):
        return "it is of an end that this one was not to dial"
    return ""


def sample_is_sound(message: "dict[str, Any]", told: "dict[str, Any]") -> bool:
    """Whether this can be shown as progress."""
    return not misfit(message, SAMPLE) and {side["id"] for side in message["sample"]} <= {
        spec["id"] for spec in told["links"]
    }
