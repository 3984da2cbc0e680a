# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The role kernel_tls on a kernel of its own, for real: the module is loaded, works, and is unloaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.tape.guest import Guest
from tests.unit.conftest import collection_tree

from .machine import ROOT, TLS
from .test_bare import TRIAL, trial

MODPROBE = "/usr/local/sbin/modprobe"
PATIENCE = 1800.0  # seconds: each task of Ansible takes some there, and many on a busy machine
BOOT = "/etc/modules-load.d/socketpipe-tls.conf"
CIPHERS = [name for name in TLS if name not in ("tls", "veth")]
LOOK = f"""set -e
tail -n 1 {BOOT}
test -d /sys/module/tls
{MODPROBE} -a {" ".join(CIPHERS)}
{sys.executable} -ISc '{TRIAL}' {ROOT}/plugins
"""


def play(folder: Path) -> str:
    """The role in both states, and a look in between."""
    role = "plumbing.socketpipe.kernel_tls"
    tasks = [
        {"ansible.builtin.import_role": {"name": role}},
        {"ansible.builtin.raw": f"sh {folder}/look >{folder}/loaded"},
        {"ansible.builtin.import_role": {"name": role}, "vars": {"kernel_tls_state": "absent"}},
    ]
    return json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}])


def test_it_loads_the_module_and_unloads_it(bare: Guest) -> None:
    assert trial(bare)[0] == 0
    bare.run(["rm", "-f", "/.dockerenv"])  # the machine may be a container, but the guest has a kernel of its own
    program = (ROOT / "tests" / "tls" / "modprobe.py").read_text(encoding="utf-8")
    bare.run(["sh", "-c", f"cat >{MODPROBE} && chmod 755 {MODPROBE}"], input=f"#!/usr/bin/python3\n{program}")
    (bare.scratch / "play.yml").write_text(play(bare.scratch), encoding="utf-8")
    (bare.scratch / "look").write_text(LOOK, encoding="utf-8")
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", "play.yml"]
    env = {"ANSIBLE_COLLECTIONS_PATH": str(collection_tree()), "ANSIBLE_PYTHON_INTERPRETER": sys.executable}
    env |= {"ANSIBLE_PIPELINING": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = bare.run(argv, env=env, cwd=bare.scratch, check=False, timeout=PATIENCE)
    assert done.returncode == 0 and "failed=0" in done.stdout, done.stdout + done.stderr
    word, tried = (bare.scratch / "loaded").read_text(encoding="utf-8").splitlines()
    assert word == "tls" and json.loads(tried) == [3, None]
    bare.run(["sh", "-c", f"! test -e /sys/module/tls && ! test -e {BOOT}"])
