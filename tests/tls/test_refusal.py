# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Links that must be encrypted by a kernel that cannot: refused, before any stage starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.ends import Ends, make_plan, sh

from .pair import why_not

Launch = Callable[..., Ends]


@pytest.mark.parametrize("source", ["b", "a"])
def test_it_is_refused_with_the_reason(launch: Launch, tmp_path: Path, source: str) -> None:
    why = why_not()
    if not why:
        pytest.skip("the kernel of this machine has TLS")
    plan = make_plan(
        (source, sh("input", f"touch {tmp_path}/one; echo secret")),
        ("ab".replace(source, ""), sh("output", f"touch {tmp_path}/two; cat")),
        kernel_tls="must",
        connect_timeout=2,
    )
    ends = launch(plan).wait()
    cause = ends.cause()
    assert cause["kind"] == "refused"
    assert cause["msg"].partition(": ")[2] == f"its links are to be encrypted by the kernel: {why}"
    assert list(tmp_path.iterdir()) == []
