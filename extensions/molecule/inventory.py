#!/usr/bin/env python
# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible's inventory of the hosts that create.yml has made; empty while there are none."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = Path(os.environ.get("SOCKETPIPE_MOLECULE") or ROOT / ".build" / "molecule")
SOURCE = WORK / "fleet" / "inventory" / "hosts1.yml"  # JSON, as tests/hosts writes it
# db1 is another user's, so that owners tell who has written what; no connection outlives its command
OWN = {"db1": {"ansible_user": "backup1"}}
COMMON = {"ansible_ssh_args": "-o ControlMaster=no"}


def inventory() -> dict[str, Any]:
    """All values plain, none a template: testinfra reads them too."""
    if not SOURCE.exists():
        return {"_meta": {"hostvars": {}}, "fleet": {"hosts": []}}
    content = json.loads(SOURCE.read_text(encoding="utf-8"))["all"]
    hosts = content["children"]["fleet"]["hosts"]
    common = {key: value for key, value in content["vars"].items() if key != "ansible_control_path_dir"}
    variables = {name: {**common, **COMMON, **own, **OWN.get(name, {})} for name, own in hosts.items()}
    return {"_meta": {"hostvars": variables}, "fleet": {"hosts": sorted(hosts)}}


if __name__ == "__main__":
    answer = inventory()
    if "--host" in sys.argv[1:]:
        answer = answer["_meta"]["hostvars"].get(sys.argv[-1], {})
    sys.stdout.write(json.dumps(answer, indent=1) + "\n")
