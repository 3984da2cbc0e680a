# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer to the hosts of the option hosts: which they are, what is done on each, and the result."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible import context as command_line
from ansible.module_utils.parsing.convert_bool import boolean

from ..module_utils._run.answers import Failure
from ..module_utils._run.chained import Copies, Copy
from ..module_utils._run.transferred import SECOND, SOURCE
from ..module_utils._run.words import printable
from . import _hosts as hosts_of
from ._connections import HostError
from ._task_options import OptionError
from ._transfer_chain import Chain
from ._transfer_tree import check_options

if TYPE_CHECKING:
    from ansible.plugins.action import ActionBase

    from ..module_utils._run.plan import Plan
    from ._hosts import Host
    from ._transfer_chain import Home
    from ._transfer_options import TransferArgs
    from ._transfer_run import Network

EVERYWHERE = (
    "transfer: this task runs on each of %d hosts, and sends the file to all of hosts each time: add run_once: true"
)


def check_hosts(args: TransferArgs, task_vars: Mapping[str, Any]) -> None:
    """Raises OptionError."""
    names = args["hosts"] or []
    if not names:
        raise OptionError("hosts: the list is empty")
    if args["direction"] != "push":
        raise OptionError("hosts: only with direction: push, from the peer to these hosts")
    if args["resume"]:
        raise OptionError("resume: not with hosts: a second run sends the whole file to those that lack it")
    if args["address"] and args["listen"] == "remote":
        raise OptionError("address: with hosts and listen: remote, set the variable socketpipe_address of each host")
    known = {key_of(args["peer"], task_vars): "is also the peer"}
    for name in names:
        key = key_of(name, task_vars)
        if key in known:
            raise OptionError(f"hosts: {name} {known[key]}")
        known[key] = "is there twice"


def key_of(name: str, task_vars: Mapping[str, Any]) -> str:
    """The same for all names of the controller."""
    return "localhost" if hosts_of.is_controller(name, task_vars) else name


def warning(action: ActionBase, task_vars: Mapping[str, Any]) -> str:
    """ "" for none."""
    count = len(task_vars.get("ansible_play_batch") or ())
    return EVERYWHERE % count if count > 1 and not action._task.run_once else ""


def chain_of(action: ActionBase, peer: Host, names: list[str], task_vars: Mapping[str, Any]) -> Chain:
    """The ends of a transfer, in this order; raises OptionError and HostError."""
    hosts: dict[str, Host] = {SOURCE: peer}
    environments: dict[str, dict[str, str]] = {SOURCE: {}}
    for number, name in enumerate(names, start=1):
        end = f"destination {number}"
        try:
            hosts[end] = destination(action, name, task_vars)
        except HostError as exc:
            raise OptionError(f"hosts: {exc}") from None
        environments[end] = hosts_of.environment_of(action)
    return Chain(hosts, environments)


def destination(action: ActionBase, name: str, task_vars: Mapping[str, Any]) -> Host:
    """One of the hosts; the become keywords of the task apply, unless its variables say otherwise; raises HostError."""
    task, cli = action._task, command_line.CLIARGS
    variables: Mapping[str, Any] = {}
    if name in task_vars["hostvars"]:  # its get() would make an undefined value
        variables = task_vars["hostvars"][name]
    become = cli.get("become", False) if task.become is None else task.become
    if variables.get("ansible_become") is not None:
        become = boolean(variables["ansible_become"])
    user = None
    if become and variables.get("ansible_become_user") is None:
        user = task.become_user or cli.get("become_user")
    if not become and hosts_of.is_controller(name, task_vars):
        return hosts_of.other(action, name, task_vars, False)
    return hosts_of.as_user(action, name, task_vars, become, user, task.become_method)


