# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A gate of make, gone through once for each state of the files: python -m tests.workshop.once GATE COMMAND WORD…

It is green when the command has ended well, until a file changes that the gate reads; .build/green/GATE says of which
state. What was changed while it ran counts as changed after it. What a gate depends on beside the files (the newest
ansible-core that can be had, another Python on this machine) is not seen: rm .build/green/GATE for once more.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

from tests.hosts import requirements

from . import tree
from .venvs import BUILD, ROOT

GREEN = BUILD / "green"


def of(*names: str) -> list[str]:
    return [f"tests/{name}/*" for name in names]


# What a gate does not read; one that is not named here reads everything. A * is any number of folders. The Makefile
# counts by the command alone.
ASIDE = ["CHANGELOG.md", "CONTRIBUTING.md", "changelogs/*", "LICENSES/*", "REUSE.toml", ".ci/*", ".gitignore"]
ASIDE += ["Makefile", ".yamllint", "execution-environment.yml", *of("bench", "demo")]
TESTS = [f"tests/{name}/test_*" for name in ("hosts", "system", "unit")]  # but not what stands beside them
MANUAL = ["README.md", "docs/*"]  # which the unit tests read
NOT_READ = {
    "units": [*ASIDE, *of("faults", "hosts", "system", "tape")],
    "integration": [*ASIDE, *MANUAL, *of("faults", "system", "tape", "unit")],
    "molecule": [*ASIDE, *MANUAL, *of("faults", "integration", "system", "tape", "unit")],
    "edges": [*ASIDE, *MANUAL, *of("faults", "integration", "tape", "unit")],
    "tape": [*ASIDE, *MANUAL, *of("faults", "integration"), *TESTS],
    "hit": [*ASIDE, *MANUAL, *of("integration", "tape"), *TESTS],
}


def counts(gate: str, name: str) -> bool:
    """Whether the outcome of this gate may depend on this file."""
    return not any(fnmatch.fnmatchcase(name, pattern) for pattern in NOT_READ.get(gate, ()))


def state(gate: str, command: Sequence[str]) -> str:
    """A digest of all that the outcome depends on: the files, the command, and what it may do here."""
    digest = hashlib.sha256()
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith("SOCKETPIPE_")]
    for text in (*command, str(requirements()), *settings):
        digest.update(f"{text}\0".encode())
    for name in tree.sources():
        if counts(gate, name):
            path = ROOT / name
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            digest.update(f"{name}\0{path.lstat().st_mode:o}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def main() -> int:
    gate, *command = sys.argv[1:]
    stamp = GREEN / gate
    now = state(gate, command)
    if stamp.exists() and stamp.read_text(encoding="ascii") == now:
        print(f"{gate}: green before, and nothing that it reads has changed (rm .build/green/{gate} for once more)")
        return 0
    print(shlex.join(command), flush=True)
    rc = subprocess.run(command, cwd=ROOT, check=False).returncode
    if rc == 0:
        GREEN.mkdir(parents=True, exist_ok=True)
        written = stamp.with_suffix(".new")
        written.write_text(now, encoding="ascii")
        written.replace(stamp)
    return rc if 0 <= rc < 128 else 1


if __name__ == "__main__":
    raise SystemExit(main())
