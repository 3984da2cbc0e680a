# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of a run: who starts an end on each, with which Python, and where others can dial it."""

from __future__ import annotations

import itertools
import os
import socket
import sys
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ansible import constants as C
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..module_utils._end.names import socket_name, with_zone
from ..module_utils._run.plan import Plan
from ._connections import NO_ADDRESS, NO_BECOME, UNKNOWN, HostError, check_connection, executor_for
from ._host_variables import LISTEN, NOTHING, Reachable, reachable

LOOPBACK = ["127.0.0.1", "::1"]
# connections that close an end's standard output when the controller dies; others, as to containers, keep it open
TELLING = ("ssh", "local", "paramiko_ssh", "libssh")
LOCALHOSTS = ("localhost", "127.0.0.1", "::1")
LOGIN = ("", "")  # the user of a host that becomes nobody else


class Host:
    """One host: its name, Pythons and addresses, and its executor (None for a plain process on the controller)."""

    def __init__(
        self,
        name: str,
        executor: ActionBase | None,
        interpreters: list[str],
        address: str,
        given: Reachable = NOTHING,
    ) -> None:
        """``given``: what its variables say about dialling it."""
        self.name, self.executor, self.interpreters = name, executor, interpreters
        self.on_controller = executor is None or executor._connection.transport == "local"
        self.addresses = [] if self.on_controller else resolve(address)
        self.given = given
        self.folder: str | None = None
        if executor is not None:
            check_connection(name, executor._connection)

    @property
    def becomes_by(self) -> str:
        """The name of the become program, "" for none."""
        plugin = self.executor._connection.become if self.executor is not None else None
        return "" if plugin is None else os.path.basename(str(plugin.get_option("become_exe") or plugin.name))

    @property
    def user(self) -> tuple[str, str]:
        """(the name of the become method, the user that it becomes), or LOGIN."""
        plugin = self.executor._connection.become if self.executor is not None else None
        if plugin is None:
            return LOGIN
        try:
            user = plugin.get_option("become_user")
        except KeyError:  # it has no such option
            user = None
        return plugin.name.rpartition(".")[2], str(user or "")

    @property
    def takes_stdin(self) -> bool:
        """Whether the program can be sent on standard input, whatever the pipelining setting says."""
        if self.executor is None:
            return True
        connection = self.executor._connection
        become = connection.become
        if become is not None and not getattr(become, "pipelining", become.name.rpartition(".")[2] != "su"):
            return False  # core 2.16 has no such attribute; its su does not pass it on either
        if become is not None and getattr(become, "require_tty", False):
            return False  # such as machinectl; a program cannot be sent through a terminal
        # checks the options of ssh, but not its configuration
        asks_for_tty = getattr(connection, "_is_tty_requested", bool)
        return bool(connection.has_pipelining) and not asks_for_tty()

    @property
    def has_login_shell(self) -> bool:
        """Whether a command is run by the shell of a login; other connections may have no shell, such as podman."""
        connection = self.executor._connection if self.executor is not None else None
        return connection is not None and connection.transport == "ssh" and connection.become is None

    @property
    def tells(self) -> bool:
        """Whether an end there notices by itself that the controller has died."""
        if self.executor is None:
            return True
        connection = self.executor._connection
        return str(getattr(connection, "_load_name", connection.transport)).rpartition(".")[2] in TELLING


def controller(folder: str, given: Reachable) -> Host:
    """This machine: a plain child process of the worker, in the directory that a local connection would use."""
    host = Host("localhost", None, [sys.executable], "localhost", given)
    host.folder = folder
    return host


