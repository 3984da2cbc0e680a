# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.pipe: checks the arguments, makes a plan, runs it, returns the result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._run import sentences
from ..module_utils._run.plan import Plan
from ..module_utils._run.result import concluded, hide, refused, summary
from ..module_utils._run.verdict import Verdict
from ..plugin_utils import _hosts as hosts_of
from ..plugin_utils._connections import HostError
from ..plugin_utils._survey import from_texts
from ..plugin_utils._task_expect import parse_expectation
from ..plugin_utils._task_job import (
    async_dir,
    cancel_job,
    check_detachable,
    check_name,
    job_of,
    leave_result,
    run_job,
)
from ..plugin_utils._task_options import (
    PIPE_SPEC,
    OptionError,
    PipeArgs,
    check_given,
    fact_name,
    parse_stages,
    settings,
)
from ..plugin_utils._task_progress import lines_of, progress_of
from ..plugin_utils._task_refusal import about_host
from ..plugin_utils._task_result import not_run, preflight
from ..plugin_utils._task_run import TaskRun, encrypt
from ..plugin_utils._task_script import script_reader

if TYPE_CHECKING:
    from ..module_utils._run.records import Result

REMOTE = "remote"
PEER = "peer"
SAMPLE = 1.0  # seconds between samples of an end for progress lines

display = Display()


class ActionModule(ActionBase):
    """Joins a command on the task's host to commands on the peer with direct TCP sockets."""

    TRANSFERS_FILES = False
    _supports_async = True
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = {**self._result(tmp, task_vars)}
        if self._task.no_log and "cause" in result:
            hide(result)
        return result

    def _result(self, tmp: str | None, task_vars: dict[str, Any] | None) -> Any:
        task_vars = task_vars or {}
        name = str(self._task.delegate_to or task_vars.get("inventory_hostname", ""))
        super().run(tmp, task_vars)
        try:
            check_given(self._task, "encryption")
            self._task.args = from_texts(PIPE_SPEC, self._task.args)
            args: PipeArgs = self.validate_argument_spec(argument_spec=PIPE_SPEC)[1]
            if args["cancel"] is not None:
                return self._cancel(name, args["cancel"], args, task_vars)
            fact = fact_name(args["fact"])
            plan, warnings = self._plan(args)
            expectation, more = parse_expectation(args, script_reader(self))
            hosts = self._hosts(name, args, task_vars)
            names = {end: host.name for end, host in hosts.items()}
            if self._task.async_val:
                check_detachable(args["preflight"])
                plan.detach(REMOTE, job_of(self, names, fact, peer=names[PEER]))
            self._reach(plan, hosts, args)
        except HostError as exc:
            return refused(about_host(exc), name)
        except (OptionError, AnsibleActionFail) as exc:
            return refused(str(exc), name)
        for warning in [*warnings, *more]:
            display.warning(warning)
        if not self._task.check_mode and not args["preflight"]:
            source = PEER if args["input"] is not None else REMOTE
            environment = hosts_of.environment_of(self) if source == REMOTE else {}
            plan.expected = expectation.ask(hosts[source], environment, self._task.no_log)
        if self._task.check_mode:
            checked = f"between {names[PEER]} and {names[REMOTE]}" if args["preflight"] else ""
            result = not_run(plan, names, checked)
            result["peer"] = names[PEER]
            if self._task.async_val:
                result = leave_result(hosts[REMOTE], plan, async_dir(self), result)
        elif self._task.async_val:
            result = run_job(self, plan, hosts, True, args["progress"], args["progress_quiet"])
        else:
            result = self._execute(plan, hosts, names, args)
            result["peer"] = names[PEER]
            if fact and not (result.get("failed") or result.get("skipped") or args["preflight"] or self._task.no_log):
                result["ansible_facts"] = {fact: summary(result)}
        return result

    def _cancel(self, name: str, job: str, args: PipeArgs, task_vars: dict[str, Any]) -> Any:
        """Stop a run that an earlier task has started."""
        others = [option for option in ("input", "remote", "output") if args.get(option) is not None]
        if others or self._task.async_val:
            raise OptionError(
                f"cancel: it stops a job and runs no command, so leave out {', '.join(others) or 'async'}"
            )
        check_name(job)
        host = hosts_of.of_task(self, name, task_vars)
        if self._task.check_mode:
            return {"changed": True, "msg": f"would stop the job {job} on {host.name}"}
        return cancel_job(host, async_dir(self), job)

    def _plan(self, args: PipeArgs) -> tuple[Plan, list[str]]:
        """A plan with stages and links, and warnings; the addresses follow when the hosts are known."""
        if args["remote"] is None:
            raise OptionError("remote is required: the command on the task's host")
        if args["input"] is None and args["output"] is None:
            raise OptionError("input or output is required: the command on the peer to join remote to")
        given = {"input": args["input"], "remote": args["remote"], "output": args["output"]}
        read = script_reader(self)
        parsed = {option: parse_stages(option, value, read) for option, value in given.items()}
        if not parsed["remote"][0]:
            raise OptionError("remote: the command is empty")
        plan = Plan(settings(args))
        plan.add_end(REMOTE, listen=args["listen"] in ("auto", "remote"))
        plan.add_end(PEER, listen=args["listen"] in ("auto", "peer"))
        where = {"input": PEER, "remote": REMOTE, "output": PEER}
        plan.chain([(where[option], stage) for option, (stages, _w) in parsed.items() for stage in stages])
        encrypt(plan, args["encryption"])
        for stage in plan.ends[REMOTE]["stages"]:
            stage["environment"] = {**hosts_of.environment_of(self), **stage["environment"]}
        return plan, [warning for _stages, warnings in parsed.values() for warning in warnings]

    def _hosts(self, name: str, args: PipeArgs, task_vars: dict[str, Any]) -> dict[str, hosts_of.Host]:
        """Both hosts; raises HostError."""
        become, user = args["peer_become"], args["peer_become_user"]
        remote = hosts_of.of_task(self, name, task_vars)
        return {REMOTE: remote, PEER: hosts_of.other(self, args["peer"], task_vars, become, user)}

    def _reach(self, plan: Plan, hosts: dict[str, hosts_of.Host], args: PipeArgs) -> None:
        """Put the addresses to dial into the plan; ``address`` belongs to the side that is dialled."""
        if args["progress"] and hosts[PEER].executor is None:  # an exec returns its output only at its end
            plan.ends[PEER]["sample"] = SAMPLE
        hosts_of.reach(plan, hosts, REMOTE if args["listen"] == "remote" else PEER, args["address"] or [])

    def _execute(self, plan: Plan, hosts: dict[str, hosts_of.Host], names: dict[str, str], args: PipeArgs) -> Result:
        """Run the plan; returns the result."""
        began = time.monotonic()
        progress = progress_of(plan, names[REMOTE], args["progress"], args["progress_quiet"])
        with lines_of(progress, plan, hosts) as lines:
            outcomes = TaskRun(plan, hosts, lines).outcomes()
        verdict = Verdict(plan, outcomes, names)
        if args["preflight"] and not verdict.cause_of_launch:
            return preflight(plan, names, verdict)
        for report in verdict.reports.values():
            for warning in report.get("warnings", ()):
                display.warning(sentences.warning(warning))
        if verdict.cause and verdict.cause["kind"] == "unreachable" and verdict.cause["host"] == names[REMOTE]:
            raise AnsibleConnectionFailure(outcomes[REMOTE]["error"])
        return concluded(plan, names, verdict, time.monotonic() - began)
