# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a pipeline: an end for each host and user, and the stages of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..module_utils._run.fork import fork as fork_plan
from ..module_utils._run.plan import Plan
from . import _hosts as hosts_of
from ._connections import NO_ADDRESS, NO_BECOME, UNKNOWN, HostError
from ._host_variables import ADDRESS, LISTEN, PORTS
from ._program_run import SAMPLE
from ._task_options import OptionError

if TYPE_CHECKING:
    from ansible.plugins.action import ActionBase

    from ..module_utils._run.records import Advice, Options
    from ._hosts import Host
    from ._pipeline_fork import Fork
    from ._pipeline_options import Stage

ADVICE: Advice = {
    "early_exit": "if that is what you want, set early_exit for it",
    "timeout": "connect_timeout",
    "stalled": "stall_timeout",
    "not_connected": f"Try the variables {ADDRESS} (addresses to dial), {PORTS} (ports that a firewall allows) or "
    f"{LISTEN} (whether others can dial a host) of these hosts, or test the network with preflight: true.",
}


# errors of a host, with the setting of a stage to change
WITH_OPTION = {UNKNOWN: "host: %s", NO_BECOME: "become_user needs become: true%.0s"}


class Ends:
    """The ends of a pipeline: one for each host and user, with a neutral name."""

    def __init__(self, action: ActionBase, own: Host, task_vars: Mapping[str, Any]) -> None:
        """``own``: the task's host."""
        self.action, self.own, self.task_vars = action, own, task_vars
        self.hosts: dict[str, Host] = {}  # by the name of the end
        self.by_user: dict[tuple[str, str, str], str] = {}
        self.by_request: dict[tuple[str, bool | None, str | None], str] = {}

    def end_of(self, stage: Stage) -> str:
        """The name of the end that runs a stage; raises OptionError."""
        request = (stage.host or self.own.name, stage.become, stage.become_user)
        if request not in self.by_request:
            try:
                host = self.host_of(*request)
            except HostError as exc:
                text = WITH_OPTION.get(exc.kind, "%s") % exc
                raise OptionError(f"{stage.option}: {text}") from None
            end = self.by_user.setdefault((host.name, *host.user), f"end{len(self.hosts) + 1}")
            self.hosts.setdefault(end, host)
            self.by_request[request] = end
        return self.by_request[request]

    def home(self) -> str:
        """The name of the end of the task's host and user; it is added if it runs no stage."""
        end = self.by_user.setdefault((self.own.name, *self.own.user), f"end{len(self.hosts) + 1}")
        self.hosts.setdefault(end, self.own)
        return end

    def host_of(self, name: str, become: bool | None, user: str | None) -> Host:
        """A host as a stage has it; raises HostError."""
        if name == self.own.name:
            becomes = self.own.user != hosts_of.LOGIN
            if user is None and become in (None, becomes):
                return self.own
            become = becomes if become is None else become  # as the task does, not as its host's variables say
        if become is False and not hosts_of.is_controller(name, self.task_vars):
            return hosts_of.as_user(self.action, name, self.task_vars, become, user)
        return hosts_of.other(self.action, name, self.task_vars, bool(become), user)


def make_plan(
    options: Options,
    stages: Sequence[Stage],
    ends: Ends,
    environment: Mapping[str, str],
    progress: bool,
    fork: Fork | None = None,
    detaches: bool = False,
) -> Plan:
    """A plan without addresses; raises OptionError.  ``environment``: of the task, for all stages on its host.

    ``detaches``: the task's host is an end, also without a stage.
    """
    plan = Plan(options)
    chain = [(ends.end_of(stage), stage.command) for stage in stages]
    branches = [[(ends.end_of(stage), stage.command) for stage in branch] for branch in fork.branches] if fork else []
    if detaches:
        ends.home()
    for end, host in ends.hosts.items():
        # an exec returns its output only at its end
        sample = SAMPLE if progress and host.executor is None else 0.0
        plan.add_end(end, listen=len(ends.hosts) > 1, sample=sample)
    for end, command in sum(branches, chain):
        if ends.hosts[end].name == ends.own.name:
            command["environment"] = {**environment, **command["environment"]}
    plan.chain(chain)
    if fork:
        fork_plan(plan, stages[-1].command["name"], branches, fork.required)
    return plan


def about_address(exc: HostError) -> str:
    return f"{exc}: set {ADDRESS}" if exc.kind == NO_ADDRESS else str(exc)
