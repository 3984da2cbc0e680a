# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.pipeline: checks the stages, makes a plan, runs it, returns the result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._run.branches import warning_of
from ..module_utils._run.progress import Progress
from ..module_utils._run.result import concluded, hide, refused, summary
from ..plugin_utils import _hosts as hosts_of
from ..plugin_utils._connections import HostError
from ..plugin_utils._pipeline_fork import parse_forked
from ..plugin_utils._pipeline_options import PIPELINE_SPEC, PipelineArgs
from ..plugin_utils._pipeline_run import ADVICE, Ends, about_address, after_failure, make_plan
from ..plugin_utils._program_run import conclude
from ..plugin_utils._task_expect import parse_expectation
from ..plugin_utils._task_options import OptionError, check_given, fact_name, settings
from ..plugin_utils._task_refusal import ASYNC
from ..plugin_utils._task_result import not_run, preflight
from ..plugin_utils._task_run import encrypt
from ..plugin_utils._task_script import script_reader

if TYPE_CHECKING:
    from ..module_utils._run.plan import Plan
    from ..module_utils._run.records import Result
    from ..plugin_utils._pipeline_options import Stage

display = Display()


class ActionModule(ActionBase):
    """Joins commands on any hosts to a chain, with direct TCP sockets."""

    TRANSFERS_FILES = False
    _supports_async = False
    _supports_check_mode = True
    _supports_diff = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        task_vars = task_vars or {}
        name = str(self._task.delegate_to or task_vars.get("inventory_hostname", ""))
        result: Any
        try:
            if self._task.async_val:
                raise OptionError(ASYNC % "pipeline")
            super().run(tmp, task_vars)
            result = self._pipeline(name, task_vars)
        except HostError as exc:
            result = refused(about_address(exc), name)
        except (OptionError, AnsibleActionFail) as exc:
            result = refused(str(exc), name)
        if self._task.no_log:
            hide(result)
        return {**result}

    def _pipeline(self, name: str, task_vars: dict[str, Any]) -> Result:
        """Raises OptionError, HostError and AnsibleActionFail."""
        check_given(self._task, "encryption")
        args: PipelineArgs = self.validate_argument_spec(argument_spec=PIPELINE_SPEC)[1]
        fact = fact_name(args["fact"])
        options = settings(args)
        stages, fork, warnings = parse_forked(args["stages"], script_reader(self))
        expectation, more = parse_expectation(args, script_reader(self))
        ends = Ends(self, hosts_of.of_task(self, name, task_vars), task_vars)
        plan = make_plan(options, stages, ends, hosts_of.environment_of(self), bool(args["progress"]), fork)
        encrypt(plan, args["encryption"])
        hosts_of.reach(plan, ends.hosts)
        for warning in [*warnings, *more]:
            display.warning(warning)
        names = {end: host.name for end, host in ends.hosts.items()}
        if self._task.check_mode:
            return not_run(plan, names, "between the hosts of each link" if args["preflight"] else "")
        if not args["preflight"]:
            source = ends.hosts[ends.end_of(stages[0])]
            environment = hosts_of.environment_of(self) if source.name == ends.own.name else {}
            plan.expected = expectation.ask(source, environment, self._task.no_log)
        result = self._execute(plan, ends, names, args, [*stages, *(fork.stages() if fork else [])])
        if fact and not (result.get("failed") or result.get("skipped") or args["preflight"] or self._task.no_log):
            result["ansible_facts"] = {fact: summary(result)}
        return result

    def _execute(
        self, plan: Plan, ends: Ends, names: dict[str, str], args: PipelineArgs, stages: list[Stage]
    ) -> Result:
        began = time.monotonic()
        progress = Progress(
            ends.own.name, args["progress"], plan.neighbours(), plan.options["rate_limit"], expected=plan.expectation()
        )
        # an unreachable host fails the task, also if it is the task's own: core would take that host, and with
        # run_once all hosts, out of the play
        verdict = conclude(plan, ends.hosts, progress, ADVICE)
        if args["preflight"] and not verdict.cause_of_launch:
            return preflight(plan, names, verdict)
        if verdict.cause:
            verdict.cause["msg"] += after_failure(verdict, stages)
        result = concluded(plan, names, verdict, time.monotonic() - began)
        lost = [branch for branch in result.get("branches", ()) if verdict.ok and not branch["ok"]]
        for branch in lost:
            own = [stage for stage in stages if plan.branch_of(stage.command["name"]) == branch["name"]]
            if branch["cause"]:
                text = branch["cause"]["msg"] + after_failure(verdict, own)
                branch["cause"] = {**branch["cause"], "msg": text}
            display.warning(warning_of(branch, plan.branches_required))
        return result
