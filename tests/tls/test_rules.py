# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Tests of tests/unit a second time, on links that the kernel encrypts."""

from __future__ import annotations

from tests.tape.guest import Guest

from .machine import passes

# of the rules those that say how a link begins and ends; all of them pass, and take ten minutes
RULES = """
    a_failed_source or linger or readers_start_late or commit_when or read_to_the_end or guard or end_adopts
    or O_NONBLOCK or lives_on or shuts_its_own or gone_gets_sigpipe or dies_before
"""


def test_the_rules(guest: Guest) -> None:
    passes(guest, "tests/unit/test_rules.py", "-k", "not without and not host] and (%s)" % " ".join(RULES.split()))
