# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The first process of the guest: mounts, loads the drivers, and does what the other end of the serial line asks.

Requests and results are files in a directory of the machine's; the line only says whose turn it is, so that anything
may be in them. The root is the machine's, below a file system in memory: what is written stays in the guest.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import termios
import time
import tty

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "hosts"))

from first import LIBC, Children, check, has_sshd, mount, reaped

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes its time to import, here
    from collections.abc import Callable

FINIT_MODULE = 313  # of x86_64
MODULES = "/usr/lib/uml/modules/" + os.uname().release
DRIVERS = ("st", "sg", "ch", "virtio_scsi")
LINE = "/dev/ttyS0"
SSHD = (b"sshd:", b"sshd-session:", b"sshd-auth:")  # since OpenSSH 9.8 a login's processes are programs of their own


class Modules:
    def __init__(self) -> None:
        self.needs: dict[str, list[str]] = {}
        self.loaded: set[str] = set()
        with open(MODULES + "/modules.dep", encoding="ascii") as lines:
            for line in lines:
                path, _colon, needs = line.partition(":")
                self.needs[self.plain(os.path.basename(path).partition(".")[0])] = [*needs.split()[::-1], path]

    @staticmethod
    def plain(name: str) -> str:
        return name.replace("-", "_")  # to modprobe they are one

    def load(self, name: str) -> None:
        for path in self.needs[self.plain(name)]:
            if path in self.loaded:
                continue
            self.loaded.add(path)
            descriptor = os.open(f"{MODULES}/{path}", os.O_RDONLY)
            check(LIBC.syscall(FINIT_MODULE, descriptor, b"", 0), f"loading {path}")
            os.close(descriptor)


def make_root(private: list[str], visible: list[list[str]], disk: str) -> None:
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
    os.makedirs(root + disk, exist_ok=True)
    mount(root + "/dev/ubda", root + disk, "ext4")
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
        subprocess.run(["/usr/sbin/sshd", "-f", "/etc/ssh/sshd_config"], check=True)
        for family in {"tcp6" if ":" in each else "tcp" for each in addresses}:
            wait_until(has_sshd, family)


def wait_until(true: Callable[[str], bool], path: str) -> None:
    deadline = time.monotonic() + 20
    while not true(path):
        if time.monotonic() > deadline:
            raise RuntimeError(f"after 20 s not yet: {true.__name__} {path}")
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
        for pid, status in reaped():
            if pid in self.running:
                number, child = self.running.pop(pid)
                child.returncode = status
                self.say(f"{number} {child.returncode}")

    def signal(self, number: str, which: str) -> None:
        for pid, (of, _child) in self.running.items():
            if of == number:
                os.killpg(pid, int(which))
        self.say(f"-{number} 0")

    def list(self, number: str) -> None:
        """What runs beside this process, the kernel's own and sshd: ps takes ten times as long here."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as line:
                    words = line.read().replace(b"\0", b" ").strip()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if words and pid != "1" and not words.startswith(SSHD):
                found.append(pid.encode() + b" " + words + b"\n")
        with open(f"{self.directory}/{number}.out", "wb") as out:
            out.writelines(found)
        self.say(f"{number} 0")

    def say(self, words: str) -> None:
        os.write(self.line, words.encode() + b"\n")


def live(work: Work) -> None:
    children = Children()
    rest = b""
    while True:
        ready = children.wait(work.line)
        work.reap()
        if ready:
            *lines, rest = (rest + os.read(work.line, 4096)).split(b"\n")
            for line in lines:
                words = line.decode().split()
                if words[0] == "run":
                    work.start(words[1])
                elif words[0] == "list":
                    work.list(words[1])
                elif words[0] == "signal":
                    work.signal(words[1], words[2])


def main() -> None:
    begun = time.monotonic()
    os.environ.update(PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    with open(sys.argv[1], encoding="utf-8") as source:
        config = json.load(source)
    modules = Modules()
    modules.load("overlay")
    make_root(config["private"], config["visible"], config["disk"])
    line = os.open(LINE, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line, termios.TCSANOW)
    work = Work(line, config["directory"])
    try:
        for name in (*DRIVERS, *config["modules"], *(["ipv6"] if config["addresses"] else [])):
            modules.load(name)
        network(config["name"], config["addresses"])
        for path in config["devices"]:
            wait_until(os.path.exists, path)
    except Exception as error:
        work.say(f"failed {error}")
        raise
    work.say(f"ready {time.monotonic() - begun:.2f}")
    live(work)


main()
