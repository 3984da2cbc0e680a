# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base of the tape actions: options, the tape host, running the two programs, failures."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

from ..module_utils._run.answers import Failure
from ..module_utils._run.plan import parse_ports
from ..module_utils._run.progress import QUIET
from ..module_utils._run.result import CENSORED
from ..module_utils._run.tape_jobs import NO_MORE
from ..module_utils._run.words import parse_rate
from . import _hosts as hosts_of
from ._connections import UNKNOWN, HostError
from ._lines import show as show_line
from ._survey import from_texts
from ._tape_filters import filters_of
from ._tape_run import ARCHIVER, HOST, TAPE, TAPE_HOST, TAR, Network, Outcome, Pace, Request, ask, stream
from ._tape_spec import OF_TAPE_HOST, PACKING, SITE, Spec
from ._task_options import OptionError, check_given
from ._task_run import one_line

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._tape.answers import Filter
    from ._tape_records import TaskResult

ONE_BY_ONE = ("free", "host_pinned")  # strategies that run a task of run_once for every host
NO_DRIVES = (
    "%s has no drives: set tape_devices in its variables: devices such as /dev/nst0, or a directory as a virtual tape"
)
NUMBERED = ("tape_label", "tape_barcode")  # often digits, of which YAML makes another number
A_NUMBER = (
    "%s: %s is a number, which may have lost zeros: put it in quotes, or, if it comes from a survey of AWX, use a name "
    "with a letter"
)
NOBODY = "no host of the inventory has tape_devices: set it in the variables of the host with the drives"


