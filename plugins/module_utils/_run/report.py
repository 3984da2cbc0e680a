# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an end says comes from a host, which may say anything: how much of it is kept, and whether it is a report.

A report is parsed here, once, when it comes in.  Whoever uses it afterwards (run,
verdict, result, progress) finds the fields, the types and the names of stages,
links and ends that it must have, no more of each than can be shown, and no
control characters for somebody's terminal.
"""

from .._end import link
from .._end.stage import KEPT, KEPT_MOST
from .._end.wire import MARK
from .sentences import OUTCOMES
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .._end.records import EndPlan, Report, Sample

    Message = dict[str, Any]  # from a host, which may say anything
    Parser = Callable[[Any, str], Any]  # (value, its place) -> what is kept of it; raises Misfit

# bytes of one marked line beside the outputs of the stages: most is of what was dialled
REPORT_MOST = 1024 * 1024
NOISE_MOST = 64 * 1024  # bytes that are kept of what is no report: the last ones, for the sentence that says so
# what is kept of a report's texts, characters, and of its lists, entries; more than an honest end has to say
WORD = 256
SENTENCE = 2000
FEW = 100
DIALLED_MOST = 4096
STATES = (link.OPEN, link.COMMITTED, link.DONE, link.EOF, link.READ, link.LEFT, link.RESET, link.ABORTED)
MARKED = MARK.encode("ascii")


class Heard:
    """An end's output as it comes, cut anywhere: of whatever length it is, a bounded part is kept."""

    def __init__(self, most: int = REPORT_MOST) -> None:
        """``most``: bytes of a marked line; a longer one is noise."""
        self.most = most
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
        if self.noisy or not MARKED.startswith(self.line[: len(MARKED)]) or len(self.line) > self.most:
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


def report_most(told: "EndPlan") -> int:
    """Bytes that the report of an end with this plan may have."""
    return REPORT_MOST + sum(2 * KEPT + stage.get("keep", KEPT) for stage in told["stages"])


# -- the form of a report


class Misfit(ValueError):
    """A value is not what must be there; the text is its place."""


def output(value: "Any", where: str) -> str:
    """Standard output of a command, as it is; how much of it this stage was to keep is seen in ``stray``."""
    if not isinstance(value, str) or len(value) > KEPT_MOST:
        raise Misfit(where)
    return value.encode("utf-8", "replace").decode("utf-8")  # JSON can spell halves of a character, UTF-8 cannot


def errors(value: "Any", where: str) -> str:
    """Standard error of a command: it is quoted, and may come to a terminal."""
    if not isinstance(value, str) or len(value) > KEPT:
        raise Misfit(where)
    return printable(value)[-KEPT:]


def brief(most: int) -> "Parser":
    """A text for people, of which the beginning is kept."""

    def parse(value: "Any", where: str) -> str:
        if not isinstance(value, str):
            raise Misfit(where)
        return printable(value[:most])

    return parse


def figure(value: "Any", where: str) -> "Any":
    """A number that can be calculated with, or None; not NaN, which is no number, nor what overflows when divided."""
    if value is None or type(value) in (int, float) and (not value or 1e-12 < abs(value) < 2**63):
        return value
    raise Misfit(where)


def number(value: "Any", where: str) -> "Any":
    if value is None:
        raise Misfit(where)
    return figure(value, where)


def within(least: int, most: int) -> "Parser":
    """A whole number, or None: an exit status of more than 8 bits would be another one, or none, to our caller."""

    def parse(value: "Any", where: str) -> "int | None":
        if value is None or type(value) is int and least <= value <= most:  # pylint: disable=unidiomatic-typecheck
            return value
        raise Misfit(where)

    return parse


def flag(value: "Any", where: str) -> bool:
    if not isinstance(value, bool):
        raise Misfit(where)
    return value


def one_of(choices: "tuple[str, ...]") -> "Parser":
    def parse(value: "Any", where: str) -> str:
        if not isinstance(value, str) or value not in choices:
            raise Misfit(where)
        return value

    return parse


def optional(parser: "Parser") -> "Parser":
    return lambda value, where: None if value is None else parser(value, where)


def each(parser: "Parser", most: int) -> "Parser":
    """A list, of which the first entries are kept."""

    def parse(value: "Any", where: str) -> "list[Any]":
        if not isinstance(value, list):
            raise Misfit(where)
        return [parser(item, "%s[%d]" % (where, index)) for index, item in enumerate(value[:most])]

    return parse


def record(fields: "dict[str, Parser]") -> "Parser":
    """A mapping with all of these fields; others are not kept."""

    def parse(value: "Any", where: str) -> "dict[str, Any]":
        if not isinstance(value, dict):
            raise Misfit(where)
        missing = [name for name in fields if name not in value]
        if missing:
            raise Misfit("%s.%s" % (where, missing[0]))
        return {name: parser(value[name], "%s.%s" % (where, name)) for name, parser in fields.items()}

    return parse


def variant(fields: "dict[str, dict[str, Parser]]") -> "Parser":
    """A mapping of one of these kinds, with the fields of its kind."""
    kind_of = one_of(tuple(fields))
    parsers = {kind: record({"kind": kind_of, **others}) for kind, others in fields.items()}

    def parse(value: "Any", where: str) -> "Any":
        if not isinstance(value, dict):
            raise Misfit(where)
        return parsers[kind_of(value.get("kind"), where + ".kind")](value, where)

    return parse


