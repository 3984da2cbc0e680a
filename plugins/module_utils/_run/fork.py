# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fork of a plan: after one stage, a fan-out that copies its output to several branches (see _end.fan_out)."""

from .._end.fan import CONTROL
from .._end.spawn import PROGRAM_PATH
from . import bootstrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import Command
    from .plan import Plan

NAME = "fan-out"  # of the stage; no other stage of the plan has it


def fork(plan: "Plan", writer: str, branches: "list[list[tuple[str, Command]]]", required: int) -> None:
    """Send the output of a stage to each of these chains of stages, [(end, stage), …], at least ``required`` of them.

    The fan-out runs beside the stage.
    """
    outputs = range(CONTROL + 1, CONTROL + 1 + len(branches))
    heads = [plan.add_branch(branch) for branch in branches]
    leaving = [fd for fd, branch in zip(outputs, branches) if any(stage["early_exit"] for _end, stage in branch)]
    source = dict(bootstrap.sources([bootstrap.FAN_OUT]))[bootstrap.FAN_OUT]
    program: "Command" = {
        "name": NAME,
        "argv": [NAME] + ["%d=%s" % (fd, branch["name"]) for fd, branch in zip(outputs, plan.branches)],
        "ok_rc": [0],
        "early_exit": False,
        "environment": {},
        "launcher": [None, "-IS", PROGRAM_PATH],
        "fan": {"required": required, "leaving": leaving},
        "program": bootstrap.as_text(source.encode("utf-8")),
    }
    plan.add_stage(plan.stage(writer)["end"], program)
    plan.branches_required = required
    plan.connect(writer, NAME)
    for fd, head in zip(outputs, heads):
        plan.connect(NAME, head, fd)
