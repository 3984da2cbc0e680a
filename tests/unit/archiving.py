# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that the archiver of the role tape works on: some files, a folder of states, and GNU tar as it is here."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import processes
from ansible_collections.plumbing.socketpipe.tests.unit.ends import default_signals
from ansible_collections.plumbing.socketpipe.tests.unit.tape import start

TIMEOUT = 120

# the end of a message about tar, as the one who runs these tests gets it
NOT_ROOT = "" if os.geteuid() == 0 else " (not as root: become: true?)"


@dataclass
class Archive:
    """What create has made, and what report says of it."""

    data: bytes
    facts: dict[str, Any]
    names: list[str]

    @property
    def expected(self) -> list[str]:
        return ["--bytes", str(len(self.data)), "--sha256", hashlib.sha256(self.data).hexdigest()]


class Started:
    """A create whose archive waits for us to read it: nothing has ended yet."""

    def __init__(self, argv: list[str], environment: dict[str, str], first: int):
        self.link, theirs = socket.socketpair()
        self.link.settimeout(TIMEOUT)
        null = subprocess.DEVNULL
        with theirs:
            self.process = subprocess.Popen(
                argv,
                env=environment,
                stdin=null,
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                preexec_fn=default_signals,
            )
        self.data = b""
        while len(self.data) < first:
            chunk = self.link.recv(first - len(self.data))
            assert chunk, self.end()
            self.data += chunk

    def child(self, *names: str) -> int:
        """The process of this name that it has started."""
        found = {name: pid for pid, name in processes.descendants(self.process.pid).items()}
        return next(found[name] for name in names if name in found)

    def read(self) -> bytes:
        while chunk := self.link.recv(1024**2):
            self.data += chunk
        return self.data

    def end(self) -> tuple[int, str]:
        """(exit status, standard error), when it has ended by itself."""
        said = self.process.communicate(timeout=TIMEOUT)[1]
        return self.process.returncode, said.decode()


class Host:
    """A host's files in `root`, its states in `state`."""

    def __init__(self, top: Path, python: list[str] | None = None):
        self.top = top
        self.root = top / "files"
        self.state = top / "state"
        self.root.mkdir()
        self.path = os.environ["PATH"]
        self.settings: dict[str, Any] = {"paths": [str(self.root)], "state_dir": str(self.state)}
        self.archiver = python or [sys.executable, "-I", "-B", *start("archiver")]
        self.argv = self.archiver  # or that in surroundings of its own
        self.restored = 0

    def within_mounts(self, script: str) -> None:
        """Everything runs in a mount namespace of its own, in which this script was run; skips where it cannot be."""
        argv = ["unshare", "-m", "sh", "-c", f'{{ {script}; }} >&2 && exec "$@"', "sh"]
        tried = subprocess.run([*argv, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"nothing can be mounted here: {tried.stderr or tried.returncode}")
        self.argv = argv + self.argv

    def file(self, name: str, content: str | bytes = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PATH": self.path, "SOCKETPIPE_TAPE": json.dumps(self.settings)}

    def run(self, *words: str, data: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*self.argv, *words],
            env=self.environment(),
            input=data,
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
            **options,
        )

    def said(self, *words: str, data: bytes = b"", rc: int = 1, **options: Any) -> str:
        """The sentence with which it fails."""
        done = self.run(*words, data=data, **options)
        assert done.returncode == rc, done
        return done.stderr.decode().rstrip("\n")

    def words(self, run: str = "R0", level: int = 0, base: str = "", keep: str = "") -> list[str]:
        found = ["create", "--run", run, "--host", "h1", "--level", str(level)]
        return found + (["--base", base] if base else []) + (["--keep", keep] if keep else [])

    def create(self, run: str = "R0", level: int = 0, base: str = "", keep: str = "", **options: Any) -> Archive:
        done = self.run(*self.words(run, level, base, keep), **options)
        assert done.returncode == 0, done.stderr
        return Archive(done.stdout, *self.report(run))

    def report(self, run: str = "R0") -> tuple[dict[str, Any], list[str]]:
        done = self.run("report", "--run", run)
        assert done.returncode == 0, done.stderr
        line, _newline, packed = done.stdout.partition(b"\n")
        return json.loads(line), gzip.decompress(packed).decode("ascii").splitlines()

    def estimate(self, level: int = 0, base: str = "") -> int:
        done = self.run("estimate", "--level", str(level), *(["--base", base] if base else []))
        assert done.returncode == 0, done.stderr
        return int(json.loads(done.stdout)["bytes"])

    def start(self, first: int = 1) -> Started:
        """A create of which only the first bytes have been read."""
        return Started([*self.argv, *self.words()], self.environment(), first)

    def extract(self, archive: Archive, to: Path, *words: str, **options: Any) -> dict[str, Any]:
        done = self.run("extract", "--to", str(to), *archive.expected, *words, data=archive.data, **options)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def restored_as(self, to: Path) -> Path:
        """Where our files are below the directory they were restored to."""
        return to / str(self.root).lstrip("/")

    def program(self, name: str, script: str) -> None:
        """A program of this name that is found before the real one, which the script calls REAL."""
        folder = self.top / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_text("#!/bin/sh\n" + script.replace("REAL", shutil.which(name) or "none") + "\n", encoding="utf-8")
        path.chmod(0o755)
        self.path = f"{folder}:{os.environ['PATH']}"

    def states(self) -> list[str]:
        return sorted(path.name for path in self.state_dir.iterdir())

    @property
    def state_dir(self) -> Path:
        return self.state / "localhost/all"


def tree(top: Path) -> dict[bytes, tuple[Any, ...]]:
    """{path below it: type, mode, owner, time, content} of every file."""
    found = {}
    for folder, names, files in os.walk(os.fsencode(top)):
        for name in [*names, *files]:
            path = os.path.join(folder, name)
            at = os.lstat(path)
            content: Any = None
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                content = Path(os.fsdecode(path)).read_bytes()
            time_of = None if os.path.islink(path) else at.st_mtime_ns
            key = os.path.relpath(path, os.fsencode(top))
            found[key] = (at.st_mode, at.st_uid, at.st_gid, at.st_nlink, time_of, content)
    return found


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as status:
            return status.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def begun(host: Host) -> Iterator[Started]:
    """An archive that is being made, and of which hardly anything has been read."""
    host.file("big", os.urandom(8 * 1024**2))
    started = host.start()
    yield started
    started.process.kill()
    started.process.communicate()
    started.link.close()
