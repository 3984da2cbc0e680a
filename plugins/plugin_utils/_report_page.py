# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report: its sections, each only if there is something to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import _report_draw as draw
from . import _report_picture as picture
from . import _tape_table as table
from ._report_html import Element, document, tag
from ._report_records import Failure, Known, Report, Row, Tape
from ._report_style import STYLE

MOST_CHAINS, MOST_CURVES, MOST_FAILURES = 12, 24, 100
GOOD = ("good", "good before", "ok", "copied", "verified", "read", "compared")
WARN = ("not read", "skipped", "estimated")

Column = tuple[str, str, Callable[[Any], Any]]  # head, class, content


def page(title: str, made: str, report: Report) -> str:
    """``made``: the time of the report, UTC."""
    sections = [
        failures(report),
        section("Hosts", hosts(report.rows)) if report.rows else None,
        pictures(report),
        timeline(report),
        curves(report),
        section("Last good archives", known(report.known), lead="For each host and set in the catalog.")
        if report.known
        else None,
        tapes(report),
        remarks(report),
    ]
    footer = tag(
        "footer", f"Made by plumbing.socketpipe.report at {made.replace('T', ' ').rstrip('Z')}. All times are UTC."
    )
    body = tag("body", tag("main", head(title, made, report), tiles(report), sections, footer))
    return document(title, made, STYLE, body)


def section(title: str, *content: Any, lead: str = "") -> Element:
    return tag("section", tag("h2", title), tag("p", lead, class_="lead") if lead else None, list(content))


# -- the beginning


def head(title: str, made: str, report: Report) -> Element:
    kind, told = verdict(report)
    runs = ", ".join(report.runs)
    when = f"{made[:10]} {made[11:16]} UTC"
    return tag(
        "header",
        tag("h1", title),
        tag("span", told, class_=f"verdict {kind}"),
        tag("p", f"Run {runs}, reported {when}" if runs else when, class_="sub"),
    )


def verdict(report: Report) -> tuple[str, str]:
    """(class, words)"""
    failed = len({failure.host for failure in report.failures})
    missing = [each for each in report.known if each.late]
    if failed:
        return "bad", f"{failed} failed"
    if missing:
        return "warn", f"{table.count(len(missing), 'archive')} too old"
    return "good", "All good"


def tiles(report: Report) -> Element:
    rows = [row for row in report.rows if not row.part]
    good = [row for row in rows if row.ok and row.state in GOOD]
    failed = len({failure.host for failure in report.failures})
    found: list[tuple[Any, str]] = []
    if rows:
        bad = tag("span", f" · {failed} failed", class_="bad") if failed else None
        found.append(([str(len(good)), bad], "hosts good" if report.runs else "good"))
        sizes = [row.size for row in good if row.size is not None]
        found.append((table.bytes_of(sum(sizes)) if sizes else table.NONE, "moved" if not report.runs else "archived"))
    if report.elapsed is not None:
        found.append((table.duration(report.elapsed), "from plan to end"))
    rates = [row.rate for row in rows if row.rate and row.ok]
    if rates:
        found.append((table.rate_of(max(rates)), "fastest host" if len(rates) > 1 else "rate"))
    ages = [each.age for each in report.known if each.age is not None]
    if ages:
        found.append((old(max(ages)), "age of the oldest last good archive"))
    if report.tapes:
        found.append((str(len(report.tapes)), "tapes" if len(report.tapes) > 1 else "tape"))
    return tag(
        "div", [tag("div", tag("b", big), tag("span", small), class_="tile") for big, small in found], class_="tiles"
    )


def failures(report: Report) -> Element | None:
    if not report.failures and not report.commands:
        return None
    shown = [failure(each) for each in report.failures[:MOST_FAILURES]]
    more = len(report.failures) - MOST_FAILURES
    rest = tag("p", f"and {more} more", class_="lead") if more > 0 else None
    commands = [tag("div", what, ":", tag("pre", command), class_="command") for what, command in report.commands]
    return section("Failures" if shown else "To do", shown, rest, commands)


def failure(one: Failure) -> Element:
    where = f"{one.kind} · {one.where}" if one.where else one.kind
    quoted = tag("pre", one.quoted) if one.quoted else None
    return tag("div", tag("b", one.host), tag("span", where), tag("p", one.msg), quoted, class_="failure")


# -- tables


def rows_of(
    columns: Sequence[Column], entries: Sequence[Any], class_of: Callable[[Any], str] = lambda _each: ""
) -> Element:
    """A table without the columns in which all entries are empty."""
    cells = [[content(entry) for _head, _class, content in columns] for entry in entries]
    used = [number for number in range(len(columns)) if any(row[number] not in (None, "", table.NONE) for row in cells)]
    heads = [tag("th", columns[number][0], class_=columns[number][1] or None, scope="col") for number in used]
    body = []
    for entry, row in zip(entries, cells):
        made = []
        for number in used:
            title, class_, _content = columns[number]
            value = table.NONE if row[number] in (None, "") else row[number]
            empty = " empty" if value == table.NONE else ""
            made.append(tag("td", as_one(value), class_=(class_ + empty).strip() or None, data_label=title))
        body.append(tag("tr", made, class_=class_of(entry) or None))
    return tag("div", tag("table", tag("thead", tag("tr", heads)), tag("tbody", body)), class_="scroll")


