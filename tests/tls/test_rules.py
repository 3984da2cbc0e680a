# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Tests of tests/unit a second time, on links that the kernel encrypts."""

from __future__ import annotations

import pytest

from tests.tape.guest import Guest

from .machine import passes

# of the rules those that say how a link begins and ends; all of them pass, and take ten minutes
RULES = """
    a_failed_source or linger or readers_start_late or commit_when or read_to_the_end or guard or end_adopts
    or O_NONBLOCK or stall_timeout or resets_nothing or may_reset_nothing or is_stopped or left_behind or
    lives_on or shuts_its_own or gone_gets_sigpipe or dies_before
"""


def test_the_rules(guest: Guest) -> None:
    passes(guest, "tests/unit/test_rules.py", "-k", "not without and not host] and (%s)" % " ".join(RULES.split()))


# what a link is made of when the kernel encrypts it, what passes through it, and what is reported
MEETINGS = ("everybody_listens", "only_one_listens", "reader_says_taken_once", "who_leaves_when_it_is_chosen")
BARRIER = ("(a_tree or wrong_message or that_is_ready or go_there) and not relay",)
FANS = ("equal_bytes", "a_branch_that_fails and not ends_the_others", "no_end_of_file_without")
CHAINS = ("a_chain_of_real_ends and none",)
JOBS = ("(leave_their_logins or three_ends or time_limit) and not relay",)
WHOLE_RUNS = ("bytes_are_equal", "both_links_are_busy", "samples_come", "programs_that_answer")


WORDS = {"meeting": MEETINGS, "end": WHOLE_RUNS, "barrier": BARRIER, "fan": FANS, "transfer_chain": CHAINS, "job": JOBS}


@pytest.mark.parametrize(("name", "words"), WORDS.items())
def test_meetings_and_whole_runs(guest: Guest, name: str, words: tuple[str, ...]) -> None:
    passes(guest, f"tests/unit/test_{name}.py", "-k", " or ".join(words))
