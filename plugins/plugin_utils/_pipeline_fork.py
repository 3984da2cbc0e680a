# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The branches of a pipeline: the last item of its stages can be a fork."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..module_utils._run.fork import NAME
from ._pipeline_options import Stage, check_names, parse_chain, parse_pipeline
from ._script import Reader, read_program
from ._task_options import OptionError, describe

FORK, REQUIRED = "branches", "branches_required"
FORK_KEYS = (FORK, REQUIRED)  # the settings of a fork
ALL = "all"
NOT_HERE = f"{FORK}: only the last item of stages can fork, and a branch cannot"


@dataclasses.dataclass(frozen=True)
class Fork:
    branches: list[list[Stage]]
    required: int  # branches that must not fail

    def stages(self) -> list[Stage]:
        return [stage for branch in self.branches for stage in branch]


def parse_forked(items: Sequence[Any], read: Reader = read_program) -> tuple[list[Stage], Fork | None, list[str]]:
    """(the stages of a task before its fork, the fork, warnings); raises OptionError."""
    for number, item in enumerate(items[:-1]):
        check_no_fork(f"stages[{number}]", item)
    if not items or not is_fork(items[-1]):
        whole, warnings = parse_pipeline(items, read)
        return whole, None, warnings
    where = f"stages[{len(items) - 1}]"
    if len(items) == 1:
        raise OptionError(f"{where}: {FORK}: give a stage before it, whose output the branches get")
    stages, warnings = parse_chain("stages", items[:-1], read, last=False)
    fork, more = parse_fork(where, items[-1], read)
    check_names([*stages, *fork.stages()])
    for stage in (*stages, *fork.stages()):
        if stage.command["name"] == NAME:
            raise OptionError(f"{stage.option}: name: {NAME!r} is the name of the program that copies to the branches")
    return stages, fork, warnings + more


def is_fork(item: Any) -> bool:
    return isinstance(item, Mapping) and any(key in item for key in FORK_KEYS)


def check_no_fork(where: str, item: Any) -> None:
    """Raises OptionError."""
    if is_fork(item):
        raise OptionError(f"{where}: {NOT_HERE}")


def parse_fork(where: str, item: Mapping[str, Any], read: Reader) -> tuple[Fork, list[str]]:
    """Raises OptionError."""
    unknown = sorted(str(key) for key in item if key not in FORK_KEYS)
    if unknown:
        raise OptionError(f"{where}: {unknown[0]}: not valid beside {FORK}; valid settings: {', '.join(FORK_KEYS)}")
    given = item.get(FORK)
    if not isinstance(given, list) or len(given) < 2:
        raise OptionError(f"{where}: {FORK}: give a list of two branches or more, each a list of stages")
    branches, warnings = [], []
    for number, stages in enumerate(given):
        name = f"{where}.{FORK}[{number}]"
        if not isinstance(stages, list) or not stages:
            raise OptionError(f"{name}: give a list of stages, not {describe(stages)}")
        for place, stage in enumerate(stages):
            check_no_fork(f"{name}[{place}]", stage)
        branch, more = parse_chain(name, stages, read, first=False)
        branches.append(branch)
        warnings += more
    return Fork(branches, parse_required(where, item.get(REQUIRED), len(branches))), warnings


def parse_required(where: str, value: Any, count: int) -> int:
    """How many branches must not fail; raises OptionError."""
    if value is None or value == ALL:
        return count
    try:
        number = int(str(value))
    except ValueError:
        number = 0
    if isinstance(value, bool) or not 1 <= number <= count:
        raise OptionError(f"{where}: {REQUIRED}: {value!r} is neither {ALL} nor a number from 1 to {count}")
    return number
