# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task with many ends has the descriptors that it needs, or says why not."""

from __future__ import annotations

import resource

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible.errors import AnsibleActionFail
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _task_run

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("count", "limits", "raised"),
    [
        (2, (1024, 4096), None),
        (300, (1024, 4096), None),
        (400, (1024, 4096), (1274, 4096)),
        (400, (1024, INFINITE), (1274, INFINITE)),
        (400, (INFINITE, INFINITE), None),
        (1340, (1024, 4096), (4094, 4096)),
    ],
)
def test_the_limit_is_raised_as_far_as_needed(
    monkeypatch: pytest.MonkeyPatch, count: int, limits: tuple[int, int], raised: tuple[int, int] | None
) -> None:
    said: list[tuple[int, int]] = []
    monkeypatch.setattr(_task_run.os, "listdir", lambda path: ["0"] * 10)
    monkeypatch.setattr(_task_run.resource, "getrlimit", lambda number: limits)
    monkeypatch.setattr(_task_run.resource, "setrlimit", lambda number, values: said.append(values))
    _task_run.reserve_descriptors(count)
    assert said == ([raised] if raised else [])


def test_too_many_hosts_for_the_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_task_run.os, "listdir", lambda path: ["0"] * 10)
    monkeypatch.setattr(_task_run.resource, "getrlimit", lambda number: (1024, 1024))
    with pytest.raises(
        AnsibleActionFail, match=r"^400 hosts need 1274 open files on the controller, and its limit is 1024: .* forks, "
    ):
        _task_run.reserve_descriptors(400)