class TapeAction(ActionBase):
    """An action on a tape host and, perhaps, on the task's host."""

    TRANSFERS_FILES = False
    _supports_async = True  # so that check_how() refuses it, with its own message
    _supports_check_mode = True
    _supports_diff = False
    SPEC: Spec = SITE
    NEEDS_DRIVES = True
    DETACHES = False  # whether the action supports async
    CHANGES = True
    args: dict[str, Any]
    task_vars: dict[str, Any]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        self.task_vars = task_vars or {}
        super().run(tmp, task_vars)
        result = self.outcome()
        if self._task.no_log:
            result["_ansible_no_log"] = True
            result["censored"] = CENSORED
            if result.get("failed"):  # core 2.19 and later show the message of a failure despite no_log
                result["msg"] = NO_MORE % result["kind"]
                if "note" in result:
                    result["note"] = result["msg"]
        return result

    def outcome(self) -> TaskResult:
        """The result of work(), or its failure as a sentence and a kind.

        It is never unreachable: Ansible would remove the host from the play, and the reason with it.
        """
        try:
            self.check_how()
            self.args = self.arguments()
            return {"changed": False, "msg": "ok", **self.work()}
        except Failure as exc:
            return self.failed(exc)
        except (HostError, AnsibleError) as exc:
            return self.failed(Failure("settings", one_line(exc)))

    def failed(self, failure: Failure) -> TaskResult:
        changed = self.CHANGES and failure.started and not self._task.check_mode
        return {"failed": True, "changed": changed, "kind": failure.kind, "msg": failure.msg}

    def work(self) -> TaskResult:
        raise NotImplementedError

    def show(self, lines: list[str]) -> None:
        """Show lines on the terminal and in the events of a runner, whatever the settings of the callback.

        With no_log, none: they quote hosts and settings.
        """
        for line in () if self._task.no_log else lines:
            show_line(line)

    # -- arguments

    def check_how(self) -> None:
        """Raises Failure if the task is asynchronous, or runs once for each host instead of once."""
        name = self._task.action.rpartition(".")[2]
        if self._task.async_val and not self.DETACHES:
            raise Failure("settings", f"{name} does not support async: use the task's timeout to limit a long run")
        strategy = self.strategy()
        if self._task.run_once and strategy.rpartition(".")[2] in ONE_BY_ONE:
            raise Failure(
                "settings",
                f"{name} must run once, but strategy {strategy} runs it for each host: "
                "set strategy: ansible.builtin.linear for this play",
            )

    def strategy(self) -> str:
        """The strategy of the play, "" if it cannot be found."""
        above = self._task._parent
        while above is not None:
            play = getattr(above, "_play", None)
            if play is not None:
                return str(play.strategy)
            above = getattr(above, "_parent", None)
        return ""

    def arguments(self) -> dict[str, Any]:
        """The options of the task and of the tape host, validated and converted; raises Failure and AnsibleError."""
        try:
            check_given(self._task, "tape_link_encryption")
            for name in set(PACKING) & set(self.SPEC):
                check_given(self._task, name, "[]")
        except OptionError as exc:
            raise Failure("settings", str(exc)) from None
        given = {name: value for name, value in self._task.args.items() if value is not None and value != ""}
        self.tape_host, variables = self.find_tape_host(given)
        for name in OF_TAPE_HOST:
            if name in self.SPEC and variables.get(name) not in (None, ""):
                given[name] = variables[name]
        for name in NUMBERED:
            if name in self.SPEC and isinstance(given.get(name), (int, float)):
                raise Failure("settings", A_NUMBER % (name, given[name]))
        self._task.args = from_texts(self.SPEC, given)
        try:
            _validation, args = self.validate_argument_spec(argument_spec=self.SPEC)
        except AnsibleActionFail as exc:
            raise Failure("settings", one_line(exc)) from None
        if self.NEEDS_DRIVES and not args["tape_devices"]:
            named = bool(given.get("tape_host"))
            raise Failure("settings", NO_DRIVES % self.tape_host if named else NOBODY)
        return dict(args)

    def find_tape_host(self, given: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """The name of the tape host, and its variables; raises Failure."""
        hosts = self.task_vars["hostvars"]
        planned = given.get("plan")
        name = str(given.get("tape_host") or (planned.get("tape_host") if isinstance(planned, Mapping) else "") or "")
        if not name:
            # not templated: that is slow for a large fleet, and the variables of some host may be undefined now
            found = [each for each in self.task_vars["groups"]["all"] if "tape_devices" in hosts.raw_get(each)]
            if len(found) > 1:
                several = f"several hosts have tape_devices ({', '.join(found)})"
                raise Failure("settings", f"{several}: set tape_host to one of them")
            name = found[0] if found else "localhost"
        own = given.get("tape_host_variables")
        if name not in hosts and isinstance(own, Mapping) and own:
            hosts_of.join(self.task_vars, name, own)
        if name in hosts:
            return name, hosts[name]
        if name in hosts_of.LOCALHOSTS:
            return name, {}
        raise Failure(
            "settings",
            f"tape_host: there is no host {name!r} in the inventory (add it, or set tape_host_variables)",
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The settings for the two programs."""
        found = {name[len("tape_") :]: value for name, value in self.args.items() if name.startswith("tape_")}
        return {**found, "tape_host": self.tape_host, "filters": self.filters}

    @cached_property
    def filters(self) -> list[Filter]:
        """The filters that the task gives; raises Failure."""
        return filters_of(self.args)

    @property
    def network(self) -> Network:
        """Raises Failure."""
        args = self.args
        try:
            ports = parse_ports(",".join(args["tape_ports"])) if args["tape_ports"] else []
        except ValueError as exc:
            raise Failure("settings", f"tape_ports: {exc}") from None
        try:
            rate = parse_rate(args["tape_rate_limit"]) if args.get("tape_rate_limit") else 0
        except ValueError as exc:
            raise Failure("settings", f"tape_rate_limit: {exc}") from None
        for name, least in (("tape_connect_timeout", 1), ("tape_stall_timeout", 0)):
            if args.get(name, least) < least:
                raise Failure("settings", f"{name} must be at least {least} second{'s'[least == 1 :]}")
        return Network(
            ports,
            args["tape_listen"],
            args["tape_address"],
            args["tape_connect_timeout"],
            rate,
            args.get("tape_stall_timeout", 0),
            args["tape_link_encryption"],
        )

    # -- hosts and programs

    @cached_property
    def name(self) -> str:
        """The task's host."""
        return str(self.task_vars.get("inventory_hostname", ""))

    @cached_property
    def tape(self) -> hosts_of.Host:
        """The tape host; raises HostError and Failure."""
        return self.another(self.tape_host, "tape_host")

    @cached_property
    def own(self) -> hosts_of.Host:
        """The task's host; raises HostError."""
        return hosts_of.of_task(self, str(self._task.delegate_to or self.name), self.task_vars)

    def another(self, name: str, given_by: str) -> hosts_of.Host:
        """A host that an option names; raises HostError and Failure."""
        try:
            return hosts_of.other(self, name, self.task_vars, self.args["tape_become"])
        except HostError as exc:
            if exc.kind != UNKNOWN:
                raise
            raise Failure("settings", f"{given_by}: {exc}") from None

    def ask(self, words: list[str], given: Mapping[str, Any] | None = None) -> Any:
        """Run the tape host's program; returns its answer; raises Failure."""
        return ask(self.tape, self.of_tape(words, given), self.pace)

    def tell_who_loads(self, words: list[str]) -> None:
        """Show which tape a person must load now, if any; if this fails, the next step reports why."""
        if self.args["tape_changer"] or self.args["tape_next_command"] or self.args["tape_wait"] in ("", "0"):
            return
        with contextlib.suppress(Failure, HostError, AnsibleError):
            text = self.ask(["awaits", *words])["text"]
            if text:  # also with no_log, because the run waits for that person
                show_line(f"{self.name}: {text}")

    def of_tape(self, words: list[str], given: Mapping[str, Any] | None = None) -> Request:
        return Request(TAPE_HOST, words, self.settings, given, not self._task.no_log)

    def of_host(self, words: list[str]) -> Request:
        return Request(ARCHIVER, words, self.settings, None, not self._task.no_log)

    @property
    def pace(self) -> Pace:
        """Of progress lines; raises Failure."""
        quiet = self.args.get("tape_progress_quiet", QUIET)
        if quiet < 0:
            raise Failure("settings", "tape_progress_quiet must be at least 0 seconds")
        return Pace(self.name, quiet)

    def to_tape(
        self,
        host_words: list[str],
        tape_words: list[str],
        behind: Sequence[Command] = (),
        expected: int | None = None,
    ) -> Outcome:
        """Stream from the archiver on the task's host to the tape host's program; raises Failure.

        ``behind``: stages that the data passes through on the task's host; ``expected``: the bytes to come.
        """
        source = self.own, self.of_host(host_words).stage(TAR if behind else HOST, hosts_of.environment_of(self))
        sink = self.tape, self.of_tape(tape_words).stage(TAPE)
        return stream(source, sink, self.network, "sink", tape_words[0], self.pace, behind=behind, expected=expected)

    def from_tape(
        self,
        tape_words: list[str],
        host_words: list[str],
        before: Sequence[Command] = (),
        expected: int | None = None,
        early_exit: bool = False,
    ) -> Outcome:
        """Stream from the tape host's program to the archiver on the task's host; raises Failure.

        ``before``: stages that the data passes through first, on the task's host; ``expected``: the bytes to come;
        ``early_exit``: whether the archiver may stop before the end of the data.
        """
        source = self.tape, self.of_tape(tape_words).stage(TAPE)
        stage = self.of_host(host_words).stage(HOST, hosts_of.environment_of(self))
        sink: tuple[hosts_of.Host, Command] = self.own, {**stage, "early_exit": early_exit}
        return stream(source, sink, self.network, "source", host_words[0], self.pace, before=before, expected=expected)

    def from_tape_to(
        self, tape_words: list[str], sink: Command, before: Sequence[Command], expected: int | None
    ) -> Outcome:
        """The same to a command of the user."""
        source = self.tape, self.of_tape(tape_words).stage(TAPE)
        return stream(source, (self.own, sink), self.network, "source", "", self.pace, before=before, expected=expected)


def validated(spec: Spec, given: Mapping[str, Any], what: str) -> Any:
    """A part of an option, validated like an option; raises Failure."""
    result = ArgumentSpecValidator(spec).validate(from_texts(spec, given))
    if result.error_messages:
        raise Failure("settings", f"{what}: {'; '.join(result.error_messages)}")
    return dict(result.validated_parameters)


def option(name: str, value: object) -> list[str]:
    """An option for the command line of a program; [] if it has no value."""
    return [] if value in (None, "") else [f"--{name}={value}"]
