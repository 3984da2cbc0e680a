# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of what an end reports: every kind of refusal, and how a command failed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import sentences

PROC = (
    "/proc does not show the processes of this PID namespace, and an end must see those that it has started: "
    "mount proc inside the namespace (unshare --mount-proc, bwrap --proc /proc)"
)
KERNEL = "its links are to be encrypted by the kernel"


@pytest.mark.parametrize(
    ("kind", "more", "text"),
    [
        ("platform", {"platform": "freebsd13"}, "an end needs Linux with /proc mounted; this is freebsd13"),
        ("foreign proc", {}, PROC),
        (
            "no fork",
            {"error": "EAGAIN"},
            "it cannot start a process: EAGAIN; is there a limit (ulimit -u, pids.max of a control group)?",
        ),
        ("no common cipher", {}, KERNEL + ", and the kernels of the two hosts have no cipher in common"),
        ("old python", {"version": "3.5.3"}, "Python 3.6 or later is needed, this is 3.5.3"),
        (
            "no tls",
            {"error": "none"},
            "encrypted links need Python's ssl module with OpenSSL 1.0.2 or later, and the Python there has none",
        ),
        (
            "no loopback",
            {"error": "it is down"},
            "whole blocks of an encrypted link need the loopback interface, and it does not work: it is down",
        ),
        (
            "incomplete python",
            {"python": "/bin/python3", "error": "No module named '_ctypes'"},
            "the Python here, /bin/python3, is incomplete (No module named '_ctypes'); set another one",
        ),
        ("no directory", {"path": "/x"}, "there is no directory '/x' to run it in"),
        ("not executable", {"path": "/x"}, "'/x' is not executable"),
        ("no command", {"name": "x", "path": "/bin"}, "there is no 'x' in PATH /bin"),
        ("no command", {"name": "/x", "path": ""}, "there is no '/x'"),
    ],
)
def test_why_an_end_does_not_begin(kind: str, more: dict[str, Any], text: str) -> None:
    problem: Any = {"kind": kind, **more}
    assert sentences.refusal(problem) == text


@pytest.mark.parametrize(
    ("signal", "rc", "ok_rc", "text"),
    [
        ("SIGTERM", None, [0], "was killed by SIGTERM"),
        ("", 0, [1], "failed with exit status 0, which is not in ok_rc (1)"),
        ("", 0, [1, 2], "failed with exit status 0, which is not in ok_rc (1, 2)"),
        ("", 1, [0], "failed with exit status 1"),
    ],
)
def test_how_a_command_failed(signal: str, rc: int | None, ok_rc: list[int], text: str) -> None:
    assert sentences.exit_text(signal, rc, ok_rc) == text


@pytest.mark.parametrize(
    ("processes", "sure", "text"),
    [
        ([("sleep", 5)], True, "has exited, but sleep (pid 5), which it started, still has the link open"),
        (
            [("sleep", 5), ("", 6)],
            False,
            "has exited, but sleep (pid 5), a process of another user (pid 6), which it started, may still have the "
            "link open: it cannot be examined",
        ),
        (
            [],
            False,
            "has exited, but the processes that it started come and go too fast to be examined, and may still have "
            "the link open",
        ),
    ],
)
def test_who_holds_a_link(processes: list[tuple[str, int]], sure: bool, text: str) -> None:
    named = [{"name": name, "pid": pid} for name, pid in processes]
    problem: Any = {"kind": "held", "processes": named, "sure": sure}
    assert sentences.held(problem) == text
