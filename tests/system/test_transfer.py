# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""transfer: one file from one host to another, whole or not at all."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import ROOT_PASSWORD, Fleet

from . import anatomy, batch
from .batch import Case
from .playbook import Done, Task
from .together import At, Play, together

TRANSFER = "plumbing.socketpipe.transfer"
OLD = "the old file\n"
WHEN = 1_500_000_000_123_456_789  # nanoseconds: when each source was changed
SMALL = "/srv/small"


def transfer(**options: Any) -> dict[str, Any]:
    """A task; names with an underscore are its own keywords."""
    task = {key[1:]: value for key, value in options.items() if key.startswith("_")}
    return {**task, TRANSFER: {key: value for key, value in options.items() if not key.startswith("_")}}


def source(at: At, name: str = "source", content: str = "new\n" * 1000, mode: int = 0o640) -> str:
    path = at.work / name
    path.write_text(content, encoding="ascii")
    path.chmod(mode)
    os.utime(path, ns=(WHEN, WHEN))
    return str(path)


def old(at: At, name: str = "dest", mode: int = 0o604) -> str:
    path = at.work / name
    path.write_text(OLD, encoding="ascii")
    path.chmod(mode)
    return str(path)


def names(work: Path) -> list[str]:
    return sorted(path.name for path in work.iterdir())


# -- both ways


def both_ways(at: At) -> Play:
    src = source(at)
    ways: tuple[dict[str, str], ...] = (
        {},
        {"peer": "h2"},
        {"direction": "pull"},
        {"peer": "h2", "direction": "pull"},
        {"peer": "h1"},
    )
    tasks: list[Task] = [transfer(src=src, dest=f"{at.work}/to{number}", **way) for number, way in enumerate(ways)]
    return Play([*tasks, transfer(src=src, dest=f"{at.work}/to0", peer="h2")])


@together(both_ways)
def test_both_ways(done: Done, work: Path) -> None:
    """From the peer to the task's host and back, with the controller, another host and itself as the peer."""
    hosts = [("localhost", "h1"), ("h2", "h1"), ("h1", "localhost"), ("h1", "h2"), ("h1", "h1")]
    content = (work / "source").read_bytes()
    for number, (result, (start, end)) in enumerate(zip(done.results[:5], hosts)):
        path = work / f"to{number}"
        assert (result["source_host"], result["destination_host"]) == (start, end)
        assert (result["changed"], result["msg"], result["size"], result["mode"]) == (True, "ok", 4000, "0640")
        assert (result["src"], result["dest"]) == (f"{work}/source", str(path))
        assert result["bytes"] == 4000 + 16 + 16, "the data, its place and its end"
        assert path.read_bytes() == content
        assert (path.stat().st_mtime_ns, path.stat().st_mode & 0o7777) == (WHEN, 0o640)
    again = done.results[5]
    assert (again["changed"], again["bytes"], again["link"]) == (False, None, None)
    assert names(work) == ["source", *(f"to{number}" for number in range(5))]


# -- idempotence, check mode, diff, force, checksum, backup, attributes


def decisions(at: At) -> Play:
    src, dest = source(at), old(at)
    at.work.chmod(0o755)
    twin = source(at, "twin")
    os.utime(twin, ns=(WHEN + 1, WHEN + 1))
    common = {"src": src, "dest": dest, "peer": "h2"}
    return Play([
        {"name": "check", **transfer(**common, owner="backup1", _check_mode=True, _diff=True)},
        {"name": "alone", **transfer(**common, force=False)},
        {"name": "first", **transfer(**common, group="backup2", backup=True, _diff=True)},
        {"name": "again", **transfer(**common, group="backup2", backup=True, _diff=True)},
        {"name": "mode", **transfer(**common, mode="0600")},
        {"name": "touched", **transfer(src=src, dest=twin, peer="h2", checksum=True)},
        {"name": "by time", **transfer(src=src, dest=twin, peer="h2", _check_mode=True)},
        {"name": "preserve", **transfer(src=src, dest=f"{at.work}/new/", peer="h2", mode="preserve")},
        {"name": "link", **transfer(src=src, dest=f"{at.work}/link", peer="h2", validate="cmp %s " + src)},
        {"name": "bad", **transfer(src=src, dest=dest, peer="h2", validate="cmp %s /etc/passwd", checksum=True)},
        {"name": "refused", **transfer(src=twin, dest=f"{at.work}/other", peer="h2", validate="false %s")},
    ], rc=2, ignore_errors=False) if prepared(at) else Play()  # fmt: skip


def prepared(at: At) -> bool:
    (at.work / "new").mkdir()
    (at.work / "link").symlink_to("linked")
    (at.work / "other").write_text(OLD, encoding="ascii")
    return True


