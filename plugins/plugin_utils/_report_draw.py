# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drawings of a report, as SVG within its HTML; the style sheet has their colours."""

from __future__ import annotations

import time
from collections.abc import Sequence

from . import _tape_table as table
from ._report_html import Element, tag
from ._report_records import Curve, Stretch

WIDTH = 1100  # of the drives, in the units of the drawing
LEFT = 170  # of that, for the names of the drives
BAR, GAP = 24, 12
LETTER = 7.2  # the width of one, about
CURVE = (300, 84)
NEARLY_FULL = 95  # percent
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800)


def svg(width: float, height: float, title: str, *children: object) -> Element:
    view = f"0 0 {width:g} {height:g}"
    return tag(
        "svg", tag("title", title), list(children), viewBox=view, width=f"{width:g}", height=f"{height:g}", role="img"
    )


def words(x: float, y: float, text: str, class_: str = "", anchor: str = "") -> Element:
    return tag("text", text, x=f"{x:g}", y=f"{y:g}", class_=class_ or None, text_anchor=anchor or None)


def cut(text: str, width: float) -> str:
    """A text that is about as wide as this, in the middle of which is left out what is too much."""
    most = max(3, int(width / LETTER))
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[: most - 1 - half]}…{text[-half:]}"


# -- drives over time


def drives(stretches: Sequence[Stretch]) -> Element:
    """A row for each drive, with a bar for each archive."""
    begin = min(each.begin for each in stretches)
    span = max(1.0, max(each.end for each in stretches) - begin)
    scale = (WIDTH - LEFT - 20) / span
    names = sorted({each.drive for each in stretches})
    short = {name: name.rstrip("/").rpartition("/")[2] for name in names}  # /dev/tape/by-id would fill the line
    short = short if len(set(short.values())) == len(names) else dict(zip(names, names))
    bottom = len(names) * (BAR + GAP)
    parts: list[Element] = []
    for at in ticks(begin, span):
        x = LEFT + (at - begin) * scale
        parts.append(tag("line", class_="axis", x1=f"{x:g}", x2=f"{x:g}", y1="0", y2=f"{bottom + 4:g}"))
        parts.append(words(x, bottom + 20, clock(at, span), "dim", "middle"))
    for row, name in enumerate(names):
        y = row * (BAR + GAP) + GAP / 2
        parts.append(words(0, y + 17, cut(short[name], LEFT - 12), "strong"))
        own = sorted((each for each in stretches if each.drive == name), key=lambda each: each.begin)
        for number, each in enumerate(own):
            x, width = LEFT + (each.begin - begin) * scale, max(3.0, (each.end - each.begin) * scale - 1)
            told = f"{each.title} on {name}: {clock(each.begin, 0)} to {clock(each.end, 0)} UTC"
            block = tag(
                "rect",
                tag("title", told),
                class_="bar odd" if number % 2 else "bar",
                x=f"{x:.1f}",
                y=f"{y:g}",
                width=f"{width:.1f}",
                height=f"{BAR}",
                rx="3",
            )
            parts.append(block)
            if width > len(each.title) * LETTER + 10:
                parts.append(words(x + 6, y + 16, each.title, "inside"))
    return svg(WIDTH, bottom + 28, f"When each of {table.count(len(names), 'drive')} wrote which archive", parts)


def ticks(begin: float, span: float) -> list[float]:
    """Up to eight round times."""
    step = next((step for step in STEPS if span / step <= 8), span / 4)
    first = -(-begin // step) * step
    return [first + number * step for number in range(9) if first + number * step <= begin + span]


def clock(at: float, span: float) -> str:
    """The time of day, with the date for a span of days."""
    return time.strftime("%m-%d %H:%M" if span > 86400 else "%H:%M:%S", time.gmtime(at))


# -- rates over time


def rates(curve: Curve) -> list[tuple[float, float, float]]:
    """[(begin, end, bytes a second), …] between the samples."""
    pairs = zip(curve.points, curve.points[1:])
    return [(a[0], b[0], (b[1] - a[1]) / (b[0] - a[0])) for a, b in pairs if b[0] > a[0]]


def rate(curve: Curve) -> Element:
    """The rate between the samples."""
    width, height = CURVE
    steps = rates(curve)
    end, most = steps[-1][1], max(max(step[2] for step in steps), 1.0)

    def point(at: float, value: float) -> str:
        return f"{at / end * width:.1f},{height - value / most * (height - 4):.1f}"

    line = " ".join(f"{point(first, value)} {point(last, value)}" for first, last, value in steps)
    area = f"0,{height} {line} {width},{height}"
    mean = curve.points[-1][1] / end
    y = height - mean / most * (height - 4)
    return svg(
        width,
        height + 20,
        f"{curve.title}: {table.rate_of(mean)} on average, {table.rate_of(most)} at most",
        tag("polygon", class_="area", points=area),
        tag("polyline", class_="curve", points=line),
        tag("line", class_="axis", x1="0", x2=f"{width}", y1=f"{y:.1f}", y2=f"{y:.1f}", stroke_dasharray="4 4"),
        tag("line", class_="axis", x1="0", x2=f"{width}", y1=f"{height}", y2=f"{height}"),
        words(0, height + 16, "0:00", "dim"),
        words(width, height + 16, table.duration(end), "dim", "end"),
    )


# -- how full a tape is


def fill(percent: int) -> Element:
    used = tag(
        "rect",
        class_="used bad" if percent >= NEARLY_FULL else "used",
        x="0",
        y="0",
        width=f"{min(percent, 100)}",
        height="8",
        rx="4",
    )
    track = tag("rect", class_="track", x="0", y="0", width="100", height="8", rx="4")
    return svg(100, 8, f"{percent} % full", track, used)
