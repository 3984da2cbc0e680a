# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.transfer: looks at both hosts, moves one file, returns the result."""

from __future__ import annotations

import functools
import os
import shlex
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._run.answers import Failure
from ..module_utils._run.plan import Plan
from ..module_utils._run.result import hide
from ..module_utils._run.transferred import DESTINATION, SOURCE, diff, failed
from ..module_utils._run.words import printable
from ..plugin_utils import _hosts as hosts_of
from ..plugin_utils import _transfer_hosts as many
from ..plugin_utils import _transfer_tree as tree
from ..plugin_utils._connections import HostError
from ..plugin_utils._survey import from_texts
from ..plugin_utils._task_job import async_dir, job_of, leave_result, run_job
from ..plugin_utils._task_options import OptionError, check_given, link_settings
from ..plugin_utils._task_refusal import about_host
from ..plugin_utils._task_run import one_line
from ..plugin_utils._transfer_chain import HOME, Home
from ..plugin_utils._transfer_options import TRANSFER_SPEC, parse_mode
from ..plugin_utils._transfer_result import shape
from ..plugin_utils._transfer_resume import part_of
from ..plugin_utils._transfer_run import ADVICE, Network, Transfer

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._run.records import TransferJob
    from ..plugin_utils._transfer_options import TransferArgs

display = Display()


def check_validate(command: str | None) -> None:
    """Raises OptionError."""
    if command is not None and "%s" not in command:
        raise OptionError(f"validate: {command!r} needs %s in place of the new file")
    try:
        shlex.split(command or "")
    except ValueError as exc:
        raise OptionError(f"validate: unbalanced quotes in {command!r} ({exc})") from None


