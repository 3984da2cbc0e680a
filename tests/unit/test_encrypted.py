# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection within a host from a relay to a reader that needs whole blocks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit import ends
from ansible_collections.plumbing.socketpipe.tests.unit.changes import Change
from ansible_collections.plumbing.socketpipe.tests.unit.ends import Ends, make_plan, sh

Launch = Callable[..., Ends]
LISTENS = "        listener.listen(8)\n"
# users of this host who have connected first: some wait, one has gone already, and for more there is no room
STRANGERS = """        listener.listen(3)
        strangers = [socket.socket(family, socket.SOCK_STREAM) for _number in range(6)]
        for number, stranger in enumerate(strangers):
            set_linger(stranger, True)
            stranger.setblocking(False)
            stranger.connect_ex(listener.getsockname())
            if number == 1:
                stranger.close()
"""
DIALS = "        code = dialler.connect_ex(listener.getsockname())\n"


@pytest.fixture(autouse=True)
def encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "ENCRYPTION", "relay")


def run(launch: Launch, *changes: Change, **patience: float) -> Ends:
    plan = make_plan(("a", sh("input", "echo data")), ("b", sh("output", "cat")), full_reads=True)
    return launch(plan, changes, patience=patience).wait()


def test_other_users_of_the_host_who_connect_first_are_no_reader(launch: Launch) -> None:
    assert run(launch, ("loopback", LISTENS, STRANGERS)).ok().stage("output")["stdout"] == "data\n"


@pytest.mark.parametrize(
    ("dials", "error"),
    [
        pytest.param("        code = 0\n", "timed out", id="its packets are dropped"),
        pytest.param("        code = errno.ENETUNREACH\n", "Network is unreachable", id="lo is down"),
    ],
)
def test_without_that_connection_nothing_starts(launch: Launch, dials: str, error: str) -> None:
    made = run(launch, ("loopback", DIALS, dials), tls=0.5)
    assert made.report("b")["refused"] == {"kind": "no loopback", "error": error}
    assert made.stage("input")["started_at"] is None and not made.verdict().ok
    made.gone()
