# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""transfer of a directory, in place, by tar on both hosts."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import anatomy, batch
from .batch import Case
from .playbook import Done
from .test_transfer import has_open, names, transfer
from .together import At, Play, together


def tree(at: At, name: str = "www") -> Path:
    top = at.work / name
    (top / "sub").mkdir(parents=True)
    (top / "index").write_text("index\n", encoding="ascii")
    (top / "sub" / "x").write_bytes(os.urandom(3 * 1024 * 1024))
    (top / "sub" / "link").symlink_to("x")
    (top / "sub" / "x").chmod(0o640)
    (top / "sub").chmod(0o2751)
    return top


def same(one: Path, other: Path) -> bool:
    command = ["diff", "--recursive", "--no-dereference", str(one), str(other)]
    if subprocess.run(command, check=False).returncode:
        return False
    listed = []
    for top in (one, other):
        paths = sorted(path.relative_to(top) for path in top.rglob("*"))
        found = [(top / path).lstat() for path in paths]
        listed.append([(path, at.st_mode, at.st_uid, at.st_size) for path, at in zip(paths, found)])
    return listed[0] == listed[1]


def ways(at: At) -> Play:
    www = tree(at)
    (at.work / "there").mkdir(mode=0o700)
    (at.work / "there" / "mine").touch()
    (at.work / "file").touch()
    src, dest = f"{www}/", f"{at.work}/to"
    options: dict[str, Any] = {"checksum": True, "force": False, "backup": True, "validate": "true %s", "resume": True,
                               "owner": "root", "group": "root", "mode": "0600", "hosts": ["h2"]}  # fmt: skip
    refused = [{"name": name, **transfer(src=src, dest=dest, **{"peer": "localhost", name: value})}
               for name, value in options.items()]  # fmt: skip
    return Play([
        {"name": "check", **transfer(src=src, dest=dest, peer="h2", _check_mode=True)},
        {"name": "new", **transfer(src=src, dest=dest, peer="h2", mode="preserve")},
        {"name": "again", **transfer(src=src, dest=dest, direction="pull", encryption="relay")},
        {"name": "named", **transfer(src=str(www), dest=f"{at.work}/there")},
        {"name": "same host", **transfer(src=src, dest=f"{at.work}/here", peer="h1")},
        {"name": "to a file", **transfer(src=src, dest=f"{at.work}/file", peer="h2")},
        {"name": "no place", **transfer(src=src, dest=f"{at.work}/none/x", peer="h2")},
        {"name": "no name", **transfer(src=f"{www}/sub/..", dest=dest, peer="h2")},
        *refused,
    ], ignore_errors=True)  # fmt: skip


@together(ways)
def test_a_directory(done: Done, work: Path) -> None:
    check, new, again = (done.of(name).result for name in ("check", "new", "again"))
    assert (check["changed"], check["msg"], check["bytes"], check["elapsed"]) == (True, "would transfer it", None, None)
    assert (new["changed"], new["msg"], new["src"], new["dest"]) == (True, "ok", f"{work}/www/", f"{work}/to")
    assert (new["source_host"], new["destination_host"], new["peer"]) == ("h2", "h1", "h2")
    assert new["bytes"] > 3 * 1024 * 1024 and new["size"] is None
    assert set(new["archivers"]) == {"source", "destination"}
    assert again["changed"] and again["link"]["encryption"]["how"] == "relay"
    assert same(work / "www", work / "to") and same(work / "www", work / "there" / "www")
    assert same(work / "www", work / "here")
    assert (work / "there").stat().st_mode & 0o7777 == 0o700
    assert names(work) == ["file", "here", "there", "to", "www"] and names(work / "there") == ["mine", "www"]
    said = {name: done.of(name).result["msg"] for name in ("to a file", "no place", "no name")}
    assert said == {
        "to a file": f"h1: {work}/file is a file, but the source is a directory",
        "no place": f"h1: there is no directory {work}/none: create it first",
        "no name": f"src: {work}/www/sub/.. has no name for the destination: add / for its content",
    }
    own = "files keep their owner, group and mode; use ansible.builtin.file afterwards"
    why = {
        **dict.fromkeys(("owner", "group", "mode"), own),
        **dict.fromkeys(("checksum", "force"), "it is always copied"),
        "backup": "only a file is kept under a second name",
        "validate": "only a file can be validated",
        "resume": "only the copy of a file can be resumed",
        "hosts": "only a file can be copied to many hosts",
    }
    for name, reason in why.items():
        result = done.of(name).result
        assert result["msg"] == f"{name}: not for a directory, and {work}/www/ is one: {reason}"
        assert (result["cause"]["kind"], result["changed"]) == ("options", False)


@pytest.mark.parametrize("victim", ["source", "sink"])
def test_what_breaks_in_the_middle(fleet: Fleet, work: Path, victim: str) -> None:
    """The message says that the destination is incomplete; nothing is left running."""
    (work / "www").mkdir()
    for number in range(8):
        (work / "www" / f"{number}").write_bytes(os.urandom(1024 * 1024) * 8)
    task = transfer(src=f"{work}/www/", dest=f"{work}/to", peer="h2", rate_limit="1M")
    started = batch.start(fleet, {"broken": Case(task)})
    deadline = time.monotonic() + 120
    while not (work / "to" / "0").exists():
        assert time.monotonic() < deadline, "no file has arrived"
        time.sleep(0.05)
    folder, host = (f"{work}/www", "h2") if victim == "source" else (f"{work}/to", "h1")
    tars = [
        each.pid for each in anatomy.processes(fleet[host]) if each.argv[:1] == ("tar",) and is_in(each.pid, folder)
    ]
    assert tars
    for pid in tars:
        os.kill(pid, 9)
    result = batch.finish(started, 180)["broken"].result
    assert result["changed"] and result["cause"]["host"] == ("h2" if victim == "source" else "broken")
    doing = "cannot be read completely" if victim == "source" else "cannot be extracted"
    assert doing in result["msg"] and "tar was killed by signal 9" in result["msg"]
    assert result["msg"].endswith(f". {work}/to is incomplete: it may have some of the new files, and old ones")
    assert not has_open(tars[0], folder)


def is_in(pid: int, folder: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/cwd") == folder
    except OSError:
        return False  # it has ended