class ActionModule(ActionBase):
    """Moves one file between the task's host and its peer."""

    TRANSFERS_FILES = False
    _supports_async = True
    _supports_check_mode = True
    _supports_diff = True
    _peer: str | None = None  # as soon as it is known

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        name = str(self._task.delegate_to or task_vars.get("inventory_hostname", ""))
        try:
            super().run(tmp, task_vars)
            result = self._transfer(name, task_vars)
        except HostError as exc:
            result = failed("options", about_host(exc), name)
        except (OptionError, AnsibleActionFail) as exc:
            result = failed("options", str(exc), name)
        except Failure as exc:
            if exc.kind == "unreachable" and exc.host == name:
                raise AnsibleConnectionFailure(exc.text) from None
            result = failed(exc.kind, exc.msg, exc.host, exc.started)
        if "cause" in result:  # it is not that of a start
            result["peer"] = self._peer
            if self._task.no_log:
                hide(result)
        return result

    def _transfer(self, name: str, task_vars: dict[str, Any]) -> dict[str, Any]:
        """Raises OptionError, HostError, Failure and AnsibleActionFail."""
        check_given(self._task, "encryption")
        self._task.args = from_texts(TRANSFER_SPEC, self._task.args)
        args: TransferArgs = self.validate_argument_spec(argument_spec=TRANSFER_SPEC)[1]
        network, mode = self._network(args), parse_mode(args["mode"])
        check_validate(args["validate"])
        for option in ("src", "dest"):
            if not args[option] or "\0" in args[option]:
                raise OptionError(f"{option}: {args[option]!r} is not a path")
        if args["hosts"] is not None:
            return self._to_hosts(network, mode, name, args, task_vars)
        transfer = self._sides(name, args, task_vars)
        result = self._between(transfer, network, mode, name, args)
        return self._left(transfer.hosts[self._home(args)], result)

    def _left(self, host: hosts_of.Host, result: dict[str, Any]) -> dict[str, Any]:
        """With async, a job with this result if nothing was to be started, because ansible-core polls for one."""
        if not self._task.async_val or "cause" not in result or result.get("failed"):
            return result
        return {**leave_result(host, Plan({}), async_dir(self), {**result, "peer": self._peer})}

    def _between(
        self, transfer: Transfer, network: Network, mode: int | str | None, name: str, args: TransferArgs
    ) -> dict[str, Any]:
        """From one host to another; raises OptionError, HostError and Failure."""
        began = time.monotonic()
        source = transfer.ask(SOURCE, "look-source", {"path": args["src"], "checksum": args["checksum"]})
        if source["kind"] == "directory":
            start_tree = functools.partial(self._start, transfer, network, args) if self._task.async_val else None
            result = tree.copy(transfer, network, args, source, self._task.check_mode, name, start_tree)
            if "cause" not in result:
                return result
            result["elapsed"] = None if self._task.check_mode else round(time.monotonic() - began, 3)
            return result
        # the name is the task's, not what the source says: that may be any file of a directory
        name_of_file = os.path.basename(args["src"])
        asked = {"path": args["dest"], "name": name_of_file, "source": source, "force": args["force"]}
        asked.update(owner=args["owner"], group=args["group"], mode=mode)
        asked.update(backup=args["backup"], resume=args["resume"])
        look = transfer.ask(DESTINATION, "look-destination", asked)
        part = part_of(transfer, source, look, self._task.check_mode)
        start = part["size"] if part else 0
        moved, after, backup = None, look["after"], ""
        if not self._task.check_mode and look["do"] != "nothing":
            given = {"path": look["path"], "wanted": look["wanted"], "current": look["current"], "source": source}
            if look["do"] == "settle":
                after = transfer.ask(DESTINATION, "settle", given)
            else:
                given.update(folder=look["folder"], force=args["force"])
                given.update(validate=args["validate"], backup=args["backup"], resume=args["resume"], part=part)
                sent = {"path": source["path"], "source": source, "start": start}
                if self._task.async_val:
                    result = shape(transfer, source, look, after, None)
                    result.update(backup_file=None, resumed=start if args["resume"] else None)
                    size = source["size"] - start
                    sender = transfer.stage(SOURCE, "send", sent)
                    return self._start(transfer, network, args, sender, ("receive", given), result, size)
                moved = transfer.move(network, sent, given, name)
                after, backup = moved.answer, moved.answer["backup"]
        result = shape(transfer, source, look, after, moved)
        result["backup_file"] = printable(backup) or None
        result["resumed"] = start if args["resume"] else None
        result["elapsed"] = None if self._task.check_mode else round(time.monotonic() - began, 3)
        if self._task.diff and look["do"] != "nothing":
            result["diff"] = [diff(look["path"], look["current"], after)]
        if self._task.check_mode and look["do"] != "nothing":
            result["msg"] = "would " + {"move": "transfer it", "settle": "change its attributes"}[look["do"]]
        return result

    def _to_hosts(
        self, network: Network, mode: int | str | None, name: str, args: TransferArgs, task_vars: dict[str, Any]
    ) -> dict[str, Any]:
        """To many hosts in place of the task's; raises OptionError and HostError."""
        many.check_hosts(args, task_vars)
        warning = many.warning(self, task_vars)
        if warning:
            display.warning(warning)
        peer = hosts_of.other(self, args["peer"], task_vars, args["peer_become"], args["peer_become_user"])
        self._peer = peer.name
        chain = many.chain_of(self, peer, args["hosts"] or [], task_vars)
        to_hosts = many.ToHosts(chain, network, args, mode)
        if not self._task.async_val:
            return to_hosts.run(name, self._task.check_mode, self._task.diff)
        own = hosts_of.of_task(self, name, task_vars)
        names = {end: host.name for end, host in [*chain.hosts.items(), (HOME, own)]}
        job = job_of(self, names, "", peer=peer.name, advice=ADVICE)
        # a host that is unreachable fails the task, as without async: core would take it, or all hosts, out of the play
        start = functools.partial(run_job, self, unreachable=False, first=network.progress, quiet=network.quiet)
        result = to_hosts.run(name, self._task.check_mode, self._task.diff, Home(own, job, start))
        try:
            return self._left(own, result)
        except AnsibleConnectionFailure as exc:
            msg = f"{own.name} is unreachable, and cannot keep the result: {one_line(exc)}"
            return {**result, **failed("unreachable", msg, own.name, result["changed"]), "hosts": result["hosts"]}

    def _start(
        self,
        transfer: Transfer,
        network: Network,
        args: TransferArgs,
        sender: Command,
        receive: tuple[str, Mapping[str, Any]],
        result: dict[str, Any],
        size: int | None = None,
    ) -> dict[str, Any]:
        """Start a move that outlives this task; ``result``: that of its success, as far as it is known."""
        plan, names = transfer.joined(network, sender, receive, size), {e: h.name for e, h in transfer.hosts.items()}
        told: TransferJob = {
            "command": receive[0],
            "path": receive[1]["path"],
            "current": receive[1].get("current"),
            "diff": self._task.diff and receive[0] == "receive",
            "result": {**result, "peer": self._peer},
        }
        plan.detach(self._home(args), job_of(self, names, "", peer=self._peer or "", advice=ADVICE, transfer=told))
        return {**run_job(self, plan, dict(transfer.hosts), True, network.progress, network.quiet)}

    @staticmethod
    def _home(args: TransferArgs) -> str:
        """The side of the task's host."""
        return DESTINATION if args["direction"] == "push" else SOURCE

    @staticmethod
    def _peer_side(args: TransferArgs) -> str:
        return SOURCE if args["direction"] == "push" else DESTINATION

    def _network(self, args: TransferArgs) -> Network:
        """Raises OptionError."""
        peer = self._peer_side(args)
        own = DESTINATION if peer == SOURCE else SOURCE
        listen = {"auto": [peer, own], "peer": [peer], "remote": [own]}[args["listen"]]
        dialled = own if args["listen"] == "remote" else peer
        options = link_settings(args)
        return Network(
            options,
            listen,
            dialled,
            args["address"] or [],
            args["encryption"],
            args["progress"],
            args["progress_quiet"],
        )

    def _sides(self, name: str, args: TransferArgs, task_vars: dict[str, Any]) -> Transfer:
        """Raises HostError."""
        own = hosts_of.of_task(self, name, task_vars)
        peer = hosts_of.other(self, args["peer"], task_vars, args["peer_become"], args["peer_become_user"])
        self._peer = peer.name
        environments: dict[str, dict[str, str]] = {SOURCE: {}, DESTINATION: {}}
        if args["direction"] == "push":
            environments[DESTINATION] = hosts_of.environment_of(self)
            return Transfer({SOURCE: peer, DESTINATION: own}, environments)
        environments[SOURCE] = hosts_of.environment_of(self)
        return Transfer({SOURCE: own, DESTINATION: peer}, environments)
