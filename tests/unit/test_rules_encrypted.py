# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules hold for encrypted links, too: the same tests, with a relay at each side of each link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit import ends, test_rules

# what they look at is between a stage and the network, where the relays are now
OTHERWISE = {
    "test_without_its_lines_the_rule_does_not_hold",  # some of those lines are of no use to a relay
    "test_who_writes_to_a_reader_that_has_gone_gets_sigpipe",  # it may get EPIPE alone, as between neighbours
    "test_a_kernel_that_resets_nothing_somebody_sleeps_in",  # it is the relay that sleeps there
}
ALL = {name: test for name, test in vars(test_rules).items() if name.startswith("test_")}
assert set(ALL) >= OTHERWISE
globals().update({name: test for name, test in ALL.items() if name not in OTHERWISE})


def test_relays_that_do_not_accept_each_other(launch: Callable[..., ends.Ends]) -> None:
    """The cause is theirs, although the links between them and their stages break as well."""

    def alter(spec: dict[str, Any]) -> None:
        if spec["end"] == "b":
            spec["links"][0]["encryption"]["peer"] = ends.make_certificate()["certificate"]

    cause = launch(test_rules.two(ends.sh("source", "echo"), ends.stage("sink", ["cat"])), told=alter).wait().cause()
    assert cause["kind"] in ("changed on the way", "cut on the way")  # as the one or the other has seen it
    assert "the TLS handshake was" in cause["msg"]


@pytest.fixture(autouse=True)
def encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "ENCRYPTION", "relay")
