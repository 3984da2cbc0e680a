# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parses the reports and samples of an end: the second step after ``heard``.

They come from a host, which may send anything, so they are checked and limited here, once, when they arrive.  The
modules that use them (launch, verdict, result, progress) can then rely on their fields and types, on known names of
stages, links and ends, on limited lengths, and on texts without control characters.
"""

from .._end import link
from .._end.stage import KEPT, KEPT_MOST
from .sentences import KERNEL_TLS, OUTCOMES
from .words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .._end.records import EndPlan, Report, Sample
    from .records import JobProgress

    Message = dict[str, Any]  # from a host, which may send anything
    Parser = Callable[[Any, str], Any]  # (value, its place) -> the value to use; raises Misfit

# limits for the texts (characters) and lists (entries) of a report; a correct end stays below them
WORD = 256
SENTENCE = 2000
STATE = 400  # in a progress line, of which a job may have thousands
FEW = 100
DIALLED_MOST = 4096
STATES = (link.OPEN, link.COMMITTED, link.DONE, link.EOF, link.READ, link.LEFT, link.RESET, link.ABORTED)


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


def number(value: "Any", where: str) -> float:
    """NaN is invalid, and so are numbers whose quotients might overflow."""
    if type(value) in (int, float) and (not value or 1e-12 < abs(value) < 2**63):
        return value  # type: ignore[no-any-return]
    raise Misfit(where)


def within(least: int, most: int) -> "Parser":
    """A whole number; True is none."""

    def parse(value: "Any", where: str) -> int:
        if type(value) is int and least <= value <= most:  # pylint: disable=unidiomatic-typecheck
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


def row(*parsers: "Parser") -> "Parser":
    """A list of as many values."""

    def parse(value: "Any", where: str) -> "list[Any]":
        if not isinstance(value, list) or len(value) != len(parsers):
            raise Misfit(where)
        return [parsers[index](item, "%s[%d]" % (where, index)) for index, item in enumerate(value)]

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


word, sentence, state = brief(WORD), brief(SENTENCE), brief(STATE)
whole = within(1 - 2**63, 2**63 - 1)
figure, count = optional(number), optional(whole)  # None where a kernel does not count
PROCESS = record({"pid": whole, "name": word})
NO_KERNEL_TLS: "dict[str, dict[str, Parser]]" = {kind: {"release": word, "error": word} for kind in KERNEL_TLS}
# {record: {kind: its fields}}
ON_THE_WAY: "dict[str, dict[str, Parser]]" = {
    kind: {"where": word, "error": word} for kind in ("cut on the way", "changed on the way", "no tls")
}
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
        "no congestion control": {"name": word, "errno": whole, "error": word, "others": word},
        "no job": {"path": sentence, "error": word},
        "not detached": {"end": word},
        "control not encrypted": {"end": word, "problem": variant(ON_THE_WAY)},
    },
    "Stop": {"signal": {"signal": word}, "controller": {}, "home": {}, "guard": {}},
    "Death": {"signal": {"signal": word}, "exit": {"status": whole}, "unknown": {}, "error": {"error": sentence}},
    "StageProblem": {
        "not started": {"step": word, "name": sentence, "errno": whole, "error": sentence},
        "failed": {"signal": word},
        "stopped reading": {"consumed": count, "unread": whole},
        "held": {"processes": each(PROCESS, FEW), "sure": flag},
        "not killed": {"pid": whole},
    },
    "SideProblem": {
        "stalled": {"seconds": whole},
        "dead peer": {"seconds": whole},
        "cancelled": {},
        **ON_THE_WAY,
        "key used up": {"cipher": word},
        "not written": {"bytes": whole, "error": word},
        "relay": {"name": word, "signal": word, "error": word},
    },
    "EndWarning": {
        "full reads": {"granted": whole, "asked": whole},
        "small packets": {"address": word, "peer": word, "segment": whole},
        "afterwards": {"stage": word, "error": sentence},
    },
}
STAGE = record(
    {
        "name": word,
        "rc": optional(within(-127, 255)),  # more than 8 bits would be another status for our caller
        "signal": optional(within(1, 127)),
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
        "bytes": count,
        "unread": count,
        "padding": whole,
        "ended": flag,
        "elapsed": number,
        "ended_at": figure,
        "rtt": figure,
        "retransmits": count,
        "waited": record({"receiver": figure, "buffer": figure, "busy": figure}),
        "address": word,
        "peer": word,
        "encryption": optional(record({"how": one_of(("kernel", "relay")), "cipher": word, "records": count})),
    }
)
POINT = row(word, number, whole, figure, count, figure)
DIALLED = record(
    {
        "end": word,
        "address": word,
        "port": whole,
        "met": flag,
        "outcome": one_of(tuple(OUTCOMES)),
        "detail": word,
    }
)
CAPABILITIES = record(
    {"ciphers": each(word, FEW), "no_kernel_tls": optional(variant(NO_KERNEL_TLS)), "ssl": word, "no_relay": word}
)
CONNECT = record(
    {
        "listening": each(whole, FEW),
        "taken": each(record({"port": whole, "error": word}), FEW),
        "dialled": each(DIALLED, DIALLED_MOST),
        "dials": flag,
        "strangers": whole,
        "large": whole,
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
        "detached": flag,
        "results_file": sentence,
        "stages": each(STAGE, len(told["stages"])),
        "links": each(SIDE, 2 * len(told["links"])),
        "points": each(each(POINT, len(told["links"])), FEW),
        "connect": CONNECT,
        "encryption": CAPABILITIES,
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
    if not {(point[0], "W") for points in report.get("points", ()) for point in points} <= sides:
        return "it has figures of a link that it does not write to"
    if "connect" in report and not {entry["end"] for entry in report["connect"]["dialled"]} <= set(told["dial"]):
        return "it names an unknown end"
    return ""


JOB_PROGRESS = record(
    {
        "bytes": whole,
        "elapsed": figure,
        "rate": whole,
        "expected": count,
        "percent": count,
        "left": figure,
        "slow": word,
    }
)


def parse_progress(told: "Any") -> "JobProgress | None":
    """The progress in the file of a job, None if it is not valid."""
    try:
        progress: "JobProgress" = JOB_PROGRESS(told, "")
    except Misfit:
        return None
    return progress


def told_by(told: "EndPlan") -> "Parser":
    """What stages of this plan tell; anything else is dropped."""
    names = [stage["name"] for stage in told["stages"] if "tells" in stage]

    def parse(value: "Any", where: str) -> "dict[str, str]":
        if not isinstance(value, dict):
            raise Misfit(where)
        return {name: state(value[name], where) for name in names if name in value}

    return parse


def parse_sample(message: "Message", told: "EndPlan") -> "Sample | None":
    """The sample in a message, None if it is not a valid one."""
    fields = {"sample": each(SIDE, 2 * len(told["links"])), "at": number, "told": told_by(told)}
    try:
        sample: "Sample" = record(fields)(message, "")
    except Misfit:
        return None
    known = {spec["id"] for spec in told["links"]}
    return sample if {side["id"] for side in sample["sample"]} <= known else None