def of_task(action: ActionBase, name: str, task_vars: Mapping[str, Any]) -> Host:
    """The task's host, or its delegate; raises HostError."""
    delegate = action._task.delegate_to
    variables = task_vars.get("ansible_delegated_vars", {}).get(delegate, {}) if delegate else task_vars
    if delegate and delegate in task_vars["hostvars"]:
        # a ChainMap, because a copy would template all variables of the host, and some may be undefined now
        own = task_vars["hostvars"][delegate]
        variables = ChainMap(cast(Any, variables), own)
        given = reachable(delegate, own)
    else:
        given = reachable(name, variables, action._templar)
    pythons = interpreters(variables, action._templar)
    return Host(name, action, pythons, str(action._get_remote_addr(task_vars)), given)


def other(
    action: ActionBase, name: str, task_vars: Mapping[str, Any], become: bool, become_user: str | None = None
) -> Host:
    """Another host than the task's; raises HostError."""
    if is_controller(name, task_vars) and not (become or become_user):
        hosts = task_vars["hostvars"]
        return controller(action._loader.get_basedir(), reachable(name, hosts.get(name, {})))
    return inventory_host(action, name, task_vars, become, become_user)


def is_controller(name: str, task_vars: Mapping[str, Any]) -> bool:
    """Whether a peer is the controller: localhost, unless the inventory gives it another connection."""
    if name not in LOCALHOSTS:
        return False
    if name not in task_vars["hostvars"]:
        return True
    connection = str(task_vars["hostvars"][name].get("ansible_connection", "local"))
    return connection.rpartition(".")[2] == "local"  # ansible.builtin.local


def inventory_host(
    action: ActionBase, name: str, task_vars: Mapping[str, Any], become: bool, become_user: str | None
) -> Host:
    """Another inventory host, with its own variables; raises HostError.

    It becomes another user with ``become``, or if its variables say so.
    """
    return as_user(action, name, task_vars, become or None, become_user)


def as_user(
    action: ActionBase,
    name: str,
    task_vars: Mapping[str, Any],
    become: bool | None,
    become_user: str | None,
    become_method: str | None = None,
) -> Host:
    """A host with its own variables; raises HostError.  Main thread only, because it templates.

    ``become``: None for what its variables say; ``become_method``: unless its variables have one.
    """
    if name not in task_vars["hostvars"]:
        raise HostError(f"there is no host {name!r} in the inventory", UNKNOWN)
    variables = task_vars["hostvars"][name]  # Ansible collects them anew for each look-up, which takes milliseconds
    become = boolean(variables.get("ansible_become", False)) if become is None else become
    if become_user and not become:
        raise HostError(f"a become user is given for {name}, which has no become", NO_BECOME)
    executor = executor_for(action, name, variables, task_vars, become, become_user, become_method)
    pythons = interpreters(variables, action._templar)
    return Host(name, executor, pythons, str(executor._get_remote_addr({})), reachable(name, variables))


def join(task_vars: Mapping[str, Any], name: str, variables: Mapping[str, Any]) -> None:
    """Add a host to the inventory of this worker only, so that it also gets the variables of group all."""
    inventory = task_vars["hostvars"]._inventory._inventory
    inventory.add_host(name, "all")
    for key, value in variables.items():
        inventory.set_variable(name, key, value)


def interpreters(host_vars: Mapping[str, Any], templar: Any) -> list[str]:
    """The Python that Ansible has set or discovered for a host, or the candidates of its discovery."""
    chosen = templar.template(
        host_vars.get("ansible_python_interpreter") or C.config.get_config_value("INTERPRETER_PYTHON")
    )
    if chosen and not str(chosen).startswith("auto"):
        return [str(chosen)]
    facts = host_vars.get("ansible_facts") or {}
    discovered = facts.get("discovered_interpreter_python") or host_vars.get("discovered_interpreter_python")
    if discovered:
        return [str(discovered)]
    fallback = host_vars.get("ansible_interpreter_python_fallback")
    names = templar.template(fallback) if fallback else C.config.get_config_value("INTERPRETER_PYTHON_FALLBACK")
    return [str(name) for name in names] + ["/usr/libexec/platform-python"]