def as_one(value: Any) -> Any:
    """One child, because a cell is a flex container on narrow screens."""
    return tag("span", value) if isinstance(value, (str, list)) else value


def badge(state: str, kind: str) -> Element:
    return tag("span", state, class_=f"state {kind}")


def badge_of(row: Row) -> Element:
    kind = "bad" if not row.ok and row.state not in WARN else "good" if row.state in GOOD else "warn"
    return badge(row.state, "plain" if row.state in ("left out", "unchanged") else kind)


def old(age: int) -> str:
    return table.age(age) if age >= 3600 else "under 1 h"


def age_of(age: int | None, late: bool) -> Any:
    return "" if age is None else tag("span", old(age), " late" if late else "", class_="late" if late else None)


def hosts(rows: Sequence[Row]) -> Element:
    columns: list[Column] = [
        ("Host", "name", lambda row: row.host),
        ("Result", "t", badge_of),
        ("Level", "n", lambda row: row.level),
        ("Size", "n", lambda row: table.bytes_of(row.size)),
        ("Time", "n", lambda row: table.duration(row.elapsed)),
        ("Rate", "n", lambda row: table.rate_of(row.rate)),
        ("Where", "", lambda row: row.place),
        ("Last good", "n", lambda row: age_of(row.age, row.late)),
        ("Left out, remarks", "wide", lambda row: row.note),
    ]
    return rows_of(columns, rows, lambda row: "part" if row.part else "")


def test_of(each: tuple[str, bool | None]) -> Any:
    day, good = each
    return tag("span", day, " failed" if good is False else "", class_="late" if good is False else None)


def known(entries: Sequence[Known]) -> Element:
    columns: list[Column] = [
        ("Host", "name", lambda each: each.host),
        ("Set", "t", lambda each: each.set),
        ("Age", "n", lambda each: age_of(each.age, each.late)),
        ("Written", "t", lambda each: each.time[:16].replace("T", " ")),
        ("Level", "n", lambda each: each.level),
        ("Size", "n", lambda each: table.bytes_of(each.size)),
        ("Tape", "t", lambda each: each.place),
        ("Kept until", "t", lambda each: each.kept),
        ("Verified", "t", lambda each: test_of(each.tests[0])),
        ("Restored", "t", lambda each: test_of(each.tests[1])),
        ("Drilled", "t", lambda each: test_of(each.tests[2])),
    ]
    return rows_of(columns, entries)


def tapes(report: Report) -> Element | None:
    if not report.tapes:
        return None

    def filled(tape: Tape) -> Any:
        return (
            None if tape.percent is None else tag("span", draw.fill(tape.percent), f"{tape.percent} %", class_="fill")
        )

    columns: list[Column] = [
        ("Tape", "name", lambda tape: tape.label),
        ("State", "t", lambda tape: badge(tape.state, "plain" if tape.good else "warn")),
        ("Full", "", filled),
        ("Size", "n", lambda tape: table.bytes_of(tape.size)),
        ("Archives", "n", lambda tape: tape.archives),
        ("Last written", "t", lambda tape: tape.last[:16].replace("T", " ")),
        ("Expires", "t", lambda tape: tape.expires[:10]),
        ("Location", "", lambda tape: tape.location),
        ("Last good archive of", "wide", lambda tape: table.few(tape.last_of, most=5)),
    ]
    lead = f"The next backup needs {report.wanted}." if report.wanted else ""
    return section("Tapes", rows_of(columns, report.tapes), lead=lead)


def remarks(report: Report) -> Element | None:
    if not report.notes:
        return None
    return section("Remarks", tag("ul", [tag("li", note) for note in report.notes], class_="notes"))


# -- drawings


def pictures(report: Report) -> Element | None:
    if not report.chains:
        return None
    shown = sorted(report.chains, key=lambda one: one.ok)[:MOST_CHAINS]
    more = len(report.chains) - len(shown)
    rest = tag("p", f"and {more} more", class_="lead") if more else None
    drawn = [tag("div", picture.chain(one), class_="chain") for one in picture.gathered(shown)]
    return section("Who talked to whom", drawn, rest)


def timeline(report: Report) -> Element | None:
    if not report.stretches:
        return None
    return section("Drives over time", tag("div", draw.drives(report.stretches), class_="scroll"))


def curves(report: Report) -> Element | None:
    if not report.curves:
        return None
    longest = sorted(report.curves, key=lambda each: -each.points[-1][1])[:MOST_CURVES]
    figures = []
    for each in longest:
        end, count = each.points[-1]
        told = f"{table.bytes_of(int(count))} in {table.duration(end)}, {table.rate_of(count / end)}"
        told += f", at most {table.rate_of(max(step[2] for step in draw.rates(each)))}"
        caption = tag("figcaption", each.title, tag("span", told), tag("span", each.slow) if each.slow else None)
        figures.append(tag("figure", caption, draw.rate(each)))
    more = len(report.curves) - len(longest)
    rest = tag("p", f"and {more} shorter ones", class_="lead") if more else None
    return section(
        "Rates over time", tag("div", figures, class_="curves"), rest, lead="The dashed line is the average."
    )
