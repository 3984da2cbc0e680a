# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action of plumbing.socketpipe.tape_plan: plans a backup before tar starts on any host."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ansible.plugins.loader import lookup_loader

from ..module_utils._run.answers import Failure
from ..module_utils._run.tape_jobs import NO_MORE
from ..plugin_utils import _tape_notify as notify
from ..plugin_utils._tape_action import TapeAction, validated
from ..plugin_utils._tape_spec import PLAN, PLANNED

if TYPE_CHECKING:
    from ..module_utils._tape.answers import Planned
    from ..plugin_utils._tape_records import HostAsked, HostOfPlan, Plan, TaskResult


class ActionModule(TapeAction):
    """Gets the level and base of each archive, and their order, from the tape host."""

    SPEC = PLAN
    CHANGES = False

    def failed(self, failure: Failure) -> TaskResult:
        """A run that fails before it begins is a failure of all its hosts, and nobody else notifies of it."""
        result = super().failed(failure)
        notification = None if self._task.check_mode else notify.of_task(self._task.args, validated)
        if notification:
            hosts = [str(each.get("host", "") if isinstance(each, Mapping) else each) for each in self.hosts() if each]
            told = {**result, "msg": NO_MORE % result["kind"]} if self._task.no_log else result
            artifact = notify.without_plan(hosts, str(self._task.args.get("tape_resume") or ""), told)
            problems = notification.send(artifact, f"BACKUP not started: {told['msg']}")
            self.show([f"Warning {each}" for each in problems])
        return result

    def hosts(self) -> list[Any]:
        given = self._task.args.get("hosts")
        return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []

    def work(self) -> TaskResult:
        args = self.args
        notify.notification_of(args)  # which tape_finish needs: its problems are found before any archive is written
        self.check_pattern(args["pattern"])
        hosts = [self.host(each) for each in args["hosts"]]
        self.check_places(hosts)
        out = [each["host"] for each in hosts if is_left_out(each, self.tape_host)]
        asked = {h["host"]: {"level": h["tape_level"]} for h in hosts if h["host"] not in out}
        try:
            planned: Planned = self.ask(
                ["plan"],
                {
                    "run": args["tape_resume"],
                    "resume": bool(args["tape_resume"]),
                    "dry": bool(self._task.check_mode),
                    "hosts": asked,
                },
            )
        except Failure as exc:
            exc.text += ". Nothing has been written, and no host's tar was started."
            raise
        if set(planned["hosts"]) != set(asked) or not set(planned["order"]) <= set(asked):
            raise Failure("answer", "invalid answer (other hosts than asked for)", self.tape_host, True, named=True)
        parts: dict[str, HostOfPlan] = {}
        for each in hosts:
            if each["host"] not in out:
                part: Any = planned["hosts"][each["host"]]
                part = {**part, "out": False, "sources": bool(each["tape_sources"])}
                parts[each["host"]] = part
        for name in out:
            parts[name] = {"out": True, "skip": False, "level": None, "bytes": None}
        plan: Plan = {
            "run": planned["run"],
            "resumed": bool(args["tape_resume"]),
            "hosts": parts,
            # hosts without an archive come last, because the table lists them, too
            "order": list(dict.fromkeys([*planned["order"], *(each["host"] for each in hosts)])),
            "drives": planned["drives"],
            "tapes": planned["tapes"],
            "fits": planned["fits"],
            "notes": planned["warnings"],  # core removes "warnings" from a result
            "writers": max(1, len(planned["drives"])),
            "tape_host": self.tape_host,
            "tape_set": args["tape_set"],
            "began": round(time.time(), 3),
        }
        self.show([f"PLAN {plan['run']}  {plan['fits']}"])
        return {**plan, "msg": plan["fits"]}

    def check_pattern(self, pattern: str) -> None:
        """Raises Failure if no host matches: Ansible would do nothing and succeed."""
        if pattern:
            lookup = lookup_loader.get(
                "ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar
            )
            if not lookup.run([pattern], variables=self.task_vars):
                raise Failure("settings", f"no host of the inventory matches tape_hosts: {pattern}")

    def host(self, given: Any) -> HostAsked:
        """One entry of hosts, a name or a mapping, as a mapping; raises Failure."""
        entry = dict(given) if isinstance(given, Mapping) else {"host": given}
        entry = {name: value for name, value in entry.items() if value is not None}
        asked: HostAsked = validated(PLANNED, entry, "hosts")
        return asked

    def check_places(self, hosts: list[HostAsked]) -> None:
        """Raises Failure unless all hosts have the same tape host and set."""
        found = [
            f"tape_host {each['tape_host'] or self.tape_host}, tape_set {each['tape_set'] or self.args['tape_set']}"
            for each in hosts
        ]
        places = list(dict.fromkeys(found))
        if len(places) > 1:
            raise Failure(
                "settings",
                f"the hosts of a run must have the same tape_host and tape_set ({'; '.join(places)}): "
                "back them up in separate runs, with --limit",
            )


def is_left_out(host: HostAsked, tape_host: str) -> bool:
    """Whether it is the tape host, and has nothing to back up."""
    return host["host"] == tape_host and host["tape_paths"] == [] and not host["tape_sources"]
