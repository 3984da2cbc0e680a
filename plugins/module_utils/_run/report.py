# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses the output of an end.  It comes from a host, which may send anything, so it is limited and checked here.

A report is parsed once, when it arrives.  The modules that use it (run, verdict, result, progress) can then rely on
its fields and types, on known names of stages, links and ends, on limited lengths, and on texts without control
characters.
"""

from .._end import link
from .._end.stage import KEPT, KEPT_MOST
from .._end.wire import MARK
from .sentences import KERNEL_TLS, OUTCOMES
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .._end.records import EndPlan, Report, Sample

    Message = dict[str, Any]  # from a host, which may send anything
    Parser = Callable[[Any, str], Any]  # (value, its place) -> the value to use; raises Misfit

# bytes of one marked line without the outputs of the stages; attempts to dial take the most
REPORT_MOST = 1024 * 1024
NOISE_MOST = 64 * 1024  # bytes of other output to keep, the last ones, for the message that the report is missing
# limits for the texts (characters) and lists (entries) of a report; a correct end stays below them
WORD = 256
SENTENCE = 2000
FEW = 100
DIALLED_MOST = 4096
STATES = (link.OPEN, link.COMMITTED, link.DONE, link.EOF, link.READ, link.LEFT, link.RESET, link.ABORTED)
MARKED = MARK.encode("ascii")


class Heard:
    """Collects the output of an end, which arrives in chunks of any size; it keeps a limited part of it."""

    def __init__(self, most: int = REPORT_MOST) -> None:
        """``most``: bytes of a marked line; a longer one is noise."""
        self.most = most
        self.line = bytearray()  # the incomplete last line, if it is marked or may become so
        self.noise = bytearray()  # the last part of all other lines
        self.marked = b""  # the last complete marked line
        self.noisy = False  # the rest of this line is noise

    def feed(self, chunk: bytes) -> "list[str]":
        """Add a chunk; returns the marked lines that it completes."""
        found: "list[str]" = []
        at = chunk.find(b"\n")
        self._go_on(chunk if at < 0 else chunk[:at])
        while at >= 0:
            self._end_line(found)
            at += 1
            if not chunk.startswith(MARKED, at):  # everything up to the next mark, or to the last line, is noise
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
        if len(self.noise) > 2 * NOISE_MOST:  # not each time, because it moves the rest
            del self.noise[:-NOISE_MOST]

    def text(self) -> str:
        """The kept output, with the last marked line at the end."""
        return b"\n".join((self.noise[-NOISE_MOST:], self.marked, self.line)).decode("utf-8", "replace")


def report_most(told: "EndPlan") -> int:
    """The maximum size in bytes of a report for this plan."""
    return REPORT_MOST + sum(2 * KEPT + stage.get("keep", KEPT) for stage in told["stages"])


# -- the form of a report


class Misfit(ValueError):
    """A value is invalid; the text is its place."""


def output(value: "Any", where: str) -> str:
    """Standard output of a command, unchanged; ``stray`` checks the limit of the stage."""
    if not isinstance(value, str) or len(value) > KEPT_MOST:
        raise Misfit(where)
    return value.encode("utf-8", "replace").decode("utf-8")  # JSON can contain unpaired surrogates, UTF-8 cannot


def errors(value: "Any", where: str) -> str:
    """Standard error of a command, escaped because messages quote it."""
    if not isinstance(value, str) or len(value) > KEPT:
        raise Misfit(where)
    return printable(value)[-KEPT:]


def brief(most: int) -> "Parser":
    """A text for people, cut to its beginning."""

    def parse(value: "Any", where: str) -> str:
        if not isinstance(value, str):
            raise Misfit(where)
        return printable(value[:most])

    return parse


def figure(value: "Any", where: str) -> "Any":
    """A number or None.  NaN is invalid, and so are numbers whose quotients might overflow."""
    if value is None or type(value) in (int, float) and (not value or 1e-12 < abs(value) < 2**63):
        return value
    raise Misfit(where)


def number(value: "Any", where: str) -> "Any":
    if value is None:
        raise Misfit(where)
    return figure(value, where)


def within(least: int, most: int) -> "Parser":
    """A whole number or None.  An exit status of more than 8 bits would be a different one for the caller."""

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
    """A list, cut to its first entries."""

    def parse(value: "Any", where: str) -> "list[Any]":
        if not isinstance(value, list):
            raise Misfit(where)
        return [parser(item, "%s[%d]" % (where, index)) for index, item in enumerate(value[:most])]

    return parse


def record(fields: "dict[str, Parser]") -> "Parser":
    """A mapping with all of these fields; others are dropped."""

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
NO_KERNEL_TLS: "dict[str, dict[str, Parser]]" = {kind: {"release": word, "error": word} for kind in KERNEL_TLS}
# {record: {kind: its fields}}
KINDS: "dict[str, dict[str, dict[str, Parser]]]" = {
    "Refusal": {
        "no directory": {"path": sentence},
        "not executable": {"path": sentence},
        "not found": {"name": sentence, "path": sentence},
        "platform": {"platform": word},
        "foreign proc": {},
        "no fork": {"error": word},
        "no kernel tls": {"problem": variant(NO_KERNEL_TLS)},
        "no common cipher": {},
        "old python": {"version": word},
        "incomplete python": {"python": word, "error": word},
        "no tls": {"error": word},
        "no loopback": {"error": word},
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
    "SideProblem": {
        "stalled": {"seconds": number},
        "dead peer": {"seconds": number},
        "cancelled": {},
        "cut on the way": {"where": word, "error": word},
        "changed on the way": {"where": word, "error": word},
        "key used up": {"cipher": word},
        "no tls": {"where": word, "error": word},
        "relay": {"name": word, "signal": word, "error": word},
    },
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
        "stderr": optional(errors),  # None if the stage inherited it
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
        "ended": flag,
        "elapsed": figure,
        "ended_at": figure,
        "rtt": figure,
        "retransmits": figure,
        "waited": record({"receiver": figure, "buffer": figure, "busy": figure}),
        "address": word,
        "peer": word,
        "encryption": optional(record({"how": one_of(("kernel", "relay")), "cipher": word, "records": figure})),
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
    """The fields of a report for this plan; each may be missing."""
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
    """The report of an end with this plan, and the reason why it is invalid ("" if it is valid)."""
    parsers = report_parsers(told)
    try:
        found: "Any" = {key: parsers[key](value, key) for key, value in message.items() if key in parsers}
    except Misfit as exc:
        return {}, "invalid value in %s" % exc
    report: "Report" = found
    return report, stray(report, told)


def stray(report: "Report", told: "EndPlan") -> str:
    """The reason if a report names anything that is not part of this plan; "" otherwise."""
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
    """The sample in a message, None if it is not a valid one."""
    try:
        sample: "Sample" = record({"sample": each(SIDE, 2 * len(told["links"])), "at": number})(message, "")
    except Misfit:
        return None
    known = {spec["id"] for spec in told["links"]}
    return sample if {side["id"] for side in sample["sample"]} <= known else None
