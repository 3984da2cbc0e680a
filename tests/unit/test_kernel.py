# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel is asked."""

from __future__ import annotations

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import kernel


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(None, None), (-1.0, 0), (0.0, 0), (0.00001, 1), (0.25, 250), (1.0002, 1001), (60.0, 60000)],
)
def test_poll_waits_no_shorter_and_hardly_longer(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None, milliseconds: int | None
) -> None:
    asked: list[object] = []

    class Poll:
        def register(self, *wanted: int) -> None:
            asked.append(wanted)

        def poll(self, timeout: int | None) -> list[tuple[int, int]]:
            asked.append(timeout)
            return [(7, 1)]

    monkeypatch.setattr(kernel.select, "poll", Poll)
    assert kernel.events({7: 1, 8: 4}, seconds) == {7: 1}
    assert asked == [(7, 1), (8, 4), milliseconds]
