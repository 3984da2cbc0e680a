# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A transfer to the hosts of the option hosts: which they are, what is done on each, and the result."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible import context as command_line
from ansible.module_utils.parsing.convert_bool import boolean

from ..module_utils._end.wire import bounded
from ..module_utils._run.answers import Failure
from ..module_utils._run.transferred import SECOND, SOURCE, diff, failed
from ..module_utils._run.words import printable
from . import _hosts as hosts_of
from ._connections import HostError
from ._task_options import OptionError
from ._transfer_chain import Chain
from ._transfer_run import STOPPED, Moved, Network
from ._transfer_tree import check_options

if TYPE_CHECKING:
    from ansible.plugins.action import ActionBase

    from ._hosts import Host
    from ._transfer_options import TransferArgs

NAMED = 5  # hosts that a message names
MSGS_MOST = 48 * 1024  # characters of the messages of all hosts in a result, which an event contains twice
MSG_LEAST = 100  # characters of the message of a host
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


@dataclasses.dataclass
class Outcome:
    """One host: what the look found, and what came of it."""

    name: str
    look: Any = None
    failure: Failure | None = None
    changed: bool = False
    after: Any = None  # the file, if it was changed
    backup: str = ""

    def fail(self, failure: Failure) -> None:
        self.failure, self.changed = failure, failure.started

    def shape(self, most: int) -> dict[str, Any]:
        """``most``: characters of its message."""
        cause = self.failure and cause_of(self.failure, self.name)
        if cause:
            cause["msg"] = bounded(cause["msg"], most, last=False)
        return {
            "ok": not self.failure,
            "changed": self.changed,
            "cause": cause,
            "backup_file": printable(self.backup) or None,
        }


def cause_of(failure: Failure, host: str = "") -> dict[str, Any]:
    return {"kind": failure.kind, "host": failure.host or host, "msg": failure.msg}


