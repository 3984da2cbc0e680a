# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""molecule in a network of its own, so that nothing of this machine's has to change; and after a crash of it.

    python -m tests.workshop.molecule VENV [test|converge|verify|destroy …]

Without a word it is killed once in the middle, `destroy` has to clean up, then `test` runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.hosts import requirements

from .programs import search_path
from .venvs import BUILD, ROOT

STATE = BUILD / "molecule" / "fleet" / "fleet.json"
IN_A_NETWORK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def start(venv: Path, words: list[str], quiet: bool = False) -> subprocess.Popen[bytes]:
    output = subprocess.DEVNULL if quiet else None
    return subprocess.Popen(
        [*IN_A_NETWORK, "molecule", *words],
        cwd=ROOT,
        env={**os.environ, "PATH": search_path(venv)},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def fleets() -> str:
    """What tests/hosts knows of the scenario's hosts; "" when they are gone."""
    listed = subprocess.run(
        [sys.executable, "-m", "tests.hosts", "list"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return "\n".join(line for line in listed.splitlines() if str(STATE.parent) in line)


def crash(venv: Path) -> str:
    """Killed while it prepares the hosts, it leaves them; `destroy` takes them down. Returns what is wrong."""
    process = start(venv, ["converge"], quiet=True)
    deadline = time.monotonic() + 60
    while not (STATE.exists() and STATE.with_name("inventory").exists()):
        if process.poll() is not None or time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            return "molecule converge has not made the hosts"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if not fleets():
        return "a molecule that was killed has left nothing to clean up: this test tests nothing"
    rc = start(venv, ["destroy"], quiet=True).wait()
    left = fleets()
    if rc or left or STATE.parent.exists():
        return f"after a crash molecule destroy has ended with {rc} and left {left or STATE.parent}"
    return ""


def main() -> int:
    venv, *words = sys.argv[1:]
    reason = requirements()
    if reason:
        print(f"molecule: skipped: {reason}")
        return 0
    path = Path(venv).resolve()
    if words:
        return start(path, words).wait()
    problem = crash(path)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    print("molecule destroy has cleaned up after a molecule that was killed")
    return start(path, ["test", "--all"]).wait()


if __name__ == "__main__":
    raise SystemExit(main())
