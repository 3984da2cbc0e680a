# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command socketpipe on the hosts of a fleet, as a shell runs it; and a terminal to run it on.

    shell.run("socketpipe -b -i { tar cf - . } -l { ssh h1 } -r { dd of=/dev/st0 }").returncode

It is in the controller's PATH and nowhere else. Every host may log in to every other: ssh h1.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.hosts import Fleet, Host, HostProcess
from tests.hosts.layout import SANE_PATH

from . import anatomy, playbook

ARCHIVE = "ansible_collections.plumbing.socketpipe.plugins.module_utils._command.archive"
BIN = "/root/bin"  # on the controller only: /root is each host's own
# takes the terminal on its standard input for its own, as a login does
LEAD = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


def build(path: Path) -> None:
    """The one-file program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = {"PYTHONPATH": str(playbook.collections()), "PATH": SANE_PATH}
    subprocess.run([sys.executable, "-m", ARCHIVE, str(path)], env=environment, check=True)


@dataclasses.dataclass(frozen=True)
class Ended:
    """A script that has come to its end."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        """The one line that the command has said."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1 and lines[0].startswith("socketpipe: "), self.stderr
        return lines[0].removeprefix("socketpipe: ")


class Shell:
    """Scripts, or a program's words, on a fleet's controller."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.started: list[HostProcess] = []
        build(fleet.controller.directory / "root" / "bin" / "socketpipe")
        for host in (fleet.controller, *fleet):
            config = host.directory / "root" / ".ssh" / "config"
            config.write_text(f'Include "{fleet.ssh_config}"\n', encoding="utf-8")
            config.chmod(0o600)

    def start(
        self, script: str | Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> HostProcess:
        """Output and standard error are pipes unless said otherwise."""
        argv = ["bash", "-c", script] if isinstance(script, str) else script
        environment = {"PATH": f"{BIN}:{SANE_PATH}", **(env or {})}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.started.append(self.fleet.controller.popen(argv, env=environment, **{**streams, **options}))
        return self.started[-1]

    def end(self) -> None:
        """Whatever a failed test has left."""
        for process in self.started:
            if process.poll() is None:
                process.signal_group(signal.SIGTERM)
                process.wait(30)
        self.started = []

    def run(self, script: str | Sequence[str], *, timeout: float = 60, **options: Any) -> Ended:
        """To its end, whatever that is."""
        return self.finish(self.start(script, **options), timeout)

    @staticmethod
    def finish(process: HostProcess, timeout: float = 60) -> Ended:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not over after {timeout:.0f} s") from None
        return Ended(process.returncode, out or "", err or "")

    @contextlib.contextmanager
    def terminal(self, script: str | Sequence[str], *, env: Mapping[str, str] | None = None) -> Iterator[Terminal]:
        """The same with a terminal for all of its standard streams; it is hung up in the end."""
        argv = ["bash", "-c", script] if isinstance(script, str) else script
        environment = {"PATH": f"{BIN}:{SANE_PATH}", "PS1": "$ ", "TERM": "dumb", "HISTFILE": "", **(env or {})}
        terminal = Terminal(self.fleet.controller, argv, environment)
        try:
            yield terminal
        finally:
            terminal.hang_up()
            try:
                terminal.process.wait(20)
            except subprocess.TimeoutExpired:
                terminal.process.kill()


class Terminal:
    """A pseudo-terminal, and the program that leads its session."""

    def __init__(self, host: Host, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.master, slave = pty.openpty()
        words = ["/usr/bin/python3", "-IS", "-c", LEAD, *argv]
        self.process = host.popen(words, env=env, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.shown = ""
        self.over = False
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        # never for long in read(2): it would keep the terminal open after hang_up
        while not self.over:
            if not select.select([self.master], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:  # nobody has the terminal any more
                return
            self.shown += data.decode("utf-8", "replace")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def expect(self, pattern: str, timeout: float = 30.0) -> re.Match[str]:
        """Wait until this is on the screen."""
        found = None

        def look() -> bool:
            nonlocal found
            found = re.search(pattern, self.shown)
            return found is not None

        try:
            anatomy.until(f"{pattern!r} on the terminal", look, timeout)
        except TimeoutError:
            raise AssertionError(f"no {pattern!r} on the terminal:\n{self.shown}") from None
        assert found is not None
        return found

    def wait(self, timeout: float = 30.0) -> int:
        """The exit status of the session's leader; what it has shown is all there then."""
        status = self.process.wait(timeout)
        self.reader.join(5)
        return status

    def hang_up(self) -> None:
        """As when the window is closed: SIGHUP for the session's leader and the foreground (tty_ioctl(4))."""
        self.over = True
        self.reader.join()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


# -- what the tests look at


def stats(path: Path) -> dict[str, Any]:
    """What --stats=FILE has written."""
    text = path.read_text(encoding="ascii")
    assert text.count("\n") == 1
    return dict(json.loads(text))


def find(fleet: Fleet, test: Callable[[anatomy.Proc], bool]) -> list[anatomy.Proc]:
    return [proc for proc in anatomy.processes(fleet.controller, *fleet) if test(proc)]


def marked(fleet: Fleet, mark: str) -> anatomy.Proc:
    """The process, as soon as it is there, that has this among its own words (socketpipe has those of all)."""

    def look() -> list[anatomy.Proc]:
        return find(fleet, lambda proc: mark in proc.argv and "{" not in proc.argv)

    return next(iter(anatomy.until(f"a process {mark}", look)))


def named(fleet: Fleet, name: str, host: str = "controller") -> anatomy.Proc:
    """The process of this name on a host, as soon as it is there."""
    found = anatomy.until(f"{name} on {host}", lambda: find(fleet, lambda p: (p.name, p.host) == (name, host)))
    return next(iter(found))


def is_nonblocking(process: anatomy.Proc, fd: int) -> bool:
    """Whether what this process has open there has O_NONBLOCK set, which all who share it feel (open(2))."""
    text = Path(f"/proc/{process.pid}/fdinfo/{fd}").read_text(encoding="ascii")
    flags = re.search(r"^flags:\s*([0-7]+)$", text, re.MULTILINE)
    assert flags
    return bool(int(flags[1], 8) & os.O_NONBLOCK)


def gate(path: Path) -> str:
    """Words of a script that wait until the test has made this file."""
    return f"while [ ! -e {path} ]; do sleep 0.1; done"
