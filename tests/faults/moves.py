# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a run of transfer: where it is held, what happens to them, and what is found at the destination."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from tests.hosts import Fleet, Host

from .commands import AFTER_HOLD, FULL, OLD, Commands, held
from .draw import Run

MIB = 1024 * 1024
SIZE = 16 * MIB  # more than the buffers of both hosts take, so that a sender waits for its sink
APART = 3 * MIB  # from one piece of data to the next in the file with holes
DATA_END = {"whole": SIZE, "sparse": (SIZE // MIB - 1) * APART + MIB}  # the places behind their last data
WHEN = 1_500_000_000_123_456_789  # nanoseconds: when each source was changed
OWN = "/root"  # a private directory of each host
OTHER = "what another program has put there\n"
SOURCES = {"sparse": "sparse"}
VALIDATE = "sh -c 'echo > {base}.at; while [ ! -e {base}.go ]; do sleep 0.05; done; exit {status}' %s"
# the program of an end starts its stage with this Python, and a mark by which it is found
END = "import sys\nsys.executable = {stage!r}\n"
STAGE = "import runpy\nrunpy.run_path({program!r}, run_name='__main__')\n"
PROGRAM = "/proc/self/fd/3"
# what holds the task's host, which looks at one file
LOOKS = {"push": "look_destination", "pull": "look_source", "chain": "look_destination"}


def sources(folder: Path) -> None:
    """What is sent: data, and data with holes, also at its end."""
    with (folder / "whole").open("wb") as whole, (folder / "sparse").open("wb") as sparse:
        for number in range(SIZE // MIB):
            data = os.urandom(MIB)
            whole.write(data)
            sparse.seek(number * APART)
            sparse.write(data)
        sparse.truncate(60 * MIB)
    for name in ("whole", "sparse"):
        (folder / name).chmod(0o640)
        os.utime(folder / name, ns=(WHEN, WHEN))


class Move(Commands):
    """One run's files; ``work`` is a folder that all hosts see."""

    def __init__(self, run: Run, work: Path) -> None:
        self.run, self.work = run, work
        self.base = work / run.name
        fault = run.fault.name
        self.payload = work / ("sparse" if run.sink == "sparse" else "whole")
        self.src = self.file("source") if fault.startswith("source ") else self.payload
        self.chained, self.small = run.shape == "chain", fault == "disk fills"
        self.folder = self.file("d")
        if self.small:
            self.folder = Path(f"{FULL}.{run.name}")
        elif self.chained:
            self.folder = Path(f"{OWN}/{run.name}.d")  # each host has its own
        self.dest = self.folder / "dest"
        self.old = run.sink != "new" and fault != "another file appears"
        ends = ("remote", "peer") if run.shape == "pull" else ("peer", "remote")
        self.ends = dict(zip(("source", "sink"), ends, strict=True))
        self.sinks = ("sink", "tail") if self.chained else ("sink",)

    # -- where it is held

    def hooked(self, stage: str) -> bool:
        """Whether the program of this stage can be held: the controller's own end runs with Ansible's Python."""
        return self.ends[stage] == "remote" or self.run.peer != "localhost"

    def point(self) -> tuple[str, list[Any]]:
        """Which program is held, "end", "source" or "sink", and where, as hold.py has it; ("", []): none."""
        moment, size = self.run.moment, DATA_END[self.payload.name]
        byte = {"first": 1, "stream": int(size * self.run.part), "last": size - MIB}.get(moment, 0)
        remote = {end: stage for stage, end in self.ends.items()}["remote"]
        if moment == "look":
            return remote, ["hold_at", "call", LOOKS[self.run.shape]]
        if moment == "linked":
            return "end", ["hold_at", "call", "tcp_side"]
        if moment == "last" and self.hooked("source"):
            return "source", ["hold_at", "return", "send"]
        if moment in ("first", "stream", "last"):
            source = self.hooked("source")
            return ("source", ["hold_sending", byte]) if source else ("sink", ["hold_at", "call", "write", byte])
        if moment in ("rename", "renamed") and self.hooked("sink"):
            return "sink", ["hold_at", "call" if moment == "rename" else "return", "commit"]
        return "", []

    @property
    def validated(self) -> bool:
        """Whether a command holds the sink, or what cannot be held later."""
        return self.run.moment == "checked" or self.release == "go"

    @property
    def release(self) -> str:
        return "go" if self.run.moment in ("rename", "renamed") and not self.hooked("sink") else ""

    def python(self, end: str) -> str:
        return str(self.file(f"{end}.python"))

    def prepare(self, fleet: Fleet) -> None:
        where, (how, *arguments) = self.point()[0], self.point()[1] or [""]
        hold = held(how, str(self.base), *arguments) if how else ""
        for stage, end in self.ends.items():
            python, program = self.file(f"{end}.stage"), self.file(f"{end}.hold")
            program.write_text((hold if where == stage else "") + STAGE.format(program=PROGRAM), encoding="ascii")
            command = f'exec /usr/bin/python3 -I -c "$(cat {program})" {self.mark(stage)} "$@"\n'
            python.write_text(f"#!/bin/sh\n{command}", encoding="ascii")
            before = self.file(f"{end}.before")
            own = hold if where == "end" and end == "remote" else ""
            before.write_text(own + END.format(stage=str(python)), encoding="ascii")
            run = f'{AFTER_HOLD.format(hold=before)}exec /usr/bin/python3 "$@"\n'
            Path(self.python(end)).write_text(f"#!/bin/sh\n{run}", encoding="ascii")
            for script in (python, Path(self.python(end))):
                script.chmod(0o755)
        self.prepare_files(fleet)

    def prepare_files(self, fleet: Fleet) -> None:
        if self.src != self.payload:
            shutil.copyfile(self.payload, self.src)
            self.src.chmod(0o640)
            os.utime(self.src, ns=(WHEN, WHEN))
        for sink in self.sinks:
            host = self.host(fleet, sink)
            host.run(["mkdir", "-m", "700", self.folder])
            if self.small and sink == "sink":
                host.run(["mount", "-n", "-t", "tmpfs", "-o", f"size={SIZE // MIB + 4}m", "none", self.folder])
            if self.old:
                self.write(fleet, "dest", OLD, sink)
                self.at(fleet, "dest", sink).chmod(0o604)

    def host(self, fleet: Fleet, sink: str = "sink") -> Host:
        peer = "h2" if self.run.peer == "h2" else "controller"
        return fleet["h3" if sink == "tail" else {"remote": "h1", "peer": peer}[self.ends["sink"]]]

    def at(self, fleet: Fleet, name: str, sink: str = "sink") -> Path:
        """A file beside the destination, from outside."""
        return Path(f"/proc/{self.host(fleet, sink).pid}/root{self.folder}") / name

    def write(self, fleet: Fleet, name: str, text: str, sink: str = "sink") -> None:
        self.at(fleet, name, sink).write_text(text, encoding="ascii")

    # -- the task

    def options(self) -> dict[str, Any]:
        peer = {"local": f"{self.run.name}-peer", "h2": f"{self.run.name}-peer"}.get(self.run.peer, "localhost")
        options: dict[str, Any] = {"src": str(self.src), "dest": str(self.dest), "peer": peer}
        if self.chained:
            options["hosts"] = [self.run.name, f"{self.run.name}-tail"]
        else:
            options["direction"] = self.run.shape
        if self.validated:
            options["validate"] = VALIDATE.format(base=self.base, status=int(self.run.fault.name == "validation fails"))
        if self.run.sink == "resume" and not self.chained:
            options["resume"] = True
        if self.run.fault.name == "another file appears":
            options["force"] = False
        return options

    # -- what happens to it

    def sink_started(self) -> bool:
        """Its temporary file is there; what is in a directory of its host counts as there."""
        return self.small or self.chained or any(name.name.endswith(".socketpipe") for name in self.folder.iterdir())

    def strike(self, fleet: Fleet) -> None:
        fault = self.run.fault.name
        if fault == "source grows":
            with self.src.open("ab") as file:
                file.write(b"more")
        elif fault == "source shrinks":
            os.truncate(self.src, 1)
        elif fault == "disk fills":
            self.host(fleet).run(
                ["sh", "-c", f"head -c {SIZE + 8 * MIB} /dev/zero > {self.folder}/filler"], check=False
            )
        elif fault.startswith("directory is "):
            words = [f"mv {self.folder} {self.folder}.moved"]
            words += [f"mkdir -m 700 {self.folder}"] if fault == "directory is replaced" else []
            self.host(fleet).run(["sh", "-c", "; ".join(words)])
        elif fault in ("another file appears", "old file is replaced"):
            self.write(fleet, "other", OTHER)
            self.at(fleet, "other").rename(self.at(fleet, "dest"))

    # -- afterwards

    def found(self, fleet: Fleet, sink: str) -> tuple[str, list[str]]:
        """What is at a destination: "old", "new", "other", "none" or something wrong; and what is beside it."""
        here = self.at(fleet, "x", sink).parent
        places = [place for place in (here, here.with_name(f"{here.name}.moved")) if place.exists()]
        names = {path.name: path for place in places for path in place.iterdir() if path.name != "filler"}
        dest = names.pop("dest", None)
        return self.described(dest), sorted(names)

    def described(self, dest: Path | None) -> str:
        if dest is None:
            return "none"
        data, facts = dest.read_bytes(), dest.stat()
        if data in (OLD.encode(), OTHER.encode()):
            return "old" if data == OLD.encode() else "other"
        if data != self.payload.read_bytes():
            return f"neither the old nor the new file, but {len(data)} bytes"
        mode = 0o604 if self.old else 0o640
        if facts.st_mtime_ns != WHEN or facts.st_mode & 0o7777 != mode:
            return f"the new file with mode {facts.st_mode:04o} and time {facts.st_mtime_ns}"
        return "new"

    def tidy(self, fleet: Fleet) -> None:
        for sink in self.sinks:
            unmount = (
                f"mountpoint -q {self.folder} && umount -n {self.folder}; rm -rf {self.folder} {self.folder}.moved"
            )
            self.host(fleet, sink).run(["sh", "-c", unmount], check=False)
