# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the tape host with virtual tapes: run as it is run there, and what tests ask of it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .tape import PROGRAMS

PROGRAM = PROGRAMS / "tapehost"
LONG = 20.0  # seconds after which something that must happen has not happened
BLOCK = 4096
CACHE = os.path.join(tempfile.gettempdir(), "socketpipe-test-pycache-%d" % os.getuid())


def command(*words: object, python: str = sys.executable) -> list[str]:
    """Its command line: nothing is left in the folder of the program, for all of that goes to the tape host."""
    cache = ["-B"] if python != sys.executable else ["-X", "pycache_prefix=" + CACHE]
    return [python, "-I", *cache, str(PROGRAM), *map(str, words)]


def tar_of(label: str, size: int = 3000, name: str = "data", block: int = BLOCK, pax: bool = True) -> bytes:
    """An archive as GNU tar makes it, with a label: one file of this size, padded to whole blocks."""
    out = io.BytesIO()
    kind, headers = (tarfile.PAX_FORMAT, {"GNU.volume.label": label}) if pax else (tarfile.GNU_FORMAT, {})
    with tarfile.open(fileobj=out, mode="w", format=kind, pax_headers=headers) as archive:
        if not pax:
            volume = tarfile.TarInfo(label)
            volume.type = b"V"
            archive.addfile(volume)
        entry = tarfile.TarInfo(name)
        entry.size = size
        archive.addfile(entry, io.BytesIO(hashlib.sha256(label.encode()).digest() * (size // 32 + 1)))
    whole = out.getvalue().rstrip(b"\0")
    whole += b"\0" * (-len(whole) % 512 + 1024)  # the end of an archive
    return whole + b"\0" * (-len(whole) % block)


class Done:
    """What came of a call."""

    def __init__(self, status: int, out: bytes, err: str):
        self.status = status
        self.out = out
        self.err = err
        assert "Traceback" not in err, err

    @property
    def said(self) -> str:
        """What a person reads last."""
        return self.err.strip().splitlines()[-1] if self.err.strip() else ""

    @property
    def answer(self) -> dict[str, Any]:
        assert self.status == 0, self.err
        return dict(json.loads(self.out))


class TapeHost:
    """A catalog, its settings, and virtual tapes A, B, … each of which is a drive."""

    def __init__(self, folder: Path, tapes: int = 1, labelled: bool = True, **settings: Any):
        self.folder = folder
        self.catalog_dir = folder / "catalog"
        self.tapes = [folder / name for name in "ABCD"[:tapes]]
        self.settings: dict[str, Any] = {
            "devices": [str(tape) for tape in self.tapes],
            "catalog_dir": str(self.catalog_dir),
            "block_size": BLOCK,
            "wait": 0,
            **settings,
        }
        self.path = os.environ["PATH"]
        self.python = sys.executable
        self.started: list[subprocess.Popen[bytes]] = []
        for tape in self.tapes:
            tape.mkdir()
            if labelled:
                self.ok("label", "--label", tape.name, "--device", tape)

    def environment(self, settings: dict[str, Any]) -> dict[str, str]:
        known = {**self.settings, **settings}
        return {"PATH": self.path, "LC_ALL": "C.UTF-8", "SOCKETPIPE_TAPE": json.dumps(known)}

    def run(self, *words: object, data: bytes = b"", **settings: Any) -> Done:
        done = subprocess.run(
            command(*words, python=self.python),
            input=data,
            capture_output=True,
            env=self.environment(settings),
            timeout=LONG,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr.decode())

    def ok(self, *words: object, data: bytes = b"", **settings: Any) -> dict[str, Any]:
        return self.run(*words, data=data, **settings).answer

    def fails(self, *words: object, data: bytes = b"", **settings: Any) -> str:
        """The sentence of a call that must fail."""
        done = self.run(*words, data=data, **settings)
        assert (done.status, done.out) == (1, b""), (done.status, done.out, done.err)
        return done.said

    def start(self, *words: object, stdin: Any = subprocess.PIPE, **settings: Any) -> subprocess.Popen[bytes]:
        """A call that is still running; its standard error goes to a file (said)."""
        with open(self.folder / ("said%d" % len(self.started)), "wb") as err:
            process = subprocess.Popen(
                command(*words, python=self.python),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=err,
                env=self.environment(settings),
            )
        self.started.append(process)
        return process

    def said(self, process: subprocess.Popen[bytes]) -> str:
        return (self.folder / ("said%d" % self.started.index(process))).read_text()

    def end(self, process: subprocess.Popen[bytes], data: bytes = b"") -> Done:
        """Give it the rest of its input, and wait for it."""
        out, _none = process.communicate(data, timeout=LONG)
        return Done(process.returncode, out, self.said(process))

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            with contextlib.suppress(OSError, ValueError):
                process.communicate(timeout=LONG)

    # a backup, step by step

    def sink(self, run: str, host: str, data: bytes | None = None, level: int = 0, base: str = "", **more: Any) -> Done:
        words = ["sink", "--run", run, "--host", host, "--level", level] + (["--base", base] if base else [])
        return self.run(*words, data=archive(run, host, level) if data is None else data, **more)

    def commit(self, run: str, host: str, data: bytes, *args: Any, **more: Any) -> Done:
        return self.run("commit", "--run", run, "--host", host, data=report(run, host, data, *args, **more))

    def backup(self, run: str, host: str, level: int = 0, base: str = "", **more: Any) -> dict[str, Any]:
        """A good archive."""
        data = more.pop("data", None) or archive(run, host, level)
        assert self.sink(run, host, data, level, base).status == 0
        return self.commit(run, host, data, level=level, base=base or None, **more).answer

    # what is there

    def tape(self, label: str = "A") -> dict[str, Any]:
        return dict(json.loads((self.catalog_dir / "tapes" / (label + ".json")).read_text()))

    def states(self, label: str = "A") -> list[tuple[int, str, str]]:
        """(file, host, state) of what the catalog says of a tape."""
        return [(each["file"], each["host"], each["state"]) for each in self.tape(label)["archives"]]

    def files(self, label: str = "A") -> list[bytes]:
        """The tape files that are on a tape, but for the label."""
        names = sorted(path.name for path in (self.folder / label).iterdir() if path.name.isdigit())
        assert names == ["%06d" % number for number in range(len(names))]
        return [(self.folder / label / name).read_bytes() for name in names[1:]]

    def edit(self, label: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change what the catalog says of a tape."""
        tape = self.tape(label)
        change(tape)
        (self.catalog_dir / "tapes" / (label + ".json")).write_text(json.dumps(tape))

    def forget(self) -> None:
        shutil.rmtree(self.catalog_dir)

    def tool(self, name: str, text: str) -> None:
        """Put a script before all others on the PATH of what runs from now on."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text("#!/bin/sh\n" + text)
        (folder / name).chmod(0o755)
        if not self.path.startswith(str(folder)):
            self.path = "%s:%s" % (folder, self.path)

    def never_wrong(self) -> None:
        """What the catalog calls written or good is whole on its tape, and no two archives have one place."""
        for tape in self.tapes:
            entries = self.tape(tape.name)["archives"]
            assert [each["file"] for each in entries] == list(range(1, len(entries) + 1))
            for each in entries:
                if each["state"] in ("written", "good") and each["kind"] == "archive":
                    assert (tape / ("%06d" % each["file"])).read_bytes() == archive(
                        each["run"], each["host"], each["level"]
                    )


def archive(run: str, host: str, level: int = 0, size: int = 3000, **more: Any) -> bytes:
    return tar_of("%s %s %d %s all" % (run, host, level, iso(run)), size, **more)


def iso(run: str) -> str:
    """The time of a run's archives: R7 was in the seventh hour."""
    number = int(run.lstrip("R") or 0) if run.lstrip("R").isdigit() else 0
    return "2026-11-%02dT%02d:00:00Z" % (1 + number // 24, number % 24)


def report(
    run: str,
    host: str,
    data: bytes,
    names: Iterable[bytes] = (b"./etc/", b"./etc/hosts"),
    listing: bytes | None = None,
    **more: Any,
) -> bytes:
    """What the host says of this archive."""
    lines = list(names)
    facts = {
        "run": run,
        "host": host,
        "set": "all",
        "level": 0,
        "base": None,
        "time": iso(run),
        "paths": ["/etc"],
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "tar": 0,
        "warnings": [],
        "warning_count": 0,
        "files": len(lines),
        **more,
    }
    packed = gzip.compress(b"".join(line + b"\n" for line in lines)) if listing is None else listing
    return json.dumps(facts).encode() + b"\n" + packed


def wait_for(what: Callable[[], Any], limit: float = LONG) -> Any:
    """What it returns, as soon as that is something."""
    until = time.monotonic() + limit
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < until, "this has not come to pass"
        time.sleep(0.01)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
