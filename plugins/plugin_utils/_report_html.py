# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTML as a tree of elements: the serializer of Python's standard library escapes every text and every attribute.

No other module writes markup, so no text of a host can become any.  The page has no script and loads nothing; its
policy refuses both all the same.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from xml.etree import ElementTree

from ..module_utils._run.words import printable

Element = ElementTree.Element
Child = Any  # an Element, a text, a list of them, or None for nothing
RAW = ("script", "style")  # the serializer does not escape their text
POLICY = "default-src 'none'; style-src '{}'; base-uri 'none'; form-action 'none'"


def tag(element_name: str, *children: Child, **attributes: Any) -> Element:
    """An element; ``class_`` stands for class, ``text_anchor`` for text-anchor; an attribute of None is left out."""
    if element_name in RAW:
        raise ValueError(element_name)
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    element = Element(element_name, {name: printable(str(value)) for name, value in given.items()})
    for child in children:
        add(element, child)
    return element


def add(element: Element, child: Child) -> None:
    if isinstance(child, list):
        for each in child:
            add(element, each)
    elif isinstance(child, Element):
        element.append(child)
    elif child is not None:
        text = printable(str(child))
        if len(element):
            element[-1].tail = (element[-1].tail or "") + text
        else:
            element.text = (element.text or "") + text


def document(title: str, made: str, style: str, body: Element) -> str:
    """The whole page; ``made``: when, in UTC; ``style``: our own, which is the only text that is not escaped."""
    sheet = Element("style")
    sheet.text = style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = POLICY.format(f"sha256-{digest}")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="date", content=made),
        tag("title", title),
        sheet,
    )
    page = tag("html", head, body, lang="en")
    return "<!DOCTYPE html>\n" + ElementTree.tostring(page, encoding="unicode", method="html") + "\n"
