# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of pipeline: its stages, checked and converted for a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._pipeline_path import read_stage, write_stage
from ._script import Reader, read_program
from ._survey import is_empty, yes
from ._task_options import (
    COMMAND_FORMS,
    PIPE_SPEC,
    STAGE_KEYS,
    Given,
    OptionError,
    RunArgs,
    describe,
    form_of,
    parse_path,
    parse_stage,
)

if TYPE_CHECKING:
    from ..module_utils._end.records import Command

# options of pipe, which pipeline has as well; the rest of pipe's is said by each stage, or by the variables of its host
OF_PIPE = (
    *("ports", "connect_timeout", "stall_timeout", "dead_peer", "rate_limit", "congestion_control", "full_reads"),
    *("encryption", "progress", "progress_quiet"),
    *("expect_bytes", "expect", "preflight", "fact"),
)
PIPELINE_SPEC: dict[str, dict[str, Any]] = {
    "stages": {"type": "list", "elements": "raw", "required": True},
    **{name: PIPE_SPEC[name] for name in OF_PIPE},
}
OWN_KEYS = ("host", "become", "become_user", "name")  # settings of a stage beside those of its command
PATH_KEYS = ("path", "creates", "removes")  # settings of a stage that reads or writes a file
FORMS = (*COMMAND_FORMS, "path")
KEYS = (*OWN_KEYS, "path", *STAGE_KEYS)
NAME_MOST = 64  # characters
ARROW = "→"  # between the names of two stages, in that of their link
ALONE = "stages: a pipeline has two stages or more, and this is one: for a command alone, use ansible.builtin.command"


class PipelineArgs(RunArgs):
    """The validated options of a pipeline; stages and the name of the fact are not yet converted."""

    stages: list[Any]


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a chain, as the task has it."""

    option: str  # for messages: "stages[0]"
    host: str  # "" for the task's
    become: bool | None  # None for what applies to its host
    become_user: str | None
    command: Command
    writes: str = ""  # the path of a file


def parse_pipeline(items: Sequence[Any], read: Reader = read_program) -> tuple[list[Stage], list[str]]:
    """(the stages of a task, warnings); raises OptionError."""
    if len(items) < 2:
        raise OptionError(ALONE if items else "stages: there is none")
    stages, warnings = parse_chain("stages", items, read)
    check_names(stages)
    return stages, warnings


def parse_chain(
    option: str, items: Sequence[Any], read: Reader, first: bool = True, last: bool = True
) -> tuple[list[Stage], list[str]]:
    """Consecutive stages; ``first``, ``last``: whether they begin and end the whole chain; raises OptionError."""
    stages, warnings = [], []
    for number, item in enumerate(items):
        where = f"{option}[{number}]"
        begins, ends = first and number == 0, last and number == len(items) - 1
        stage, warning = parse_item(where, item, read, begins, ends)
        stages.append(stage)
        warnings += [warning] if warning else []
    return stages, warnings


def parse_item(where: str, item: Any, read: Reader, first: bool, last: bool) -> tuple[Stage, str]:
    """One stage, and a warning ("" for none); raises OptionError."""
    given = as_mapping(where, item)
    form = form_of(where, given, FORMS, KEYS)
    if form == "path":
        command, warning = parse_file(where, given, first, last), ""
    else:
        command, warning = parse_stage(where, {key: given[key] for key in given if key in STAGE_KEYS}, read)
    command["name"] = parse_name(where, given.get("name"))
    host, user = (parse_text(where, key, given.get(key)) for key in ("host", "become_user"))
    become = parse_become(where, given.get("become"))
    if user and become is False:
        raise OptionError(f"{where}: become_user needs become: true")
    writes = str(given["path"]) if form == "path" and not first else ""
    return Stage(where, host, become, user or None, command, writes), warning


def as_mapping(where: str, item: Any) -> Given:
    """A string or a list of words is a command on the task's host; raises OptionError."""
    if isinstance(item, str):
        return {"cmd": item}
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, Sequence) and item and not any(isinstance(word, (Mapping, list)) for word in item):
        return {"argv": item}
    raise OptionError(
        f"{where}: give a mapping with one of {', '.join(FORMS)}, a command as a string, or a list of words; "
        f"not {describe(item)}"
    )


def parse_file(where: str, given: Given, first: bool, last: bool) -> Command:
    """A stage that reads or writes a file; raises OptionError."""
    others = [key for key in STAGE_KEYS if key not in PATH_KEYS and given.get(key) is not None]
    if others:
        raise OptionError(f"{where}: {others[0]}: only valid with a command, not with path")
    if not first and not last:
        raise OptionError(f"{where}: path: only the first stage can read a file, and only the last can write one")
    path = parse_path(where, "path", given["path"])
    if not path:
        raise OptionError(f"{where}: path: the path is empty")
    command = read_stage(path) if first else write_stage(path)
    if given.get("creates"):
        command["creates"] = parse_path(where, "creates", given["creates"])
    if given.get("removes"):
        command["removes"] = parse_path(where, "removes", given["removes"])
    return command


def parse_name(where: str, value: Any) -> str:
    """The name of a stage in results and messages, by default its place in the list; raises OptionError."""
    if value is None:
        return where
    name = str(value)
    if not name.isprintable() or not name.strip() or ARROW in name or len(name) > NAME_MOST:
        text = f"is not a name: give 1 to {NAME_MOST} printable characters, none of them {ARROW}"
        raise OptionError(f"{where}: name: {name!r} {text}")
    return name


def parse_text(where: str, key: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise OptionError(f"{where}: {key}: {value!r} is not the name of a {'host' if key == 'host' else 'user'}")
    return str(value)


def parse_become(where: str, value: Any) -> bool | None:
    try:
        return None if is_empty(value) else yes(value)
    except TypeError:
        raise OptionError(f"{where}: become: {value!r} is neither true nor false") from None


def check_names(stages: Sequence[Stage]) -> None:
    """Raises OptionError if two stages have one name."""
    known: dict[str, str] = {}
    for stage in stages:
        name = stage.command["name"]
        if name in known:
            raise OptionError(f"{stage.option}: name: {name!r} is already the name of {known[name]}")
        known[name] = stage.option
