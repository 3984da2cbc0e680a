# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared ssh connections to a host that many tasks use at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _sessions

LOGIN = {"control_path": None, "host": "10.0.0.1", "port": 22, "remote_user": "backup"}


class Connection:
    def __init__(self, **options: object):
        self.options = options

    def get_option(self, name: str) -> object:
        return self.options[name]

    def set_option(self, name: str, value: object) -> None:
        self.options[name] = value


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_sessions.C, "DEFAULT_LOCAL_TMP", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def sockets(count: int, **options: object) -> tuple[list[object], list[object]]:
    """(the sockets of so many connections at the same time, their places)."""
    connections = [Connection(**{**LOGIN, **options}) for _number in range(count)]
    places = [_sessions.share(connection, "h1") for connection in connections]
    return [connection.options["control_path"] for connection in connections], places


def test_eight_sessions_in_each_connection() -> None:
    found, places = sockets(24)
    assert [found.index(each) for each in found] == [0] * 8 + [8] * 8 + [16] * 8
    assert found[0] is None, "the first is that of all tasks of Ansible"
    second = str(found[8])
    assert second.startswith("%(directory)s/") and len(second % {"directory": ""}) == 11
    other, _places = sockets(1)
    assert other[0] not in found
    places[3].close()  # type: ignore[attr-defined]
    again, _place = sockets(1)
    assert again == [None], "the place of who has left is taken again"


@pytest.mark.parametrize("option", ["host", "port", "remote_user"])
def test_another_login_has_another_connection(option: str) -> None:
    found, _places = sockets(9)
    other = Connection(**{**LOGIN, option: "other"})
    place = _sessions.share(other, "h1")
    assert place and other.options["control_path"] not in found


def test_what_the_user_or_another_plugin_does_is_left_alone() -> None:
    chosen, places = sockets(9, control_path="/run/mine")
    assert (chosen, places) == (["/run/mine"] * 9, [None] * 9)
    assert _sessions.share(Connection(container="c1"), "c1") is None


def test_no_place_on_a_full_disk_is_no_failure(folder: Path) -> None:
    folder.write_text("")
    found, places = sockets(9)
    assert (found, places) == ([None] * 9, [None] * 9)
