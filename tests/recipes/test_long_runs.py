# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plays of the guide Long runs, and that a run survives as it says there."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.hosts import Fleet
from tests.system import playbook
from tests.system.anatomy import processes, send
from tests.system.traces import leaves_nothing
from tests.workshop import guides

from .page import recipe
from .site import Site, slowly, wait_until

NAMES = {"db1": "h1", "backup1": "h2"}
MORE = {"image1": "h1", "kvm1": "h2"}  # the same hosts
FOLDER = "/srv/jobs"
[WAIT] = recipe("Wait for the result", "long_runs").plays
START, ASK = recipe("Start now, ask later", "long_runs").plays
[COPY] = recipe("One file for many hosts", "long_runs").plays
[STOP] = recipe("Stop a run", "long_runs").plays
[SHOWN] = guides.blocks(guides.read("long_runs"), "json")


@pytest.fixture(scope="module")
def made(fleet: Fleet) -> Site:
    site = Site(fleet, {**NAMES, **MORE})
    site.group("hypervisors", ["kvm1"])
    for name in NAMES:
        site.sh(name, "mount -t tmpfs none /srv && mkdir /srv/shop && head -c 4M /dev/urandom >/srv/shop/goods")
    return site


@pytest.fixture
def site(made: Site) -> Iterator[Site]:
    """Nothing that a test starts is left."""
    with leaves_nothing(made.fleet):
        yield made
        assert made.sh("db1", f"ls {FOLDER}") == ""


def soon(play: Mapping[str, Any], job: str = "") -> dict[str, Any]:
    """The same play, with short pauses, and its jobs in another directory."""
    found = {**copy.deepcopy(dict(play)), "vars": {"ansible_async_dir": FOLDER, "job": job}}
    for task in found["tasks"]:
        task.update({key: value for key, value in {"poll": 1, "delay": 0.5}.items() if task.get(key)})
    return found


def job_of(site: Site) -> str:
    """The only job there."""
    wait_until(lambda: site.sh("db1", f"ls {FOLDER} 2>/dev/null || true"), "the file of a job")
    return site.sh("db1", f"ls {FOLDER}").splitlines()[0].partition(".")[0]


def is_whole(site: Site) -> bool:
    site.sh("backup1", "rm -rf /srv/restored && mkdir /srv/restored && tar xf /srv/shop.tar -C /srv/restored")
    copied = site.sh("backup1", "sha256sum </srv/restored/shop/goods")
    return copied == site.sh("db1", "sha256sum </srv/shop/goods")


def test_wait_for_the_result(site: Site) -> None:
    result = site.run(soon(WAIT)).result
    assert result["finished"] and result["msg"] == "ok" and is_whole(site)


def test_one_file_for_many_hosts(site: Site) -> None:
    for name in MORE:
        site.sh(name, "mkdir /srv/images")
    site.sh("image1", "head -c 4M /dev/urandom >/srv/images/gold.qcow2")
    result = site.run(soon(COPY)).result
    assert (result["finished"], result["msg"], list(result["hosts"])) == (True, "ok", ["kvm1"])
    sums = [site.sh(name, "sha256sum </srv/images/gold.qcow2") for name in MORE]
    assert sums[0] == sums[1]


def test_start_now_and_ask_later(site: Site) -> None:
    started = site.run(soon(START)).of("Back up the shop").result
    result = site.run(soon(ASK, started["ansible_job_id"])).of("Wait until it is finished").result
    assert result["msg"] == "ok" and is_whole(site)


def test_a_killed_playbook_and_another_one(site: Site) -> None:
    """The run is slow, so that it is in the middle; then another playbook stops it, and gets the result."""
    started = site.start(soon(slowly(WAIT)))
    job = job_of(site)
    # its workers would go on, and fetch the result
    for each in processes(site.fleet.controller):
        if str(started.play) in each.argv:
            send(each)
    started.wait()
    for left in (playbook.ansible_home(site.fleet) / "tmp").glob("ansible-local-*"):
        shutil.rmtree(left)  # it had no time for that
    wait_until(lambda: "progress" in json.loads(site.sh("db1", f"cat {FOLDER}/{job}")), "the progress in the file")
    state = json.loads(site.sh("db1", f"cat {FOLDER}/{job}"))
    shown = json.loads(SHOWN.text)
    assert set(state) == set(shown) and set(state["progress"]) == set(shown["progress"]) and not state["finished"]
    assert site.run(soon(STOP, job)).result["changed"]
    done = site.run(soon(ASK, job), rc=2)
    assert done.result["cause"]["kind"] == "stopped"
    site.sh("db1", f"rm {FOLDER}/{job}")
