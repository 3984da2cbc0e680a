# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a task, and the forms of a command: checked, and converted for a plan."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from ..module_utils._end.spawn import PROGRAM_PATH
from ..module_utils._run import bootstrap
from ..module_utils._run.plan import DEAD_PEER_LEAST, parse_ports
from ..module_utils._run.progress import QUIET
from ..module_utils._run.words import parse_congestion_control, parse_rate
from ._script import SCRIPT_MOST, Reader, ScriptError, read_program
from ._survey import is_empty, items, yes

if TYPE_CHECKING:
    from ansible.playbook.task import Task

    from ..module_utils._end.records import Command
    from ..module_utils._run.records import Options

Given = dict[str, Any]  # a mapping from the user

# a test compares this with DOCUMENTATION, because validate-modules cannot do so for a docs-only module
PIPE_SPEC: dict[str, dict[str, Any]] = {
    "input": {"type": "raw"},
    "remote": {"type": "raw"},
    "output": {"type": "raw"},
    "peer": {"type": "str", "default": "localhost"},
    "peer_become": {"type": "bool", "default": False},
    "peer_become_user": {"type": "str"},
    "listen": {"type": "str", "default": "auto", "choices": ["auto", "peer", "remote"]},
    "address": {"type": "list", "elements": "str"},
    "ports": {"type": "list", "elements": "str"},
    "connect_timeout": {"type": "int", "default": 30},
    "stall_timeout": {"type": "int", "default": 0},
    "dead_peer": {"type": "int", "default": 120},
    "rate_limit": {"type": "str"},
    "congestion_control": {"type": "str"},
    "full_reads": {"type": "bool"},
    "encryption": {"type": "str", "default": "none", "choices": ["none", "required", "kernel", "relay"]},
    "progress": {"type": "int", "default": 30},
    "progress_quiet": {"type": "int", "default": QUIET},
    "expect_bytes": {"type": "str"},
    "expect": {"type": "raw"},
    "preflight": {"type": "bool", "default": False},
    "fact": {"type": "raw", "default": False},
    "cancel": {"type": "str"},
}


class LinkArgs(TypedDict):
    """The validated options of links; ports and rates are not yet converted."""

    ports: list[str] | None
    connect_timeout: int  # seconds, as the next two, progress and progress_quiet
    stall_timeout: int
    dead_peer: int
    rate_limit: str | None
    congestion_control: str | None
    encryption: str
    progress: int
    progress_quiet: int


class PeerArgs(LinkArgs):
    """The same, and those of a peer."""

    peer: str
    peer_become: bool
    peer_become_user: str | None
    listen: str
    address: list[str] | None


class RunArgs(LinkArgs):
    """The validated options of links, and of their commands; the name of the fact is not yet converted."""

    full_reads: bool | None
    expect_bytes: str | None
    expect: Any
    preflight: bool
    fact: Any
    cancel: str | None


class PipeArgs(PeerArgs, RunArgs):
    """The validated options of a pipe; commands are not yet converted."""

    input: Any
    remote: Any
    output: Any


SHELL_WORD = re.compile(r"[<>|&;]+|[0-9]*[<>]+[&/\w.-]+")  # a word with a special meaning in a shell
COMMAND_FORMS = ("cmd", "argv", "shell", "script")
STAGE_KEYS = COMMAND_FORMS + ("executable", "chdir", "environment", "ok_rc", "early_exit", "creates", "removes")


class OptionError(ValueError):
    """An invalid value from the user; the text names the option and the reason."""


def settings(args: RunArgs) -> Options:
    """The validated arguments of a task as settings of a plan; raises OptionError."""
    return {**link_settings(args), "full_reads": args["full_reads"], "preflight": args["preflight"]}


def link_settings(args: LinkArgs) -> Options:
    """The settings of links; raises OptionError."""
    try:
        ports = parse_ports(",".join(args["ports"])) if args["ports"] else []
    except ValueError as exc:
        raise OptionError(f"ports: {exc}") from None
    try:
        rate = parse_rate(args["rate_limit"]) if args["rate_limit"] else 0
    except ValueError as exc:
        raise OptionError(f"rate_limit: {exc}") from None
    try:
        congestion = parse_congestion_control(args["congestion_control"] or "")
    except ValueError as exc:
        raise OptionError(f"congestion_control: {exc}") from None
    check_seconds("connect_timeout", args["connect_timeout"], 1)
    check_seconds("stall_timeout", args["stall_timeout"], 0)
    check_seconds("dead_peer", args["dead_peer"] or DEAD_PEER_LEAST, DEAD_PEER_LEAST, ", or 0 to disable it")
    check_seconds("progress", args["progress"], 0)
    check_seconds("progress_quiet", args["progress_quiet"], 0)
    return {
        "ports": ports,
        "rate_limit": rate,
        "connect_timeout": args["connect_timeout"],
        "stall_timeout": args["stall_timeout"],
        "dead_peer": args["dead_peer"],
        "congestion_control": congestion,
    }


