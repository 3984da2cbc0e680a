# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends of encrypted links meet, too: the same tests where the kernel of one end can encrypt and the others' cannot.

Then relays do it, and none of these connections may be armed. tests/tls has the same where all kernels can.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit import test_meeting
from ansible_collections.plumbing.socketpipe.tests.unit.test_meeting import Meet

# how a link is made, proved and taken; the rest is about dialling, or is not done by a Meeting
OF_LINKS = [
    "test_everybody_listens",
    "test_only_one_listens",
    "test_who_passes_everything_on_is_not_in_the_middle",
    "test_different_secrets_do_not_meet",
    "test_another_run_does_not_meet",
    "test_a_second_launch_afterwards_gets_nothing",
    "test_of_two_launches_at_once_one_gets_the_link",
    "test_a_reader_says_taken_once",
    "test_a_second_launch_gets_no_link_that_is_made_while_another_is_pending",
    "test_who_leaves_when_it_is_chosen",
]
globals().update({name: getattr(test_meeting, name) for name in ["meet", *OF_LINKS]})


@pytest.fixture(autouse=True)
def encrypted(monkeypatch: pytest.MonkeyPatch, meet: Meet) -> Iterator[None]:
    monkeypatch.setattr(test_meeting, "CAN", {"a": 3, **dict.fromkeys("bcd", 0)})
    yield
    for party in meet.parties:
        party.join(60)
        assert not any(connection.cipher for connection in party.made.values())
