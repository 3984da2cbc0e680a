# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The private files of hosts: accounts, keys, sshd's and ssh's configuration."""

from __future__ import annotations

import os
import shutil
import subprocess
import typing as t
from pathlib import Path

from .layout import CONTROL_DIR, OWN_ETC, PRIVATE, ROOT_HASH, SANE_PATH, SSH_PORT, USERS, FleetError, Seat
from .needs import program


def run_all(commands: t.Iterable[list[str]]) -> None:
    """At once, and wait for all of them."""
    running = [
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for argv in commands
    ]
    errors = [f"{process.args!r}: {process.communicate()[1].strip()}" for process in running]
    failed = [error for error, process in zip(errors, running, strict=True) if process.returncode]
    if failed:
        raise FleetError("; ".join(failed))


def prepare(directory: Path, seats: list[Seat]) -> None:
    """Everything on disk, for all hosts."""
    ssh = directory / "ssh"
    ssh.mkdir(mode=0o700)
    (directory / "log").mkdir(exist_ok=True)
    shared = shared_etc()
    own = [str(path) for path in Path("/etc").iterdir() if path not in shared]
    commands = [keygen(ssh / "id_ed25519")]
    for seat in seats:
        for name in PRIVATE.values():
            (seat.directory / name).mkdir(parents=True)
        commands.append(keygen(seat.directory / "ssh_host_ed25519_key"))
        commands.append([program("cp"), "-a", "-t", str(seat.directory / "etc"), *own])
    run_all(commands)
    known_hosts = "".join(known_host(seat) for seat in seats)
    (ssh / "known_hosts").write_text(known_hosts, encoding="ascii")
    (ssh / "config").write_text(ssh_config(ssh), encoding="utf-8")
    public = (ssh / "id_ed25519.pub").read_text(encoding="ascii")
    for seat in seats:
        accounts(seat.directory / "etc")
        configure(seat, seats, known_hosts)
        homes(seat.directory, public)


def shared_etc() -> list[Path]:
    """The directories of /etc that are the machine's on every host."""
    return [path for path in sorted(Path("/etc").iterdir()) if path.is_dir() and path.name not in OWN_ETC]


def keygen(path: Path) -> list[str]:
    return [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]


def names(seat: Seat) -> list[str]:
    return [seat.name, *(address for address in (seat.v4, seat.v6) if address)]


def known_host(seat: Seat) -> str:
    key = (seat.directory / "ssh_host_ed25519_key.pub").read_text(encoding="ascii").strip()
    more = [address.partition("/")[0] for address in seat.spec.addresses]
    return f"{','.join(names(seat) + more)} {key}\n"


def ssh_config(ssh: Path) -> str:
    return f"""Host *
  User root
  IdentityFile "{ssh / "id_ed25519"}"
  IdentitiesOnly yes
  BatchMode yes
  ConnectTimeout 10
  UserKnownHostsFile "{ssh / "known_hosts"}"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  LogLevel ERROR
  ControlPath {CONTROL_DIR}/%C
"""


def sshd_config(seat: Seat) -> str:
    spec = seat.spec
    lines = [
        *spec.sshd_config,
        *([f"MaxStartups {spec.max_startups}"] if spec.max_startups else []),
        *([f"MaxSessions {spec.max_sessions}"] if spec.max_sessions else []),
        f"Port {SSH_PORT}",
        f"AddressFamily {'any' if spec.v4 and spec.v6 else 'inet' if spec.v4 else 'inet6'}",
        "HostKey /etc/ssh/ssh_host_ed25519_key",
        "PermitRootLogin prohibit-password",
        "PubkeyAuthentication yes",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "KexAlgorithms curve25519-sha256",  # with what ssh would choose a login costs three times as much
        "UsePAM no",
        "UseDNS no",
        "PrintMotd no",
        "PrintLastLog no",
        f"SetEnv PATH={SANE_PATH}",
        "Subsystem sftp internal-sftp",
    ]
    return "\n".join(lines) + "\n"


def put(path: Path, text: str, mode: int = 0o644) -> None:
    """A new file, whatever was there before."""
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as out:
        os.fchmod(out.fileno(), mode)
        out.write(text)


def accounts(etc: Path) -> None:
    add = {"passwd": [], "group": [], "shadow": [], "gshadow": []}  # type: dict[str, list[str]]
    for name, number in USERS.items():
        add["passwd"].append(f"{name}:x:{number}:{number}::/home/{name}:/bin/bash")
        add["group"].append(f"{name}:x:{number}:")
        add["shadow"].append(f"{name}:*:19000:0:99999:7:::")
        add["gshadow"].append(f"{name}:!::")
    for name, lines in add.items():
        path = etc / name
        if not path.exists():
            continue
        old = [line for line in path.read_text(encoding="utf-8").splitlines() if line.split(":")[0] not in USERS]
        if name == "shadow":
            old = [f"root:{ROOT_HASH}:19000:0:99999:7:::" if line.startswith("root:") else line for line in old]
        path.write_text("\n".join(old + lines) + "\n", encoding="utf-8")
    (etc / "sudoers.d").mkdir(mode=0o755, exist_ok=True)
    put(etc / "sudoers.d" / "backup1", "backup1 ALL=(ALL) NOPASSWD: ALL\n", 0o440)


def configure(seat: Seat, seats: list[Seat], known_hosts: str) -> None:
    etc = seat.directory / "etc"
    lines = ["127.0.0.1 localhost"] + (["::1 localhost ip6-localhost ip6-loopback"] if seat.spec.v6 else [])
    lines += [f"{address} {each.name}" for each in seats for address in names(each)[1:]]
    put(etc / "hosts", "\n".join(lines) + "\n")
    put(etc / "hostname", seat.name + "\n")
    put(etc / "motd", "")
    put(etc / "resolv.conf", "")
    shutil.rmtree(etc / "ssh", ignore_errors=True)
    (etc / "ssh").mkdir()
    put(etc / "ssh" / "sshd_config", sshd_config(seat))
    put(etc / "ssh" / "ssh_known_hosts", known_hosts)
    for name, mode in (("ssh_host_ed25519_key", 0o600), ("ssh_host_ed25519_key.pub", 0o644)):
        put(etc / "ssh" / name, (seat.directory / name).read_text(encoding="ascii"), mode)


def homes(directory: Path, public: str) -> None:
    (directory / "tmp").chmod(0o1777)
    (directory / "var-tmp").chmod(0o1777)
    (directory / "home").chmod(0o755)
    for name, number in {"root": 0, **USERS}.items():
        home = directory / "root" if name == "root" else directory / "home" / name
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        put(home / ".ssh" / "authorized_keys", public, 0o600)
        put(home / ".bashrc", "")
        home.chmod(0o700)
        for path in (home, *home.rglob("*")):
            os.chown(path, number, number)
