# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""make demo: three small hosts on a virtual tape, a lost file found and restored, then the manual's three examples.

Needs nothing but this machine: the hosts and the tape host are this machine too,
through Ansible's local connection, and no root.  The tape is a directory.  What
came back is compared with what was there.  A link to the report of the backup is
at the end.
"""

from __future__ import annotations

import filecmp
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.executable).parent
REPORTS = Path.cwd() / ".build" / "demo"  # of the backup, for people; they stay
FLEET = ("db1", "web1", "web2")
QUIET = {"ANSIBLE_NOCOWS": "1", "ANSIBLE_DEPRECATION_WARNINGS": "false", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false"}


def make_tree(root: Path) -> None:
    """A few files of different kinds and sizes."""
    noise = random.Random(1)
    (root / "etc").mkdir(parents=True)
    (root / "srv" / "data").mkdir(parents=True)
    (root / "etc" / "motd").write_text("Zero bytes pass through our code.\n", encoding="utf-8")
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


def play(name: str, inventory: Path, variables: dict[str, object]) -> None:
    """Run one of the collection's playbooks, shown as it runs."""
    command = [str(BIN / "ansible-playbook"), "-i", str(inventory), f"plumbing.socketpipe.{name}"]
    command += ["-e", json.dumps(variables)] if variables else []
    print(f"\n$ ansible-playbook {shlex.join(command[1:])}", flush=True)
    environment = {**os.environ, **QUIET}
    subprocess.run(command, check=True, env=environment)


def hosts(root: Path) -> dict[str, object]:
    """The inventory: what a real one has, too, but for the connection and the directories."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    fleet = {name: {"tape_paths": [str(root / name)]} for name in FLEET}
    report = {"tape_report_dir": str(REPORTS), "tape_max_age": "2d"}
    tape = {"tape_devices": [str(root / "tape")], "tape_catalog_dir": str(root / "catalog"), "tape_capacity": "1G"}
    return {
        "all": {
            "vars": {**local, **report, "tape_state_dir": str(root / "state" / "{{ inventory_hostname }}")},
            "children": {"fleet": {"hosts": fleet}},
            "hosts": {"tape1": tape},
        }
    }


def tapes(root: Path, inventory: Path) -> str:
    """A backup of the fleet, and a lost file back.  Returns what is wrong, if anything is."""
    lost = root / "db1" / "srv" / "data" / "2.bin"
    content = lost.read_bytes()
    play("tape_label", inventory, {"tape_label": "WEEK01"})
    play("backup", inventory, {"tape_hosts": "fleet"})
    play("verify", inventory, {})
    print(f"\n$ rm {lost}", flush=True)
    lost.unlink()
    play("tape_find", inventory, {"path": str(lost)})
    restored = root / "restored"
    play("restore", inventory, {"restore_host": "db1", "restore_paths": [str(lost)], "restore_to": str(restored)})
    back = restored / lost.relative_to("/")
    if not back.exists() or back.read_bytes() != content:
        return f"{back} differs from the lost file"
    whole = root / "restored-whole"
    play("restore", inventory, {"restore_host": "web1", "restore_to": str(whole)})
    if not same(root / "web1", whole / (root / "web1").relative_to("/")):
        return "the restored tree of web1 differs from the source"
    return ""


def examples(root: Path, inventory: Path) -> str:
    """The manual's three examples, with a plain file as the tape.  Returns what is wrong, if anything is."""
    target = root / "restored-examples"
    target.mkdir()
    compress = "bzip2 -c" if shutil.which("bzip2") else "gzip -c"
    variables: dict[str, object] = {"socketpipe_hosts": "tape1", "socketpipe_source": str(root / "web1")}
    variables.update(socketpipe_archive=str(root / "file"), socketpipe_target=str(target), socketpipe_compress=compress)
    play("examples", inventory, variables)
    return "" if same(root / "web1", target) else "the tree that the examples restored differs from the source"


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="socketpipe-demo-") as folder:
        root = Path(folder).resolve()
        print(f"\nThree hosts, a tape host and its tape, all below {root}, which is removed at the end.")
        for name in FLEET:
            make_tree(root / name)
        (root / "tape").mkdir()
        inventory = root / "inventory.yml"
        inventory.write_text(json.dumps(hosts(root)), encoding="utf-8")
        problem = tapes(root, inventory) or examples(root, inventory)
        if problem:
            print(problem, file=sys.stderr)
            return 1
        print("\nThe lost file is back, and the restored trees are the same as the source, file by file.")
        print(f"The report of the backup, for a browser: {(REPORTS / 'latest.html').as_uri()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