@together(decisions)
def test_what_is_done(done: Done, work: Path) -> None:
    check = done.of("check").result
    assert (check["changed"], check["msg"], check["bytes"]) == (True, "would transfer it", None)
    assert check["diff"][0]["before"].startswith(f"size: {len(OLD)}\n")
    assert check["diff"][0]["after"].startswith("size: 4000\nmtime: 2017-07-14T02:40:00.123456789Z\nowner: backup1\n")
    alone = done.of("alone").result
    assert (alone["changed"], alone["size"], alone["mode"]) == (False, len(OLD), "0604")
    first = done.of("first").result
    assert (first["changed"], first["group"], first["mode"]) == (True, "backup2", "0604"), "the mode of the old file"
    assert Path(first["backup_file"]).read_text(encoding="ascii") == OLD
    assert first["backup_file"].startswith(f"{work}/dest.") and first["backup_file"].endswith("~")
    again = done.of("again").result
    assert (again["changed"], again["backup_file"], again["bytes"]) == (False, None, None)
    assert "diff" not in again
    mode = done.of("mode").result
    assert (mode["changed"], mode["mode"], mode["bytes"]) == (True, "0600", None), "without moving it again"
    touched = done.of("touched").result
    assert (touched["changed"], len(touched["checksum"])) == (False, 64)
    assert done.of("by time").result["changed"]
    assert (work / "new" / "source").stat().st_mode & 0o7777 == 0o640
    assert (work / "link").is_symlink() and (work / "linked").stat().st_size == 4000
    assert not done.of("bad").result["changed"], "it is there already"
    refused = done.of("refused").result
    assert refused["msg"] == "h1: validate: false %s failed with exit status 1: with no output"
    assert (refused["cause"]["kind"], refused["changed"]) == ("validation", False)
    assert (work / "other").read_text(encoding="ascii") == OLD
    backup = Path(first["backup_file"]).name
    assert names(work) == sorted(["source", "dest", backup, "twin", "new", "link", "linked", "other"])


# -- sparse, empty, large, encrypted


HOLE = 3 * 1024 * 1024


def shapes(at: At) -> Play:
    with (at.work / "sparse").open("wb") as file:
        for place in (0, HOLE, 5 * HOLE):
            file.seek(place)
            file.write(b"data" * 1024)
        file.truncate(20 * HOLE)
    (at.work / "hole").write_bytes(b"")
    os.truncate(at.work / "hole", HOLE)
    source(at, "empty", "")
    (at.work / "large").write_bytes(os.urandom(1024 * 1024) * 70)
    tasks = [transfer(src=f"{at.work}/{name}", dest=f"{at.work}/{name}.to", peer="h2", checksum=True)
             for name in ("sparse", "hole", "empty", "large")]  # fmt: skip
    sealed = transfer(src=f"{at.work}/sparse", dest=f"{at.work}/sealed.to", peer="h2", encryption="relay")
    return Play([*tasks, sealed])


@together(shapes)
def test_files_of_all_shapes(done: Done, work: Path) -> None:
    """A hole is not sent, at the end neither; what is beyond the buffers arrives; an empty file is one."""
    pairs = [("sparse", "sparse"), ("hole", "hole"), ("empty", "empty"), ("large", "large"), ("sparse", "sealed")]
    for result, (start, end) in zip(done.results, pairs):
        assert result["changed"]
        assert (work / start).read_bytes() == (work / f"{end}.to").read_bytes()
    assert (work / "sparse.to").stat().st_blocks == (work / "sparse").stat().st_blocks
    assert (work / "sealed.to").stat().st_blocks == (work / "sparse").stat().st_blocks
    assert (work / "hole.to").stat().st_blocks == 0
    assert [done.results[number]["bytes"] for number in (0, 1, 2)] == [3 * (4096 + 16) + 16, 16, 16]
    assert done.results[4]["link"]["encryption"]["how"] == "relay"
    assert len(names(work)) == 9


# -- bad input


def nonsense(at: At) -> Play:
    src, dest = source(at), old(at)
    os.mkfifo(at.work / "fifo")
    (at.work / "loop").symlink_to("loop")
    (at.work / "dangling").symlink_to("nothing")
    cases: dict[str, dict[str, Any]] = {
        "no source": {"src": f"{at.work}/none"},
        "dangling": {"src": f"{at.work}/dangling"},
        "loop": {"src": f"{at.work}/loop"},
        "fifo": {"src": f"{at.work}/fifo"},
        "device": {"src": "/dev/zero"},
        "directory": {"src": str(at.work)},
        "no directory": {"dest": f"{at.work}/none/dest"},
        "to a fifo": {"dest": f"{at.work}/fifo"},
        "to a loop": {"dest": f"{at.work}/loop"},
        "to a device": {"dest": "/dev/null"},
        "no user": {"owner": "nobody-here"},
        "mode": {"mode": "rw"},
        "validate": {"validate": "true"},
        "peer": {"peer": "h7"},
        "unreachable": {"peer": "gone"},
    }
    tasks = [{"name": name, **transfer(**{"src": src, "dest": dest, "peer": "h2", **case})}
             for name, case in cases.items()]  # fmt: skip
    return Play(tasks, rc=2, more={"gone": {"of": "h2", "ansible_port": 9}})


