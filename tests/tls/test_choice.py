# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Which way a link is encrypted: by the kernels where both can, by relays where one cannot; never in clear.

Some of this runs where the kernel has TLS, the rest where it has none.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.ends import Ends, make_plan, sh

from .pair import make_certificate, why_not

Launch = Callable[..., Ends]
FIRST, SECOND = sh("input", "echo secret"), sh("output", "cat")


@pytest.mark.parametrize("source", ["b", "a"])
def test_where_the_kernel_must_and_cannot_it_is_refused(launch: Launch, tmp_path: Path, source: str) -> None:
    """With the reason, before any stage starts."""
    why = why_not()
    if not why:
        pytest.skip("the kernel of this machine has TLS")
    plan = make_plan(
        (source, sh("input", f"touch {tmp_path}/one; echo secret")),
        ("ab".replace(source, ""), sh("output", f"touch {tmp_path}/two; cat")),
        kernel_tls="must",
        connect_timeout=2,
    )
    ends = launch(plan).wait()
    cause = ends.cause()
    assert cause["kind"] == "refused"
    assert cause["msg"].partition(": ")[2] == f"its links are to be encrypted by the kernel: {why}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kernel_tls", ["may", "must"])
def test_a_kernel_that_can_does_it(launch: Launch, kernel_tls: str) -> None:
    if why_not():
        pytest.skip("the kernel of this machine has no TLS")
    plan = make_plan(("a", FIRST), ("b", SECOND), kernel_tls=kernel_tls)
    if kernel_tls == "may":
        plan.encrypt(make_certificate)
    ends = launch(plan).wait().ok()
    for side in ("W", "R"):
        assert ends.side("input", side)["encryption"] == {"how": "kernel", "cipher": "chacha20-poly1305", "records": 1}
    assert ends.stage("output")["stdout"] == "secret\n"


def test_where_a_kernel_cannot_relays_do_it(launch: Launch) -> None:
    if not why_not():
        pytest.skip("the kernel of this machine has TLS")
    plan = make_plan(("a", FIRST), ("b", SECOND), kernel_tls="may")
    plan.encrypt(make_certificate)
    ends = launch(plan).wait().ok()
    assert {ends.side("input", side)["encryption"]["how"] for side in ("W", "R")} == {"relay"}
    assert ends.stage("output")["stdout"] == "secret\n"


@pytest.mark.parametrize("which", ["a", "b"])
def test_one_kernel_that_cannot_is_enough_for_relays(launch: Launch, which: str) -> None:
    """Here none can, or both: the trial of one of them is told to say no."""
    plan = make_plan(("a", FIRST), ("b", SECOND), kernel_tls="may")
    plan.encrypt(make_certificate)

    def told(spec: dict[str, str]) -> None:
        if spec["end"] == which:
            spec["kernel_tls"] = ""

    ends = launch(plan, told=told).wait().ok()
    assert {ends.side("input", side)["encryption"]["how"] for side in ("W", "R")} == {"relay"}


def test_where_nothing_can_it_is_refused(launch: Launch) -> None:
    if not why_not():
        pytest.skip("the kernel of this machine has TLS")
    ends = launch(make_plan(("a", FIRST), ("b", SECOND), kernel_tls="may")).wait()
    assert ends.cause()["msg"].endswith(
        "its links are to be encrypted by the kernel, and the kernels of the two hosts have no cipher in common"
    )


@pytest.mark.parametrize("kernel_tls", ["may", "must"])
def test_where_a_key_has_a_limit_relays_do_it_unless_they_must_not(launch: Launch, kernel_tls: str) -> None:
    """As in FIPS mode, where kernels have AES-256-GCM only."""
    if why_not():
        pytest.skip("the kernel of this machine has no TLS")
    plan = make_plan(("a", FIRST), ("b", SECOND), kernel_tls=kernel_tls)
    plan.encrypt(make_certificate)
    ends = launch(plan, [("keys", "CIPHERS = (CHACHA20, AES)", "CIPHERS = (AES,)")]).wait().ok()
    assert ends.side("input", "W")["encryption"]["how"] == {"may": "relay", "must": "kernel"}[kernel_tls]
