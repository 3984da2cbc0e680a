# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pipeline: a chain that forks into branches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .playbook import Done
from .together import At, Play, together

PIPELINE = "plumbing.socketpipe.pipeline"
OLD = "the old file\n"
SIZE = 6_000_000


FLEET = ["h1", "h2", "h3", "h4"]


def forked(source: Any, *branches: Any, required: Any = "all", **options: Any) -> dict[str, Any]:
    """The source is a stage or several."""
    stages = source if isinstance(source, list) else [source]
    fork = {"branches": [branch if isinstance(branch, list) else [branch] for branch in branches]}
    return {PIPELINE: {"stages": [*stages, {**fork, "branches_required": required}], **options}}


def copies(at: At) -> Play:
    source = at.work / "source"
    source.write_bytes(b"".join(b"line %d\n" % number for number in range(400_000)))
    changed = [{"name": "read", "path": str(source)}, {"host": "h2", "name": "change", "cmd": "tr i I"}]

    def branches(name: str) -> list[Any]:
        """On hosts of their own, on the host of the fan-out, and on the controller."""
        return [
            {"host": "h3", "name": "disk", "path": f"{at.work}/{name}.disk"},
            [{"host": "h4", "cmd": "tr n N"}, {"host": "h2", "name": "far", "cmd": f"tee {at.work}/{name}.far"}],
            {"host": "h2", "name": "beside", "cmd": f"dd of={at.work}/{name}.beside bs=64k iflag=fullblock"},
            {"host": "localhost", "name": "here", "cmd": f"tee {at.work}/{name}.here"},
        ]

    return Play([
        {"name": "clear", **forked(changed, *branches("clear"))},
        {"name": "sealed", **forked(changed, *branches("sealed"), encryption="required")},
        {"name": "one host", **forked(f"cat {source}", f"tee {at.work}/local.1", f"tee {at.work}/local.2")},
        {"name": "checked", "check_mode": True, **forked(changed, *branches("none"))},
        {"name": "network", **forked(changed, *branches("none"), preflight=True)},
    ])  # fmt: skip


@together(copies)
def test_all_branches_get_all(done: Done, work: Path) -> None:
    source = (work / "source").read_bytes()
    changed = source.replace(b"i", b"I")
    for name, encrypted in {"clear": False, "sealed": True}.items():
        result = done.of(name).result
        assert (result["msg"], result["cause"], result["bytes"]) == ("ok", None, len(source))
        assert [(branch["name"], branch["host"], branch["ok"], branch["cause"]) for branch in result["branches"]] == [
            *(("disk", "h3", True, None), ("far", "h2", True, None)),
            *(("beside", "h2", True, None), ("here", "localhost", True, None)),
        ]
        for branch in ("disk", "far", "beside", "here"):
            expected = changed.replace(b"n", b"N") if branch == "far" else changed
            assert (work / f"{name}.{branch}").read_bytes() == expected, branch
        assert [stage["name"] for stage in result["stages"]] == [
            *("read", "change", "fan-out", "disk", "stages[2].branches[1][0]", "far", "beside", "here")
        ]
        apart = [link for link in result["links"] if link["source_host"] != link["destination_host"]]
        assert {link["bytes"] for link in apart} == {len(source)}
        assert [link["encryption"] is not None for link in apart] == [encrypted] * len(apart)
        assert "stdout" not in result["stages"][2]
    assert (work / "local.1").read_bytes() == (work / "local.2").read_bytes() == source
    for name in ("checked", "network"):
        assert {branch["ok"] for branch in done.of(name).result["branches"]} == {None}
    assert done.of("checked").result["msg"].startswith("would run read on h1, change on h2, fan-out on h2, disk on h3")
    assert not list(work.glob("none.*"))


def losses(at: At) -> Play:
    """Each loss happens when the files of the others have been begun; the source ends after it."""

    def task(name: str, bad: Any, required: Any, host: str = "h3", source: str = "", **options: Any) -> dict[str, Any]:
        for path in (f"{name}.h2", f"{name}.h4"):
            (at.work / path).write_text(OLD, encoding="ascii")
        begun = " && ".join(f"ls -A {at.work} | grep -q '^\\.{name}\\.{file}\\.'" for file in ("h2", "h4"))
        wait = f"until {begun}; do sleep 0.05; done"
        gone = f"until [ -e {at.work}/{name}.gone ]; do sleep 0.05; done"
        read = f"head -c {SIZE} /dev/zero; {source or gone}; head -c {SIZE} /dev/zero"
        if bad is not None:
            bad = {"host": host, "name": "bad", **bad}
            bad["shell"] = f"head -c 1000 >/dev/null; {wait}; touch {at.work}/{name}.gone; {bad['shell']}"
        else:
            read = f"head -c {SIZE} /dev/zero; {wait}; {source}"
            bad = {"host": host, "name": "bad", "cmd": "cat"}
        good = [{"host": end, "name": end, "path": f"{at.work}/{name}.{end}"} for end in ("h2", "h4")]
        return {
            "name": name,
            **forked({"name": "source", "shell": read}, good[0], bad, good[1], required=required, **options),
        }

    fails, killed, ends = (
        {"shell": "echo full >&2; exit 1"},
        {"shell": "kill -9 $$"},
        {"shell": "kill -9 $PPID; sleep 60"},
    )
    return Play([
        task("fails", fails, 2),
        task("beside", fails, 2, host="h1"),
        task("killed", killed, 1),
        task("sealed", fails, 2, encryption="required"),
        task("end", ends, 2),
        task("all", fails, "all"),
        task("allend", ends, "all", encryption="required"),
        task("source", None, 1, source="echo broken >&2; exit 3"),
        task("early", {"shell": "exit 0", "early_exit": True}, "all"),
        task("unread", {"shell": "exit 0"}, 2),
        {"name": "late", **forked({"name": "source", "cmd": "echo all"},
                                  {"host": "h2", "name": "h2", "path": f"{at.work}/late"},
                                  {"host": "h3", "name": "bad", "shell": "cat >/dev/null; exit 4"})},
    ], ignore_errors=True)  # fmt: skip


