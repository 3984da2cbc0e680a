# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to other hosts than the task's: each with the settings of its own host, and none of the task's."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from ansible import constants as C
from ansible import context as command_line
from ansible.errors import AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase
from ansible.plugins.loader import become_loader, connection_loader

from ._sessions import share

# kinds of errors to which a front-end adds the name of its option
UNKNOWN, NO_BECOME, NO_ADDRESS = "unknown host", "no become", "no address"


class HostError(ValueError):
    """A host cannot be used; the text names it and gives the reason; front-ends decide by ``kind``."""

    def __init__(self, text: str, kind: str = ""):
        super().__init__(text)
        self.kind = kind


class Executor(ActionBase):
    """Runs commands as an action does, but over the connection of another host than the task's."""

    place: socket.socket | None = None  # see _sessions

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        raise NotImplementedError


def check_connection(name: str, connection: Any) -> None:
    """Raises HostError for connections that do not run POSIX commands on a host."""
    shell = getattr(connection, "_shell", None)
    unsuitable = getattr(connection, "_remote_is_local", False) or getattr(shell, "_IS_WINDOWS", False)
    if unsuitable or not hasattr(connection, "has_pipelining"):
        plugin = getattr(connection, "_load_name", connection.transport)
        raise HostError(f"{name}: its connection plugin {plugin} cannot run commands on a Linux host")


def executor_for(
    action: ActionBase,
    name: str,
    variables: Mapping[str, Any],
    task_vars: Mapping[str, Any],
    become: bool,
    become_user: str | None,
    become_method: str | None = None,
) -> Executor:
    """Runs commands on an inventory host, with its own variables; raises HostError.  Main thread only: it templates."""
    connection = make_connection(action, name, variables, typed(action, task_vars))
    place = share(connection)
    if become:
        set_become(connection, name, variables, become_user, become_method)
    executor = Executor(
        task=action._task,
        connection=connection,
        play_context=connection._play_context,
        loader=action._loader,
        templar=action._templar,
        shared_loader_obj=action._shared_loader_obj,
    )
    executor.place = place
    return executor


def typed(action: ActionBase, task_vars: Mapping[str, Any]) -> dict[str, str]:
    """The passwords typed for all hosts (--ask-pass, --ask-become-pass), by the names of their options.

    The play context of a task does not tell them from passwords of the task's own host.  So a password does not count
    as typed if that host's variables or the configuration of its plugins have one.
    """
    context, connection, delegate = action._play_context, action._connection, action._task.delegate_to
    own = task_vars.get("ansible_delegated_vars", {}).get(delegate, {}) if delegate else task_vars
    found = {}
    for option, kind, plugin in (
        ("password", "connection", connection),
        ("become_pass", "become", connection.become),
    ):
        value = getattr(context, option)
        if not value or any(name in own for name in C.MAGIC_VARIABLE_MAPPING[option]):
            continue
        if plugin is None or not is_configured(kind, plugin, option, own):
            found[option] = value
    return found


def is_configured(kind: str, plugin: Any, option: str, variables: Mapping[str, Any]) -> bool:
    """Whether a host's variables, the environment or ansible.cfg set an option of a plugin."""
    known = known_options(kind, plugin, variables)
    try:
        value, _origin = C.config.get_config_value_and_origin(
            option, plugin_type=kind, plugin_name=plugin._load_name, variables=known
        )
    except AnsibleError:
        return False  # it has no such option
    return value is not None


def peer_context(action: ActionBase, name: str, variables: Mapping[str, Any], passwords: dict[str, str]) -> PlayContext:
    """The settings of the command line and of the peer's variables, and none of the task's host."""
    context = PlayContext(connection_lockfd=action._play_context.connection_lockfd)
    context.no_log = action._play_context.no_log
    context.remote_addr = name
    for attribute, value in passwords.items():
        setattr(context, attribute, value)
    for attribute, names in C.MAGIC_VARIABLE_MAPPING.items():
        for variable in names:
            if variable in variables:
                setattr(context, attribute, variables[variable])
                break
    context.connection = str(context.connection or C.DEFAULT_TRANSPORT)
    if context.connection == "smart":
        context.connection = "ssh"
    context.become = False  # see set_become
    return context


def known_options(kind: str, plugin: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a host that are options of this plugin."""
    return {key: variables[key] for key in C.config.get_plugin_vars(kind, plugin._load_name) if key in variables}


def make_connection(
    action: ActionBase, name: str, variables: Mapping[str, Any], passwords: dict[str, str]
) -> ConnectionBase:
    """A connection to a host, with options from the variables of that host."""
    context = peer_context(action, name, variables, passwords)
    connection = connection_loader.get(
        context.connection,
        context,
        new_stdin=None,
        task_uuid=action._task._uuid,
        ansible_playbook_pid=str(os.getppid()),
    )
    if connection is None:
        raise HostError(f"{name}: there is no connection plugin {context.connection!r}")
    keys = {"timeout": context.timeout, **passwords}  # without the keywords of the task, which apply to the task's host
    connection.set_options(task_keys=keys, var_options=known_options("connection", connection, variables))
    connection._shell.set_options(task_keys={}, var_options=known_options("shell", connection._shell, variables))
    return connection


def set_become(
    connection: ConnectionBase,
    name: str,
    variables: Mapping[str, Any],
    become_user: str | None,
    become_method: str | None = None,
) -> None:
    """Set up become for this connection, from the host's variables; raises HostError.

    ``become_method``: unless the variables have one.
    """
    context = connection._play_context
    method = str(variables.get("ansible_become_method") or become_method or command_line.CLIARGS["become_method"])
    plugin = become_loader.get(method)
    if plugin is None:
        raise HostError(f"{name}: there is no become plugin {method!r}")
    known = known_options("become", plugin, variables)
    if become_user:
        known["ansible_become_user"] = become_user
    keys = {"become": True, "become_user": become_user, "become_pass": context.become_pass or None}
    plugin.set_options(task_keys=keys, var_options=known)
    connection.set_become_plugin(plugin)
    context.become, context.become_method, context.become_user = True, method, become_user
    context.set_become_plugin(plugin)
