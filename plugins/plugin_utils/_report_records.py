# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contents of a report, ready to be shown, and readers of values that may be anything."""

from __future__ import annotations

import calendar
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

from ..module_utils._run.words import printable

LONGEST = 4000  # characters of a text in the report
LEAST = 5  # samples of a curve: fewer show nothing
LATEST = 253402300800  # the end of the year 9999, in seconds since 1970: strftime and gmtime know no later time
HIDDEN = "no_log hides the message"


@dataclasses.dataclass
class Row:
    """A host, or one archive of several."""

    host: str
    state: str
    ok: bool
    level: int | None = None
    size: int | None = None
    elapsed: float | None = None
    rate: float | None = None
    place: str = ""
    note: str = ""
    age: int | None = None  # of the last good archive in the catalog, in seconds
    late: bool = False
    part: bool = False  # of the row above


@dataclasses.dataclass(frozen=True)
class Failure:
    host: str
    kind: str
    msg: str
    where: str = ""  # the stage or the link
    quoted: str = ""  # the end of a standard error


@dataclasses.dataclass(frozen=True)
class Stage:
    name: str
    host: str
    program: str  # "" if it is hidden
    ok: bool | None  # None if it did not run


@dataclasses.dataclass(frozen=True)
class Link:
    source: str  # the names of stages
    destination: str
    size: int | None
    rate: float | None
    encrypted: bool
    ok: bool = True  # whether its run was


@dataclasses.dataclass(frozen=True)
class Chain:
    """Who talked to whom in one run."""

    title: str
    ok: bool
    stages: list[Stage]
    links: list[Link]


@dataclasses.dataclass(frozen=True)
class Curve:
    """The bytes of a link over time: [(seconds, bytes), …]."""

    title: str
    points: list[tuple[float, float]]
    slow: str = ""


@dataclasses.dataclass(frozen=True)
class Stretch:
    """The time for which an archive had a drive; seconds since 1970."""

    drive: str
    title: str
    begin: float
    end: float


@dataclasses.dataclass(frozen=True)
class Tape:
    label: str
    state: str
    good: bool  # whether nothing is wrong with it
    percent: int | None  # None if the capacity is not known
    size: int | None
    archives: int | None
    last: str
    expires: str
    location: str
    last_of: list[str]


@dataclasses.dataclass(frozen=True)
class Known:
    """The last good archive of a host and set."""

    host: str
    set: str
    time: str
    age: int | None
    late: bool
    level: int | None
    size: int | None
    place: str
    kept: str
    tests: list[tuple[str, bool | None]]  # (day, whether it was good), of verification, restore and drill


@dataclasses.dataclass
class Report:
    """All of it."""

    subject: str = "Report"  # the title, unless the task has one
    runs: list[str] = dataclasses.field(default_factory=list)
    rows: list[Row] = dataclasses.field(default_factory=list)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    commands: list[tuple[str, str]] = dataclasses.field(default_factory=list)  # (what for, the command)
    retry: list[str] = dataclasses.field(default_factory=list)  # the hosts of failed tasks, "" for an unknown one
    chains: list[Chain] = dataclasses.field(default_factory=list)
    curves: list[Curve] = dataclasses.field(default_factory=list)
    stretches: list[Stretch] = dataclasses.field(default_factory=list)
    tapes: list[Tape] = dataclasses.field(default_factory=list)
    known: list[Known] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    elapsed: float | None = None
    wanted: str = ""  # the tapes for the next backup
    others: int = 0  # results of something else


# -- values, which may be anything


def text(value: Any, most: int = LONGEST) -> str:
    return printable(str(value))[:most] if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    """A number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if 0 <= value < 2**63 else None


def whole(value: Any) -> int | None:
    found = number(value)
    return None if found is None else int(found)


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    return [text(each) for each in value if isinstance(each, str)] if isinstance(value, list) else []


def moment(value: Any) -> float | None:
    """Seconds since 1970 for 2026-11-26T15:53:55Z."""
    try:
        return float(calendar.timegm(time.strptime(text(value), "%Y-%m-%dT%H:%M:%SZ")))
    except ValueError:
        return None


def censored(result: Mapping[str, Any]) -> bool:
    """Whether its task has no_log."""
    return bool(result.get("censored") or result.get("_ansible_no_log"))


def message(result: Mapping[str, Any]) -> str:
    return HIDDEN if censored(result) else text(result.get("msg"))


def remarks(result: Mapping[str, Any]) -> list[str]:
    return [] if censored(result) else texts(result.get("notes"))


def curve_of(link: Mapping[str, Any], title: str) -> Curve | None:
    """None if there are too few samples to draw anything."""
    samples = link.get("samples")
    points: list[tuple[float, float]] = [(0.0, 0.0)]
    for sample in samples if isinstance(samples, list) else []:
        if not isinstance(sample, list) or len(sample) < 2:
            continue
        at, count = number(sample[0]), number(sample[1])
        if at is not None and count is not None and at > points[-1][0] and count >= points[-1][1]:
            points.append((at, count))
    return Curve(title, points, text(link.get("slow"))) if len(points) > LEAST else None
