# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""make demo: a backup, a restore and the manual's three examples, with a plain file as the tape.

Needs nothing but this machine: the "host" is this machine too, through Ansible's
local connection, and no root.  What came back is compared with what was there.
"""

from __future__ import annotations

import filecmp
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.executable).parent


def make_tree(root: Path) -> None:
    """A few files of different kinds and sizes."""
    noise = random.Random(1)
    (root / "etc").mkdir(parents=True)
    (root / "srv" / "data").mkdir(parents=True)
    (root / "etc" / "motd").write_text("Nothing of ours is in the data path.\n", encoding="utf-8")
    (root / "etc" / "empty").touch()
    (root / "srv" / "a name with spaces, ünïcödé").write_text("x\n", encoding="utf-8")
    (root / "srv" / "link").symlink_to("../etc/motd")
    for number in range(4):
        (root / "srv" / "data" / f"{number}.bin").write_bytes(noise.randbytes(5_000_000))


def same(left: Path, right: Path) -> bool:
    """Whether two trees have the same names and contents."""
    names = sorted(path.relative_to(left) for path in left.rglob("*"))
    if names != sorted(path.relative_to(right) for path in right.rglob("*")):
        return False
    files = [str(name) for name in names if (left / name).is_file()]
    return filecmp.cmpfiles(left, right, files, shallow=False)[0] == files


def play(name: str, inventory: Path, variables: dict[str, str]) -> None:
    """Run one of the collection's playbooks, shown as it runs."""
    command = [str(BIN / "ansible-playbook"), "-i", str(inventory), f"plumbing.socketpipe.{name}"]
    command += ["-e", json.dumps(variables)]
    print(f"\n$ ansible-playbook plumbing.socketpipe.{name}", flush=True)
    environment = {**os.environ, "ANSIBLE_NOCOWS": "1", "ANSIBLE_DEPRECATION_WARNINGS": "false"}
    subprocess.run(command, check=True, env=environment)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="socketpipe-demo-") as folder:
        root = Path(folder)
        source, tape = root / "source", root / "tape"
        make_tree(source)
        inventory = root / "inventory.yml"
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        inventory.write_text(json.dumps({"all": {"hosts": {"tapehost": host}}}), encoding="utf-8")
        common = {"socketpipe_source": str(source), "socketpipe_archive": str(tape)}
        back = {name: root / name for name in ("restored", "restored-examples")}
        for target in back.values():
            target.mkdir()
        play("backup", inventory, common)
        play("restore", inventory, {**common, "socketpipe_target": str(back["restored"])})
        compress = "bzip2 -c" if shutil.which("bzip2") else "gzip -c"
        examples = {"socketpipe_target": str(back["restored-examples"]), "socketpipe_compress": compress}
        play("examples", inventory, {**common, **examples})
        for name, target in back.items():
            if not same(source, target):
                print(f"{name}: what came back is not what was there", file=sys.stderr)
                return 1
        print("\nBoth restored trees are the same as the source, file by file.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
