# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The first process of the guest: mounts, loads the drivers, and does what the other end of the serial line asks.

Requests and results are files in a directory of the machine's; the line only says whose turn it is, so that anything
may be in them. The root is the machine's, below a file system in memory: what is written stays in the guest.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import termios
import time
import tty

LIBC = ctypes.CDLL(None, use_errno=True)
FINIT_MODULE = 313  # of x86_64
MODULES = "/usr/lib/uml/modules/" + os.uname().release
DRIVERS = ("st", "sg", "ch", "virtio_scsi")
LINE = "/dev/ttyS0"


def check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    words = [word.encode() for word in (source, target, kind, data)]
    check(LIBC.mount(*words[:3], ctypes.c_ulong(flags), words[3]), f"mounting {source} on {target}")


class Modules:
    def __init__(self) -> None:
        self.needs: dict[str, list[str]] = {}
        self.loaded: set[str] = set()
        with open(MODULES + "/modules.dep", encoding="ascii") as lines:
            for line in lines:
                path, _colon, needs = line.partition(":")
                self.needs[os.path.basename(path).partition(".")[0]] = [*needs.split()[::-1], path]

    def load(self, name: str) -> None:
        for path in self.needs[name]:
            if path in self.loaded:
                continue
            self.loaded.add(path)
            descriptor = os.open(f"{MODULES}/{path}", os.O_RDONLY)
            check(LIBC.syscall(FINIT_MODULE, descriptor, b"", 0), f"loading {path}")
            os.close(descriptor)


def make_root(private: list[str], visible: list[list[str]]) -> None:
    """`private` directories are empty, but for `visible` ones of the machine's in them: path, and "rw" or "ro"."""
    mount("tmpfs", "/mnt", "tmpfs")
    for name in ("upper", "work", "root"):
        os.mkdir("/mnt/" + name)
    root = "/mnt/root"
    mount("overlay", root, "overlay", 0, "lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work")
    mount("proc", root + "/proc", "proc")
    mount("sysfs", root + "/sys", "sysfs")
    mount("devtmpfs", root + "/dev", "devtmpfs")
    os.makedirs(root + "/dev/pts", exist_ok=True)
    mount("devpts", root + "/dev/pts", "devpts", 0, "ptmxmode=666,mode=620,gid=5")
    for path in private:
        os.makedirs(root + path, exist_ok=True)
        mount("tmpfs", root + path, "tmpfs", 0, "mode=755" if path in ("/run", "/root", "/home") else "mode=1777")
    for path, how in visible:
        os.makedirs(root + path, exist_ok=True)
        mount("none", root + path, "hostfs", 0 if how == "rw" else os.ST_RDONLY, path)
    os.chroot(root)
    os.chdir("/")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink("/proc/self/fd" + target, "/dev/" + name)


def network(name: str, addresses: list[str]) -> None:
    """Loopback; with addresses also the card, and a listening sshd."""
    socket.sethostname(name)
    commands = ["link set lo up"]
    if addresses:
        commands += ["link set vec0 up", *(f"address add {each} dev vec0" for each in addresses)]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands).encode(), check=True)
    if addresses:
        os.makedirs("/run/sshd", mode=0o755)
        subprocess.run(["/usr/sbin/sshd", "-f", "/etc/ssh/sshd_config"], check=True)  # returns when it listens


def wait_for(paths: list[str]) -> None:
    deadline = time.monotonic() + 20
    while not all(map(os.path.exists, paths)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"no {', '.join(path for path in paths if not os.path.exists(path))}")
        time.sleep(0.01)


class Work:
    """The commands that run, by their pids, and the numbers of their requests."""

    def __init__(self, line: int, directory: str) -> None:
        self.line = line
        self.directory = directory
        self.running: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}

    def start(self, number: str) -> None:
        place = f"{self.directory}/{number}"
        with open(place + ".json", encoding="utf-8") as source:
            request = json.load(source)
        argv, env, cwd = request["argv"], request["env"], request["cwd"]
        stdin = place + ".in" if request["input"] else "/dev/null"
        with open(stdin, "rb") as into, open(place + ".out", "ab") as out, open(place + ".err", "ab") as errors:
            try:  # by vfork: a copy of this process costs more than most commands
                child = subprocess.Popen(
                    argv, stdin=into, stdout=out, stderr=errors, cwd=cwd, env=env, start_new_session=True
                )
            except OSError as error:
                errors.write(f"{argv[0]}: {error}\n".encode())
                errors.flush()
                self.say(f"{number} 127")
                return
        self.running[child.pid] = number, child

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self.running:
                number, child = self.running.pop(pid)
                child.returncode = os.waitstatus_to_exitcode(status)
                self.say(f"{number} {child.returncode}")

    def signal(self, number: str, which: str) -> None:
        for pid, (of, _child) in self.running.items():
            if of == number:
                os.killpg(pid, int(which))
        self.say(f"-{number} 0")

    def say(self, words: str) -> None:
        os.write(self.line, words.encode() + b"\n")


def live(work: Work) -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    rest = b""
    while True:
        ready = select.select([reader, work.line], [], [])[0]
        if reader in ready:
            os.read(reader, 4096)
            work.reap()
        if work.line in ready:
            *lines, rest = (rest + os.read(work.line, 4096)).split(b"\n")
            for line in lines:
                words = line.decode().split()
                if words[0] == "run":
                    work.start(words[1])
                elif words[0] == "signal":
                    work.signal(words[1], words[2])


def main() -> None:
    begun = time.monotonic()
    os.environ.update(PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    with open(sys.argv[1], encoding="utf-8") as source:
        config = json.load(source)
    modules = Modules()
    modules.load("overlay")
    make_root(config["private"], config["visible"])
    line = os.open(LINE, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line, termios.TCSANOW)
    work = Work(line, config["directory"])
    try:
        for name in (*DRIVERS, *(["ipv6"] if config["addresses"] else [])):
            modules.load(name)
        network(config["name"], config["addresses"])
        wait_for(config["devices"])
    except Exception as error:
        work.say(f"failed {error}")
        raise
    work.say(f"ready {time.monotonic() - begun:.2f}")
    live(work)


main()
