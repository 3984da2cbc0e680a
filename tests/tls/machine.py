# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""A machine of its own whose kernel has TLS, or has not: user-mode-linux, as for the tape role."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tape.guest import Guest
from tests.tape.needs import requirements

ROOT = Path(__file__).resolve().parents[2]
TLS = ["tls", "gcm", "ctr", "ghash-generic", "chacha20poly1305", "chacha-generic", "poly1305-generic", "veth"]


def machine(directory: Path, modules: list[str]) -> Iterator[Guest]:
    reason = requirements([])
    if reason:
        pytest.skip(reason)
    with Guest(directory, modules=modules) as made:
        yield made


def passes(guest: Guest, *words: str) -> None:
    """These tests pass in the guest, and none is skipped for want of TLS there."""
    argv = [sys.executable, "-m", "pytest", "-q", "-rs", "--tb=short", "-p", "no:cacheprovider"]
    # a directory of its own: pytest would take that of its host, where it sees no lock, for an old one, and empty it
    argv += ["--basetemp=/tmp/tests", *words]
    env = {"SOCKETPIPE_TEST_KERNEL_TLS": "must", "PYTHONDONTWRITEBYTECODE": "1"}
    done = guest.run(argv, env=env, cwd=ROOT, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "where the kernel has TLS" not in done.stdout, done.stdout