@together(nonsense)
def test_what_cannot_be_moved(done: Done, work: Path) -> None:
    """Each with one sentence and its kind, before anything moves."""
    gone = done.of("unreachable")
    assert (gone.status, gone.result["cause"]["kind"], gone.result["cause"]["host"]) == (
        "failed",
        "unreachable",
        "gone",
    )
    found = {each.task: (each.result["cause"]["kind"], each.result["msg"]) for each in done.outcomes if each != gone}
    assert found == {
        "no source": ("not found", f"h2: there is no file {work}/none"),
        "dangling": ("not found", f"h2: {work}/dangling is a symbolic link to nothing, which does not exist"),
        "loop": ("not a file", f"h2: {work}/loop is a loop of symbolic links"),
        "fifo": ("not a file", f"h2: {work}/fifo is a FIFO: only regular files can be copied or replaced"),
        "device": ("not a file", "h2: /dev/zero is a device: only regular files can be copied or replaced"),
        "directory": ("not a file", f"h1: {work}/dest is a file, but the source is a directory"),
        "no directory": ("not found", f"h1: there is no directory {work}/none: create it first"),
        "to a fifo": ("not a file", f"h1: {work}/fifo is a FIFO: only regular files can be copied or replaced"),
        "to a loop": ("not a file", f"h1: {work}/loop is a loop of symbolic links"),
        "to a device": ("not a file", "h1: /dev/null is a device: only regular files can be copied or replaced"),
        "no user": ("settings", "h1: there is no user nobody-here"),
        "mode": ("options", "mode: 'rw' is neither an octal number such as '0640' nor preserve"),
        "validate": ("options", "validate: 'true' needs %s in place of the new file"),
        "peer": ("options", "peer: there is no host 'h7' in the inventory"),
    }
    assert not any(each.result["changed"] for each in done.outcomes)
    peers = {each.task: each.result["peer"] for each in done.outcomes}
    assert peers == {**dict.fromkeys(peers, "h2"), "mode": None, "validate": None, "peer": None, "unreachable": "gone"}
    assert (work / "dest").read_text(encoding="ascii") == OLD
    assert names(work) == ["dangling", "dest", "fifo", "loop", "source"]


# -- no room, another user


@pytest.fixture
def small(fleet: Fleet) -> Iterator[Path]:
    """A file system of 1 MiB on h1."""
    host = fleet["h1"]
    host.run(["mkdir", "-p", SMALL])
    host.run(["mount", "-n", "-t", "tmpfs", "-o", "size=1M", "none", SMALL])
    yield Path(SMALL)
    host.run(["umount", "-n", SMALL])
    host.run(["rmdir", SMALL])


def test_a_full_disk_and_another_user(fleet: Fleet, small: Path, work: Path) -> None:
    """Told beforehand; or while it is written, if another writer was faster: the old file stays in both cases."""
    host = fleet["h1"]
    host.run(["sh", "-c", f"printf old > {small}/dest; printf old > {small}/late; chown backup1 {small}"])
    (work / "large").write_bytes(b"x" * 4 * 1024 * 1024)
    (work / "some").write_bytes(b"x" * 700 * 1024)
    (work / "secret").write_text("secret", encoding="ascii")
    (work / "secret").chmod(0o600)
    become = {"_become": True, "_become_method": "su"}
    user = {"ansible_user": "backup1", "ansible_become_password": ROOT_PASSWORD}
    mine = {"src": f"{work}/secret", "dest": f"{small}/mine", "peer": "h2"}
    cases = {
        "large": Case(transfer(src=f"{work}/large", dest=f"{small}/dest", peer="h2")),
        "become": Case(transfer(**{**mine, "dest": f"{small}/root"}, **become), variables=user),
        "plain": Case(transfer(**mine, owner="root"), variables=user),
        "group": Case(transfer(**mine, group="root"), variables=user),
        "unreadable": Case(transfer(src=f"{work}/secret", dest=f"{work}/x", direction="pull"), variables=user),
        "unwritable": Case(transfer(**{**mine, "dest": "/etc/mine"}), variables=user),
    }
    done = batch.run(fleet, cases)
    said = {name: outcome.result["msg"] for name, outcome in done.items()}
    free = re.sub(r"\d+ are free", "N are free", said["large"])
    assert free == f"large: there is no room in {small}: the file needs 4194304 bytes, and N are free"
    assert (done["become"].status, done["become"].result["owner"]) == ("ok", "root"), said["become"]
    assert said["plain"] == "plain: only root may give a file to user root: try become"
    assert said["group"] == "group: user backup1 is not in the group root: try become"
    assert said["unreadable"].startswith(f"unreadable: {work}/secret cannot be ")
    assert said["unwritable"] == "unwritable: user backup1 may not write in the directory /etc: try become"
    kinds = [outcome.result["cause"]["kind"] for name, outcome in done.items() if name not in ("large", "become")]
    assert kinds == ["not permitted"] * 4
    slow = transfer(src=f"{work}/some", dest=f"{small}/late", peer="h2", rate_limit="30K")
    started = batch.start(fleet, {"late": Case(slow)})
    beside(fleet, small, "late")
    host.run(["sh", "-c", f"head -c 900K /dev/zero > {small}/filler"])
    late = batch.finish(started, 240)["late"].result
    assert late["msg"] == f"late: {small}/late cannot be written: there is no room left"
    assert (late["cause"]["kind"], late["changed"]) == ("no room", False)
    host.run(["mount", "-n", "-o", "remount,ro", SMALL])
    done = batch.run(fleet, {"locked": Case(transfer(src=f"{work}/secret", dest=f"{small}/dest", peer="h2"))})
    assert done["locked"].result["msg"] == f"locked: the file system of {small} is mounted read-only"
    listed = host.run(["sh", "-c", f"cat {small}/dest {small}/late; ls -A {small}"]).stdout
    assert listed.split() == ["oldolddest", "filler", "late", "root"]


