# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""A machine with tape drives: user-mode-linux, a Linux kernel that runs as a process.

Example::

    with Guest(path) as guest:
        guest.library.tape("A00001L6", drive=0, capacity=32 << 20)
        guest.run(["mt-st", "-f", "/dev/nst0", "status"])

It boots in two seconds, sees the files of this machine (what it writes is gone with it) and has the drivers st, sg and
ch, with the drives and the changer of `guest.library` at the other end of the cable. power_off() is a power cut: the
drives keep what they have. Of files survive all in `guest.scratch`, and in DISK what a disk would have been given.

Alone it has no network. With `host` it takes the place of a host of a fleet (tests/hosts): its files, address and sshd.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import socket
import subprocess
import time
import typing as t
from pathlib import Path

from tests.hosts import Host
from tests.hosts.fleet import shown
from tests.hosts.layout import NET4, NET6, SANE_PATH

from .cable import DEVICE_ID
from .library import Library

INIT = Path(__file__).resolve().with_name("init.py")
DISK = "/var/lib/socketpipe"  # where the guest's own disk is
PRIVATE = ["/dev/shm", "/home", "/root", "/run", "/tmp", "/var/tmp"]  # empty in a guest that is alone
# the files of this machine, read-only; the kernel's messages to our standard output; nothing that only takes time
KERNEL = ["mem=1G", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet", "con=null", "con0=null,fd:1"]
KERNEL += ["ssl=null", "pty.legacy_count=0", "lpj=15360000"]
BOOT_TIME = 60.0
# A session has a share of the processors (sched_autogroup), and all of the guest's processes are in one: ten times the
# share, or on a busy machine a login to it takes longer than ssh waits.
SHARE = ["setsid", "sh", "-c", 'echo -10 2>/dev/null >/proc/self/autogroup; exec "$@"', "sh"]

Word = t.Union[str, "os.PathLike[str]"]
Run = subprocess.CompletedProcess[str]


class GuestError(Exception):
    """The guest does not do what a guest does."""


class Command:
    """A command that runs in the guest."""

    def __init__(self, guest: Guest, number: int, argv: list[str]) -> None:
        self.guest = guest
        self.number = number
        self.argv = argv

    def _file(self, what: str) -> bytes:
        path = self.guest.exchange / f"{self.number}.{what}"
        return path.read_bytes() if path.exists() else b""

    @property
    def stdout(self) -> bytes:
        """Complete when it has ended."""
        return self._file("out")

    @property
    def stderr(self) -> bytes:
        return self._file("err")

    def signal(self, number: int = signal.SIGKILL) -> None:
        """To its process group; it has it when this returns."""
        self.guest.say(f"signal {self.number} {number:d}")
        self.guest.wait(-self.number, 10)

    def wait(self, timeout: float = 60) -> int:
        """For its end; its exit status, negative for a signal. What takes longer is killed."""
        try:
            return self.guest.wait(self.number, timeout)
        except TimeoutError as error:
            error.add_note(f"{shlex.join(self.argv)}\nstdout: {self.stdout!r}\nstderr: {self.stderr!r}")
            self.signal()
            raise


class Guest:
    def __init__(self, directory: Path, host: Host | None = None, modules: t.Iterable[str] = ()) -> None:
        """`modules`: of the kernel, to be loaded beside the drivers of the drives."""
        self.directory = directory.resolve()
        self.modules = list(modules)
        self.host = host
        self.scratch = self.directory / "scratch"  # the same files under the same name on both sides, power or no power
        self.exchange = self.directory / "exchange"
        self.log = self.directory / "console.log"
        for path in (self.scratch, self.exchange):
            path.mkdir(parents=True, exist_ok=True)
        self.disk = self.directory / "disk"
        with open(self.disk, "wb") as image:
            image.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(self.disk)], env={"PATH": SANE_PATH}, check=True)
        self.library = Library(self.directory / "scsi")
        self.boot_time = 0.0
        self._process: subprocess.Popen[t.Any] | None = None
        self._line: socket.socket | None = None
        self._heard = b""
        self._ended: dict[int, int] = {}
        self._number = 0

    def __enter__(self) -> Guest:
        self.power_on()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.power_off()
        self.library.cable.close()

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def power_on(self) -> None:
        """Boots it; returns when it answers."""
        begun = time.monotonic()
        config = self.directory / "config.json"
        config.write_text(json.dumps(self._config()))
        ours, theirs = socket.socketpair()
        # the namespace ends with its first process, unshare's child; that one ends with unshare, and that with us
        argv = ["setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--mount-proc", "--kill-child=KILL"]
        argv += [*SHARE, "linux", *KERNEL, f"ssl0=fd:{theirs.fileno()}", f"ubd0={self.disk}"]
        argv += [f"virtio_uml.device={self.library.cable.path}:{DEVICE_ID}"]
        if self.host:
            argv += [f"vec0:transport=tap,ifname=tap0,depth=128,gro=1,mac={self._cable_host(self.host)}"]
        argv += ["init=/usr/bin/python3", "--", "-I", "-S", str(INIT), str(config)]
        with open(self.log, "ab") as log:
            files: dict[str, t.Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            files["pass_fds"] = [theirs.fileno()]
            env = {"PATH": SANE_PATH, "TMPDIR": "/dev/shm", "HOME": str(self.directory)}
            if self.host:
                self._process = self.host.popen(argv, env=env, **files)
            else:
                self._process = subprocess.Popen(argv, env=env, start_new_session=True, **files)
        theirs.close()
        self._line, self._heard = ours, b""
        self._ended.clear()
        answer = self._hear(BOOT_TIME)
        if not answer.startswith("ready"):
            raise GuestError(f"the guest does not start: {answer}\n{self.console()}")
        self.boot_time = time.monotonic() - begun

    def _config(self) -> dict[str, t.Any]:
        devices = [*self.library.devices, *(f"/dev/sg{number}" for number in range(len(self.library.devices) + 1))]
        visible = [[str(self.scratch), "rw"], [str(self.exchange), "rw"]]
        addresses = []
        if self.host is None:
            visible = [[path, "ro"] for path in shown([])] + visible
        elif self.host.v4:
            addresses.append(f"{self.host.v4}/{NET4.prefixlen}")
        if self.host and self.host.v6:
            addresses.append(f"{self.host.v6}/{NET6.prefixlen} nodad")
        return {
            "name": self.host.name if self.host else "tapehost",
            "addresses": addresses,
            "private": ["/dev/shm", "/run"] if self.host else PRIVATE,
            "visible": visible,
            "directory": str(self.exchange),
            "disk": DISK,
            "devices": devices,
            "modules": self.modules,
        }

    def power_off(self) -> None:
        """Cuts its power: all of its processes end at once, with the kernel. What the drives had taken they finish."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._line is not None:
            while self._line.recv(4096):  # until the last process that holds the other end has gone
                pass
            self._line.close()
            self._line = None
            self.library.settle()

    def console(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    # Commands

    def say(self, words: str) -> None:
        if self._line is None:
            raise GuestError("the guest is off")
        self._line.sendall(words.encode() + b"\n")

    def _hear(self, timeout: float) -> str:
        assert self._line is not None
        deadline = time.monotonic() + timeout
        while b"\n" not in self._heard:
            if not select.select([self._line], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"nothing was heard from the guest for {timeout:.0f} s\n{self.console()}")
            piece = self._line.recv(4096)
            if not piece:
                raise GuestError(f"the guest has ended\n{self.console()}")
            self._heard += piece
        line, _newline, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def start(
        self,
        argv: t.Sequence[Word],
        *,
        input: str | bytes | None = None,
        env: t.Mapping[str, str] | None = None,
        cwd: Word = "/root",
    ) -> Command:
        """Starts a command in a session of its own; its environment is a clean login's plus `env`."""
        self._number += 1
        words = [os.fspath(word) for word in argv]
        place = self.exchange / str(self._number)
        if input is not None:
            place.with_suffix(".in").write_bytes(input.encode() if isinstance(input, str) else input)
        login = {"PATH": SANE_PATH, "HOME": "/root", "USER": "root", "LANG": "C.UTF-8", "TERM": "dumb", **(env or {})}
        request = {"argv": words, "env": login, "cwd": os.fspath(cwd), "input": input is not None}
        place.with_suffix(".json").write_text(json.dumps(request))
        self.say(f"run {self._number}")
        return Command(self, self._number, words)

    def wait(self, number: int, timeout: float) -> int:
        """For the answer to a request, by its number."""
        deadline = time.monotonic() + timeout
        while number not in self._ended:
            about, code = self._hear(deadline - time.monotonic()).split()
            self._ended[int(about)] = int(code)
        return self._ended.pop(number)

    def run(
        self,
        argv: t.Sequence[Word],
        *,
        input: str | bytes | None = None,
        check: bool = True,
        timeout: float = 60,
        env: t.Mapping[str, str] | None = None,
        cwd: Word = "/root",
    ) -> Run:
        """subprocess.run in the guest. A timeout kills the process group; a failure's notes have the output."""
        command = self.start(argv, input=input, env=env, cwd=cwd)
        code = command.wait(timeout)
        out, err = (content.decode(errors="replace") for content in (command.stdout, command.stderr))
        if check and code:
            error = subprocess.CalledProcessError(code, command.argv, out, err)
            error.add_note(f"in the guest: {shlex.join(command.argv)}\nstdout: {out}\nstderr: {err}")
            raise error
        return Run(command.argv, code, out, err)

    def sh(self, script: str, *, check: bool = True, timeout: float = 60) -> Run:
        """A script for bash, where a pipeline fails with any of its commands."""
        return self.run(["bash", "-o", "pipefail", "-c", script], check=check, timeout=timeout)

    def mt(self, *words: str, drive: int = 0, check: bool = True) -> Run:
        return self.run(["mt-st", "-f", self.library.devices[drive], *words], check=check)

    def mtx(self, *words: str, check: bool = True) -> Run:
        return self.run(["mtx", "-f", self.library.robot, *words], check=check)

    def processes(self) -> list[str]:
        """What runs there that is no part of it, as pid and command line."""
        self._number += 1
        listed = Command(self, self._number, ["list"])
        self.say(f"list {listed.number}")
        listed.wait()
        return listed.stdout.decode(errors="replace").splitlines()

    def _cable_host(self, host: Host) -> str:
        """Puts the guest's card in the place of the host's own; returns its hardware address."""
        lines = ["link add br0 type bridge forward_delay 0 mcast_snooping 0", "tuntap add tap0 mode tap"]
        lines += [
            "address flush dev eth0",
            "link set tap0 master br0 up",
            "link set eth0 master br0",
            "link set br0 up",
        ]
        if not host.run(["ip", "link", "show", "br0"], check=False).stdout:
            host.run(["ip", "-batch", "-"], input="\n".join(lines))
        return f"02:53:50:01:00:{int(host.address.split('.')[-1]):02x}"
