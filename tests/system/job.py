# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job as AWX runs it: job.py PRIVATE_DATA_DIR PLAYBOOK. It is cancelled when the file "cancel" appears there."""

from __future__ import annotations

import sys
from pathlib import Path

import ansible_runner  # in the environment of requirements/runner.txt


def main() -> int:
    folder, playbook = sys.argv[1:]
    result = ansible_runner.run(
        private_data_dir=folder, playbook=playbook, ident="1", cancel_callback=(Path(folder) / "cancel").exists
    )
    Path(folder, "status").write_text(str(result.status), encoding="ascii")
    return int(result.rc or 0)


if __name__ == "__main__":
    raise SystemExit(main())
