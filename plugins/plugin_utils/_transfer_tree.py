# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory as the source of a transfer: the options that it can have, its move, and its result."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ansible.utils.display import Display

from ..module_utils._run.answers import failure_of
from ..module_utils._run.transferred import DESTINATION, SOURCE, after_failure_of_tree, failed
from ..module_utils._run.words import printable
from ._task_options import OptionError

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ._transfer_options import TransferArgs
    from ._transfer_run import Moved, Network, Transfer

    Start = Callable[[Command, tuple[str, Mapping[str, Any]], dict[str, Any]], Any]

display = Display()
OWN = "files keep their owner, group and mode; use ansible.builtin.file afterwards"
WHY = {
    **dict.fromkeys(("owner", "group", "mode"), OWN),
    "checksum": "it is always copied",
    "force": "it is always copied",
    "backup": "only a file is kept under a second name",
    "validate": "only a file can be validated",
    "resume": "only the copy of a file can be resumed",
    "hosts": "only a file can be copied to many hosts",
}


def check_options(args: TransferArgs) -> None:
    """Raises OptionError for an option that a directory cannot have."""
    given: Mapping[str, Any] = args
    set_ones = {name for name in WHY if given[name] not in (None, False)}
    set_ones ^= {"force"}  # it is on by default
    if args["mode"] == "preserve":
        set_ones.discard("mode")
    for name in WHY:
        if name in set_ones:
            raise OptionError(f"{name}: not for a directory, and {args['src']} is one: {WHY[name]}")


def name_of(src: str) -> str:
    """The name of the directory at the destination, "" if only its content goes there; raises OptionError."""
    name = os.path.basename(src)
    if name in (".", "..") or name.startswith("~"):
        raise OptionError(f"src: {src} has no name for the destination: add / for its content")
    return name


def copy(transfer: Transfer, network: Network, args: TransferArgs, source: Mapping[str, Any], check: bool,
         task: str, start: Start | None) -> dict[str, Any]:  # fmt: skip
    """Look and move; returns the result; raises OptionError, HostError and Failure.

    ``task``: for progress lines; ``start``: for a move that outlives its task, from its stages and its result.
    """
    check_options(args)
    look = transfer.ask(DESTINATION, "look-tree", {"path": args["dest"], "name": name_of(args["src"])})
    given = {"path": source["path"], "source": source, "whole": bool(look["make"])}
    sender = transfer.stage(SOURCE, "send-tree", given)
    if start and not check:
        started: dict[str, Any] = start(sender, ("receive-tree", look), shape(transfer, source, look, None))
        return started
    moved = None if check else move(transfer, network, sender, look, task)
    result = shape(transfer, source, look, moved)
    if check:
        result["msg"] = "would transfer it"
    return result


def shape(
    transfer: Transfer, source: Mapping[str, Any], look: Mapping[str, Any], moved: Moved | None
) -> dict[str, Any]:
    """The result of a success."""
    result = failed("", "", "")
    del result["failed"]
    result.update(
        changed=True,
        msg="ok",
        cause=None,
        src=printable(source["path"]),
        dest=printable(look["path"]),
        source_host=transfer.hosts[SOURCE].name,
        destination_host=transfer.hosts[DESTINATION].name,
        bytes=moved.link["bytes"] if moved else None,
        link=moved.link if moved else None,
        run=moved.run if moved else None,
        archivers={SOURCE: source["archiver"], DESTINATION: look["archiver"]},
    )
    return result


def move(transfer: Transfer, network: Network, sender: Command, look: Mapping[str, Any], task: str) -> Moved:
    """Raises HostError, and Failure whose ``started`` tells if anything may have changed."""
    verdict = transfer.carry(network, sender, ("receive-tree", look), task)
    if verdict.cause:
        raise after_failure_of_tree(verdict, failure_of(verdict, verdict.cause), look["path"])
    moved = transfer.moved(verdict, "receive-tree")
    for line in moved.answer["warnings"]:
        display.warning(f"{transfer.hosts[DESTINATION].name}: {printable(line)}")
    return moved
