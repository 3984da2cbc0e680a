# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""In a machine whose kernel has no TLS, and in one whose has."""

from __future__ import annotations

import json
import sys
import typing as t

from tests.tape.guest import Guest

from .machine import ROOT, passes

TRIAL = """
import json, sys
sys.path.insert(0, sys.argv[1])
from module_utils._end import ktls_trial
print(json.dumps(ktls_trial.trial()))
"""


def trial(guest: Guest) -> t.Any:
    return json.loads(guest.run([sys.executable, "-ISc", TRIAL, ROOT / "plugins"]).stdout)


def test_the_trial_finds_both_ciphers(guest: Guest) -> None:
    assert trial(guest) == [3, None]


def test_the_trial_says_why_there_is_none(bare: Guest) -> None:
    can, problem = trial(bare)
    assert can == 0 and problem["kind"] == "module failed" and problem["release"]


def test_relays_do_it_or_it_is_refused(bare: Guest) -> None:
    passes(bare, "tests/tls/test_choice.py")
