# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests need of the system: installed before they run, or named at their end.

python -m tests.workshop.packages            # as root on Debian: installs what is missing; elsewhere says how
python -m tests.workshop.packages --missing  # names what could not be tested; exit status 1 unless ALLOW_SKIPS=1
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests import hosts
from tests.hosts.layout import SANE_PATH
from tests.tape import needs as tape

# the program that shows that a package of Debian is there
PACKAGES = {
    "acl": "setfacl",
    "btrfs-progs": "btrfs",
    "bzip2": "bzip2",
    "e2fsprogs": "mkfs.ext4",
    "git": "git",
    "groff-base": "groff",
    "iproute2": "ip",
    "iputils-ping": "ping",
    "man-db": "man",
    "mandoc": "mandoc",
    "mbuffer": "mbuffer",
    "mt-st": "mt-st",
    "mtx": "mtx",
    "nftables": "nft",
    "openssh-client": "ssh",
    "openssh-server": "sshd",
    "openssl": "openssl",
    "postgresql": "pg_createcluster",
    "procps": "ps",
    "python3": "python3",
    "qemu-utils": "qemu-img",
    "sg3-utils": "sg_logs",
    "stenc": "stenc",
    "sudo": "sudo",
    "user-mode-linux": "linux",
    "zstd": "zstd",
}
POLICY = Path("/usr/sbin/policy-rc.d")  # whether a package may start its service
APT = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]


def missing() -> list[str]:
    """The packages that are not on this machine."""
    found = [package for package, program in PACKAGES.items() if not shutil.which(program, path=SANE_PATH)]
    if os.uname().machine != "x86_64":
        found = [package for package in found if package != "user-mode-linux"]  # Debian has it for nothing else
    if not importlib.util.find_spec("ensurepip"):
        found.append("python3-venv")  # Debian's Python without it makes no virtual environments
    return found


def install(packages: list[str]) -> None:
    """On Debian, as root; elsewhere one line to type. What fails here is named at the end of the tests."""
    command = [*APT, "install", "--no-install-recommends", *packages]
    if not shutil.which(APT[0], path=SANE_PATH):
        programs = ", ".join(PACKAGES.get(package, "venv of Python") for package in packages)
        print(f"not everything can be tested without these programs: {programs}", flush=True)
    elif os.geteuid() != 0:
        print(f"not everything can be tested yet. As root: apt-get install {' '.join(packages)}", flush=True)
    else:
        print(f"installing Debian packages that the tests need: {' '.join(packages)}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        with no_services():
            for words in ([*APT, "update"], command):
                subprocess.run(words, env=environment, stdin=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def no_services() -> Iterator[None]:
    """Packages with a service (openssh-server, postgresql) do not start it; a policy that is there already counts."""
    try:
        descriptor = os.open(POLICY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
    except FileExistsError:
        yield
        return
    try:
        with open(descriptor, "w", encoding="ascii") as out:
            out.write("#!/bin/sh\n# here only while make test installs packages\nexit 101\n")
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink()


def not_tested() -> list[str]:
    """Targets of make that could not run, or not in full, and why."""
    found = []
    for targets, reason in (
        ("system, recipes, molecule, hit", hosts.requirements()),
        ("tape, tls", tape.requirements()),
    ):
        if reason:
            found.append(f"{targets} ({reason})")
    absent = missing()
    if absent and not found:
        found.append(f"parts of unit, system and recipes (these packages are missing: {', '.join(absent)})")
    return found


def main() -> int:
    if sys.argv[1:] == ["--missing"]:
        found = not_tested()
        if found:
            print(f"NOT TESTED: {'; '.join(found)}", flush=True)
        return int(bool(found) and os.environ.get("ALLOW_SKIPS") != "1")
    absent = missing()
    if absent:
        install(absent)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
