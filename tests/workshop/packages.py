# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests need of the system: installed before they run, or named at their end.

python -m tests.workshop.packages            # as root on Debian: installs what is missing; elsewhere says how
python -m tests.workshop.packages --missing  # names what could not be tested; exit status 1 unless ALLOW_SKIPS=1
python -m tests.workshop.packages --venv     # the same, for virtual environments alone; exit status 1 without it
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
    "age": "age",
    "btrfs-progs": "btrfs",
    "bzip2": "bzip2",
    "chromium": "chromium",
    "curl": "curl",
    "e2fsprogs": "mkfs.ext4",
    "git": "git",
    "groff-base": "groff",
    "iproute2": "ip",
    "iputils-ping": "ping",
    "lintian": "lintian",
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
VENV = "python3-venv"  # Debian's Python without it makes no virtual environments
POLICY = Path("/usr/sbin/policy-rc.d")  # whether a package may start its service
APT = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]


def missing() -> list[str]:
    """The packages that are not on this machine."""
    found = [package for package, program in PACKAGES.items() if not shutil.which(program, path=SANE_PATH)]
    if os.uname().machine != "x86_64":
        found = [package for package in found if package != "user-mode-linux"]  # Debian has it for nothing else
    if not makes_venvs():
        found.append(VENV)
    return found


def makes_venvs() -> bool:
    """Whether this Python can make virtual environments."""
    importlib.invalidate_caches()  # the package may have been installed since the last look
    return importlib.util.find_spec("ensurepip") is not None


def venv() -> bool:
    """What every target needs that makes a virtual environment, `make demo` too: whether it is there in the end."""
    if not makes_venvs():
        install([VENV], "a virtual environment cannot be made", "make needs")
    return makes_venvs()


def install(packages: list[str], without: str = "not everything can be tested", who: str = "the tests need") -> None:
    """On Debian, as root; elsewhere one line to type. What fails here is named at the end of the tests."""
    command = [*APT, "install", "--no-install-recommends", *packages]
    if not shutil.which(APT[0], path=SANE_PATH):
        programs = ", ".join(PACKAGES.get(package, "venv of Python") for package in packages)
        print(f"{without} without these programs: {programs}", flush=True)
    elif os.geteuid() != 0:
        print(f"{without} yet. As root: apt-get install {' '.join(packages)}", flush=True)
    else:
        print(f"installing Debian packages that {who}: {' '.join(packages)}", flush=True)
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
    if absent:
        parts = "unit" if found else "unit, system and recipes"
        found.append(f"parts of {parts} (these packages are missing: {', '.join(absent)})")
    return found


def main() -> int:
    if sys.argv[1:] == ["--missing"]:
        found = not_tested()
        if found:
            print(f"NOT TESTED: {'; '.join(found)}", flush=True)
        return int(bool(found) and os.environ.get("ALLOW_SKIPS") != "1")
    if sys.argv[1:] == ["--venv"]:
        return int(not venv())
    absent = missing()
    if absent:
        install(absent)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
