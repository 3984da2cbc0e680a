# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of tasks for reports, as the modules return them: of a backup with its catalog, and of pipes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

GIB = 1 << 30
RUN = "20261126T154000Z"
BEGIN = 1795707600  # when that run began
EVIL = "<script>alert(1)</script>\"'&amp;"
DAY = 86400


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def samples(size: int, elapsed: float, number: int = 40) -> list[list[float]]:
    """The figures of a link that is slower for a while."""
    parts = [(8 + each % 5) * (0.4 if number // 2 < each < number // 2 + 6 else 1) for each in range(number)]
    total, done, found = sum(parts), 0.0, []
    for each, part in enumerate(parts, start=1):
        done += part
        found.append([round(each * elapsed / number, 3), int(size * done / total), 0.0002, 0, 0.0])
    return found


# -- tapes

SIZES = {"db1": 61 * GIB, "db2": 24 * GIB, "mail1": 38 * GIB, "web1": 9 * GIB, "web2": 12 * GIB}
NOTES = {
    "db2": "not archived (separate file systems): /boot, /srv/cache",
    "mail1": "the host is slow (nothing to send 53 % of the time)",
}
NO_ROW = dict.fromkeys(("level", "bytes", "elapsed", "rate", "tape", "file", "encryption", "kind"))


def archive(name: str, number: int) -> dict[str, Any]:
    rate = (118 if number % 2 else 104) << 20
    figures = {"bytes": SIZES[name], "elapsed": round(SIZES[name] / rate, 1), "rate": rate}
    return {**figures, "level": 0 if number < 3 else 1, "tape": f"WEEK0{number % 2 + 1}", "file": number // 2 + 1}


def finished(note: str = "not on this host: /srv/www (set tape_paths)", **more: Any) -> dict[str, Any]:
    """The result of tape_finish: one host failed, and the tape host is left out."""
    rows: dict[str, Any] = {}
    for number, name in enumerate(SIZES):
        good = {"ok": True, "state": "good", "msg": "ok", "note": NOTES.get(name, ""), "encryption": None, "kind": None}
        rows[name] = {**good, **archive(name, number)}
    rows["web3"] = {**NO_ROW, "ok": False, "state": "failed", "msg": f"web3: {note}", "note": note, "kind": "not found"}
    rows["tape1"] = {**NO_ROW, "ok": True, "state": "left out", "msg": "", "note": "the tape host, without tape_paths"}
    again = f"ansible-playbook -i inventory.yml plumbing.socketpipe.backup --become -e tape_resume={RUN} --limit web3"
    summary = {"run": RUN, "good": 5, "failed": 1, "bytes": sum(SIZES.values()), "elapsed": 1141, "tapes": ["WEEK01"]}
    return {"summary": summary, "hosts": rows, "notes": [], "resume": again, "changed": True, **more}


def backups() -> list[dict[str, Any]]:
    """The results of tape_backup, on two drives."""
    free, found = [float(BEGIN), float(BEGIN + 40)], []
    for number, name in enumerate(SIZES):
        one, drive = archive(name, number), number % 2
        begin, free[drive] = free[drive], free[drive] + one["elapsed"] + 15
        figures = {
            "time": stamp(begin),
            "samples": samples(one["bytes"], one["elapsed"]),
            "slow": NOTES["mail1"] if name == "mail1" else "",
        }
        found.append({"host": name, "run": RUN, "state": "good", "device": f"/dev/nst{drive}", **one, **figures})
    return found


def tape(label: str, percent: int | None, **more: Any) -> dict[str, Any]:
    """A tape in the result of tape_info."""
    numbers = {"archives": 0, "good": 0, "failed": 0, "bytes": 0, "percent": percent}
    empty = dict.fromkeys(("first", "last", "keep_until", "expires", "run", "retired"))
    plain = {"barcode": "", "full": percent == 100, "expired": False, "location": "", "last_of": []}
    return {"label": label, **numbers, **empty, **plain, **more}


def catalog(**more: Any) -> dict[str, Any]:
    """The result of tape_info."""
    tested = {"time": stamp(BEGIN - 2 * DAY), "ok": True}
    hosts = []
    for number, name in enumerate(SIZES):
        place = archive(name, number)
        age = 60 * 60 + (3 * DAY if name == "web2" else 0)
        own = {"host": name, "set": "all", "time": stamp(BEGIN - age), "age": age, "late": age > 2 * DAY}
        tests = {"last_verified": None if number > 2 else tested, "last_restored": None, "last_drilled": None}
        hosts.append({**own, **place, "keep_until": stamp(BEGIN + 28 * DAY), **tests})
    hosts[1]["last_drilled"] = {**tested, "ok": False}
    until = {"last": stamp(BEGIN), "expires": stamp(BEGIN + 35 * DAY)}
    tapes = [
        tape("WEEK01", 41, archives=12, good=12, bytes=989 * GIB, last_of=["db1", "mail1", "web2"], **until),
        tape("WEEK02", 100, archives=31, good=31, bytes=2391 * GIB, location="vault", last_of=["db2", "web1"], **until),
        tape("WEEK03", 0, location="vault"),
    ]
    wanted = [{"label": "WEEK01", "state": "append", "location": ""}]
    return {"tapes": tapes, "hosts": hosts, "runs": [], "wanted": wanted, "missing": [], "notes": [], **more}


# -- streams


def stage(name: str, host: str, program: str, rc: int | None = 0, stderr: str = "") -> dict[str, Any]:
    return {"name": name, "host": host, "argv": [f"/usr/bin/{program}", "-x"], "rc": rc, "stderr": stderr}


def link(source: Mapping[str, Any], destination: Mapping[str, Any], size: int, rate: int = 110 << 20) -> dict[str, Any]:
    names = {"source": source["name"], "destination": destination["name"]}
    hosts = {"source_host": source["host"], "destination_host": destination["host"]}
    figures = {"bytes": size, "rate": rate, "elapsed": round(size / rate, 1), "slow": "", "encryption": None}
    return {**names, **hosts, **figures, "samples": samples(size, size / rate)}


def stream(stages: list[dict[str, Any]], links: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The result of a pipe or a pipeline."""
    size, elapsed = (links[-1]["bytes"], links[-1]["elapsed"] + 0.4) if links else (None, None)
    run = "-".join(each["host"] for each in stages)
    plain = {"changed": True, "msg": "ok", "cause": None, "strangers": 0, "left_running": []}
    return {**plain, "stages": stages, "links": links, "bytes": size, "elapsed": elapsed, "run": run, **more}


def pipe(host: str, size: int = 4 * GIB, **more: Any) -> dict[str, Any]:
    first, last = stage("remote", host, "tar"), stage("output", "tape1", "dd")
    return stream([first, last], [link(first, last, size)], peer="tape1", **more)


def broken(host: str, stderr: str) -> dict[str, Any]:
    """A pipe whose last stage has failed."""
    first, last = stage("remote", host, "tar", -13), stage("output", "tape1", "dd", 1, stderr)
    msg = f"output (dd) on tape1 failed with exit status 1: {stderr.splitlines()[-1]}"
    cause = {"kind": "failed", "stage": "output", "host": "tape1", "rc": 1, "msg": msg}
    return stream([first, last], [link(first, last, GIB)], failed=True, msg=msg, cause=cause)


def fork() -> dict[str, Any]:
    dump, pack, dd, cat = (
        stage("dump", "db1", "pg_dump"),
        stage("pack", "fast1", "zstd"),
        stage("tape", "tape1", "dd"),
        stage("file", "store", "cat"),
    )
    links = [link(dump, pack, 16 * GIB), link(pack, dd, 5 * GIB), link(pack, cat, 5 * GIB)]
    links[1]["encryption"] = {"how": "relay", "cipher": "TLS_AES_256_GCM_SHA384", "records": 5}
    return stream([dump, pack, dd, cat], links)