class ToHosts:
    """One task with the option hosts."""

    def __init__(self, chain: Chain, network: Network, args: TransferArgs, mode: int | str | None) -> None:
        self.chain, self.network, self.args, self.mode = chain, network, args, mode
        self.copies = Copies({end: Copy(host.name) for end, host in chain.hosts.items() if end != SOURCE})
        self.looks: dict[str, Any] = {}
        self.source: Any = None

    def run(self, name: str, check: bool, with_diff: bool, home: Home | None = None) -> dict[str, Any]:
        """Returns the result; raises HostError.

        ``name``: for progress lines; ``home``: for a transfer that outlives its task.
        """
        began = time.monotonic()
        try:
            self.look()
        except Failure as exc:
            self.copies.failure = exc
            for each in self.copies.hosts.values():
                each.fail(exc)
            return {**self.copies.failed()}
        moves = bool(self.copies.to_do("move")) and not check
        if home and moves:
            return self.start(home, with_diff)
        if moves:
            self.copies.arrive(self.chain.move_along(self.network, self.plan(), name))
        if not check:
            self.settle()
        result: dict[str, Any] = self.copies.result(with_diff)
        if "failed" not in result:
            result["msg"] = (check and self.forecast()) or "ok"
            result["elapsed"] = None if check else round(time.monotonic() - began, 3)
        return result

    def look(self) -> None:
        """Raises Failure if the source cannot be sent."""
        args = self.args
        source = self.chain.ask(SOURCE, "look-source", {"path": args["src"], "checksum": args["checksum"]})
        self.source = source
        if source["kind"] == "directory":
            check_options(args)
        name = self.chain.hosts[SOURCE].name
        self.copies.source = {
            "src": printable(source["path"]),
            "source_host": name,
            "peer": name,
            "size": source["size"],
            "mtime": round(source["mtime"] / SECOND, 6),
            "checksum": source["sha256"],
        }
        asked = {"path": args["dest"], "name": os.path.basename(args["src"]), "source": source}
        asked.update({key: args[key] for key in ("force", "owner", "group", "backup")}, mode=self.mode)
        for end, found in self.chain.ask_each("look-destination", dict.fromkeys(self.copies.hosts, asked)).items():
            if isinstance(found, Failure):
                self.copies.hosts[end].fail(found)
            else:
                self.looks[end] = found
                self.copies.hosts[end].looked(found)

    def requests(self, what: str) -> dict[str, dict[str, Any]]:
        """For the hosts that need this, "settle" or "move"."""
        found: dict[str, dict[str, Any]] = {}
        for end in self.copies.to_do(what):
            found[end] = {key: self.looks[end][key] for key in ("path", "wanted", "current", "folder")}
            found[end].update({key: self.args[key] for key in ("force", "validate", "backup")})
            found[end]["source"] = self.source
        return found

    def plan(self, home: Home | None = None) -> Plan:
        """Of the move; raises HostError."""
        sent = {"path": self.source["path"], "source": self.source}
        return self.chain.planned(self.network, sent, self.requests("move"), home)

    def settle(self) -> None:
        for end, found in self.chain.ask_each("settle", self.requests("settle")).items():
            if isinstance(found, Failure):
                self.copies.hosts[end].fail(found)
            else:
                self.copies.hosts[end].after = found

    def start(self, home: Home, with_diff: bool) -> dict[str, Any]:
        """Start the move that outlives this task; all that is done without it is done before."""
        plan = self.plan(home)
        self.settle()
        home.job["chain"] = self.copies.told(with_diff)
        return {**home.start(plan, self.chain.hosts_of(plan, home))}

    def forecast(self) -> str:
        """What would be done."""
        counts = {what: len(self.copies.to_do(what)) for what in ("move", "settle")}
        all_of_them = len(self.copies.hosts)
        words = [f"transfer it to {counts['move']} of {all_of_them} hosts"] if counts["move"] else []
        words += [f"change its attributes on {counts['settle']} of {all_of_them} hosts"] if counts["settle"] else []
        return words and "would " + " and ".join(words) or ""