def environment_of(action: ActionBase) -> dict[str, str]:
    """The task's ``environment``, templated; it applies only to the task's host."""
    environment: dict[str, Any] = {}
    action._compute_environment_string(environment)
    return {str(key): str(value) for key, value in environment.items()}


def reach(plan: Plan, hosts: Mapping[str, Host], dialled: str = "", given: Sequence[str] = ()) -> None:
    """Put the addresses to dial into a plan, and what is only in the variables of its hosts; raises HostError.

    ``given``: the addresses of the end ``dialled``, instead of those in its variables and the detected ones.
    """
    follow_variables(plan, hosts)
    joined = {frozenset((link["writer"], link["reader"])) for link in plan.links + plan.controls}
    for pair in itertools.combinations(hosts, 2):
        if frozenset(pair) not in joined:
            continue
        names = " and ".join(hosts[end].name for end in reversed(pair))
        if not any(plan.ends[end]["listen"] for end in pair):
            raise HostError(f"neither of {names} may listen: set {LISTEN} to true for one of them")
        possible = [reach_one(plan, hosts, each, dialled, given) for each in itertools.permutations(pair)]
        if not any(possible):
            raise HostError(f"neither of {names} has an address that the other could dial", NO_ADDRESS)


def reach_one(plan: Plan, hosts: Mapping[str, Host], pair: tuple[str, ...], dialled: str, given: Sequence[str]) -> bool:
    """The same for one host, (the end that dials, the other one); whether it can dial the other."""
    dialler, target = pair
    addresses, ssh_client = dial_addresses(hosts[dialler], hosts[target])
    instead = [] if same_machine(hosts[dialler], hosts[target]) else hosts[target].given.addresses
    if given and target == dialled:
        instead = list(given)
    if instead:
        addresses = [found for name in instead for found in given_addresses(name)]
        ssh_client = False
    plan.reach(dialler, target, addresses, ssh_client)
    return plan.ends[target]["listen"] and bool(addresses or ssh_client)


def follow_variables(plan: Plan, hosts: Mapping[str, Host]) -> None:
    """Take from the variables of the hosts what the task does not set: who listens, and where."""
    auto = all(end["listen"] for end in plan.ends.values())
    for name, host in hosts.items():
        end = plan.ends[name]
        end["listen"] = host.given.listens if auto else end["listen"]
        if host.given.ports and not plan.options.get("ports"):
            end["ports"] = plan.candidates(host.given.ports)


def same_machine(one: Host, other: Host) -> bool:
    return one.name == other.name or (one.on_controller and other.on_controller)


def dial_addresses(dialler: Host, target: Host) -> tuple[list[str], bool]:
    """Where ``dialler`` can dial ``target``: (addresses, whether the source address of its ssh login is another).

    The zone of a link-local address is an interface of the controller, and invalid on any other host.
    """
    if same_machine(dialler, target):
        return LOOPBACK + target.addresses, False
    if not target.on_controller:
        zones = dialler.on_controller
        return [address for address in target.addresses if zones or "%" not in address], False
    routes = dialler.addresses or ["192.0.2.1", "2001:db8::1"]  # documentation addresses: the default route
    own = [own_address(address) for address in routes]
    return [address for address in dict.fromkeys(own) if address and "%" not in address], True


def resolve(address: str) -> list[str]:
    """All IP addresses of a name, in the resolver's order; [] if it does not resolve (an alias of ssh, for example)."""
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(with_zone(entry[4]) for entry in found))


def given_addresses(name: str) -> list[str]:
    """The same for a name that the user gave: the dialling host may resolve more, and a zone is an interface there."""
    return [name] if "%" in name else resolve(name) or [name]


def own_address(towards: str) -> str:
    """The address that this machine would use to reach another, from the routing table; sends nothing."""
    try:
        family, name = socket_name(towards, 9)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(name)
            return with_zone(probe.getsockname())
    except OSError:
        return ""
