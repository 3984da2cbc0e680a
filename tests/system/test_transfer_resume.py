# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""transfer with resume: an interrupted copy is continued by the next run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.hosts import Fleet

from . import anatomy, batch
from .batch import Case
from .test_transfer import OLD, has_open, names, running, transfer

SIZE = 64 * 1024 * 1024


def test_an_interrupted_copy(fleet: Fleet, work: Path) -> None:
    """Of three sources: one is continued; one has a part that was changed; one has become another."""
    kinds = ("same", "damaged", "other")
    for name in kinds:
        (work / name).write_bytes(os.urandom(1024 * 1024) * 64)
        (work / f"{name}.to").write_text(OLD, encoding="ascii")

    def copy(name: str, **more: Any) -> Case:
        return Case(transfer(src=f"{work}/{name}", dest=f"{work}/{name}.to", peer="h2", resume=True, **more))

    started = batch.start(fleet, {name: copy(name, rate_limit="256K") for name in kinds})
    parts = {name: running(fleet, work, f"{name}.to") for name in kinds}
    for each in anatomy.processes(fleet["h2"]):
        if "/proc/self/fd/3" in each.argv and any(has_open(each.pid, f"{work}/{name}") for name in kinds):
            os.kill(each.pid, 9)
    done = batch.finish(started, 180)
    for name in kinds:
        result = done[name].result
        assert (result["cause"]["host"], result["changed"], result["resumed"]) == ("h2", False, None), result["msg"]
        assert (work / f"{name}.to").read_text(encoding="ascii") == OLD
        assert parts[name].stat().st_mode & 0o7777 == 0o600
    sizes = {name: path.stat().st_size for name, path in parts.items()}
    assert names(work) == sorted([*kinds, *(f"{name}.to" for name in kinds), *(path.name for path in parts.values())])
    with parts["damaged"].open("r+b") as damaged:
        damaged.write(b"\0" * 16)
    with (work / "other").open("ab") as file:
        file.write(b"more")
    checked = batch.run(fleet, {"same": copy("same", _check_mode=True)})["same"].result
    assert (checked["resumed"], checked["bytes"], checked["changed"]) == (sizes["same"], None, True)
    started = batch.start(fleet, {name: copy(name) for name in kinds})
    done = batch.finish(started, 180)
    assert done["same"].status == "ok", done["same"].result["msg"]
    assert {name: done[name].result["resumed"] for name in kinds} == {"same": sizes["same"], "damaged": 0, "other": 0}
    assert done["same"].result["bytes"] == SIZE - sizes["same"] + 2 * 16
    said = " ".join(started.said().split())
    warning = f"damaged: the part of an interrupted transfer ({parts['damaged']}, {sizes['damaged']} bytes) differs"
    assert warning.replace(" ", "") in said.replace(" ", ""), said
    for name in kinds:
        assert (work / name).read_bytes() == (work / f"{name}.to").read_bytes()
    assert names(work) == sorted([*kinds, *(f"{name}.to" for name in kinds)])
