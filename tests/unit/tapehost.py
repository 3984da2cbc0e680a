# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of the tape host with virtual tapes: run as it is run there, and what tests ask of it."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host import main

from .archives import BLOCK, archive, iso, report
from .tape import TAPE, sources, start

PACKAGE = main.__name__.rpartition(".host.")[0]
LONG = 60.0  # seconds after which something that must happen has not happened
CACHE = os.path.join(tempfile.gettempdir(), "socketpipe-test-pycache-%d" % os.getuid())


def command(*words: object, python: str = sys.executable) -> list[str]:
    """Its command line: nothing is left in the folder of the program, for all of that goes to the tape host."""
    cache = ["-B"] if python != sys.executable else ["-X", "pycache_prefix=" + CACHE]
    return [python, "-I", *cache, *start("host"), *map(str, words)]


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


@lru_cache(None)
def load_all() -> None:
    """Import what the program imports only when it needs it: here once, and not in each copy of this process."""
    for path in sources("host"):
        importlib.import_module(".".join((PACKAGE, *path.relative_to(TAPE).with_suffix("").parts)))


def no_fsync(_fd: object) -> None:
    pass


def fork(words: list[str], data: bytes, environment: dict[str, str], before: Callable[[], object]) -> Done:
    """Run it in a copy of this process: what takes long is that a Python starts."""
    load_all()
    with contextlib.ExitStack() as stack:
        given, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _number in range(3))
        given.write(data)
        given.flush()
        given.seek(0)
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                for fd, file in enumerate((given, out, err)):
                    os.dup2(file.fileno(), fd)
                signal.alarm(int(LONG))
                gc.disable()  # a signal that comes in one of this process's callbacks of it would be lost
                os.environ.clear()
                os.environ.update(environment)
                sys.argv = ["tapehost", *words]
                sys.stdin = open(0, encoding="utf-8", closefd=False)
                sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
                os.fsync = no_fsync  # type: ignore[assignment] # half of the time, and this machine stays on
                before()
                status = main.main()
            except SystemExit as exc:
                status = exc.code if isinstance(exc.code, int) else 99
            except BaseException:
                traceback.print_exc(file=sys.stderr)
            finally:
                sys.stderr.flush()
                os._exit(status)
        ended = os.waitpid(pid, 0)[1]
        out.seek(0)
        err.seek(0)
        return Done(os.waitstatus_to_exitcode(ended), out.read(), err.read().decode())


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

    def run(
        self, *words: object, data: bytes = b"", before: Callable[[], object] = lambda: None, **settings: Any
    ) -> Done:
        if self.python == sys.executable:
            return fork([str(word) for word in words], data, self.environment(settings), before)
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
        """The answer, which is fetched in pieces when it is long."""
        answer = self.run(*words, data=data, **settings).answer
        if "pieces" not in answer:
            return answer
        pieces = [self.run("answer", "--name", answer["name"], "--piece", number) for number in range(answer["pieces"])]
        return dict(json.loads(b"".join(piece.out for piece in pieces)))

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
        """A good archive; ``on``: on this tape."""
        data = more.pop("data", None) or archive(run, host, level)
        where = {"labels": [more.pop("on")]} if "on" in more else {}
        assert self.sink(run, host, data, level, base, **where).status == 0
        answer = self.commit(run, host, data, level=level, base=base or None, **more).answer
        self.edit(answer["tape"], lambda tape: tape["archives"][-1].update(time=iso(run)))  # not all of them now
        return answer

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
                path = tape / ("%06d" % each["file"])
                if each["state"] != "writing":  # it counts for how full the tape is
                    assert each["bytes"] == path.stat().st_size
                if each["state"] in ("written", "good") and each["kind"] == "archive":
                    assert path.read_bytes() == archive(each["run"], each["host"], each["level"])


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