def check_given(task: Task, name: str, off: str = "none") -> None:
    """Raises OptionError if an option that protects is empty, or set by module_defaults and then omitted by the task.

    Ansible would use the default of the module, and the data would be sent in clear although somebody asked for more.
    ``off``: the value for those who want that.
    """
    if name not in task.args:
        groups = getattr(getattr(task._parent, "_play", None), "_action_groups", None) or {}
        action = str(task.resolved_action)
        keys = {action, *(f"group/{group}" for group in groups.get(action, ()))}
        if any(name in (defaults.get(key) or {}) for defaults in task.module_defaults for key in keys):
            text = "omit also removes the value of module_defaults; leave the option out, or give it a value"
            raise OptionError(f"{name}: {text}")
    elif task.args[name] in (None, ""):
        raise OptionError(f"{name}: the value is empty; set it to {off} to send the data in clear")


def check_seconds(name: str, value: int, least: int, disable: str = "") -> None:
    """Raises OptionError."""
    if value < least:
        raise OptionError(f"{name}: must be at least {least} second{'s'[least == 1 :]}{disable}, not {value}")


def fact_name(value: Any) -> str:
    """The name of the fact, "" for none; raises OptionError."""
    if is_empty(value):
        return ""
    if isinstance(value, str) and value.isidentifier():
        if value.lower() in ("false", "no", "off"):
            return ""
        return "socketpipe" if value.lower() in ("true", "yes", "on") else value
    if isinstance(value, bool):
        return "socketpipe" if value else ""
    raise OptionError(f"fact: {value!r} is neither a variable name nor false")


def parse_stages(option: str, value: Any, read: Reader = read_program) -> tuple[list[Command], list[str]]:
    """One of input, remote, output: (its stages for a plan, warnings); raises OptionError.

    A string or a list of strings is one command; a mapping is one command with
    its settings; a list of mappings is consecutive stages on that host.  ``read``
    finds and reads the program of a script.
    """
    if value is None:
        return [], []
    if isinstance(value, (str, Mapping)):
        items: list[Any] = [value]
    elif isinstance(value, Sequence) and value and all(isinstance(item, Mapping) for item in value):
        items = list(value)
    elif isinstance(value, Sequence) and value and not any(isinstance(item, (Mapping, list)) for item in value):
        items = [{"argv": value}]
    elif isinstance(value, Sequence) and not value:
        raise OptionError(f"{option}: the command is empty")
    else:
        raise OptionError(
            f"{option}: give a command as a string, a list of words, a mapping with one of cmd, argv, shell, script, "
            f"or a list of such mappings; not {describe(value)}"
        )
    stages: list[Command] = []
    warnings: list[str] = []
    for number, item in enumerate(items):
        name = option if len(items) == 1 else f"{option}[{number}]"
        stage, warning = parse_stage(name, item, read)
        stages.append(stage)
        warnings += [warning] if warning else []
    return stages, warnings


def form_of(name: str, item: Given, forms: Sequence[str], keys: Sequence[str]) -> str:
    """The only one of these forms that is given, with no other keys than these; raises OptionError."""
    unknown = sorted(str(key) for key in item if key not in keys)
    if unknown:
        raise OptionError(f"{name}: unknown setting {', '.join(unknown)}; valid settings: {', '.join(keys)}")
    given = [form for form in forms if item.get(form) is not None]
    if len(given) != 1:
        found = " and ".join(given) + " together" if given else "none"
        raise OptionError(f"{name}: give exactly one of {', '.join(forms)}; found {found}")
    return given[0]


def parse_stage(name: str, item: Any, read: Reader) -> tuple[Command, str]:
    """One command as a stage of a plan, and a warning ("" for none); raises OptionError."""
    item = {"cmd": item} if isinstance(item, str) else dict(item)
    form = form_of(name, item, COMMAND_FORMS, STAGE_KEYS)
    argv, warning = parse_command(name, form, item[form])
    stage: Command = {
        "name": name,
        "argv": argv,
        "ok_rc": parse_ok_rc(name, item),
        "early_exit": parse_early_exit(name, item),
        "environment": parse_environment(name, item.get("environment") or {}),
    }
    if form == "script":
        stage["launcher"] = parse_launcher(name, item.get("executable"))
        stage["program"] = parse_script(name, argv[0], read)
    elif item.get("executable"):
        raise OptionError(f"{name}: executable: only valid with script, not with {form}")
    if item.get("chdir"):
        stage["chdir"] = parse_path(name, "chdir", item["chdir"])
    if item.get("creates"):
        stage["creates"] = parse_path(name, "creates", item["creates"])
    if item.get("removes"):
        stage["removes"] = parse_path(name, "removes", item["removes"])
    return stage, warning


