# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who talked to whom, as a drawing: hosts from left to right, joined by their links."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from . import _tape_table as table
from ._report_draw import cut, svg, words
from ._report_html import Element, tag
from ._report_records import Chain, Link, Stage

BOX, BETWEEN, LINE = 170, 190, 62  # the width of a host, the length of an arrow, the height of a row
TALL = 52  # the height of a host
BEND = 26  # the length of the slope of an arrow

Box = list[Stage]  # neighbours on one host
Places = dict[str, tuple[int, float]]  # column and row of a box, by the name of its first stage


# -- many hosts and one


def gathered(chains: Sequence[Chain]) -> list[Chain]:
    """The same, with those from many hosts to one, and from one to many, together."""
    found: list[Chain] = []
    left = list(chains)
    for side in (-1, 0):  # the shared one: the last, or the first
        groups: dict[object, list[Chain]] = {}
        for number, one in enumerate(left):
            boxes = merged(one)
            simple = len(boxes) == 2 and len(leaving(boxes[0], one.links)) == 1
            key: object = (boxes[side][0].host, label(boxes[side])) if simple else number
            groups.setdefault(key, []).append(one)
        found += [joined(group, side) for group in groups.values() if len(group) > 1]
        left = [group[0] for group in groups.values() if len(group) == 1]
    return [*found, *left]


def joined(group: Sequence[Chain], side: int) -> Chain:
    """One chain of several that share their first or last host."""
    stages, links, shared = [], [], "shared"
    for number, one in enumerate(group):
        first, last = merged(one)
        source = shared if side == 0 else f"first {number}"
        destination = f"last {number}" if side == 0 else shared
        link = leaving(first, one.links)[0]
        links.append(dataclasses.replace(link, source=source, destination=destination))
        stages += [as_one(first, source), as_one(last, destination)]
    same = [stage for stage in stages if stage.name == shared]
    own = [stage for stage in stages if stage.name != shared]
    one_of_them = next((stage for stage in same if stage.ok is False), same[0])
    ordered = [one_of_them, *own] if side == 0 else [*own, one_of_them]
    return Chain(group[0].title, all(one.ok for one in group), ordered, links)


def as_one(box: Box, name: str) -> Stage:
    return Stage(name, box[0].host, label(box), False if any(stage.ok is False for stage in box) else box[0].ok)


# -- one of them


def chain(one: Chain) -> Element:
    """Hosts from left to right; a row for each branch."""
    boxes = merged(one)
    places = places_of(boxes, one.links)
    columns, rows = (max(spot[axis] for spot in places.values()) + 1 for axis in (0, 1))
    parts: list[Element] = []
    for box in boxes:
        for link in leaving(box, one.links):
            target = next((each for each in boxes if link.destination in names_of(each)), None)
            if target is not None and target is not box:
                parts += arrow(places[box[0].name], places[target[0].name], link, len(into(target, one.links)) > 1)
    for box in boxes:
        parts += host(places[box[0].name], box)
    what = f"{' → '.join(dict.fromkeys(stage.host for stage in one.stages))}"
    return svg(columns * (BOX + BETWEEN) - BETWEEN + 2, rows * LINE, what, parts)


def names_of(box: Box) -> set[str]:
    return {stage.name for stage in box}


def label(box: Box) -> str:
    return " | ".join(stage.program or stage.name for stage in box)


def merged(one: Chain) -> list[Box]:
    """The stages, with those that follow each other on one host together, unless the stream forks there."""
    boxes: list[Box] = []
    for stage in one.stages:
        sources = [link.source for link in one.links if link.destination == stage.name]
        before = next((box for box in boxes if box[-1].name in sources and box[-1].host == stage.host), None)
        forks = before and sum(link.source == before[-1].name for link in one.links) > 1
        if before is not None and not forks:
            before.append(stage)
        else:
            boxes.append([stage])
    return boxes


def leaving(box: Box, links: Sequence[Link]) -> list[Link]:
    own = names_of(box)
    return [link for link in links if link.source in own and link.destination not in own]


def into(box: Box, links: Sequence[Link]) -> list[Link]:
    own = names_of(box)
    return [link for link in links if link.destination in own and link.source not in own]


def places_of(boxes: list[Box], links: Sequence[Link]) -> Places:
    """Each branch has a row of its own; a box that many lead to is in the middle of them."""
    places: Places = {}
    free = itertools.count()
    for box in boxes:
        if box[0].name not in places:
            place(box, 0, free, boxes, links, places)
    for box in boxes:
        sources = {link.source for link in into(box, links)}
        rows = [places[other[0].name][1] for other in boxes if sources & names_of(other)]
        if len(rows) > 1:
            places[box[0].name] = (places[box[0].name][0], (min(rows) + max(rows)) / 2)
    return places


def place(
    box: Box, column: int, free: itertools.count[int], boxes: list[Box], links: Sequence[Link], places: Places
) -> None:
    """The place of a box and of those behind it."""
    next_ones = [other for link in leaving(box, links) for other in boxes if link.destination in names_of(other)]
    next_ones = [other for other in next_ones if other[0].name not in places]
    if not next_ones:
        places[box[0].name] = (column, next(free))
        return
    places[box[0].name] = (column, 0)  # so that a loop, which no run has, ends
    for other in next_ones:
        place(other, column + 1, free, boxes, links, places)
    rows = [places[other[0].name][1] for other in next_ones]
    places[box[0].name] = (column, (min(rows) + max(rows)) / 2)


def host(spot: tuple[int, float], box: Box) -> list[Element]:
    x, y = spot[0] * (BOX + BETWEEN) + 1, spot[1] * LINE + 4
    bad = any(stage.ok is False for stage in box)
    size = {"width": f"{BOX}", "height": f"{TALL}", "rx": "6"}
    return [
        tag("rect", class_="box bad" if bad else "box", x=f"{x}", y=f"{y:g}", **size),
        words(x + BOX / 2, y + 22, cut(box[0].host, BOX - 16), "strong", "middle"),
        words(x + BOX / 2, y + 40, cut(label(box), BOX - 16), "code", "middle"),
    ]


def arrow(begin: tuple[int, float], end: tuple[int, float], link: Link, late: bool) -> list[Element]:
    """``late``: its slope is at its end, because others lead to the same place; else it is at its begin."""
    x1, x2 = begin[0] * (BOX + BETWEEN) + BOX + 4, end[0] * (BOX + BETWEEN) - 3
    y1, y2 = (spot[1] * LINE + 4 + TALL / 2 for spot in (begin, end))
    bad, level = "" if link.ok else " bad", y1 if late else y2
    left, right = (x1, x2 - BEND - 8) if late else (x1 + BEND, x2 - 8)
    path = f"{x1},{y1:g} {left},{level:g} {right},{level:g} {x2 - 8},{y2:g}"
    middle = (left + right) / 2
    figures = " at ".join(filter(None, [table.bytes_of(link.size), table.rate_of(link.rate) if link.rate else ""]))
    return [
        tag("polyline", class_=f"arrow{bad}", points=path, fill="none"),
        tag("polygon", class_=f"head{bad}", points=f"{x2},{y2:g} {x2 - 11},{y2 - 6:g} {x2 - 11},{y2 + 6:g}"),
        words(middle, level - 9, figures if link.size is not None else "", "dim", "middle"),
        words(middle, level + 20, "encrypted" if link.encrypted else "", "dim", "middle"),
    ]