# -- death and change in the middle


def beside(fleet: Fleet, folder: Path, dest: str) -> None:
    """Wait for the temporary file of a transfer on h1."""
    deadline = time.monotonic() + 60
    while f".{dest}." not in fleet["h1"].run(["ls", "-A", folder]).stdout:
        assert time.monotonic() < deadline, "no transfer began"
        time.sleep(0.05)


def running(fleet: Fleet, work: Path, dest: str, minutes: float = 1.0) -> Path:
    """The temporary file of a transfer, as soon as data is in it."""
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline:
        for path in work.glob(f".{dest}.*.socketpipe"):
            if path.stat().st_size:
                return path
        time.sleep(0.02)
    raise AssertionError(f"nothing is written beside {dest}: {names(work)}")


def test_what_breaks_in_the_middle(fleet: Fleet, work: Path) -> None:
    """A sender that is killed, a source that changes, a second writer: the old file stays, and nothing else."""
    for name in ("killed", "changed"):
        (work / name).write_bytes(os.urandom(1024 * 1024) * 64)
        (work / f"{name}.to").write_text(OLD, encoding="ascii")
    rates = {"killed": "256K", "changed": "2M"}  # the first ends when it is killed
    cases = {
        name: Case(transfer(src=f"{work}/{name}", dest=f"{work}/{name}.to", peer="h2", rate_limit=rate))
        for name, rate in rates.items()
    }
    started = batch.start(fleet, cases)
    running(fleet, work, "changed.to")
    with (work / "changed").open("ab") as file:
        file.write(b"more")
    part = running(fleet, work, "killed.to")
    assert part.stat().st_mode & 0o7777 == 0o600
    second = batch.run(fleet, {"second": Case(transfer(src=f"{work}/changed", dest=f"{work}/killed.to", peer="h2"))})
    assert second["second"].result["msg"] == (
        f"second: another transfer is writing {work}/killed.to (its file is {part}): wait for it"
    ), second["second"].result
    programs = [each.pid for each in anatomy.processes(fleet["h2"]) if "/proc/self/fd/3" in each.argv]
    (sender,) = [pid for pid in programs if has_open(pid, f"{work}/killed")]
    os.kill(sender, 9)
    done = batch.finish(started, 180)
    killed, changed = done["killed"].result, done["changed"].result
    assert (killed["cause"]["kind"], killed["cause"]["host"], killed["changed"]) == ("failed", "h2", False)
    assert killed["msg"] == (
        "source (transfer) on h2 was killed by SIGKILL (was the host out of memory?), with no output on standard error"
    )
    size = 64 * 1024 * 1024
    assert changed["msg"] == (
        f"h2: {work}/changed changed while it was read (size {size}, now {size + 4}): "
        "stop what writes to it, or transfer a snapshot"
    )
    assert (changed["cause"]["kind"], changed["changed"]) == ("changed", False)
    for name in ("killed", "changed"):
        assert (work / f"{name}.to").read_text(encoding="ascii") == OLD
    assert names(work) == ["changed", "changed.to", "killed", "killed.to"]


def has_open(pid: int, path: str) -> bool:
    try:
        return any(os.readlink(f"/proc/{pid}/fd/{fd}") == path for fd in os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return False  # it has ended
