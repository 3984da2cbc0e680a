# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of what an end reports: every kind of refusal, and how a command failed."""

from __future__ import annotations

import errno
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
            "no congestion control",
            {"name": "lp", "errno": errno.ENOENT, "error": "", "others": "reno cubic"},
            "congestion_control: the kernel there has no lp; modprobe tcp_lp may load it; you may use reno, cubic",
        ),
        (
            "no congestion control",
            {"name": "dctcp", "errno": errno.EPERM, "error": "", "others": ""},
            "congestion_control: the kernel there allows dctcp only to root (net.ipv4.tcp_allowed_congestion_control)",
        ),
        (
            "no congestion control",
            {"name": "bbr", "errno": errno.EBUSY, "error": "busy", "others": ""},
            "congestion_control: bbr: busy",
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


CUT, CHANGED = "cut on the way", "changed on the way"


@pytest.mark.parametrize(
    ("sentence", "found", "text"),
    [
        ("outcome", {"outcome": "refused", "detail": "", "met": False}, "refused"),
        ("outcome", {"outcome": "silent", "detail": "5", "met": True}, "connected, then said nothing for 5 s"),
        ("taken", {"port": 5, "error": "in use"}, "5: in use"),
        ("taken", {"port": 5, "error": ""}, "5: neither IPv6 nor IPv4 works here"),
        ("kernel_tls", {"kind": "broken", "error": "EBADMSG"}, "kernel TLS does not work: EBADMSG"),
        ("kernel_tls", {"kind": "untried", "error": "no lo"}, "kernel TLS could not be tried over loopback: no lo"),
        (
            "kernel_tls",
            {"kind": "old kernel", "release": "4.19"},
            "this kernel (4.19) has no TLS 1.3 (Linux 5.1 and later can have it)",
        ),
        (
            "kernel_tls",
            {"kind": "module failed", "release": "6.1"},
            "the kernel module tls could not be loaded: modprobe tls shows the reason",
        ),
        (
            "refusal",
            {"kind": "no kernel tls", "problem": {"kind": "broken", "error": "EBADMSG"}},
            KERNEL + ": kernel TLS does not work: EBADMSG",
        ),
        ("skipped", {"stage": "remote", "path": "/x", "exists": True}, "remote: /x exists"),
        ("skipped", {"stage": "remote", "path": "/x", "exists": False}, "remote: /x does not exist"),
        ("killed", "SIGKILL", "killed by SIGKILL (was the host out of memory?)"),
        ("killed", "SIGTERM", "killed by SIGTERM"),
        ("stopped", {"kind": "signal", "signal": "SIGTERM"}, "the end was killed by SIGTERM"),
        ("stopped", {"kind": "guard"}, "the guard was killed"),
        ("stopped", {"kind": "controller"}, "the connection to the controller was lost"),
        ("died", {"kind": "error", "error": "KeyError"}, "an error in socketpipe itself: KeyError"),
        ("died", {"kind": "signal", "signal": "SIGTERM"}, "the end was killed by SIGTERM"),
        ("died", {"kind": "exit", "status": 3}, "the end exited with status 3"),
        ("died", {"kind": "unknown"}, "the end died"),
        ("not_started", {"step": "run", "name": "x", "errno": 13, "error": "no"}, "cannot run 'x': no"),
        (
            "not_started",
            {"step": "run", "name": "x", "errno": 2, "error": "no"},
            "cannot run 'x': no (its interpreter, the #! line?)",
        ),
        (
            "not_started",
            {"step": "chdir", "name": "/x", "errno": 2, "error": "no"},
            "cannot change to directory '/x': no",
        ),
        ("not_started", {"step": "fork", "name": "", "errno": 11, "error": ""}, "cannot fork"),
        ("not_started", {"step": "", "name": "", "errno": 0, "error": "no"}, "no"),
        (
            "link_problem",
            {"kind": "relay", "name": "seal", "signal": "SIGTERM"},
            "its relay seal was killed by SIGTERM",
        ),
        ("link_problem", {"kind": "relay", "name": "open", "signal": "", "error": "x"}, "its relay open failed: x"),
        ("link_problem", {"kind": "cancelled"}, "the end was told to stop"),
        ("link_problem", {"kind": "stalled", "seconds": 5}, "no byte moved for 5 s"),
        ("link_problem", {"kind": "dead peer", "seconds": 6}, "the other host did not respond for 6 s"),
        ("link_problem", {"kind": CUT, "where": "stream", "error": ""}, "the stream was cut on the way"),
        (
            "link_problem",
            {"kind": CHANGED, "where": "?", "error": "bad mac"},
            "the stream was changed on the way (bad mac)",
        ),
        (
            "link_problem",
            {"kind": CUT, "where": "time", "error": "30"},
            "the TLS handshake was not completed within 30 s: cut on the way",
        ),
        (
            "link_problem",
            {"kind": "no tls", "where": "handshake", "error": "x"},
            "the TLS of the two hosts has no version, cipher or algorithm in common (x)",
        ),
        (
            "warning",
            {"kind": "full reads", "granted": 5, "asked": 9},
            "full_reads: the kernel grants reads of 5 bytes, not 9 (net.ipv4.tcp_rmem)",
        ),
        (
            "warning",
            {"kind": "small packets", "address": "a", "peer": "b", "segment": 500},
            "between a and b large packets get lost, so this link uses small ones (500 bytes): check the MTU",
        ),
        (
            "warning",
            {"kind": "afterwards", "stage": "tar", "error": "x"},
            "tar has failed, and what it had begun is not undone: x",
        ),
        ("listed", {"pid": 5, "name": "sleep"}, "5 sleep"),
        ("listed", {"pid": 5, "name": ""}, "5 a process of another user"),
        ("listed", {"pid": 0, "name": "sleep"}, "sleep"),
        ("with_pid", {"pid": 0, "name": "sleep"}, "sleep"),
    ],
)
def test_a_sentence_for_each_kind(sentence: str, found: Any, text: str) -> None:
    assert getattr(sentences, sentence)(found) == text


@pytest.mark.parametrize(
    ("consumed", "unread", "rc", "text"),
    [
        (None, 0, None, "stopped reading with exit status 0, and its input had not ended"),
        (0, 7, 3, "stopped reading after 0 bytes with exit status 3, 7 left unread"),
        (5, None, 1, "stopped reading after 5 bytes with exit status 1, and its input had not ended"),
    ],
)
def test_who_stopped_reading(consumed: int | None, unread: int | None, rc: int | None, text: str) -> None:
    problem: Any = {"kind": "stopped reading", "consumed": consumed, "unread": unread}
    assert sentences.stopped_reading(problem, rc) == text
