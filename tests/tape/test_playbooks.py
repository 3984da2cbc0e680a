# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The role's playbooks over ssh, from two hosts to a real drive of a third, and back."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from tests.system import playbook

from .conftest import Site
from .tapehost import BLOCK

CATALOG = Path("/var/lib/socketpipe/tape/tapes/WEEK01.json")


class Role:
    """The playbooks, by name; `variables` of hosts and groups as in an inventory."""

    def __init__(self, site: Site, top: Path) -> None:
        self.site = site
        self.top = top
        device = {"serial": site.tape1.library.drives[0].serial}
        self.variables: dict[str, dict[str, t.Any]] = {
            "all": {"tape_state_dir": str(top / "state" / "{{ inventory_hostname }}"), "tape_wait": 0},
            "tape1": {"tape_devices": [device], "tape_catalog_dir": "/var/lib/socketpipe/tape"},
        }
        for host in ("h1", "h2"):
            self.data(host).mkdir(parents=True)
            (self.data(host) / "one").write_text(f"{host} one")
            (self.data(host) / "noise").write_bytes(bytes(range(256)) * 4096)
            self.variables[host] = {"tape_paths": [str(self.data(host))]}

    def data(self, host: str) -> Path:
        return self.top / "data" / host

    def run(self, name: str, rc: int = 0, **extra: t.Any) -> playbook.Done:
        plays = [{"name": name, "ansible.builtin.import_playbook": f"plumbing.socketpipe.{name}"}]
        words = ["-e", json.dumps({"tape_hosts": "h1,h2,tape1", **extra})]
        done = playbook.start(self.site.fleet, plays=plays, inventory=self.variables, args=words).wait()
        assert done.rc == rc, done.output
        return done

    def archives(self) -> list[tuple[int, str, int, str]]:
        """Of the tape, as the catalog has them: file, host, level, state."""
        tape = json.loads(self.site.tape1.run(["cat", CATALOG]).stdout)
        own = [each for each in tape["archives"] if each["kind"] == "archive"]
        return [(each["file"], each["host"], each["level"], each["state"]) for each in own]


def test_from_the_first_label_to_the_restore(site: Site) -> None:
    role = Role(site, site.fleet.directory / "playbooks")
    tape = site.tape1.library.tape("WK0001L6", drive=0)
    role.run("tape_label", tape_label="WEEK01", tape_barcode="WK0001L6")
    role.run("backup")
    assert sorted(each[1:] for each in role.archives()) == [("h1", 0, "good"), ("h2", 0, "good")]
    sizes = [[len(record) for record in file] for file in tape.files()]
    assert sizes[0] == [8192]
    assert all(size == BLOCK for file in sizes[1:3] for size in file)

    (role.data("h1") / "two").write_text("h1 two")
    (role.data("h1") / "one").unlink()
    role.variables["h1"]["tape_level"] = 1
    role.variables["h2"]["tape_paths"] = ["/no/such/place"]
    done = role.run("backup", rc=2)
    assert "/no/such/place" in done.output
    # one host failed, the other did not, and what the tape has of the one that failed is marked
    assert (4, "h1", 1, "good") in role.archives() or (5, "h1", 1, "good") in role.archives()
    assert all(state == "failed" for _file, host, level, state in role.archives()[2:] if host == "h2")

    role.run("verify", tape_of_tape="WEEK01")
    found = role.run("tape_find", path=str(role.data("h1") / "two")).output
    assert "WEEK01:" in found
    back = role.top / "back"
    role.run("restore", restore_host="h1", restore_target="h2", restore_to=str(back))
    restored = back / role.data("h1").relative_to("/")
    assert sorted(path.name for path in restored.iterdir()) == ["noise", "two"]
    assert (restored / "noise").read_bytes() == bytes(range(256)) * 4096
    role.run("tape_inventory")