def parse_path(name: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise OptionError(f"{name}: {key}: {value!r} is not a path")
    return str(value)


def parse_launcher(name: str, executable: Any) -> list[str | None]:
    """The words of the command that runs a script; the first is None for the end's own Python."""
    if executable is not None and (not isinstance(executable, str) or not executable.strip()):
        raise OptionError(f"{name}: executable: {executable!r} is not a command line")
    try:
        words: list[str | None] = [*shlex.split(executable)] if executable else [None, "-I"]
    except ValueError as exc:
        raise OptionError(f"{name}: executable: unbalanced quotes in {executable!r} ({exc})") from None
    return [*words, PROGRAM_PATH]


def parse_script(name: str, path: str, read: Reader) -> str:
    """The program of a script, encoded for a plan."""
    try:
        content = read(path)
    except ScriptError as exc:
        raise OptionError(f"{name}: script: {path}: {exc}") from None
    except OSError as exc:
        raise OptionError(f"{name}: script: {path}: {exc.strerror}") from None
    if len(content) > SCRIPT_MOST:
        raise OptionError(f"{name}: script: {path} has {len(content)} bytes; the limit is {SCRIPT_MOST}")
    return bootstrap.as_text(content)


def parse_ok_rc(name: str, item: Given) -> list[int]:
    codes = item.get("ok_rc", [0])
    given = items(codes) or [0]
    try:
        return [int(code) for code in (given if isinstance(given, (list, tuple)) else [given])]
    except (TypeError, ValueError):
        raise OptionError(f"{name}: ok_rc: {codes!r} is not a list of exit statuses") from None


def parse_early_exit(name: str, item: Given) -> bool:
    try:
        return yes(item.get("early_exit", False))
    except TypeError:
        raise OptionError(f"{name}: early_exit: {item['early_exit']!r} is neither true nor false") from None


def parse_environment(name: str, environment: Any) -> dict[str, str]:
    if not isinstance(environment, Mapping):
        raise OptionError(f"{name}: environment: {environment!r} is not a mapping of names to values")
    for variable, value in environment.items():
        if not str(variable) or "=" in str(variable) or "\0" in str(variable):
            raise OptionError(f"{name}: environment: {str(variable)!r} is not a valid variable name")
        if "\0" in str(value):
            raise OptionError(f"{name}: environment: {variable} cannot contain a NUL character")
    return {str(variable): str(value) for variable, value in environment.items()}


def parse_command(name: str, form: str, value: Any) -> tuple[list[str], str]:
    """The argv of a command in one of its forms, and a warning ("" for none); raises OptionError."""
    if form == "argv":
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise OptionError(f"{name}: argv: {value!r} is not a list of words")
        argv = [str(word) for word in value]
    elif not isinstance(value, str):
        raise OptionError(f"{name}: {form}: {describe(value)} is not a command line")
    elif form == "shell":
        argv = ["/bin/sh", "-c", str(value)] if value.strip() else []
    else:
        try:
            argv = shlex.split(value)
        except ValueError as exc:
            raise OptionError(f"{name}: unbalanced quotes in {value!r} ({exc})") from None
    if not argv or not argv[0]:
        raise OptionError(f"{name}: the command is empty")
    if any("\0" in word for word in argv):
        raise OptionError(f"{name}: a command cannot contain a NUL character")
    warning = ""
    if form == "shell" and "|" in value.replace("||", "") and "pipefail" not in value:
        warning = (
            f"{name}: in a shell pipeline without pipefail a command that dies looks like a finished one; "
            "give a list of commands instead, each with its own status"
        )
    meant = next((word for word in argv if SHELL_WORD.fullmatch(word)), None) if form in ("cmd", "script") else None
    if meant and meant in value.split():  # as a separate word without quotes
        warning = (
            f"{name}: no shell is run, {meant!r} is an argument like any other; for a shell use shell: in a mapping"
        )
    return argv, warning


def describe(value: Any) -> str:
    """The type of an invalid value, in the terms of YAML."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        mixed = any(isinstance(item, (Mapping, list)) for item in value)
        return "a list of mixed things" if mixed else "a list"
    return f"the {'boolean' if isinstance(value, bool) else 'number'} {value!r}"
