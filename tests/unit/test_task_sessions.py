# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared ssh connections to a host that many tasks use at once."""

from __future__ import annotations

import errno
import os
import socket

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
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Places of this test alone."""
    monkeypatch.setitem(LOGIN, "host", f"h{os.getpid()}")


def sockets(count: int, **options: object) -> tuple[list[object], list[socket.socket | None]]:
    """(the sockets of so many connections at the same time, their places)."""
    connections = [Connection(**{**LOGIN, **options}) for _number in range(count)]
    places = [_sessions.share(connection) for connection in connections]
    return [connection.options["control_path"] for connection in connections], places


def test_eight_sessions_in_each_connection() -> None:
    found, places = sockets(24)
    assert [found.index(each) for each in found] == [0] * 8 + [8] * 8 + [16] * 8
    assert found[0] is None, "the first is that of all tasks of Ansible"
    second = str(found[8])
    assert second.startswith("%(directory)s/") and len(second % {"directory": ""}) == 11
    other, _places = sockets(1)
    assert other[0] not in found
    places[3].close()  # type: ignore[union-attr]
    again, _place = sockets(1)
    assert again == [None], "the place of who has left is taken again"


@pytest.mark.parametrize("option", ["host", "port", "remote_user"])
def test_another_login_has_another_connection(option: str) -> None:
    found, _places = sockets(9)
    others, _more = sockets(9, **{option: f"other{os.getpid()}"})
    assert others[:8] == [None] * 8, "it has its own places"
    assert others[8] not in found


def test_what_the_user_or_another_plugin_does_is_left_alone() -> None:
    chosen, places = sockets(9, control_path="/run/mine")
    assert (chosen, places) == (["/run/mine"] * 9, [None] * 9)
    assert _sessions.share(Connection(container="c1")) is None


def test_without_abstract_names_all_share_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(socket.socket):
        def bind(self, name: object) -> None:
            raise FileNotFoundError(errno.ENOENT, "no such file")

    monkeypatch.setattr(_sessions.socket, "socket", Elsewhere)
    found, places = sockets(9)
    assert (found, places) == ([None] * 9, [None] * 9)


def test_nobody_can_connect_to_a_place() -> None:
    _found, (place,) = sockets(1)
    assert place is not None
    with socket.socket(socket.AF_UNIX) as other, pytest.raises(ConnectionRefusedError):
        other.connect(place.getsockname())
