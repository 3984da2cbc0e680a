# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The role's program on the tape host, run in the guest as a stage runs it."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from tests.unit.archives import report
from tests.unit.tape import start

from .guest import Command, Guest, Run

BLOCK = 262144


class TapeHost:
    """`settings` are the role's variables without their prefix; without `python` it is the machine's own."""

    def __init__(self, guest: Guest, place: Path, python: str = "", **settings: t.Any) -> None:
        self.guest = guest
        self.catalog = place / "catalog"
        cache = f"pycache_prefix={guest.scratch / 'pycache'}"  # a process takes long enough to start there
        begin = [python, "-I", "-B"] if python else ["/usr/bin/python3", "-I", "-X", cache]
        self.program = [*begin, *start("host")]
        self.path = ""  # the PATH of the program, if it is not the machine's
        self.settings = {"devices": guest.library.devices[:1], "catalog_dir": str(self.catalog), "wait": 0, **settings}

    def environment(self, settings: dict[str, t.Any]) -> dict[str, str]:
        known = json.dumps({**self.settings, **settings})
        return {"SOCKETPIPE_TAPE": known, **({"PATH": self.path} if self.path else {})}

    def run(self, *words: str, input: bytes | None = None, check: bool = True, **settings: t.Any) -> Run:
        return self.guest.run([*self.program, *words], input=input, check=check, env=self.environment(settings))

    def ask(self, *words: str, input: bytes | None = None, **settings: t.Any) -> dict[str, t.Any]:
        return dict(json.loads(self.run(*words, input=input, **settings).stdout))

    def refused(self, *words: str, input: bytes | None = None, **settings: t.Any) -> str:
        """Why it does not."""
        done = self.run(*words, input=input, check=False, **settings)
        assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, done.stderr
        return done.stderr.splitlines()[-1]

    def label(self, name: str, *words: str, **settings: t.Any) -> dict[str, t.Any]:
        return self.ask("label", "--label", name, *words, **settings)

    def sink(self, run: str, host: str, data: bytes, **settings: t.Any) -> dict[str, t.Any]:
        return self.ask("sink", "--run", run, "--host", host, input=data, **settings)

    def start_sink(self, run: str, host: str, data: bytes, **settings: t.Any) -> Command:
        argv = [*self.program, "sink", "--run", run, "--host", host]
        return self.guest.start(argv, input=data, env=self.environment(settings))

    def commit(self, run: str, host: str, data: bytes) -> dict[str, t.Any]:
        """What the archiver of the host would report of this archive."""
        stream = report(run, host, data, names=[b"./srv/one"], paths=["/srv"])
        return self.ask("commit", "--run", run, "--host", host, input=stream)

    def archives(self, label: str) -> list[tuple[int, str, str]]:
        """Of a tape, as the catalog has them: file, host, state."""
        tape = json.loads(self.guest.run(["cat", self.catalog / "tapes" / f"{label}.json"]).stdout)
        return [(each["file"], each["host"], each["state"]) for each in tape["archives"]]


def blocks(count: int, fill: int = 1) -> bytes:
    return bytes([fill]) * BLOCK * count
