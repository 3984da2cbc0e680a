# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ends really say, and what may stand in its place; for the tests of those who hear it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.wire import MARK
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._hosts import Host
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_run import ProcessLaunch
from ansible_collections.plumbing.socketpipe.tests.unit.ends import Ends, make_plan, sh
from hypothesis import strategies as st

MEGA = 1024 * 1024
LINK = "input → remote"
NAMES = {"peer": "tape1", "remote": "db1"}


# the capabilities of a host: with the kernel's reason, so that all of its fields are here
CAN: dict[str, Any] = {
    "ciphers": ["aes-256-gcm"],
    "no_kernel_tls": {"kind": "broken", "release": "6.1.0", "error": "Invalid argument"},
    "ssl": "OpenSSL 3.0.2",
    "no_relay": "",
}


def plan_of(source: str = "echo hello; exit $X") -> Plan:
    return make_plan(("peer", sh("input", source)), ("remote", sh("remote", "cat; exit $X")))


PLAN = plan_of()


def launch_of(end: str = "remote", *interpreter: str) -> ProcessLaunch:
    host = Host(NAMES[end], None, list(interpreter) or [sys.executable], "localhost")
    return ProcessLaunch(host, PLAN.for_end(end), lambda: None)


def marked(message: Any) -> str:
    return "\n%s%s\n" % (MARK, json.dumps(message))


@lru_cache(None)
def real() -> dict[str, dict[str, dict[str, Any]]]:
    """{kind: {end: report}}: what ends really say of a run that was ok, and of others."""
    found = {}
    for kind, source in {"ok": "echo hello", "failed": "echo no >&2; exit 3", "refused": ""}.items():
        patience = 30 if source else 0.5  # for an end that will not come
        plan = make_plan(("peer", sh("input", source)), ("remote", sh("remote", "cat")), connect_timeout=patience)
        if not source:
            plan.stage("remote")["argv"] = ["no-such-command"]
        ends = Ends(plan).start()
        try:
            ends.wait()
            found[kind] = {name: ends.report(name) for name in plan.ends}
        finally:
            ends.kill()
    died, left = {"kind": "signal", "signal": "SIGKILL"}, [{"pid": 7, "name": "cat"}]
    found["died"] = {"peer": {"end": "peer", "died": died, "killed": [], "left": left}}
    found["skipped"] = {"remote": {"end": "remote", "skipped": {"stage": "remote", "path": "/x", "exists": True}}}
    found["preflight"] = {
        end: {"end": end, "preflight": True, "connect": found["refused"]["peer"]["connect"], "encryption": CAN}
        for end in ["peer"]
    }
    return found


def kept_of(said: Any, kept: Any) -> Any:
    """Of what an end said, the fields that are kept."""
    if isinstance(kept, dict):
        return {key: kept_of(said[key], kept[key]) for key in kept}
    return [kept_of(*pair) for pair in zip(said, kept)] if isinstance(kept, list) else said


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    0.5,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    10**400,
    "",
    "x" * 100,
    "W",
    LINK,
    "peer",
]
ODD += [
    "x" * MEGA,
    [],
    [None],
    [[]],
    {},
    {"": 1},
    {"kind": "failed", "signal": 1},
    {"kind": "stalled"},
    ["y"] * 3,
    "\ud800",
    "broken",
    "remote",
]
anything = st.sampled_from(ODD) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each (container, key) of a JSON value."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    for key, inner in items:
        yield value, key
        yield from places(inner)
