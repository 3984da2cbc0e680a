# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs programs of this collection with the engine of pipe: a request in, an answer or a Failure out.

They are packages of module_utils, sent as zip archives that Python runs.  Packing adds an entry that imports the main
module of the program, because Galaxy refuses files with the name __main__.py.
"""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.utils.display import Display

from ..module_utils._end.spawn import PROGRAM_PATH
from ..module_utils._end.stage import KEPT_MOST
from ..module_utils._run import bootstrap, sentences
from ..module_utils._run.answers import failure_of
from ..module_utils._run.plan import Plan
from ..module_utils._run.progress import Progress
from ..module_utils._run.verdict import Verdict
from ._hosts import Host
from ._script import MAIN, add_member, members, read_file
from ._task_progress import lines_of
from ._task_run import TaskRun

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._run.records import Advice, Options

SAMPLE = 1.0  # seconds between samples of an end for progress lines
REQUEST = "request.json"
MODULE_UTILS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "module_utils")

display = Display()


def boot() -> str:
    """What tells this machine from the tape host, where the clocks are compared; "" if it is no Linux."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def command(name: str, argv: list[str], environment: Mapping[str, str] | None = None) -> Command:
    """A stage that runs a command installed on the host."""
    return {"name": name, "argv": argv, "ok_rc": [0], "early_exit": False, "environment": dict(environment or {})}


def pack(entry: str, rooms: Iterable[str], top: str = "") -> bytes:
    """The archive of a program; the same files give the same bytes; raises OSError.

    ``entry``: its first module; ``rooms``: folders of module_utils; ``top``: a package for all of them.
    """
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        add_member(archive, MAIN, entry.encode("ascii"))
        made = set()
        for room in rooms:
            parts = [*filter(None, [top]), *room.split("/")]
            for folder in ["/".join(parts[: number + 1]) for number in range(len(parts))]:
                if folder not in made:
                    add_member(archive, f"{folder}/", b"")
                    made.add(folder)
            for name in members(os.path.join(MODULE_UTILS, room)):
                content = b"" if name.endswith("/") else read_file(os.path.join(MODULE_UTILS, room, name))
                add_member(archive, f"{'/'.join(parts)}/{name}", content)
    return data.getvalue()


def with_request(program: bytes, request: Mapping[str, Any]) -> bytes:
    """A program with its request, which can have any length and does not show in a list of processes."""
    data = io.BytesIO(program)
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(REQUEST, json.dumps(request, default=str))
    return data.getvalue()


def program_stage(
    name: str, shown: str, program: bytes, request: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> Command:
    """A stage that runs a program, an archive, with a request; ``shown``: its name in messages."""
    controller = {"time": time.time(), "boot": boot()}
    return {
        **command(name, [shown], environment),
        "launcher": [None, "-I", PROGRAM_PATH],
        "program": bootstrap.as_text(with_request(program, {**request, "controller": controller})),
        "keep": KEPT_MOST,
    }


def plan_of_one(end: str, stage: Command, sample: float = 0.0) -> Plan:
    """One host without a link: only Ansible's connection is used."""
    plan = Plan({})
    plan.add_end(end, listen=False, sample=sample)
    plan.add_stage(end, stage)
    return plan


def plan_of_two(
    options: Options,
    hosts: Mapping[str, Host],
    stages: Iterable[tuple[str, Command]],
    listen: Iterable[str],
    progress: bool,
) -> Plan:
    """Stages on two hosts, [(end, stage), …], each of which writes to the next; ``listen``: the ends that listen.

    The ends report samples for progress lines, but not through an exec, which returns its output only at its end.
    """
    plan = Plan(options)
    for end, host in hosts.items():
        plan.add_end(end, listen=end in listen, sample=SAMPLE if progress and host.executor is None else 0.0)
    plan.chain(list(stages))
    return plan


def execute(plan: Plan, hosts: dict[str, Host], progress: Progress | None, advice: Advice) -> Verdict:
    """Run a plan; raises Failure.  ``advice``: options to change, for messages."""
    verdict = conclude(plan, hosts, progress, advice)
    if verdict.cause:
        raise failure_of(verdict, verdict.cause)
    return verdict


def conclude(plan: Plan, hosts: dict[str, Host], progress: Progress | None, advice: Advice) -> Verdict:
    """Run a plan to its verdict, which may be a failure."""
    names = {end: host.name for end, host in hosts.items()}
    with lines_of(progress, plan, hosts) as lines:
        verdict = Verdict(plan, TaskRun(plan, hosts, lines).outcomes(), names, advice)
    for end, report in verdict.reports.items():
        for warning in report.get("warnings", ()):
            display.warning(f"{names[end]}: {sentences.warning(warning)}")
    return verdict
