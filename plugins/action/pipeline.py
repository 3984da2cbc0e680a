# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.pipeline: checks the stages, makes a plan, runs it, returns the result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._run.result import hide, refused, summary
from ..module_utils._run.written import pipeline_result
from ..plugin_utils import _hosts as hosts_of
from ..plugin_utils._connections import HostError
from ..plugin_utils._pipeline_fork import parse_forked
from ..plugin_utils._pipeline_options import PIPELINE_SPEC, PipelineArgs
from ..plugin_utils._pipeline_run import ADVICE, Ends, about_address, make_plan
from ..plugin_utils._program_run import conclude
from ..plugin_utils._survey import from_texts
from ..plugin_utils._task_expect import parse_expectation
from ..plugin_utils._task_job import async_dir, check_detachable, job_of, leave_result, run_job
from ..plugin_utils._task_options import OptionError, check_given, fact_name, settings
from ..plugin_utils._task_progress import progress_of
from ..plugin_utils._task_result import not_run, preflight
from ..plugin_utils._task_run import encrypt
from ..plugin_utils._task_script import script_reader

if TYPE_CHECKING:
    from ..module_utils._run.plan import Plan
    from ..module_utils._run.records import Result

display = Display()


class ActionModule(ActionBase):
    """Joins commands on any hosts to a chain, with direct TCP sockets."""

    TRANSFERS_FILES = False
    _supports_async = True
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        name = str(self._task.delegate_to or task_vars.get("inventory_hostname", ""))
        result: Any
        try:
            super().run(tmp, task_vars)
            result = self._pipeline(name, task_vars)
        except HostError as exc:
            result = refused(about_address(exc), name)
        except (OptionError, AnsibleActionFail) as exc:
            result = refused(str(exc), name)
        if self._task.no_log and "cause" in result:
            hide(result)
        return {**result}

    def _pipeline(self, name: str, task_vars: dict[str, Any]) -> Any:
        """Raises OptionError, HostError and AnsibleActionFail."""
        check_given(self._task, "encryption")
        self._task.args = from_texts(PIPELINE_SPEC, self._task.args)
        args: PipelineArgs = self.validate_argument_spec(argument_spec=PIPELINE_SPEC)[1]
        fact = fact_name(args["fact"])
        options = settings(args)
        stages, fork, warnings = parse_forked(args["stages"], script_reader(self))
        expectation, more = parse_expectation(args, script_reader(self))
        ends = Ends(self, hosts_of.of_task(self, name, task_vars), task_vars)
        detaches = bool(self._task.async_val)
        environment, progress = hosts_of.environment_of(self), bool(args["progress"])
        plan = make_plan(options, stages, ends, environment, progress, fork, detaches)
        encrypt(plan, args["encryption"])
        names = {end: host.name for end, host in ends.hosts.items()}
        all_stages = [*stages, *(fork.stages() if fork else [])]
        writes = {stage.command["name"]: stage.writes for stage in all_stages if stage.writes}
        if detaches:
            check_detachable(args["preflight"])
            plan.detach(ends.home(), job_of(self, names, fact, advice=ADVICE, writes=writes))
        hosts_of.reach(plan, ends.hosts)
        for warning in [*warnings, *more]:
            display.warning(warning)
        if self._task.check_mode:
            result = not_run(plan, names, "between the hosts of each link" if args["preflight"] else "")
            return leave_result(ends.own, plan, async_dir(self), result) if detaches else result
        if not args["preflight"]:
            source = ends.hosts[ends.end_of(stages[0])]
            environment = hosts_of.environment_of(self) if source.name == ends.own.name else {}
            plan.expected = expectation.ask(source, environment, self._task.no_log)
        if detaches:
            return run_job(self, plan, ends.hosts, False, args["progress"], args["progress_quiet"])
        result = self._execute(plan, ends, names, args, writes)
        if fact and not (result.get("failed") or result.get("skipped") or args["preflight"] or self._task.no_log):
            result["ansible_facts"] = {fact: summary(result)}
        return result

    def _execute(
        self, plan: Plan, ends: Ends, names: dict[str, str], args: PipelineArgs, writes: dict[str, str]
    ) -> Result:
        began = time.monotonic()
        progress = progress_of(plan, ends.own.name, args["progress"], args["progress_quiet"])
        # an unreachable host fails the task, also if it is the task's own: core would take that host, and with
        # run_once all hosts, out of the play
        verdict = conclude(plan, ends.hosts, progress, ADVICE)
        if args["preflight"] and not verdict.cause_of_launch:
            return preflight(plan, names, verdict)
        result, lost = pipeline_result(plan, names, verdict, time.monotonic() - began, writes)
        for warning in lost:
            display.warning(warning)
        return result
