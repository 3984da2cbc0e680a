# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's connection and variables say: how a program gets there, as whom, with which passwords."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible.playbook.play_context import PlayContext
from ansible.plugins.loader import become_loader, connection_loader
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _connections, _hosts

# loading a plugin makes its options known
SSH, SUDO = connection_loader.get("ssh", class_only=True), become_loader.get("sudo", class_only=True)


def host(become: Any = None, **connection: Any) -> _hosts.Host:
    executor: Any = SimpleNamespace(
        _connection=SimpleNamespace(transport="local", has_pipelining=True, become=become, **connection)
    )
    return _hosts.Host("h1", executor, ["python3"], "h1")


def become(name: str, exe: str | None = None, **more: Any) -> Any:
    return SimpleNamespace(name=name, get_option={"become_exe": exe}.get, **more)


def test_the_controller_itself() -> None:
    own = _hosts.controller("/play", _hosts.NOTHING)
    assert (own.name, own.on_controller, own.addresses, own.folder) == ("localhost", True, [], "/play")
    assert (own.becomes_by, own.takes_stdin, own.tells) == ("", True, True)


@pytest.mark.parametrize(
    ("plugin", "by", "stdin"),
    [
        (None, "", True),
        (become("sudo", pipelining=True), "sudo", True),
        (become("sudo", "/opt/bin/sudo-rs", pipelining=True), "sudo-rs", True),
        (become("ansible.builtin.su"), "ansible.builtin.su", False),
        (become("community.general.doas"), "community.general.doas", True),
        (become("su", pipelining=False), "su", False),
        (become("machinectl", pipelining=True, require_tty=True), "machinectl", False),
    ],
)
def test_how_a_program_gets_through_become(plugin: Any, by: str, stdin: bool) -> None:
    assert (host(plugin).becomes_by, host(plugin).takes_stdin) == (by, stdin)


def test_a_terminal_takes_no_program() -> None:
    assert not host(_is_tty_requested=lambda: True).takes_stdin
    assert host(_is_tty_requested=lambda: False).takes_stdin


@pytest.mark.parametrize(
    ("name", "hosts", "found"),
    [
        ("localhost", {}, True),
        ("localhost", {"localhost": {}}, True),
        ("localhost", {"localhost": {"ansible_connection": "ansible.builtin.local"}}, True),
        ("localhost", {"localhost": {"ansible_connection": "ssh"}}, False),
        ("db1", {"db1": {"ansible_connection": "local"}}, False),
    ],
)
def test_which_peer_is_the_controller(name: str, hosts: dict[str, Any], found: bool) -> None:
    assert _hosts.is_controller(name, {"hostvars": hosts}) is found


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [(("a", False), ("a", False), True), (("a", False), ("b", False), False), (("a", True), ("b", False), False)]
    + [(("a", True), ("b", True), True)],
)
def test_the_same_machine(one: tuple[str, bool], other: tuple[str, bool], found: bool) -> None:
    hosts: list[Any] = [SimpleNamespace(name=name, on_controller=here) for name, here in (one, other)]
    assert _hosts.same_machine(*hosts) is found


def test_the_own_address_depends_on_the_other() -> None:
    assert _hosts.own_address("127.0.0.1") == "127.0.0.1"
    assert _hosts.own_address("fe80::1%nosuch") == ""


CANDIDATES = ["python3.99", "python3"]


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"ansible_python_interpreter": "/opt/python"}, ["/opt/python"]),
        ({"ansible_python_interpreter": "auto_silent"}, [*CANDIDATES, "/usr/libexec/platform-python"]),
        ({}, [*CANDIDATES, "/usr/libexec/platform-python"]),
        ({"ansible_facts": {"discovered_interpreter_python": "/usr/bin/python3"}}, ["/usr/bin/python3"]),
        ({"discovered_interpreter_python": "/usr/bin/python3"}, ["/usr/bin/python3"]),
    ],
)
def test_interpreters(variables: dict[str, Any], found: list[str]) -> None:
    """The one that is set, or was discovered, or all candidates of the discovery."""
    templar = SimpleNamespace(template=lambda value: value)
    variables = {"ansible_interpreter_python_fallback": CANDIDATES, **variables}
    assert _hosts.interpreters(variables, templar) == found


def test_an_unknown_host() -> None:
    with pytest.raises(_hosts.HostError) as caught:
        _hosts.inventory_host(Any, "db9", {"hostvars": {}}, False, None)
    assert str(caught.value) == "there is no host 'db9' in the inventory"


def test_a_become_user_without_become() -> None:
    with pytest.raises(_hosts.HostError) as caught:
        _hosts.inventory_host(Any, "db1", {"hostvars": {"db1": {}}}, False, "postgres")
    assert str(caught.value) == "a become user is given for db1, which has no become"


def test_the_environment_is_text() -> None:
    action: Any = SimpleNamespace(_compute_environment_string=lambda found: found.update(LEVEL=9, LANG="C"))
    assert _hosts.environment_of(action) == {"LEVEL": "9", "LANG": "C"}


@pytest.mark.parametrize(
    ("own", "delegate", "found"),
    [
        ({}, "", {"password": "typed", "become_pass": "typed too"}),
        ({"ansible_password": "own"}, "", {"become_pass": "typed too"}),
        ({"ansible_ssh_pass": "own"}, "", {"become_pass": "typed too"}),
        ({"ansible_become_password": "own"}, "", {"password": "typed"}),
        ({"ansible_sudo_pass": "own"}, "", {"password": "typed"}),
        ({"ansible_password": "own"}, "db2", {"password": "typed", "become_pass": "typed too"}),
        ({"ansible_delegated_vars": {"db2": {"ansible_password": "its"}}}, "db2", {"become_pass": "typed too"}),
    ],
)
def test_passwords_that_were_typed(own: dict[str, Any], delegate: str, found: dict[str, str]) -> None:
    """A password of the task's own host is not for others."""
    action: Any = SimpleNamespace(
        _play_context=SimpleNamespace(password="typed", become_pass="typed too"),
        _connection=SimpleNamespace(_load_name="ssh", become=SUDO),
        _task=SimpleNamespace(delegate_to=delegate or None),
    )
    assert _connections.typed(action, own) == found


def test_what_is_configured() -> None:
    assert not _connections.is_configured("connection", SSH, "password", {})
    assert _connections.is_configured("connection", SSH, "password", {"ansible_ssh_password": "x"})
    assert not _connections.is_configured("connection", SSH, "no_such_option", {})


@pytest.mark.parametrize(
    ("variables", "transport"),
    [({}, "ssh"), ({"ansible_connection": "smart"}, "ssh"), ({"ansible_connection": "community.docker.docker"}, None)],
)
def test_a_peer_s_own_settings(variables: dict[str, Any], transport: str | None) -> None:
    """None of the task's host: only the passwords that were typed for all."""
    tasks = PlayContext()
    tasks.no_log, tasks.port, tasks.become = True, 2200, True
    given = {"ansible_user": "backup", "ansible_port": 2222, **variables}
    context = _connections.peer_context(
        SimpleNamespace(_play_context=tasks),
        "db1",
        given,
        {"password": "typed"},
    )
    assert context.connection == (transport or variables["ansible_connection"])
    assert (context.remote_addr, context.remote_user, context.port) == ("db1", "backup", 2222)
    assert (context.no_log, context.become, context.password) == (True, False, "typed")
