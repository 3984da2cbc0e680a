# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""A fleet: some hosts on one switch, and the controller."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from . import files, inventory, network
from .host import Host
from .layout import CONTROL_DIR, MOST, PRIVATE, SANE_PATH, TMPFS, FleetError, HostSpec, Json, Seat, hidden
from .needs import program
from .process import Identity, boot_id
from .state import SWITCH, State, registered, write_json

CONTROLLER = "controller"
PID1 = Path(__file__).with_name("pid1.py")
BOOT_SECONDS, EACH_SECONDS = 20.0, 0.3  # for all hosts, and more for each


class Fleet:
    """Hosts by name. Use as a context manager, or call down()."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.directory = state.directory
        self.prefix = f"sp{state.token[:6]}"
        self.sshd: dict[str, int] = {}
        self.seats = [
            Seat(spec, index, self.directory / "hosts" / spec.name) for index, spec in enumerate(state.specs, start=10)
        ]
        # The controller has the interpreter's own programs too: that is where ansible-playbook is.
        own = f"{Path(sys.executable).parent}:{SANE_PATH}"
        self._hosts = {
            seat.name: Host(self, seat, own if seat.name == CONTROLLER else SANE_PATH) for seat in self.seats
        }
        for seat in self.seats:
            with contextlib.suppress(FileNotFoundError):
                self.sshd[seat.name] = int((seat.directory / "sshd.pid").read_text(encoding="ascii"))

    @classmethod
    def create(
        cls,
        hosts: t.Iterable[str | HostSpec],
        *,
        directory: Path,
        visible: t.Iterable[Path] = (),
        detached: bool = False,
    ) -> Fleet:
        """Makes these hosts and a controller, with their files in this directory; a dead creator's fleet goes first.

        `visible` are further paths below /tmp, /root, /home, /run or /var/tmp that all hosts shall see as they are.
        A fleet ends when the process that made it does, unless `detached`.
        """
        directory = Path(directory).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        old = State.load(directory)
        if old is not None:
            if not old.stale:
                raise FleetError(f"there are hosts up in {directory} already")
            old.take_down()
        specs = [HostSpec(host) if isinstance(host, str) else host for host in hosts]
        if CONTROLLER not in [spec.name for spec in specs]:
            specs.insert(0, HostSpec(CONTROLLER))
        if len({spec.name for spec in specs}) != len(specs) or len(specs) > MOST:
            raise FleetError(f"host names must be different, and no more than {MOST}")
        state = State(
            directory=directory,
            token=secrets.token_hex(8),
            boot=boot_id(),
            creator=Identity.of(os.getpid()),
            specs=specs,
            visible=shown([directory, *visible]),
        )
        state.register()
        state.save()
        fleet = cls(state)
        try:
            files.prepare(directory, fleet.seats)
            (directory / "hosts" / SWITCH).mkdir()
            fleet.boot(fleet.seats, creator=None if detached else state.creator, switch=True)
            if detached:  # only now: until here a fleet without its creator is a wreck
                state.creator = None
                state.save()
                state.register()
        except BaseException:
            fleet.down()
            raise
        return fleet

    @classmethod
    def load(cls, directory: Path) -> Fleet:
        """The fleet that is up in this directory."""
        state = State.load(Path(directory).resolve())
        if state is None:
            raise FleetError(f"there are no hosts in {directory}")
        return cls(state)

    @staticmethod
    def sweep() -> list[Path]:
        """Takes down every fleet on this machine whose creator is dead; says which directories."""
        stale = [state for state in registered() if state.stale]
        for state in stale:
            # The register knows what was planned, the directory (if it is still there) also the pids.
            fresh = State.load(state.directory)
            (fresh if fresh and fresh.token == state.token else state).take_down()
        return [state.directory for state in stale]

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.down()

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def __iter__(self) -> t.Iterator[Host]:
        """The hosts, without the controller."""
        return (host for host in self._hosts.values() if host.name != CONTROLLER)

    @property
    def controller(self) -> Host:
        return self._hosts[CONTROLLER]

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh" / "config"

    @property
    def key(self) -> Path:
        return self.directory / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "ssh" / "known_hosts"

    @property
    def switch(self) -> int:
        """The process that holds the switch."""
        return self.state.first[SWITCH].pid

    def inventory(self, vars_by_host: t.Mapping[str, t.Mapping[str, t.Any]] | None = None) -> Path:
        """An Ansible inventory; the variables extend or (None) remove ours, by host or group (`all`, `fleet`)."""
        return inventory.write(self.directory, self.seats, CONTROLLER, self.key, self.known_hosts, vars_by_host or {})

    def join(self, pid: int | None = None) -> None:
        """Lets the network that this process (or another) is in reach the hosts too, until they are taken down."""
        network.join(self.switch, self.prefix, pid or os.getpid(), index=9)

    def down(self) -> None:
        """Ends everything and removes the files but for the logs. Once more does no harm."""
        self.state.take_down()

    def boot(self, seats: list[Seat], *, creator: Identity | None, switch: bool = False) -> None:
        """Starts the PID 1 of these hosts at once, then cables them."""
        running = {SWITCH: self._launch(SWITCH, None, creator)} if switch else {}
        running.update({seat.name: self._launch(seat.name, seat, creator) for seat in seats})
        deadline = time.monotonic() + BOOT_SECONDS + EACH_SECONDS * len(seats)
        errors = []
        for name, process in running.items():
            try:
                self._started(name, process, deadline)
            except FleetError as error:
                errors.append(str(error))
        self.state.save()
        if errors:
            raise FleetError("; ".join(errors))
        if switch:
            network.make_switch(self.switch)
        network.attach(self.switch, self.prefix, [(seat, self.state.first[seat.name].pid) for seat in seats])

    def _launch(self, name: str, seat: Seat | None, creator: Identity | None) -> subprocess.Popen[bytes]:
        directory = self.directory / "hosts" / name
        config: Json = {
            "name": name.strip("_"),
            "log": str(seat.log if seat else self.directory / "log" / "switch.log"),
            "creator": creator,
            "mounts": seat is not None,
            "sysctl": network.sysctl(seat),
            "binds": [(str(directory / source), target) for target, source in PRIVATE.items()],
            "tmpfs": TMPFS,
            "directories": [CONTROL_DIR],
            "visible": self.state.visible,
            "shared": [str(path) for path in files.shared_etc()],
            "sshd": [program("sshd"), "-D", "-e", "-f", "/etc/ssh/sshd_config"] if seat else None,
        }
        write_json(directory / "pid1.json", config)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(PID1), str(directory / "pid1.json"), self.state.token],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={"PATH": SANE_PATH},
        )

    def _started(self, name: str, process: subprocess.Popen[bytes], deadline: float) -> None:
        """Reads what the launched process and its child, the new PID 1, say until both have said all."""
        assert process.stdout is not None
        said = b""
        with process.stdout as stream:
            while select.select([stream], [], [], max(0.0, deadline - time.monotonic()))[0]:
                piece = os.read(stream.fileno(), 65536)
                if not piece:
                    break
                said += piece
            else:
                process.kill()
        process.wait()
        answer: Json = {}
        for line in said.splitlines():
            answer.update(json.loads(line))
        first = Identity.of(answer["pid"]) if "pid" in answer else None
        if first:
            self.state.first[name] = first
        if not (answer.get("ready") and first):
            raise FleetError(f"host {name} did not start: {answer.get('error', 'see its log')}")
        if answer.get("sshd"):
            self.sshd[name] = answer["sshd"]
            (self.directory / "hosts" / name / "sshd.pid").write_text(str(answer["sshd"]), encoding="ascii")


def shown(more: t.Iterable[Path]) -> list[str]:
    """What the private directories would hide but hosts need: interpreters, this repository. Outermost paths only."""
    wanted = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).resolve().parents[2], *more]
    if root := pyenv_root():
        wanted.append(root)
    found = sorted({path.resolve() for path in wanted if path.exists() and hidden(path.resolve())})
    return [str(path) for path in found if not any(parent in found for parent in path.parents)]


@functools.cache
def pyenv_root() -> Path | None:
    """Where pyenv keeps its interpreters, if there is a pyenv."""
    named = os.environ.get("PYENV_ROOT")
    if not named and shutil.which("pyenv"):
        named = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False).stdout.strip()
    return Path(named) if named and Path(named).is_dir() else None
