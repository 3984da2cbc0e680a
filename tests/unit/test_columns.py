# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled code without the columns of its source keeps all lines."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from types import CodeType

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap, columns

LONG = "".join(f"value = {number}  # a line\n" for number in range(300))
CASES = {
    "backwards": "result = [\n    each\n    for each in (\n        1,\n    )\n]\n",
    "far": f"first = 1\n{chr(10) * 5000}last = 2\n",
    "long": LONG,
    "nothing": "",
    **dict(bootstrap.sources(bootstrap.end_modules(bootstrap.MORE_MODULES))),
}


def every(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from every(each)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="code has no columns before Python 3.11")
@pytest.mark.parametrize("name", CASES)
def test_each_instruction_keeps_its_line(name: str) -> None:
    code = compile(CASES[name], name, "exec", optimize=2)
    pairs = zip(every(code), every(columns.without_columns(code)), strict=True)
    for old, new in pairs:
        positions = list(new.co_positions())
        assert [line for line, *_rest in positions] == [line for line, *_rest in old.co_positions()], old
        assert {tuple(rest) for _line, _end, *rest in positions} <= {(None, None)}, old


def test_a_traceback_has_its_line() -> None:
    code = columns.without_columns(compile(f"{LONG}\n\ndef fail():\n\n    return 1 / 0\n\nfail()\n", "far", "exec"))
    with pytest.raises(ZeroDivisionError) as caught:
        exec(code, {})
    assert [each.lineno for each in traceback.extract_tb(caught.value.__traceback__)[-2:]] == [307, 305]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="code has no columns before Python 3.11")
def test_an_unknown_format_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile("first = 1\nsecond = 2\n", "two", "exec")
    monkeypatch.setattr(columns, "LINE_ONLY", columns.NO_LINE)
    assert columns.without_columns(code) is code
