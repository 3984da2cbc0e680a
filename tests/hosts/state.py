# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""What is on disk about a fleet, so that anybody can take it down: fleet.json in its directory, a register of all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import time
import typing as t
from pathlib import Path

from .layout import FleetError, HostSpec, Json
from .process import Identity, boot_id, end, find_token

STATE_NAME = "fleet.json"
PARTS = ("hosts", "ssh", "inventory")  # what taking down removes; log/ stays for whoever wants to know
SWITCH = "_switch"


@dataclasses.dataclass
class State:
    """A fleet as its files know it. `creator` is None when it shall outlive the process that made it."""

    directory: Path
    token: str
    boot: str
    creator: Identity | None
    specs: list[HostSpec]
    visible: list[str]
    first: dict[str, Identity] = dataclasses.field(default_factory=dict)  # the PID 1 of each host and of the switch

    @property
    def stale(self) -> bool:
        """Its creator is dead; or it has none and nothing of it runs any more."""
        if self.boot != boot_id():
            return True
        if self.creator:
            return not self.creator.alive()
        return not find_token(self.token)

    def save(self) -> None:
        data = dataclasses.asdict(self)
        data["directory"] = str(self.directory)
        write_json(self.directory / STATE_NAME, data)

    @classmethod
    def parse(cls, data: Json) -> State:
        return cls(
            directory=Path(data["directory"]),
            token=data["token"],
            boot=data["boot"],
            creator=Identity(*data["creator"]) if data["creator"] else None,
            specs=[HostSpec.from_json(spec) for spec in data["specs"]],
            visible=data["visible"],
            first={name: Identity(*words) for name, words in data["first"].items()},
        )

    @classmethod
    def load(cls, directory: Path) -> State | None:
        return read_state(directory / STATE_NAME)

    def register(self) -> None:
        """In the common place, with all that it takes to end the processes even if the directory is lost."""
        base = register_directory()
        data = dataclasses.asdict(self)
        data["directory"] = str(self.directory)
        write_json(base / f"{self.token}.json", data)

    def take_down(self) -> None:
        """Ends this fleet's processes and removes its files. Whatever is gone already is no error."""
        if self.boot == boot_id():
            end(self.first.values())
            # Those that were started but not yet written down; a parent may be forking just now, so until none is left.
            deadline = time.monotonic() + 10
            while left := find_token(self.token):
                if time.monotonic() > deadline:
                    raise FleetError(f"processes of the fleet in {self.directory} cannot be ended: {left}")
                end(left)
        own = State.load(self.directory)
        if own is not None and own.token == self.token:  # not that of a fleet which was made there since
            for part in PARTS:
                shutil.rmtree(self.directory / part, ignore_errors=True)
            with contextlib.suppress(FileNotFoundError):
                (self.directory / STATE_NAME).unlink()
        with contextlib.suppress(FileNotFoundError):
            (register_directory() / f"{self.token}.json").unlink()


def register_directory() -> Path:
    base = Path(tempfile.gettempdir()) / "socketpipe-hosts"
    base.mkdir(mode=0o700, exist_ok=True)
    status = base.lstat()
    if status.st_uid != os.geteuid() or not base.is_dir() or base.is_symlink():
        raise FleetError(f"{base} belongs to somebody else")
    return base


def registered() -> list[State]:
    """Every fleet of this machine that was not taken down yet."""
    entries = sorted(register_directory().glob("*.json"))
    return [state for state in map(read_state, entries) if state is not None]


def read_state(path: Path) -> State | None:
    try:
        return State.parse(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise FleetError(f"{path} is not a fleet's state: {error}") from error


def write_json(path: Path, data: t.Any) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data, indent=1), encoding="utf-8")
    temporary.replace(path)
