# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs on encrypted links: the tests of ends that depend on what a link is, with a relay at each side of each."""

from __future__ import annotations

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit import ends, test_end

# what passes through a link, what a stage sees of it, what is reported of it, and when it is made
OF_LINKS = [
    "test_bytes_are_equal_and_counted",
    "test_both_links_are_busy_at_once",
    "test_neighbours_on_a_host_are_judged_one_by_one",
    "test_all_on_one_end",
    "test_a_stage_with_two_outputs",
    "test_five_hosts_in_a_row",
    "test_a_stage_has_three_descriptors_all_blocking",
    "test_whole_blocks_for_programs_that_do_not_loop",
    "test_reads_that_the_kernel_does_not_grant_are_told",
    "test_who_asks_for_little_does_not_wait_for_more",
    "test_programs_that_answer_each_other",
    "test_samples_come_while_it_runs",
    "test_no_secret_is_left_behind",
    "test_refused_where_no_process_can_be_started",
    "test_a_second_launch_starts_nothing",
    "test_a_plan_starts_no_stage_before_all_of_its_links_are_made",
    "test_a_missing_interpreter_is_no_start",
]
globals().update({name: getattr(test_end, name) for name in OF_LINKS})


@pytest.fixture(autouse=True)
def encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "ENCRYPTION", "relay")
