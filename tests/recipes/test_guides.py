# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plays of the guides Encryption, Firewalls, What ok guarantees and Reports, and the tasks that they show."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tests.hosts import Fleet
from tests.system import playbook
from tests.system.traces import leaves_nothing
from tests.workshop import guides

from .site import Site

NAMES = {"db1": "h1", "tapehost": "h2", "image1": "h2"}
MODULES = ("plumbing.socketpipe.pipe", "plumbing.socketpipe.transfer", "plumbing.socketpipe.report")
PREPARE = """
mount -t tmpfs none /srv && mkdir /srv/backup /srv/www
seq 99999 >/srv/www/numbers && touch --date=@1 /srv/www/numbers && cp /srv/www/numbers /srv/gold.qcow2
"""
TAPE = "/srv/tape"  # a file in place of the tape
LONG = 300  # seconds for all of them, on a busy machine
FAILS = "Check whether the kernels can encrypt"  # where they cannot


def plays(guide: str) -> list[dict[str, Any]]:
    """Its plays with our modules, and its tasks, a play for each block of them."""
    found: list[dict[str, Any]] = []
    for block in guides.blocks(guides.read(guide), "yaml", "yaml+jinja"):
        data = yaml.safe_load(block.text.replace("/dev/nst0", TAPE))
        if not isinstance(data, list) or not any(name in block.text for name in MODULES) or "tape_info" in block.text:
            continue
        found += data if "hosts" in data[0] else [{"hosts": "db1", "tasks": data}]
    return [{**play, "gather_facts": False} for play in found]


@pytest.fixture(scope="module")
def site(fleet: Fleet) -> Site:
    made = Site(fleet, NAMES)
    made.group("fleet", ["db1"])
    for host in (fleet.controller, *fleet):
        host.run(["bash", "-ec", PREPARE])
    made.sh("db1", f"tar cf {TAPE} -C / srv/www/numbers && rm /srv/gold.qcow2 /srv/www/numbers")
    return made


def test_the_plays(site: Site) -> None:
    every = [play for guide in ("encryption", "firewalls", "what_ok_is_worth", "reports") for play in plays(guide)]
    assert len(every) == 8
    with leaves_nothing(site.fleet):
        done = playbook.start(site.fleet, plays=every, inventory=site.inventory).wait(LONG)
        assert done.rc == 0, done.output
        # relative to the playbook
        report = playbook.directory(site.fleet) / "report.html"
        assert "db1" in report.read_text(encoding="utf-8")
        report.unlink()
    assert {each.task for each in done.outcomes if each.status == "failed"} <= {FAILS}
    assert [each.result for each in done.outcomes if each.status in ("unreachable", "skipped")] == []
    for name in ("home.tar", "db1.tar"):
        assert site.sh("tapehost", f"tar tf /srv/backup/{name} | sed -n 1p") == "home/"
    assert site.sh("db1", "cat /srv/gold.qcow2 /srv/www/numbers") == "\n".join(map(str, [*range(1, 100000)] * 2))
    [link] = done.of("Back up over a network that others use, too").result["links"]
    assert link["encryption"] and done.of("Show what is missing").result["msg"]
