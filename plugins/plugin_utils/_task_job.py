# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task with ``async``: its ends detach from it, its host keeps the result, and ansible-core polls that."""

from __future__ import annotations

import functools
import signal
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._end.processes import kill
from ..module_utils._run import bootstrap
from ..module_utils._run.job import is_name
from ..module_utils._run.kept import result_of
from ..module_utils._run.labels import ENDS, labelled
from ..module_utils._run.marked import read_marked
from ..module_utils._run.progress import line_of_job, without_figures
from ..module_utils._run.report import parse_progress
from ..module_utils._run.verdict import Verdict
from ._task_options import OptionError
from ._task_progress import Asking, Quiet, beside
from ._task_run import ExecLaunch, TaskRun, ending_label, one_line

if TYPE_CHECKING:
    from ..module_utils._end.records import EndPlan
    from ..module_utils._run.plan import Plan
    from ..module_utils._run.records import Advice, AnyTapeJob, Job, JobAnswer, JobTask, TransferJob
    from ._hosts import Host

LONGEST = 7 * 24 * 3600.0  # seconds for a run of a task without async that outlives it nevertheless
SAMPLE = 2.0  # seconds between the samples of the end that keeps the result
MODULES = ("_end.lean", "_end.system", "_end.processes", "_end.wire", "_run.labels", "_run.job")
ON_CONTROLLER = (
    "async: one side of this run is on the controller. If that is a container, as in AWX, it ends with the job, and "
    "the run fails then"
)
MAY_RUN = "; it may have started nevertheless, and was told to stop (job %s)"

display = Display()


def check_detachable(preflight: bool) -> None:
    """Raises OptionError if a run with these options cannot outlive its controller."""
    if preflight:
        raise OptionError("preflight: it starts nothing, so leave out async")


def job_of(
    action: ActionBase,
    names: Mapping[str, str],
    fact: str,
    peer: str = "",
    advice: Advice | None = None,
    writes: Mapping[str, str] | None = None,
    transfer: TransferJob | None = None,
    tape: AnyTapeJob | None = None,
) -> Job:
    """What the host that keeps the result is told; ``names``: {end: name of its host}; ``writes``: {stage: path}."""
    task = action._task
    job: Job = {
        "directory": async_dir(action),
        "hosts": dict(names),
        "peer": peer,
        "advice": advice,
        "writes": dict(writes or {}),
        "fact": fact,
        "no_log": bool(task.no_log),
        "limit": float(task.async_val or LONGEST),
    }
    if transfer:
        job["transfer"] = transfer
    if tape:
        job["tape"] = tape
    return job


def async_dir(action: ActionBase) -> str:
    """Ansible's directory for jobs.  The host expands "~": it may be the home of the user that it has become."""
    return str(action.get_shell_option("async_dir", default="~/.ansible_async"))


def started(run: str, path: str) -> Any:
    """The result with which ansible-core begins to poll."""
    return {"changed": True, "started": True, "finished": False, "ansible_job_id": run, "results_file": path}


def run_job(action: ActionBase, plan: Plan, hosts: dict[str, Host], unreachable: bool, first: int, quiet: int) -> Any:
    """Start the run, and show its progress lines if ansible-core will poll for its result; see start_job.

    ``first``, ``quiet``: seconds, as the options progress and progress_quiet.
    """
    result = start_job(plan, hosts, unreachable)
    if result.get("ansible_job_id") and action._task.async_val and action._task.poll:
        follow_job(hosts[plan.home], async_dir(action), plan.run, first, quiet)
    return result


def start_job(plan: Plan, hosts: dict[str, Host], unreachable: bool) -> Any:
    """Start the run; returns the result for ansible-core, which then polls, or why the run has not started.

    ``unreachable``: whether the task's host is unreachable if no login is possible there, and not only the task failed.
    """
    names = {end: host.name for end, host in hosts.items()}
    if any(host.on_controller for end, host in hosts.items() if end != plan.home):
        display.warning(ON_CONTROLLER)
    running = [plan.home, *plan.ends]
    next(plan.ends[end] for end in running if plan.ends[end]["stages"])["sample"] = SAMPLE
    began = time.monotonic()
    run = TaskRun(plan, hosts)
    outcomes = run.outcomes()
    kept = outcomes[plan.home]["report"] or {}
    if kept.get("detached"):
        return started(plan.run, kept.get("results_file", ""))
    verdict = Verdict(plan, outcomes, names, plan.job and plan.job["advice"])
    gone = verdict.cause and verdict.cause["kind"] == "unreachable" and verdict.cause["host"] == names[plan.home]
    if gone and unreachable:
        raise AnsibleConnectionFailure(outcomes[plan.home]["error"])
    result, _warnings = result_of(cast("Job", plan.job), verdict, time.monotonic() - began)
    # after a lost login the end may have detached, also if Ansible has logged in again
    if any(outcome["lost"] or (outcome["report"] or {}).get("detached") for outcome in outcomes.values()):
        end_there(run)
        result["msg"] += MAY_RUN % plan.run
    return result


