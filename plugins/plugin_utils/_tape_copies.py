# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of the catalog on other hosts, and the way back from one."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ansible.errors import AnsibleError

from ..module_utils._run.answers import Failure
from ._connections import HostError
from ._program_run import command
from ._tape_action import TapeAction
from ._tape_run import Network, stream
from ._task_run import one_line

if TYPE_CHECKING:
    from ..module_utils._end.records import Command

# arguments of tar that select the parts of a catalog for a copy; these are of no use on another host
OF_THE_HOST = ("locks", "queue", "leases", "runs", "positions", "clock.json", "history.json")
COPIED = ["--anchored", *(f"--exclude=./{name}" for name in OF_THE_HOST)]
COPIED += ["--no-anchored", "--exclude=*.part"]


def copy_catalog(action: TapeAction) -> list[str]:
    """Copy it to each of tape_catalog_hosts; returns a warning for each failure, which does no harm to archives."""
    return [failure.msg for failure in copies_of_catalog(action).values() if failure]


def copies_of_catalog(action: TapeAction) -> dict[str, Failure | None]:
    """Copy it to each of tape_catalog_hosts; returns the failure of each, None for a success."""
    done: dict[str, Failure | None] = {}
    for name in action.args["tape_catalog_hosts"]:
        if name != action.tape_host:
            try:
                copy_catalog_to(action, name)
                done[name] = None
            except (Failure, HostError, AnsibleError) as exc:
                kind = exc.kind if isinstance(exc, Failure) else "settings"
                done[name] = Failure(kind, f"the catalog was not copied to {name}: {one_line(exc)}", name)
    return done


def copy_catalog_to(action: TapeAction, name: str) -> None:
    folder = action.args["tape_catalog_dir"]
    tar = ["tar", "--create", "--file=-", f"--directory={folder}", *COPIED, "."]
    # 1: a file changed while it was read, because another job replaced it; the old or the new one is complete
    source: Command = {**command("the catalog", tar), "ok_rc": [0, 1]}
    sink = action.of_tape(["keep", "--of", action.tape_host]).stage("the copy")
    stream(
        (action.tape, source),
        (action.another(name, "tape_catalog_hosts"), sink),
        network_of_copies(action),
        "source",
        "keep",
    )


def import_catalog(action: TapeAction, name: str, copy_of: str) -> list[str]:
    """Import the copy on a host into a tape host without a catalog; returns warnings; raises Failure."""
    folder = action.args["tape_catalog_dir"]
    tar = command("the copy", ["tar", "--create", "--file=-", f"--directory={folder}-of-{copy_of}/", "."])
    sink = action.of_tape(["import"]).stage("the catalog")
    done = stream(
        (action.another(name, "tape_catalog_from"), tar),
        (action.tape, sink),
        network_of_copies(action),
        "sink",
        "import",
    )
    return list(done.answer.get("warnings", []))


def network_of_copies(action: TapeAction) -> Network:
    """Settings for hosts with copies; tape_address and tape_listen do not apply to them."""
    no_address = "set ansible_host of one of them to its address"
    plain = dataclasses.replace(action.network, listen="auto", address=[], rate_limit=0, stall_timeout=0)
    return dataclasses.replace(plain, no_address=no_address)