word, sentence = brief(WORD), brief(SENTENCE)
PROCESS = record({"pid": number, "name": word})
# {record: {kind: its fields}}
KINDS: "dict[str, dict[str, dict[str, Parser]]]" = {
    "Refusal": {
        "no directory": {"path": sentence},
        "not executable": {"path": sentence},
        "not found": {"name": sentence, "path": sentence},
        "platform": {"platform": word},
        "foreign proc": {},
        "no fork": {"error": word},
        "old python": {"version": word},
        "incomplete python": {"python": word, "error": word},
    },
    "Stop": {"signal": {"signal": word}, "controller": {}, "guard": {}},
    "Death": {"signal": {"signal": word}, "exit": {"status": number}, "unknown": {}, "error": {"error": sentence}},
    "StageProblem": {
        "not started": {"step": word, "name": sentence, "errno": number, "error": sentence},
        "failed": {"signal": word},
        "stopped reading": {"consumed": figure, "unread": number},
        "held": {"processes": each(PROCESS, FEW), "sure": flag},
        "not killed": {"pid": number},
    },
    "SideProblem": {"stalled": {"seconds": number}, "dead peer": {"seconds": number}, "cancelled": {}},
    "EndWarning": {
        "full reads": {"granted": number, "asked": number},
        "small packets": {"address": word, "peer": word, "segment": number},
    },
}
STAGE = record(
    {
        "name": word,
        "rc": within(-127, 255),
        "signal": within(1, 127),
        "elapsed": figure,
        "started_at": figure,
        "ended_at": figure,
        "cpu": figure,
        "problem": optional(variant(KINDS["StageProblem"])),
        "blame": each(word, FEW),
        "stderr": optional(errors),  # none is kept of a stage that has inherited it
        "stdout": output,
        "stdout_truncated": flag,
    }
)
SIDE = record(
    {
        "id": word,
        "side": one_of(("W", "R")),
        "state": one_of(STATES),
        "problem": optional(variant(KINDS["SideProblem"])),
        "bytes": figure,
        "unread": figure,
        "padding": figure,
        "elapsed": figure,
        "ended_at": figure,
        "rtt": figure,
        "retransmits": figure,
        "waited": record({"receiver": figure, "buffer": figure, "busy": figure}),
        "address": word,
        "peer": word,
    }
)
DIALLED = record(
    {
        "end": word,
        "address": word,
        "port": number,
        "met": flag,
        "outcome": one_of(tuple(OUTCOMES)),
        "detail": word,
    }
)
CONNECT = record(
    {
        "listening": each(number, FEW),
        "taken": each(record({"port": number, "error": word}), FEW),
        "dialled": each(DIALLED, DIALLED_MOST),
        "dials": flag,
        "strangers": number,
        "large": number,
    }
)


def report_parsers(told: "EndPlan") -> "dict[str, Parser]":
    """What the report of an end with this plan may have; all of it may be missing."""
    return {
        "end": word,
        "python": word,
        "refused": variant(KINDS["Refusal"]),
        "stage": word,
        "skipped": record({"stage": word, "path": sentence, "exists": flag}),
        "cancelled": optional(variant(KINDS["Stop"])),
        "died": variant(KINDS["Death"]),
        "not_connected": each(word, len(told["links"])),
        "preflight": flag,
        "stages": each(STAGE, len(told["stages"])),
        "links": each(SIDE, 2 * len(told["links"])),
        "connect": CONNECT,
        "warnings": each(variant(KINDS["EndWarning"]), FEW),
        "killed": each(PROCESS, FEW),
        "left": each(PROCESS, FEW),
    }


def parse(message: "Message", told: "EndPlan") -> "tuple[Report, str]":
    """The report of an end that was told this plan, as far as it is kept, and what is wrong with it ("": nothing)."""
    parsers = report_parsers(told)
    try:
        found: "Any" = {key: parsers[key](value, key) for key, value in message.items() if key in parsers}
    except Misfit as exc:
        return {}, "invalid value in %s" % exc
    report: "Report" = found
    return report, stray(report, told)


def stray(report: "Report", told: "EndPlan") -> str:
    """What a report names that is not this end's; empty when there is nothing."""
    if report.get("end", told["end"]) != told["end"]:
        return "it belongs to another end"
    stages = {stage["name"]: stage.get("keep", KEPT) for stage in told["stages"]}
    sides = {(spec["id"], side) for spec in told["links"] for side in spec["side"].replace("local", "WR")}
    for stage in report.get("stages", ()):
        if stage["name"] not in stages:
            return "it names an unknown stage"
        if len(stage["stdout"]) > stages[stage["name"]]:
            return "an output is longer than allowed"
    if not {(side["id"], side["side"]) for side in report.get("links", ())} <= sides:
        return "it names an unknown link"
    if "connect" in report and not {entry["end"] for entry in report["connect"]["dialled"]} <= set(told["dial"]):
        return "it names an unknown end"
    return ""


def parse_sample(message: "Message", told: "EndPlan") -> "Sample | None":
    """What of a message can be shown as progress, None where it is no sample."""
    try:
        sample: "Sample" = record({"sample": each(SIDE, 2 * len(told["links"])), "at": number})(message, "")
    except Misfit:
        return None
    known = {spec["id"] for spec in told["links"]}
    return sample if {side["id"] for side in sample["sample"]} <= known else None
