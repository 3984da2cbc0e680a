# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules hold for encrypted links, too: the same tests, with a relay at each side of each link."""

from __future__ import annotations

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


@pytest.fixture(autouse=True)
def encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "ENCRYPTION", "relay")
