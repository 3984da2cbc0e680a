# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The login of the command: its program as a word, the secrets that the far side makes, and one that fails at once."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
import time
import tty
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.login import (
    ISOLATED,
    NO_TERMINAL,
    TERMINAL,
    WORD,
    ForkLaunch,
    LoginLaunch,
    are_secrets,
)
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.kernel import events
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.watch import MARK
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.launch import FOLLOW, Run
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.marked import read_marked
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.tests.unit import pythons

SAYS = 'import sys;sys.stdout.write("%s %s" % (sys.argv[1], (sys.version_info > (3, 6))))'
KEY = "0123456789abcdef" * 4


def plan() -> dict[str, Any]:
    made = Plan({})
    for name in ("here", "there"):
        made.add_end(name)
    stages = [("here", "input"), ("there", "remote"), ("here", "output")]
    made.chain([(end, {"name": name, "argv": ["cat"]}) for end, name in stages])
    return made.for_end("there")


@pytest.mark.parametrize("version", ["2.7", *pythons.TARGETS])
def test_a_word_is_the_same_with_a_shell_and_without(version: str) -> None:
    argv = [pythons.needed(version), ISOLATED, "-c", WORD % SAYS, "label"]
    shell = ["sh", "-c", " ".join([shlex.quote(argv[0]), *argv[1:]])]  # as ssh does it: nothing is quoted
    for words in (argv, shell):
        done = subprocess.run(words, capture_output=True, check=False, timeout=20)
        assert (done.stdout.decode(), done.stderr) == (f"label {version != '2.7'}", b"")


@pytest.mark.parametrize(
    ("found", "good"),
    [
        ({"input → remote": KEY, "remote → output": KEY[::-1]}, True),
        ({"input → remote": KEY}, False),
        ({"input → remote": KEY, "remote → output": KEY, "other": KEY}, False),
        ({"input → remote": KEY, "remote → output": KEY[1:]}, False),
        ({"input → remote": KEY, "remote → output": "x" + KEY[1:]}, False),
        ({"input → remote": KEY, "remote → output": None}, False),
        ([KEY, KEY], False),
        (None, False),
    ],
)
def test_secrets_that_the_far_side_has_made(found: Any, good: bool) -> None:
    assert are_secrets(found, plan()) is good
    launch = LoginLaunch(plan(), ["login"], "python3", False, TERMINAL)
    assert launch.parse({"secrets": found}) is None
    assert launch.secrets == (found if good else {})


def test_secrets_that_nobody_has_asked_for() -> None:
    """The program has gone through its standard input, with ours."""
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    assert launch.parse({"secrets": {"input → remote": KEY, "remote → output": KEY}}) is None
    assert launch.secrets == {}


def test_nobody_is_waited_for_after_a_login_that_has_begun_nothing() -> None:
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    launch.conclude(1, "", "")
    assert Run.patience(launch, []) == 0.0
    launch.parse({"begun": 1})
    assert Run.patience(launch, []) > 0.0


@pytest.mark.parametrize(("stages", "patience"), [
    ([], 0.0),
    ([{"name": "input", "rc": None, "started_at": None, "problem": None}], 0.0),
    ([{"name": "input", "rc": 0, "started_at": 0.1, "problem": None}], float("inf")),
    ([{"name": "input", "rc": 3, "started_at": 0.1, "problem": {"kind": "failed", "signal": ""}}], FOLLOW),
])  # fmt: skip
def test_stages_on_several_hosts_without_links(stages: list[Any], patience: float) -> None:
    """They need not end together; but if one fails, the results of the others are of no use."""
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    launch.report = {"stages": stages, "links": []}
    assert Run.patience(launch, []) == patience


def test_an_end_that_stays_in_its_login_when_the_others_have_left() -> None:
    """Its host has become unreachable, and no login notices that for hours."""
    home: Any = LoginLaunch(plan(), ["login"], "python3", False)
    peer: Any = LoginLaunch(plan(), ["login"], "python3", False)
    run = Run({"there": home, "here": peer}, lambda sample: None)
    peer.report, peer.ready, peer.ended = {"detached": True}, True, time.monotonic()
    run.overdue()
    assert not home.silent
    peer.ended -= home.late
    run.overdue()
    assert home.silent == "no report within 30 s after the others left their logins"


def test_an_end_on_this_host_is_stopped() -> None:
    """Until it is gone; one that was not started is gone at once."""
    launch = ForkLaunch(plan(), LoginLaunch(plan(), ["login"], "python3", False))
    assert launch.wanted() == {} and not launch.cancel(0.0) and launch.ready
    launch = ForkLaunch(plan(), LoginLaunch(plan(), ["login"], "python3", False))
    with subprocess.Popen(["sleep", "1000"]) as process:
        launch.pid = process.pid
        assert launch.processes() == {process.pid: os.getpid()}
        assert launch.cancel(0.0) and not launch.ready
        assert process.wait() == -15
    assert launch.processes() == {} and not launch.cancel(0.1)


@pytest.mark.parametrize(
    ("at", "timeout", "begun", "hopeless"),
    [
        (0.5, 1, False, ""),
        (2.0, 1, False, "the login command did not reach the far side within 1 s (-t/--timeout)"),
        (2.0, 1, True, ""),
        (3000.0, 0, False, ""),
    ],
)
def test_how_long_a_login_may_take(at: float, timeout: int, begun: bool, hopeless: str) -> None:
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    launch.pending, launch.begun = b"the program", begun
    assert launch.hopeless(launch.began + at, timeout) == hopeless


def test_a_login_that_takes_everything_and_begins_nothing() -> None:
    launch = LoginLaunch(plan(), ["sh", "-c", "cat >/dev/null; sleep 60"], "python3", False)
    launch.start()
    try:
        while launch.pending:
            launch.feed()
        patience = 60.0
        assert launch.hopeless(launch.taken_at + patience - 1, 0) == ""
        while events({launch.taken: select.POLLIN})[launch.taken] & select.POLLIN:
            time.sleep(0.01)
        text = launch.hopeless(launch.taken_at + patience + 1, 0)
        assert text.startswith("the login command read the program, but nothing started in 60 s: ")
    finally:
        launch.cancel(9)
        launch.wait()


@pytest.mark.parametrize("version", ["2.7", *pythons.TARGETS])
def test_a_program_that_is_typed_says_so(version: str) -> None:
    """Where the terminal does not show what is typed; and its Python may not, either."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    words = [pythons.needed(version), ISOLATED, "-"]
    with subprocess.Popen(words, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        os.write(master, (NO_TERMINAL % MARK + "sys.stdout.write('not this')\n").encode())
        said = process.communicate(timeout=20)[0].decode()
    os.close(master)
    os.close(slave)
    launch = LoginLaunch(plan(), ["login"], "python3", False)
    message = read_marked(said)
    assert message and launch.parse(message) is None and "not this" not in said
    launch.conclude(process.returncode, said, "")
    assert (launch.obstacle, launch.begun, process.returncode) == (TERMINAL, False, 0)
