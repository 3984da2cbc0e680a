# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""transfer with hosts: one file from one host to many, along a chain."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet, Host

from . import anatomy, playbook
from .playbook import Done
from .test_hosts import carried
from .test_transfer import OLD, WHEN, source, transfer
from .together import At, Play, alone, together
from .traces import SCRATCH

NAMES = ["h2", "h3", "h4", "h5"]
FOLDER = f"{SCRATCH}/to"  # each host has its own
DEST = f"{FOLDER}/dest"
GONE = {"gone": {"of": "h2", "ansible_port": 9}}
MIB = 1024 * 1024


FLEET = ["h1", *NAMES]


@pytest.fixture
def folders(fleet: Fleet) -> None:
    for name in NAMES:
        fleet[name].run(["mkdir", "-p", FOLDER])


@pytest.fixture
def small(fleet: Fleet, folders: None) -> Iterator[Host]:
    """On h4, the folder has room for 1 MiB."""
    host = fleet["h4"]
    host.run(["mount", "-n", "-t", "tmpfs", "-o", "size=1M", "none", FOLDER])
    yield host
    host.run(["umount", "-n", FOLDER])


def many(**options: Any) -> dict[str, Any]:
    return transfer(**{"dest": DEST, "peer": "h1", "hosts": NAMES, "_run_once": True, **options})