@together(losses)
def test_a_branch_is_lost(done: Done, work: Path) -> None:
    """Without it the others go on if enough are left; otherwise none of them sees an end of file."""
    whole = {"fails", "beside", "killed", "sealed", "end", "early", "unread"}
    lost = {"fails": "h3", "beside": "h1", "killed": "h3", "sealed": "h3", "end": "h3", "unread": "h3"}
    for name in (*lost, "early"):
        outcome = done.of(name)
        assert (outcome.status, outcome.result["msg"]) == ("ok", "ok"), outcome.result
        branches = {branch["name"]: branch for branch in outcome.result["branches"]}
        assert [branches[each]["ok"] for each in ("h2", "bad", "h4")] == [True, name not in lost, True]
        if name in lost:
            assert branches["bad"]["cause"]["host"] == branches["bad"]["host"] == lost[name]
    kinds = {name: done.of(name).result["branches"][1]["cause"]["kind"] for name in lost}
    assert kinds == {**dict.fromkeys(("fails", "beside", "killed", "sealed"), "failed"), "end": "end",
                     "unread": "stopped reading"}  # fmt: skip
    for name, stage, host in (("all", "bad", "h3"), ("source", "source", "h1"), ("late", "bad", "h3")):
        outcome = done.of(name)
        cause = outcome.result["cause"]
        assert (outcome.status, cause["kind"], cause["stage"], cause["host"]) == ("failed", "failed", stage, host)
    assert (done.of("allend").status, done.of("allend").result["cause"]["host"]) == ("failed", "h3")
    for name in ("all", "allend", "source"):
        assert [branch["ok"] for branch in done.of(name).result["branches"]] == [False] * 3
    assert [branch["ok"] for branch in done.of("late").result["branches"]] == [True, False]
    assert (work / "late").read_text(encoding="ascii") == "all\n", "it cannot be undone"
    for path in work.glob("*.h[24]"):
        if path.stem in whole:
            assert path.read_bytes() == bytes(2 * SIZE), path
        else:
            assert path.read_text(encoding="ascii") == OLD, path
    assert not [path for path in work.iterdir() if path.name.startswith(".")], "temporary files"
    assert (
        "the branch bad on h3 failed, and the others went on (branches_required: 2): bad (/bin/sh) on h3" in done.output
    )


def refused(at: At) -> Play:
    mark = f"touch {at.work}/ran"
    return Play([
        {"name": "one", **forked(mark, {"host": "h2", "cmd": "cat"})},
        {"name": "many", **forked(mark, "cat", {"host": "h2", "cmd": "cat"}, required=3)},
        {"name": "unknown", **forked(mark, "cat", {"host": "h7", "cmd": "cat"}, required=1)},
        {"name": "gone", **forked(mark, "cat", {"host": "gone", "cmd": "cat"}, required=1)},
        {"name": "no command", **forked(mark, "cat", {"host": "h2", "cmd": "no-such-command"}, required=1)},
    ], ignore_errors=True, more={"gone": {"of": "h3", "ansible_port": 9}})  # fmt: skip


@together(refused)
def test_what_is_not_started(done: Done, work: Path) -> None:
    """All branches must be there at the start, however many are required."""
    found = {each.task: each.result for each in done.outcomes}
    assert found["one"]["msg"] == ("stages[1]: branches: give a list of two branches or more, each a list of stages")
    assert found["many"]["msg"] == "stages[1]: branches_required: 3 is neither all nor a number from 1 to 2"
    assert found["unknown"]["msg"] == "stages[1].branches[1][0]: host: there is no host 'h7' in the inventory"
    assert {name: result["cause"]["kind"] for name, result in found.items()} == {
        **dict.fromkeys(("one", "many", "unknown"), "options"), "gone": "unreachable", "no command": "refused"
    }  # fmt: skip
    assert not any(branch["ok"] for result in found.values() for branch in result.get("branches", ()))
    assert not (work / "ran").exists()
