# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The first process of a test host. Run as `python -I -S pid1.py CONFIG TOKEN`, never imported.

It makes the host's namespaces and forks; the child is PID 1 in there, mounts the host's private directories, starts
sshd and reaps every orphan. It ends when the process that made the fleet ends. On stdout go lines of JSON: {"pid": ...}
from the parent, {"ready": ...} or {"error": ...} from PID 1. TOKEN is there to be found in the list of processes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import typing as t

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # -I leaves it out

from first import LIBC, Children, check, has_sshd, mount, reaped

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_RDONLY, MS_REMOUNT = 1, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18


def start_time(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        return int(stat.read().rpartition(")")[2].split()[19])


def watch(creator: t.Sequence[int] | None) -> int | None:
    """A descriptor that becomes readable when the creator of the fleet ends."""
    if creator is None:
        return None
    pidfd = os.pidfd_open(creator[0])
    if start_time(creator[0]) != creator[1]:
        raise ProcessLookupError("the creator of this host has ended")
    return pidfd


def report(line: dict[str, t.Any]) -> None:
    os.write(1, json.dumps(line).encode() + b"\n")


def log(text: str) -> None:
    os.write(2, f"pid1: {text}\n".encode())


def held(path: str) -> int:
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def mount_all(config: dict[str, t.Any]) -> None:
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    # Held open, because the private directories are about to hide them.
    visible = [(path, held(path)) for path in config["visible"]]
    shared = [(path, held(path)) for path in config["shared"]]
    for descriptor, target in [(held(source), target) for source, target in config["binds"]]:
        mount(f"/proc/self/fd/{descriptor}", target, None, MS_BIND)
        os.close(descriptor)
    for target in config["tmpfs"]:
        os.makedirs(target, exist_ok=True)
        mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777" if target == "/dev/shm" else "mode=755")
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,gid=5,mode=620,ptmxmode=666")
    for path, descriptor in visible:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            os.makedirs(path, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "ab"):
                pass
        mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND | MS_REC)
        os.close(descriptor)
    for path, descriptor in shared:
        os.makedirs(path, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", path, None, MS_BIND)
        mount("none", path, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
        os.close(descriptor)
    for path in config["directories"]:
        os.makedirs(path, mode=0o700, exist_ok=True)


def set_kernel(settings: dict[str, str]) -> None:
    """Those of the network are the namespace's own. One that is not there (a kernel without IPv6) need not be set."""
    for name, value in settings.items():
        path = f"/proc/sys/{name}"
        if os.path.exists(path):
            with open(path, "w", encoding="ascii") as setting:
                setting.write(value)


def start_sshd(argv: list[str]) -> int:
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    # The log is sshd's stdin, stdout and stderr alike: nothing of the creator's reaches it.
    actions = [(os.POSIX_SPAWN_DUP2, 2, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
    pid = os.posix_spawn(argv[0], argv, {"PATH": os.environ["PATH"]}, file_actions=actions)
    deadline = time.monotonic() + 10
    while not has_sshd("tcp", "tcp6"):
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            raise RuntimeError("sshd ended at once")
        if time.monotonic() > deadline:
            raise RuntimeError("sshd does not listen after 10 s")
        time.sleep(0.01)  # to read the table takes milliseconds
    return pid


def live(sshd: int | None, creator: int | None) -> None:
    """Until the creator ends; the end of this process is the end of all processes of the host."""
    children = Children()
    while True:
        for pid, status in reaped():
            log(f"{'sshd' if pid == sshd else 'orphan'} {pid} ended: {status}")
        if children.wait(*([] if creator is None else [creator])):
            log("the creator of this fleet has ended, and so does this host")
            return


def first_process(config: dict[str, t.Any], creator: int | None) -> int:
    sshd = None
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        socket.sethostname(config["name"])
        if config["mounts"]:
            mount_all(config)
        set_kernel(config["sysctl"])
        if config["sshd"]:
            sshd = start_sshd(config["sshd"])
    except Exception as error:
        log(f"cannot start: {error}")
        report({"error": str(error)})
        return 1
    report({"ready": True, "sshd": sshd})
    os.dup2(2, 1)
    live(sshd, creator)
    return 0


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as source:
        config = json.load(source)
    os.chdir("/")
    os.umask(0o022)
    os.setsid()
    os.dup2(os.open(config["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    try:
        creator = watch(config["creator"])
        # A network namespace alone would do for the switch, but then its processes could not be ended as one.
        flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET
        check(LIBC.unshare(flags), "making namespaces")
        pid = os.fork()
    except OSError as error:
        report({"error": str(error)})
        return 1
    if pid:
        report({"pid": pid})
        return 0
    os._exit(first_process(config, creator))


if __name__ == "__main__":
    raise SystemExit(main())
