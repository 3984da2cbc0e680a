# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CPU time of the tape host's program with a large catalog: 10,000 archives on 200 tapes, a million names of files.

BEFORE=DIRECTORY: another checkout of the collection, which is measured in turn with this one.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.hosts import Fleet

HERE = Path(__file__).resolve().parents[2]
TAPES, HOSTS, NAMES = 200, 100, 100  # NAMES: of files, in each archive
RUNS = 100  # of each host: one archive a day
DAY = 86400
START = "import sys; sys.path.insert(0, %r); from _tape.host.main import main; sys.exit(main())"
LOOKS = 20  # of one that waits for a tape, in four seconds
LOOK = """import sys; sys.path.insert(0, %r); from _tape.host.catalog.catalog import Catalog
catalog = Catalog(sys.argv[2]); [catalog.tapes() for _look in range(int(sys.argv[3]))]"""
DIGEST = "0" * 64


def stamp(when: float, form: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    return time.strftime(form, time.gmtime(when))


def archives(now: float) -> Iterator[dict[str, Any]]:
    """All of them, oldest first: each host's level 0 once a week, and increments to it on the other days."""
    for day in range(RUNS):
        when = now - (RUNS - day) * DAY
        full = now - (RUNS - day // 7 * 7) * DAY
        for number in range(HOSTS):
            yield {
                "kind": "archive",
                "run": stamp(when, "%Y%m%dT%H%M%SZ"),
                "host": f"host{number:03}.example.org",
                "set": "all",
                "level": 1 if day % 7 else 0,
                "base": stamp(full, "%Y%m%dT%H%M%SZ") if day % 7 else None,
                "time": stamp(when + 60 * number),
                "host_time": stamp(when + 60 * number + 1),
                "paths": ["/etc", "/home", "/srv"],
                "block_size": 262144,
                "bytes": 262144 * 4000,
                "sha256": DIGEST,
                "state": "good",
                "keep_until": when + 60 * DAY,
                "elapsed": 7.5,
                "rate": 139810133,
                "alerts": [],
                "encryption": {},
                "machine_id": f"{number:032x}",
                "incomplete": False,
                "level_problem": "",
                "tar": 0,
                "warnings": [],
                "warning_count": 0,
                "files": NAMES,
                "other_file_systems": ["/proc", "/sys", "/dev", "/run"],
                "verified": {"time": stamp(when + DAY), "ok": True},
            }


def make(folder: Path) -> None:
    """A catalog as this collection writes it, and one labelled virtual tape."""
    now = time.time()
    every = list(archives(now))
    each = len(every) // TAPES
    for number in range(TAPES):
        label = f"T{number:05}"
        on_it = [{**archive, "file": file} for file, archive in enumerate(every[number * each :][:each], 1)]
        tape = {"label": label, "id": f"{number:016x}", "barcode": f"{label}L8", "block_size": 262144}
        tape |= {"labelled": stamp(now - 200 * DAY), "medium": "drive", "former": [], "full": True}
        text = json.dumps({**tape, "archives": on_it}, indent=1, sort_keys=True)
        (folder / "tapes").mkdir(exist_ok=True)
        (folder / "tapes" / f"{label}.json").write_text(text + "\n")
    for number, archive in enumerate(every):
        path = folder / "lists" / archive["run"] / f"all,{archive['host']}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (f"./srv/data/{number % HOSTS}/{file:04}/report-{number}.txt" for file in range(NAMES))
        path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 6))


def uncommitted(folder: Path) -> tuple[list[str], bytes]:
    """The newest archive is written, and not reported yet: the words and the report of its commit."""
    path = folder / "tapes" / f"T{TAPES - 1:05}.json"
    tape = json.loads(path.read_text())
    last = tape["archives"][-1]
    last["state"] = "written"
    path.write_text(json.dumps(tape, indent=1, sort_keys=True))
    keys = ("run", "host", "set", "level", "base", "time", "paths", "bytes", "sha256", "tar", "warnings")
    said = {key: last[key] for key in (*keys, "warning_count", "other_file_systems", "machine_id")}
    listing = gzip.compress(b"./etc/hosts\n")
    return ["commit", "--run", last["run"], "--host", last["host"]], json.dumps({**said, "files": 1}).encode() + (
        b"\n" + listing
    )


def spent(checkout: Path, folder: Path, words: list[str], data: bytes) -> float:
    """CPU seconds of one call, its children included."""
    settings = {"catalog_dir": str(folder / "catalog"), "devices": [str(folder / "drive")], "wait": 0}
    settings |= {"reuse": "expired", "labels": ["*"], "capacity": "12T"}
    start = (LOOK if words[0] == "look" else START) % str(checkout / "plugins" / "module_utils")
    # its modules compiled once for both, as they are on a tape host
    command = [sys.executable, "-I", "-X", f"pycache_prefix={folder / 'pycache'}", "-c", start, *words]
    environment = {**os.environ, "SOCKETPIPE_TAPE": json.dumps(settings), "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryFile() as given:
        given.write(data)
        given.seek(0)
        child = subprocess.Popen(command, stdin=given, stdout=subprocess.DEVNULL, env=environment)
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{words} in {checkout} ended with exit status {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def calls(folder: Path) -> dict[str, tuple[list[str], bytes]]:
    """{name: (its words, its standard input)}."""
    hosts = {f"host{number:03}.example.org": {"level": 1} for number in range(HOSTS)}
    return {
        "plan": (["plan"], json.dumps({"hosts": hosts, "dry": True}).encode()),
        "info": (["info"], b""),
        "find, a path": (["find", "--path", "/srv/data/7/0042/report-4207.txt"], b""),
        "find, a pattern": (["find", "--path", "/srv/data/7/*/report-4207.*"], b""),
        "find, of one host": (["find", "--path", "*/report-4207.txt", "--host", "host007.example.org"], b""),
        "chain": (["chain", "--host", "host042.example.org"], b""),
        "commit": uncommitted(folder / "catalog"),
        f"{LOOKS} looks while it waits": (["look", str(folder / "catalog"), str(LOOKS)], b""),
    }


def table(_fleet: Fleet, rounds: int) -> str:
    before = os.environ.get("BEFORE")
    checkouts = [Path(each).resolve() for each in ([before] if before else []) + [str(HERE)]]
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top)
        (folder / "catalog").mkdir()
        make(folder / "catalog")
        (folder / "drive").mkdir()
        for checkout in checkouts:  # and all modules are compiled
            spent(checkout, folder, ["label", "--label", "NEW"], b"")
        lines = ["| command | " + "".join("CPU s before | " if before else "") + "CPU s |" + " ratio |" * bool(before)]
        lines += ["| --- |" + " --- |" * (len(checkouts) + bool(before))]
        for name in calls(folder):
            times: list[list[float]] = [[] for _checkout in checkouts]
            for _round in range(rounds):
                for number, checkout in enumerate(checkouts):
                    words, data = calls(folder)[name]
                    times[number].append(spent(checkout, folder, words, data))
            medians = [statistics.median(each) for each in times]
            ratios = [statistics.median(new / old for old, new in zip(*times, strict=True))] if before else []
            cells = [f"{each:.2f}" for each in medians + ratios]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
