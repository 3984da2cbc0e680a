# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Test hosts from the command line: python -m tests.hosts up|down|run|list|sweep."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .fleet import Fleet
from .layout import FleetError
from .needs import requirements
from .state import State, registered


def up(arguments: argparse.Namespace) -> int:
    reason = requirements()
    if reason:
        raise FleetError(reason)
    fleet = Fleet.create(arguments.names, directory=arguments.directory, visible=arguments.visible, detached=True)
    if arguments.join:
        fleet.join()
    for host in (fleet.controller, *fleet):
        print(host.name, host.v4 or "-", host.v6 or "-")
    print(f"inventory: {fleet.inventory()}")
    print(f"ssh -F {fleet.ssh_config} HOST, from a host")
    return 0


def down(arguments: argparse.Namespace) -> int:
    directory = arguments.directory.resolve()
    for state in (State.load(directory), *registered()):  # its own files may be gone, but not its hosts
        if state and state.directory == directory:
            state.take_down()
    return 0


def run(arguments: argparse.Namespace) -> int:
    host = Fleet.load(arguments.directory)[arguments.name]
    process = host.popen(arguments.command, user=arguments.user, stdin=None)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        process.signal_group(2)
        code = process.wait()
    return code if code >= 0 else 128 - code


def show(_arguments: argparse.Namespace) -> int:
    for state in registered():
        state = State.load(state.directory) or state
        creator = f"creator {state.creator.pid}" if state.creator else "detached"
        print(f"{state.directory}  {creator}{' (stale)' if state.stale else ''}")
        for spec in state.specs:
            first = state.first.get(spec.name)
            print(f"  {spec.name}  {f'pid {first.pid}' if first and first.alive() else 'off'}")
    return 0


def sweep(_arguments: argparse.Namespace) -> int:
    for directory in Fleet.sweep():
        print(directory)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts", description="Test hosts made of Linux namespaces.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("up", help="make hosts that stay until they are taken down")
    add.add_argument("--directory", type=Path, required=True)
    add.add_argument("--visible", type=Path, action="append", default=[], help="a path below /tmp, /root, ... to show")
    add.add_argument("--join", action="store_true", help="let this network, of the machine or namespace, reach them")
    add.add_argument("names", nargs="+", metavar="NAME")
    add.set_defaults(action=up)
    add = commands.add_parser("down", help="take the hosts of a directory down")
    add.add_argument("--directory", type=Path, required=True)
    add.set_defaults(action=down)
    add = commands.add_parser("run", help="run a command on a host")
    add.add_argument("--directory", type=Path, required=True)
    add.add_argument("--user")
    add.add_argument("name", metavar="NAME")
    add.add_argument("command", nargs="+", metavar="CMD")
    add.set_defaults(action=run)
    commands.add_parser("list", help="all fleets of this machine").set_defaults(action=show)
    commands.add_parser("sweep", help="take down the fleets of dead creators").set_defaults(action=sweep)
    arguments = parser.parse_args()
    try:
        return int(arguments.action(arguments))
    except FleetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
