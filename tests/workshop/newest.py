# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The oldest and the newest ansible-core that run here, over real ssh; the default one runs all tests already.

python -m tests.workshop.newest [pytest's arguments]
"""

from __future__ import annotations

import os
import subprocess
import sys

from . import cores

TESTS = ["tests/system/test_pipe.py"]
DEFAULT = "2.19"  # what requirements/test.txt gives on the Python that most machines have


def main(arguments: list[str]) -> int:
    here = cores.here()
    for core in (*cores.CORES,):
        if core not in here:
            print(f"ansible-core {core} is skipped: {cores.why_not(core)}", flush=True)
    for core in dict.fromkeys((here[0], here[-1])) if here else ():
        if core == DEFAULT:
            continue
        playbook = cores.venv(core) / "bin" / "ansible-playbook"
        print(f"ansible-core {core}:", flush=True)
        environment = {**os.environ, "SOCKETPIPE_TEST_ANSIBLE": str(playbook)}
        command = [sys.executable, "-m", "pytest", "-q", *arguments, *TESTS]
        if subprocess.run(command, env=environment, check=False).returncode != 0:
            return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
