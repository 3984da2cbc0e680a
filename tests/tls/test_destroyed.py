# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Somebody else resets a link between two ends, by netlink (``ss -K``), without the alert that an end sends before."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.ends import Ends, eventually, make_plan, only_child, record, sh, started

from .pair import ktls, tcp

Launch = Callable[..., Ends]


def row(pid: int, fd: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """Own and peer address of a connection over loopback (proc(5))."""
    inode = os.readlink(f"/proc/{pid}/fd/{fd}").strip("socket:[]")
    tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6") if Path(f"/proc/net/{name}").exists()]
    rows = [line.split() for table in tables for line in table.splitlines()]
    own, peer = next(words[1:3] for words in rows if words[9] == inode)
    return ("127.0.0.1", int(own.rpartition(":")[2], 16)), ("127.0.0.1", int(peer.rpartition(":")[2], 16))


def destroy(own: tuple[str, int], peer: tuple[str, int]) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, ktls.NETLINK_SOCK_DIAG) as link:
        link.send(ktls.diag_request(socket.AF_INET, own, peer))
        link.recv(4096)


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("rest", ["sleep 600", "head -c 100000000 /dev/zero"], ids=["idle", "busy"])
def test_a_link_that_is_destroyed_is_never_ok(
    kernel_tls: None, launch: Launch, tmp_path: Path, side: str, rest: str
) -> None:
    """On either host. A stage that waits with a part of its bytes may take it for the end; the task does not."""
    one, other = tcp()
    with one, other:
        if not ktls.destroy(one):
            pytest.skip("this kernel resets no connections by netlink, or for root only (CONFIG_INET_DIAG_DESTROY)")
    seen = tmp_path / "seen"
    source = sh("input", f"head -c 300000 /dev/zero; {started(seen)} touch {tmp_path}/at; {rest}")
    ends = launch(make_plan(("a", source), ("b", record("output", seen)), kernel_tls="must"))
    eventually((tmp_path / "at").exists, "the source has not come there")
    destroy(*row(only_child(ends.end(side)), {"a": 1, "b": 0}[side]))
    verdict = ends.wait().verdict()
    assert not verdict.ok and verdict.cause
    assert ends.side("input", "W")["state"] in ("reset", "aborted") and ends.side("input", "R")["state"] != "read"
    ends.gone()
