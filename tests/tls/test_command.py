# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The command socketpipe --encrypt=kernel between this host and another network namespace, its nested runs included."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import typing as t
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.conftest import collection_tree

from .between import NAMESPACE, network
from .pair import LONG

assert collection_tree()
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import archive  # noqa: E402

TEXT, MARK, LINES = "marker-on-the-wire", b"marker-on-the-wire", 5000
SOURCE = f"-i {{ sh -c 'yes {TEXT} | head -n {LINES}' }}"
LOGIN = f"-l {{ ip netns exec {NAMESPACE} }}"
EVERYTHING = socket.htons(3)  # ETH_P_ALL, linux/if_ether.h
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
Socketpipe = Callable[..., dict[str, t.Any]]


@pytest.fixture
def other(kernel_tls: None) -> None:
    network()


@pytest.fixture
def socketpipe(other: None, tmp_path: Path) -> Socketpipe:
    """Runs a line that must be ok; returns its --stats."""
    program = tmp_path / "socketpipe"
    program.write_bytes(archive.archive())

    def run(line: str) -> dict[str, t.Any]:
        words = ["sh", "-c", f'"{sys.executable}" -IS {program} --stats={tmp_path}/stats {line}']
        done = subprocess.run(words, capture_output=True, text=True, timeout=3 * LONG, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done
        return {"stdout": done.stdout, **json.loads((tmp_path / "stats").read_text())}

    return run


def seen(run: Callable[[], dict[str, t.Any]]) -> tuple[dict[str, t.Any], bytes]:
    """(what it returns, all that was on the wire meanwhile)."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, EVERYTHING) as wire:
        wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        wire.bind(("near", 0))
        wire.setblocking(False)
        found = run()
        frames = b""
        try:
            while True:
                frames += wire.recv(1 << 17)
        except BlockingIOError:
            return found, frames


def hows(stats: dict[str, t.Any]) -> list[str]:
    return [link["encryption"] and link["encryption"]["how"] for link in stats["links"]]


def test_without_it_everything_is_on_the_wire(socketpipe: Socketpipe) -> None:
    """So that the next ones can fail."""
    found, wire = seen(lambda: socketpipe(f"{SOURCE} {LOGIN} -r {{ wc -c }}"))
    assert wire.count(MARK) > LINES / 2 and hows(found) == [None]


def test_both_ways(socketpipe: Socketpipe) -> None:
    line = f"--encrypt=kernel {SOURCE} {LOGIN} -r {{ tr a-z A-Z }} -o {{ wc -c }}"
    found, wire = seen(lambda: socketpipe(line))
    size = LINES * (len(MARK) + 1)
    assert found["stdout"].split() == [str(size)] and found["bytes"] == size
    assert hows(found) == ["kernel", "kernel"]
    assert len(wire) > 2 * size and MARK not in wire and MARK.upper() not in wire


def test_a_nested_run(socketpipe: Socketpipe, tmp_path: Path) -> None:
    """It is told nothing of encryption, and its own links are encrypted all the same."""
    inner = f"socketpipe --stats={tmp_path}/inner -i {{ cat }} -l {{ env }} -r {{ tr a-z A-Z }} -o {{ cat }}"
    line = f"--encrypt=kernel {SOURCE} {LOGIN} -r {{ {inner} }} -o {{ wc -l }}"
    found, wire = seen(lambda: socketpipe(line))
    assert found["stdout"].split() == [str(LINES)] and MARK not in wire and MARK.upper() not in wire
    assert hows(found) == hows(json.loads((tmp_path / "inner").read_text())) == ["kernel", "kernel"]


def test_a_login_that_carries_no_standard_input(socketpipe: Socketpipe) -> None:
    """Its command line has no key: the secrets are made on the far side, and the keys derived from them."""
    deaf = f"-l {{ sh -c 'exec ip netns exec {NAMESPACE} \"$@\" </dev/null' sh }}"
    found, wire = seen(lambda: socketpipe(f"--encrypt=kernel {SOURCE} {deaf} -r {{ wc -l }}"))
    assert found["stages"][-1]["stdout"].split() == [str(LINES)] and hows(found) == ["kernel"] and MARK not in wire
