# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""One test host: run things there, look at it, cut it off, switch it off and on."""

from __future__ import annotations

import os
import shlex
import subprocess
import typing as t
from pathlib import Path

from . import network
from .layout import PRIVATE, SANE_PATH, TMPFS, FleetError, Seat
from .needs import program
from .process import HostProcess, Process, end, finish, inside

if t.TYPE_CHECKING:
    from .fleet import Fleet

Word = t.Union[str, "os.PathLike[str]"]
WATCHED = ("/tmp", "/root", "/home", "/var/tmp", *TMPFS)


class Host:
    """A namespace host of a fleet. Made by Fleet only."""

    def __init__(self, fleet: Fleet, seat: Seat, path: str = SANE_PATH) -> None:
        self._fleet = fleet
        self._seat = seat
        self._path = path
        self.name = seat.name
        self.v4 = seat.v4
        self.v6 = seat.v6
        self.address = seat.address  # v4, or v6 on a host without
        self.log = seat.log  # of its PID 1 and its sshd
        self.directory = seat.directory

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.address} {'on' if self.is_on else 'off'}>"

    @property
    def is_on(self) -> bool:
        first = self._fleet.state.first.get(self.name)
        return first is not None and first.alive()

    @property
    def pid(self) -> int:
        """Its PID 1, as seen from outside."""
        if not self.is_on:
            raise FleetError(f"host {self.name} is off")
        return self._fleet.state.first[self.name].pid

    def outside(self, path: str) -> Path:
        """Where a file of one of its private directories (not of the tmpfs) is for everybody else."""
        top = next(top for top in PRIVATE if path.startswith(f"{top}/"))
        return self.directory / PRIVATE[top] / path.removeprefix(f"{top}/")

    def _argv(self, argv: t.Sequence[Word], user: str | None, cwd: str | None) -> list[str]:
        home = "/root" if user in (None, "root") else f"/home/{user}"
        # nohup, or a script's background, has the tests ignore signals that a login does not; nsenter ends by them, too
        words = [
            program("env"),
            "--default-signal",
            program("nsenter"),
            "-t",
            str(self.pid),
            "-m",
            "-u",
            "-i",
            "-n",
            "-p",
            "--",
            "setsid",
        ]
        if user not in (None, "root"):
            words += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]
        return [*words, "env", "-C", cwd or home, *(os.fspath(word) for word in argv)]

    def _env(self, user: str | None, env: t.Mapping[str, str] | None) -> dict[str, str]:
        name = user or "root"
        home = "/root" if name == "root" else f"/home/{name}"
        base = {"PATH": self._path, "HOME": home, "USER": name, "LOGNAME": name, "SHELL": "/bin/bash"}
        return {**base, "LANG": "C.UTF-8", "TERM": "dumb", **(env or {})}

    def popen(
        self,
        argv: t.Sequence[Word],
        *,
        user: str | None = None,
        env: t.Mapping[str, str] | None = None,
        cwd: str | None = None,
        **kwargs: t.Any,
    ) -> HostProcess:
        """subprocess.Popen inside the host, in text mode; signals go to the process inside.

        stdin is /dev/null unless given. The environment is a clean login's plus `env`, the directory the user's home.
        """
        options = {"stdin": subprocess.DEVNULL, "text": True, "errors": "replace", "start_new_session": True, **kwargs}
        return HostProcess(self._argv(argv, user, cwd), env=self._env(user, env), **options)

    def run(
        self,
        argv: t.Sequence[Word],
        *,
        user: str | None = None,
        input: str | None = None,
        check: bool = True,
        timeout: float | None = 60,
        env: t.Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """subprocess.run inside the host. A timeout kills the process group; a failure's notes have the output."""
        stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
        process = self.popen(
            argv, user=user, env=env, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        out, err = finish(process, input, timeout)
        words = [os.fspath(word) for word in argv]
        if check and process.returncode:
            error = subprocess.CalledProcessError(process.returncode, words, out, err)
            error.add_note(f"on {self.name}: {shlex.join(words)}\nstdout: {out}\nstderr: {err}")
            raise error
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def processes(self, *, system: bool = False) -> list[Process]:
        """What runs on the host, as (pid, ppid, cmdline); its PID 1 and its listening sshd only if `system`."""
        own = set() if system else {1, self._fleet.sshd.get(self.name)}
        return [process for process in inside(self.pid) if process.pid not in own]

    def listeners(self) -> list[str]:
        """Lines of `ss -Htlnp`, without sshd's."""
        if network.only_ssh(self.pid):  # as nearly always; -p has to look at all files of all processes
            return []
        lines = self.run(["ss", "-Htlnp"]).stdout.splitlines()
        return [line for line in lines if '("sshd",' not in line]

    def files(self, paths: t.Iterable[str] = WATCHED) -> list[str]:
        """All files and directories below these paths, for a before and after; not what is visible from outside."""
        shown = [Path(path) for path in self._fleet.state.visible]
        skeleton = {str(parent) for path in shown for parent in path.parents}
        mounted = set(map(str, shown))
        root = f"/proc/{self.pid}/root"
        found: list[str] = []
        for top in paths:
            for directory, subdirectories, names in os.walk(root + top):
                here = directory.removeprefix(root)
                inner = [name for name in subdirectories if f"{here}/{name}" not in mounted]
                subdirectories[:] = inner
                everything = [f"{here}/{name}" for name in (*inner, *names)]
                found += [path for path in everything if path not in skeleton and path not in mounted]
        return sorted(found)

    def firewall(self, rules: str) -> None:
        """Loads this nft ruleset in place of all that is there, blocks included."""
        self._nft("flush ruleset\n" + rules)

    def block(
        self,
        direction: network.Direction = "in",
        how: network.How = "drop",
        ports: network.Ports | None = None,
        peer: Host | str | None = None,
        *,
        established: bool = False,
    ) -> None:
        """Refuses new TCP connections: to this host ("in"), from it ("out") or both; ssh only if its port is named.

        `how` is silence ("drop"), a reset ("reject") or ICMP ("unreachable"; over IPv6 on a veth connect() hears of it
        a second later); `ports` are the listening side's, such as [22, "1000-2000"]. `established` stops what is
        already connected as well.
        """
        peers = [peer] if isinstance(peer, str) else [each for each in (peer.v4, peer.v6) if each] if peer else []
        self._nft(network.block_rules(direction, how, ports, peers, established))

    def unblock(self) -> None:
        """Undoes every block()."""
        self._nft(f"add table inet {network.TABLE}\ndelete table inet {network.TABLE}\n")

    def _nft(self, script: str) -> None:
        self.run(["nft", "-f", "-"], input=script)

    def link(self, up: bool) -> None:
        """Plugs or pulls the network cable, at the switch."""
        network.set_link(self._fleet.switch, self._fleet.prefix, self._seat, up)

    def power_off(self, *, silent: bool = True) -> None:
        """Ends all at once: processes, sockets, firewall, /run, /dev/shm. The other files stay.

        `silent` is a power cut. Otherwise it is every process killed, and the kernel closes their connections.
        """
        cut = (self._fleet.switch, self._fleet.prefix, self._seat)
        if silent:
            network.detach(*cut)
        first = self._fleet.state.first.get(self.name)
        if first:
            end([first])
        network.detach(*cut)  # it would go with the namespace, but only some time after the last process

    def power_on(self) -> None:
        """Boots it again: same files, addresses and host key. /tmp is as it was."""
        if not self.is_on:
            self._fleet.boot([self._seat], creator=self._fleet.state.creator)