class ToHosts:
    """One task with the option hosts."""

    def __init__(self, chain: Chain, network: Network, args: TransferArgs, mode: int | str | None) -> None:
        self.chain, self.network, self.args, self.mode = chain, network, args, mode
        ends = [end for end in chain.hosts if end != SOURCE]
        self.outcomes = {end: Outcome(chain.hosts[end].name) for end in ends}
        self.source: Any = None
        self.first: Moved | None = None  # at the first host of the chain
        self.failure: Failure | None = None  # of the whole run

    def run(self, name: str, check: bool, with_diff: bool) -> dict[str, Any]:
        """Returns the result; raises HostError.  ``name``: for progress lines."""
        began = time.monotonic()
        try:
            self.look()
        except Failure as exc:
            self.failure = exc
            for each in self.outcomes.values():
                each.fail(exc)
            return self.failed()
        if not check:
            self.move(name)
            self.settle()
        bad = self.failure or any(each.failure for each in self.outcomes.values())
        result = self.failed() if bad else self.shape()
        if "failed" not in result:
            result["msg"] = (check and self.forecast()) or "ok"
            result["elapsed"] = None if check else round(time.monotonic() - began, 3)
        if with_diff:
            result["diff"] = self.diffs()
        return result

    # -- what is done

    def look(self) -> None:
        """Raises Failure if the source cannot be sent."""
        args = self.args
        self.source = self.chain.ask(SOURCE, "look-source", {"path": args["src"], "checksum": args["checksum"]})
        if self.source["kind"] == "directory":
            check_options(args)
        asked = {"path": args["dest"], "name": os.path.basename(args["src"]), "source": self.source}
        asked.update({key: args[key] for key in ("force", "owner", "group", "backup")}, mode=self.mode)
        for end, found in self.chain.ask_each("look-destination", dict.fromkeys(self.outcomes, asked)).items():
            outcome = self.outcomes[end]
            if isinstance(found, Failure):
                outcome.fail(found)
            else:
                outcome.look, outcome.changed, outcome.after = found, found["do"] != "nothing", found["after"]

    def to_do(self, what: str) -> dict[str, dict[str, Any]]:
        """The requests for the hosts that need this, "settle" or "move"."""
        found = {}
        for end, each in self.outcomes.items():
            if each.look and each.look["do"] == what:
                found[end] = {key: each.look[key] for key in ("path", "wanted", "current", "folder")}
                found[end].update({key: self.args[key] for key in ("force", "validate", "backup")})
                found[end]["source"] = self.source
        return found

    def settle(self) -> None:
        for end, found in self.chain.ask_each("settle", self.to_do("settle")).items():
            if isinstance(found, Failure):
                self.outcomes[end].fail(found)
            else:
                self.outcomes[end].after = found

    def move(self, name: str) -> None:
        requests = self.to_do("move")
        if not requests:
            return
        sent = {"path": self.source["path"], "source": self.source}
        results, self.failure = self.chain.move_along(self.network, sent, requests, name)
        for end, found in results.items():
            if isinstance(found, Failure):
                self.outcomes[end].fail(found)
                continue
            self.first = self.first or found
            self.outcomes[end].after, self.outcomes[end].backup = found.answer, found.answer["backup"]

    # -- the result

    def shape(self) -> dict[str, Any]:
        """Of a success."""
        source, moved = self.source, self.first
        result = failed("", "", "")
        del result["failed"]
        result.update(
            changed=any(each.changed for each in self.outcomes.values()),
            cause=None,
            src=printable(source["path"]),
            source_host=self.chain.hosts[SOURCE].name,
            peer=self.chain.hosts[SOURCE].name,
            size=source["size"],
            mtime=round(source["mtime"] / SECOND, 6),
            checksum=source["sha256"],
            bytes=moved.link["bytes"] if moved else None,
            link=moved.link if moved else None,
            run=moved.run if moved else None,
            hosts=self.hosts(),
        )
        return result

    def hosts(self) -> dict[str, Any]:
        bad = sum(1 for each in self.outcomes.values() if each.failure)
        most = max(MSG_LEAST, MSGS_MOST // max(1, bad))
        return {each.name: each.shape(most) for each in self.outcomes.values()}

    def failed(self) -> dict[str, Any]:
        """The message names the hosts, and has the failure that came first, or that of the first of them."""
        bad = {each.name: each.failure for each in self.outcomes.values() if each.failure}
        own = [each for each in bad.values() if each.kind != STOPPED and each is not self.failure]
        first = own[0] if own else self.failure or next(iter(bad.values()))
        changed = any(each.changed for each in self.outcomes.values())
        result = failed(first.kind, first.msg, first.host, changed)
        if self.source and len(bad) > 1:
            result["msg"] = f"{len(bad)} of {len(self.outcomes)} hosts failed, {named(bad)}: {first.msg}"
        result["hosts"] = self.hosts()
        return result

    def forecast(self) -> str:
        """What would be done."""
        counts = {what: len(self.to_do(what)) for what in ("move", "settle")}
        all_of_them = len(self.outcomes)
        words = [f"transfer it to {counts['move']} of {all_of_them} hosts"] if counts["move"] else []
        words += [f"change its attributes on {counts['settle']} of {all_of_them} hosts"] if counts["settle"] else []
        return words and "would " + " and ".join(words) or ""

    def diffs(self) -> list[dict[str, str]]:
        found = []
        for each in self.outcomes.values():
            if each.look and each.look["do"] != "nothing":
                shown = diff(each.look["path"], each.look["current"], each.after)
                shown.update({key: f"{each.name}: {shown[key]}" for key in ("before_header", "after_header")})
                found.append(shown)
        return found


def named(bad: Mapping[str, Failure]) -> str:
    """ "web1 (unreachable), web2 (no room) and 3 more"."""
    names = [f"{name} ({each.kind})" for name, each in bad.items()]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
