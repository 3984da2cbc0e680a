# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""Processes seen from outside: who a pid is, ending it safely, and running things inside a host."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
import typing as t
from pathlib import Path

from .layout import FleetError


class Identity(t.NamedTuple):
    """A pid alone may belong to another process by now; with its start time it cannot."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """None when there is no such process, or only its zombie."""
        try:
            words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if words[0] in "ZX" else cls(pid, int(words[19]))

    def alive(self) -> bool:
        return Identity.of(self.pid) == self


class Process(t.NamedTuple):
    """A process of a host; the pids are the host's own."""

    pid: int
    ppid: int
    cmdline: str


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def find_token(token: str) -> list[Identity]:
    """The pid1.py processes that carry this token, seen from here: also those that no state file knows of yet."""
    found = []
    for pid in pids():
        words = command_line(pid)
        if len(words) > 2 and words[-1] == token and words[-3].endswith("pid1.py"):
            identity = Identity.of(pid)
            if identity:
                found.append(identity)
    return found


def end(identities: t.Iterable[Identity], timeout: float = 10) -> None:
    """Kill exactly these processes and wait until they are gone, with all of their pid namespaces."""
    waiting: list[int] = []
    try:
        for identity in identities:
            try:
                pidfd = os.pidfd_open(identity.pid)
            except ProcessLookupError:
                continue
            waiting.append(pidfd)
            if identity.alive():  # asked after pidfd_open: from here on the descriptor cannot change its meaning
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            else:
                os.close(waiting.pop())
        deadline = time.monotonic() + timeout
        for pidfd in waiting:
            if not select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise FleetError(f"a host's first process did not end within {timeout:.0f} s of SIGKILL")
    finally:
        for pidfd in waiting:
            os.close(pidfd)


def inside(first: int) -> list[Process]:
    """The processes in the pid namespace of this first process, which is one of them."""
    namespace = os.readlink(f"/proc/{first}/ns/pid")
    rows: list[tuple[int, int, int, str]] = []
    for pid in pids():
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") != namespace:
                continue
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # root may not see all in a sandbox
            continue
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        text = " ".join(command_line(pid)) or f"[{fields['Name']}]"
        if fields["State"].startswith("Z"):
            text += " <defunct>"
        rows.append((pid, int(fields["PPid"]), int(fields["NSpid"].split()[-1]), text))
    inner = {outer: own for outer, _parent, own, _text in rows}
    return sorted(Process(own, inner.get(parent, 0), text) for _outer, parent, own, text in rows)


class HostProcess(subprocess.Popen[str]):
    """A process that runs inside a host, in a session of its own. `pid` is that of the nsenter that waits for it."""

    @property
    def child(self) -> int:
        """The pid, as seen from outside, of the process inside; it is also its process group."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and self.poll() is None:
            try:
                words = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
            except (FileNotFoundError, ProcessLookupError):
                break
            # Not before setsid: a signal to the group would miss it.
            if words and os.getpgid(int(words[0])) == int(words[0]):
                return int(words[0])
            time.sleep(0.001)
        raise ProcessLookupError(f"the process in the host has ended: {self.args!r}")

    def send_signal(self, sig: int) -> None:
        """To the process inside; nsenter then ends as it did."""
        if self.poll() is None:
            try:
                os.kill(self.child, sig)
            except ProcessLookupError:
                pass

    def resume(self) -> None:
        """After a SIGSTOP of the process inside: nsenter has stopped itself with it, and would never see its end."""
        os.kill(self.pid, signal.SIGCONT)

    def signal_group(self, sig: int) -> None:
        """To its whole process group, as a terminal's Ctrl-C would."""
        try:
            os.killpg(self.child, sig)
        except ProcessLookupError:
            pass


def finish(process: HostProcess, input: str | None, timeout: float | None) -> tuple[str, str]:
    """communicate(), and on a timeout or an interruption the whole process group inside goes too."""
    try:
        return process.communicate(input, timeout=timeout)
    except BaseException:
        process.signal_group(signal.SIGKILL)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            subprocess.Popen.send_signal(process, signal.SIGKILL)
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        raise