def end_there(run: TaskRun) -> None:
    """End on each host what may have left its login; a host that cannot be reached any more is not waited for."""
    ends = [launch.end_there for launch in run.launches.values() if isinstance(launch, ExecLaunch)]
    threads = [threading.Thread(target=end, daemon=True) for end in ends]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + ENDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        kill(labelled([ending_label(run.plan.run)]), signal.SIGTERM)  # such as ssh, which would wait for hours


@functools.cache
def program() -> bytes:
    return bootstrap.program(bootstrap.sources(MODULES))


def ask(host: Host, told: JobTask) -> JobAnswer | str:
    """Run the program for jobs on a host, as the user of the task; returns the answer, or why there is none."""
    plan = cast("EndPlan", {"run": told["run"], "end": "job", "stages": []})
    launch = ExecLaunch(host, plan, lambda: None)
    # a label of another form: the program must not take itself for a process of the job
    said = launch._execute("socketpipe-job:%s" % told["run"], program(), cast("Any", told))
    answer = read_marked(said["stdout"])
    if answer is None:
        return f"no answer (exit status {said['rc']}): {one_line(Exception(said['stdout'] + said['stderr']))}"
    return cast("JobAnswer", answer)


def follow_job(host: Host, directory: str, run: str, first: int, quiet: int) -> None:
    """Show progress lines while ansible-core polls in this worker, by a thread that ends with it."""
    other, silence = beside(host), Quiet(quiet)

    def look(must: bool) -> list[str] | None:
        answer = ask(other, {"directory": directory, "run": run, "look": True})
        if isinstance(answer, str):
            return [without_figures(host.name, silence.elapsed, answer)]
        if answer["finished"]:
            return None
        progress = parse_progress(answer["progress"])
        if progress:
            return [line_of_job(host.name, progress)]
        return [without_figures(host.name, silence.elapsed)] if must else []

    if first:
        Asking(first, silence, look, host.name).thread.start()


def leave_result(host: Host, plan: Plan, directory: str, result: Any) -> Any:
    """Where nothing is to run, as in check mode: a job that is finished already, as ansible-core polls for one."""
    answer = ask(host, {"directory": directory, "run": plan.run, "result": result})
    if isinstance(answer, str) or answer.get("error"):
        why = answer if isinstance(answer, str) else f"{answer['path']}: {answer['error']}"
        return {**result, "failed": True, "msg": f"the file of the job cannot be made on {host.name}: {why}"}
    return started(plan.run, answer["path"])


def check_name(job: str) -> None:
    """Raises OptionError unless this may be the identifier of a job; with it, the file of the job is named."""
    if not is_name(job):
        raise OptionError(f"cancel: {job!r} is no ansible_job_id of a run, which is 32 hexadecimal digits")


def cancel_job(host: Host, directory: str, job: str) -> dict[str, Any]:
    """Stop a job that an earlier task has started; its result then says that it was stopped."""
    answer = ask(host, {"directory": directory, "run": job})
    result: dict[str, Any] = {"changed": False, "ansible_job_id": job}
    if isinstance(answer, str):
        return {**result, "failed": True, "msg": f"the job {job} on {host.name} could not be stopped: {answer}"}
    result["results_file"] = answer["path"]
    if answer["left"]:
        why = (
            f"{answer['left']} processes of the job {job} on {host.name} could not be stopped: another user's? (become)"
        )
        return {**result, "failed": True, "msg": why}
    if answer["found"]:
        return {**result, "changed": True, "msg": f"the job {job} on {host.name} was stopped"}
    if answer["exists"]:
        return {**result, "msg": f"the job {job} on {host.name} has ended before"}
    why = f"there is no job {job} on {host.name}: is it another host, user (become) or async_dir?"
    return {**result, "failed": True, "msg": why}