def large(work: Path, size: int) -> Path:
    path = work / "large"
    path.write_bytes(os.urandom(MIB) * (size // MIB))
    os.utime(path, ns=(WHEN, WHEN))
    return path


def inside(host: Host, path: str = FOLDER) -> list[str]:
    return sorted(host.run(["ls", "-A", path]).stdout.split())


def same(host: Host, path: Path, dest: str = DEST) -> bool:
    """Whether the host has this file, with its time."""
    newer = ["[", "!", dest, "-nt", str(path), "-a", "!", str(path), "-nt", dest, "]"]
    return not any(host.run(each, check=False).returncode for each in (["cmp", str(path), dest], newer))


def told(result: dict[str, Any]) -> dict[str, tuple[bool, bool, str]]:
    """Of each host: ok, changed, the kind of its failure."""
    found = {name: (each["ok"], each["changed"], each["cause"]) for name, each in result["hosts"].items()}
    return {name: (ok, changed, cause["kind"] if cause else "") for name, (ok, changed, cause) in found.items()}


SAME, NEW = (True, False, ""), (True, True, "")


def test_who_gets_it(fleet: Fleet, small: Host, work: Path) -> None:
    """All that lack it and can have it; the others are left out, and so is the task's own host like any other."""
    path = large(work, 20 * MIB)
    fleet["h2"].run(["cp", "-p", str(path), DEST])
    fleet["h5"].run(["sh", "-c", f"printf %s '{OLD}' >{DEST}; chmod 604 {DEST}"])
    hosts = ["h2", "h3", "gone", "h4", "h5"]
    task = many(src=str(path), hosts=hosts, backup=True)
    here = ["h2", "h3", "h5"]
    before = carried(fleet["h1"])
    done = alone(fleet, Play([
        {"name": "check", **task, "check_mode": True, "diff": True},
        {"name": "first", **task},
        {"name": "again", **task},
        {"name": "mode", **many(src=str(path), hosts=here, mode="0600", checksum=True)},
        {"name": "nothing", **many(src=str(path), hosts=here)},
    ], hosts="h2", more=GONE, rc=None))  # fmt: skip
    assert carried(fleet["h1"]) - before < 30 * MIB, "it sends the file once, and to one host"
    gone, full = (False, False, "unreachable"), (False, False, "no room")
    wanted = {"h2": SAME, "h3": NEW, "gone": gone, "h4": full, "h5": NEW}
    for name in ("check", "first"):
        found = done.of(name)
        assert (found.status, told(found.result), found.result["changed"]) == ("failed", wanted, True), found.result
        cause = found.result["cause"]
        assert (cause["kind"], cause["host"]) == ("unreachable", "gone")
        start = "2 of 5 hosts failed, gone (unreachable), h4 (no room): no end could be started on gone: "
        assert found.result["msg"].startswith(start) and found.result["msg"].endswith(cause["msg"])
    check = done.of("check").result
    headers = [each["after_header"] for each in check["diff"]]
    assert headers == [f"h3: {DEST}", f"h5: {DEST}"]
    first = done.of("first").result["hosts"]
    assert first["h4"]["cause"]["msg"].startswith(f"h4: there is no room in {FOLDER}: the file needs {20 * MIB} bytes")
    backup = first["h5"]["backup_file"]
    assert [name for name in hosts if first[name]["backup_file"]] == ["h5"]
    again = done.of("again").result
    assert (told(again), again["changed"]) == ({**wanted, "h3": SAME, "h5": SAME}, False)
    mode = done.of("mode").result
    assert (told(mode), mode["msg"], mode["bytes"]) == (dict.fromkeys(here, NEW), "ok", None)
    assert (mode["size"], mode["source_host"], len(mode["checksum"])) == (20 * MIB, "h1", 64)
    assert told(done.of("nothing").result) == dict.fromkeys(here, SAME)
    for name in here:
        assert same(fleet[name], path)
        assert fleet[name].run(["stat", "-c", "%a", DEST]).stdout == "600\n"
    assert inside(small) == []
    assert inside(fleet["h5"]) == sorted(["dest", os.path.basename(backup)])
    assert fleet["h5"].run(["cat", backup]).stdout == OLD
    assert inside(fleet["h2"]) == inside(fleet["h3"]) == ["dest"]


@pytest.mark.parametrize("encryption", ["none", "relay"])
def test_a_sparse_file_along_the_whole_chain(fleet: Fleet, folders: None, work: Path, encryption: str) -> None:
    """From the controller, with holes, validated on each host, by another user."""
    path = work / "sparse"
    with path.open("wb") as file:
        for place in (0, 3 * MIB, 15 * MIB):
            file.seek(place)
            file.write(os.urandom(3 * 4096))
        file.truncate(64 * MIB)
    os.utime(path, ns=(WHEN, WHEN))
    for name in NAMES:
        fleet[name].run(["chown", "backup1", FOLDER])
    options = {"peer": "localhost", "encryption": encryption, "validate": "test -s %s", "mode": "0640"}
    become = {"_become": True, "_become_user": "backup1", "_become_method": "su"}
    task = many(src=str(path), **options, **become)
    result = alone(fleet, Play([task])).result
    assert told(result) == dict.fromkeys(NAMES, NEW), result
    assert result["bytes"] == 3 * (3 * 4096 + 16) + 16
    assert (result["link"]["source_host"], result["link"]["destination_host"]) == ("localhost", "h2")
    assert bool(result["link"]["encryption"]) == (encryption != "none")
    for name in NAMES:
        assert same(fleet[name], path) and inside(fleet[name]) == ["dest"]
        said = fleet[name].run(["stat", "-c", "%U %a %b", DEST]).stdout.split()
        assert said == ["backup1", "640", str(path.stat().st_blocks)]


def refusals(at: At) -> Play:
    src = source(at)
    cases: dict[str, dict[str, Any]] = {
        "pull": {"direction": "pull"},
        "empty": {"hosts": []},
        "unknown": {"hosts": ["h2", "h9"]},
        "twice": {"hosts": ["h2", "h3", "h2"]},
        "peer": {"hosts": ["h2", "h1"]},
        "controller": {"hosts": ["127.0.0.1"], "peer": "localhost"},
        "address": {"address": ["192.0.2.1"], "listen": "remote"},
        "resume": {"resume": True},
        "no source": {"src": f"{at.work}/none"},
    }
    return Play([{"name": name, **many(**{"src": src, **case})} for name, case in cases.items()], rc=2)


@together(refusals)
def test_what_is_refused(done: Done, work: Path) -> None:
    """One sentence each, before anything starts."""
    said = {each.task: (each.result["cause"]["kind"], each.result["msg"]) for each in done.outcomes}
    assert said == {
        "pull": ("options", "hosts: only with direction: push, from the peer to these hosts"),
        "empty": ("options", "hosts: the list is empty"),
        "unknown": ("options", "hosts: there is no host 'h9' in the inventory"),
        "twice": ("options", "hosts: h2 is there twice"),
        "peer": ("options", "hosts: h1 is also the peer"),
        "controller": ("options", "hosts: 127.0.0.1 is also the peer"),
        "address": (
            "options",
            "address: with hosts and listen: remote, set the variable socketpipe_address of each host",
        ),
        "resume": ("options", "resume: not with hosts: a second run sends the whole file to those that lack it"),
        "no source": ("not found", f"h1: there is no file {work}/none"),
    }
    assert told(done.of("no source").result) == dict.fromkeys(NAMES, (False, False, "not found"))


def test_a_task_without_run_once_is_warned(fleet: Fleet, folders: None, work: Path) -> None:
    at = At(fleet, work, {})
    task = transfer(src=source(at), dest=DEST, peer="h1", hosts=["h3"], _throttle=1)
    done = alone(fleet, Play([task], hosts="h1,h2"))
    said = "".join(done.output.split())
    assert "thistaskrunsoneachof2hosts,andsendsthefiletoallofhostseachtime:addrun_once:true" in said
    assert sorted(result["changed"] for result in done.results) == [False, True]


# -- in the middle


def sinks(host: Host) -> list[int]:
    """The programs on a host that write the file: what they have open is beside its destination."""
    pids = [process.pid for process in anatomy.processes(host)]
    return [pid for pid in pids if any(path.endswith(".socketpipe") for path in opened(pid))]


def opened(pid: int) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return []  # it has ended


def hold(started: playbook.Started, host: Host, path: Path) -> int:
    """Stop the sender of this file, before it has sent all of it; returns its pid."""
    while True:
        for pid in (each.pid for each in anatomy.processes(host)):
            found = opened(pid)
            # the look opens the file, too, but writes to a pipe
            if str(path) in found and any(name.startswith("socket:") for name in found):
                os.kill(pid, signal.SIGSTOP)
                return pid
        assert started.process.poll() is None, started.said()


def writing(started: playbook.Started, hosts: list[Host]) -> list[int]:
    """The sinks on these hosts, one each, as soon as all of them are there."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = [pid for host in hosts for pid in sinks(host)]
        if len(found) == len(hosts):
            return found
        assert started.process.poll() is None, started.said()
        time.sleep(0.05)
    raise AssertionError(f"not all write:\n{started.said()}")


@pytest.mark.parametrize("encryption", ["none", "relay"])
def test_a_host_in_the_middle_that_dies(fleet: Fleet, folders: None, work: Path, encryption: str) -> None:
    """Those before it get the file, those behind it do not, and a second run sends it to these."""
    path = large(work, 8 * MIB)
    for name in NAMES:
        fleet[name].run(["sh", "-c", f"printf %s '{OLD}' >{DEST}"])
    task = many(src=str(path), encryption=encryption)
    slow = many(src=str(path), encryption=encryption, rate_limit="1M")
    started = playbook.start(fleet, [slow], hosts="h1")
    sender = hold(started, fleet["h1"], path)
    os.kill(writing(started, [fleet[name] for name in NAMES])[1], signal.SIGKILL)
    os.kill(sender, signal.SIGCONT)
    done = started.wait(240)
    result = done.result
    dead, stopped = (False, False, "failed"), (False, False, "stopped")
    assert told(result) == {"h2": NEW, "h3": dead, "h4": stopped, "h5": stopped}, result
    assert (result["cause"]["kind"], result["cause"]["host"], result["changed"]) == ("failed", "h3", True)
    assert result["msg"].startswith(
        "3 of 4 hosts failed, h3 (failed), h4 (stopped), h5 (stopped): "
        "destination 2 (transfer) on h3 was killed by SIGKILL"
    )
    assert result["hosts"]["h5"]["cause"]["msg"] == "the file did not arrive, because h3 failed"
    assert same(fleet["h2"], path)
    for name in NAMES[1:]:
        assert fleet[name].run(["cat", DEST]).stdout == OLD
    assert inside(fleet["h4"]) == inside(fleet["h5"]) == ["dest"]
    again = playbook.run(fleet, [task]).result
    assert told(again) == {"h2": SAME, "h3": NEW, "h4": NEW, "h5": NEW}
    for name in NAMES:
        assert same(fleet[name], path) and inside(fleet[name]) == ["dest"]


def test_a_disk_that_fills_up_in_the_middle(fleet: Fleet, folders: None, work: Path) -> None:
    """The host passes the file on all the same."""
    host = fleet["h3"]
    host.run(["mount", "-n", "-t", "tmpfs", "-o", "size=9M", "none", FOLDER])
    try:
        path = large(work, 8 * MIB)
        started = playbook.start(fleet, [many(src=str(path), rate_limit="1M")], hosts="h1")
        sender = hold(started, fleet["h1"], path)
        writing(started, [host])
        host.run(["sh", "-c", f"head -c 8M /dev/zero >{FOLDER}/filler"])
        os.kill(sender, signal.SIGCONT)
        result = started.wait(240).result
        assert told(result) == {"h2": NEW, "h3": (False, False, "no room"), "h4": NEW, "h5": NEW}, result
        assert result["msg"] == f"h3: {DEST} cannot be written: there is no room left"
        assert inside(host) == ["filler"]
        for name in ("h2", "h4", "h5"):
            assert same(fleet[name], path) and inside(fleet[name]) == ["dest"]
    finally:
        host.run(["umount", "-n", FOLDER])
