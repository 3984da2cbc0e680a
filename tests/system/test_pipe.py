# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams through pipe tasks: what arrives, what each stage's status does, and every way to write a command."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .playbook import Done, pipe
from .together import At, Play, together
from .traces import SCRATCH

MIB = 1024 * 1024


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def census(top: Path) -> dict[str, tuple[int, str]]:
    """{path: (mode, contents or target)} of everything below a directory."""
    found = {}
    for path in sorted(top.rglob("*")):
        text = os.readlink(path) if path.is_symlink() else sha256(path) if path.is_file() else "directory"
        found[str(path.relative_to(top))] = (path.lstat().st_mode, text)
    return found


def tree(fleet: Fleet) -> Path:
    """Something to back up."""
    top = fleet.directory / "tree"
    if top.exists():
        return top
    for name in ("empty", "deep/er", "with space"):
        (top / name).mkdir(parents=True)
    (top / "deep" / "random").write_bytes(os.urandom(3 * MIB))
    (top / "deep" / "er" / "zero").write_bytes(bytes(2 * MIB))
    (top / "with space" / "naïve 名").write_text("x", encoding="utf-8")
    (top / "nothing").touch(mode=0o600)
    (top / "link").symlink_to("deep/random")
    (top / "deep" / "random").chmod(0o751)
    return top


# -- the three examples of the manual


def examples(at: At) -> Play:
    for name in ("restored", "restored2"):
        (at.work / name).mkdir()
    return Play(
        [
            pipe(input=f"tar cf - -C {tree(at.fleet)} .", remote=f"dd of={at.work}/tape obs=32k"),
            pipe(remote=f"dd if={at.work}/tape ibs=32k", output=f"tar xpf - -C {at.work}/restored"),
            pipe(input=f"tar cf - -C {tree(at.fleet)} .", remote="bzip2 -c", output=f"dd of={at.work}/tape2 obs=32k"),
            pipe(
                remote=f"dd if={at.work}/tape2 bs=32k",
                output=[{"cmd": "bzip2 -dc"}, {"cmd": f"tar xpf - -C {at.work}/restored2"}],
            ),
        ]
    )


@together(examples)
def test_the_manuals_examples(fleet: Fleet, work: Path, done: Done) -> None:
    backup, restore, compress, expand = done.results
    assert census(work / "restored") == census(work / "restored2") == census(tree(fleet))
    assert backup["bytes"] == restore["bytes"] == compress["links"][0]["bytes"] == (work / "tape").stat().st_size
    assert compress["bytes"] == expand["bytes"] == (work / "tape2").stat().st_size
    assert [(s["name"], s["host"], s["rc"]) for s in compress["stages"]] == [
        ("input", "localhost", 0),
        ("remote", "h1", 0),
        ("output", "localhost", 0),
    ]
    assert [(link["source_host"], link["destination_host"]) for link in compress["links"]] == [
        ("localhost", "h1"),
        ("h1", "localhost"),
    ]
    assert all(link["unread"] == 0 for result in done.results for link in result["links"])


HALF = 64 * MIB  # more than all buffers on the way together


def both_links(at: At) -> Play:
    seen = HALF - 4 * MIB  # full_reads may hold back the last of what has come
    look = f"ls {at.work} >{at.work}/list; touch {at.work}/seen"
    waiting = f"i=0; until [ -e {at.work}/seen ] || [ $i = 400 ]; do sleep 0.05; i=$((i+1)); done"
    return Play(
        [
            pipe(
                input={"shell": f"head -c {2 * HALF} /dev/zero && touch {at.work}/sent"},
                remote={"shell": f"head -c {HALF}; {waiting}; [ -e {at.work}/seen ] && cat"},
                output={"shell": f"head -c {seen} >/dev/null; {look}; cat >/dev/null"},
            )
        ]
    )


@together(both_links)
def test_both_links_carry_data_at_once(work: Path, done: Done) -> None:
    """The stage in the middle waits, with half of the stream behind it, until the last has seen that half."""
    assert (work / "list").read_text(encoding="utf-8").split() == ["list"], "the first link had ended before"
    assert [link["bytes"] for link in done.result["links"]] == [2 * HALF, 2 * HALF]


SIZES = [0, 1, 65536, 10 * MIB + 1]


def counted(at: At) -> Play:
    sources = [f"head -c {size} /dev/urandom" for size in SIZES]
    if at.params["direction"] == "input":
        tasks = [pipe(input=source, remote="wc -c") for source in sources]
    else:
        tasks = [pipe(remote=source, output="wc -c") for source in sources]
    return Play(tasks)


@pytest.mark.parametrize("direction", ["input", "output"])
@together(counted)
def test_byte_counts_are_exact(direction: str, done: Done) -> None:
    assert [result["bytes"] for result in done.results] == SIZES
    assert [result["links"][0]["bytes"] for result in done.results] == SIZES
    assert [int(result["stages"][1]["stdout"]) for result in done.results] == SIZES


# -- each status is judged


def failure(result: dict[str, Any]) -> tuple[Any, ...]:
    cause = result["cause"]
    assert cause["msg"] == result["msg"]
    return cause["kind"], cause.get("stage"), cause["host"], cause.get("rc"), cause["msg"]


def several(at: At) -> Play:
    dies = {"shell": "echo before the end >&2; exit 3"}
    return Play(
        [
            pipe(input=[dies, {"cmd": "zstd -q"}], remote=f"dd of={at.work}/never"),
            pipe(input=[{"cmd": "head -c 1M /dev/zero"}, dies], remote=f"tee {at.work}/some"),
            pipe(input="true", remote=[{"cmd": "cat"}, dies, {"cmd": "cat"}], output=f"tee {at.work}/never2"),
            pipe(remote="echo x", output=[{"cmd": "cat"}, {"shell": "cat; echo full >&2; exit 28"}]),
            pipe(
                input=[{"cmd": f"tar cf - -C {tree(at.fleet)} . missing"}, {"cmd": "zstd -q"}],
                remote="dd of=/dev/null",
            ),
            pipe(
                input=[{"argv": ["tar", "cf", "-", "-C", str(tree(at.fleet)), "."]}, {"cmd": "zstd -q"}],
                remote=f"dd of={at.work}/ok",
            ),
            pipe(remote=[{"cmd": f"cat {at.work}/ok"}, {"cmd": "zstd -dq"}, {"cmd": "tar tf -"}], output="sort"),
        ],
        ignore_errors=True,
    )


@together(several)
def test_each_stage_of_a_list_is_judged(work: Path, done: Done) -> None:
    first, second, third, fourth, real, good, listing = done.results
    said = "failed with exit status 3: before the end"
    assert failure(first) == ("failed", "input[0]", "localhost", 3, f"input[0] (/bin/sh) on localhost {said}")
    assert [stage["rc"] for stage in first["stages"]] == [3, None, None], "nothing behind a dead source is started"
    assert not (work / "never").exists() and not (work / "never2").exists()
    assert failure(second)[:4] == ("failed", "input[1]", "localhost", 3)
    assert failure(third) == ("failed", "remote[1]", "h1", 3, f"remote[1] (/bin/sh) on h1 {said}")
    assert failure(fourth)[:4] == ("failed", "output[1]", "localhost", 28)
    assert failure(real)[:4] == ("failed", "input[0]", "localhost", 2)
    why = "tar: missing: Cannot stat: No such file or directory"  # not tar's last line, which tells nothing
    assert real["msg"] == f"input[0] (tar) on localhost failed with exit status 2: {why}"
    assert good["cause"] is None and [stage["name"] for stage in good["stages"]] == ["input[0]", "input[1]", "remote"]
    assert "./deep/random\n" in listing["stages"][3]["stdout"]
    assert [link["source"] for link in listing["links"]] == ["remote[0]", "remote[1]", "remote[2]"]


@together(
    pipe(input="true", remote={"shell": "kill -TERM $$"}),
    pipe(input={"shell": "kill -KILL $$"}, remote="cat"),
    ignore_errors=True,
)
def test_a_command_that_a_signal_ends(done: Done) -> None:
    term, kill = done.results
    assert term["msg"] == "remote (/bin/sh) on h1 was killed by SIGTERM, with no output on standard error"
    assert (term["stages"][1]["rc"], term["stages"][1]["signal"]) == (-15, 15)
    assert kill["msg"].startswith("input (/bin/sh) on localhost was killed by SIGKILL")
    assert "out of memory" in kill["msg"] and kill["cause"]["rc"] == -9


SAID_THREE = {"shell": "echo data; exit 3"}


@together(
    pipe(input={**SAID_THREE, "ok_rc": [0, 1]}, remote="cat"),
    pipe(input={"cmd": "echo data", "ok_rc": [1]}, remote="cat"),
    pipe(input={**SAID_THREE, "ok_rc": [0, 3]}, remote="cat"),
    pipe(input={**SAID_THREE, "ok_rc": 3}, remote={"shell": "cat; exit 1", "ok_rc": ["1"]}),
    ignore_errors=True,
)
def test_ok_rc(done: Done) -> None:
    three, zero, good, both = done.results
    assert failure(three)[:4] == ("failed", "input", "localhost", 3)
    assert failure(zero)[:4] == ("failed", "input", "localhost", 0)
    assert good["cause"] is None and good["stages"][0]["rc"] == 3 and good["stages"][1]["stdout"] == "data\n"
    assert both["cause"] is None and [stage["rc"] for stage in both["stages"]] == [3, 1]


@together(
    pipe(input="seq 1 3000000", remote="head -n 1"),
    pipe(input="seq 1 3000000", remote="true"),
    pipe(remote="seq 1 3000000", output="head -n 1"),
    pipe(input="seq 1 3000000", remote={"cmd": "head -n 1", "early_exit": True}),
    pipe(input=[{"cmd": "cat /dev/zero"}, {"cmd": "cat"}], remote={"cmd": "head -c 7", "early_exit": True}),
    ignore_errors=True,
)
def test_a_reader_that_stops_early(done: Done) -> None:
    head, true, output, allowed, endless = done.results
    stopped = (
        r"stopped reading after (\d+) bytes with exit status 0, (\d+) left unread; "
        "if that is what you want, set early_exit for it"
    )
    for result, stage in (
        (head, r"remote \(head\) on h1"),
        (true, r"remote \(true\) on h1"),
        (output, r"output \(head\) on localhost"),
    ):
        found = re.fullmatch(f"{stage} {stopped}", result["msg"])
        assert found, result["msg"]
        consumed, left = int(found[1]), int(found[2])
        assert consumed == 0 if result is true else 0 < consumed <= 65536  # head reads a block at a time
        assert left > 0 and result["links"][0]["unread"] > 0
    assert failure(head)[:2] == ("stopped reading", "remote") and head["changed"]
    assert head["links"][0]["unread"] > 0
    assert allowed["cause"] is None and allowed["stages"][1]["stdout"] == "1\n"
    assert endless["cause"] is None and endless["stages"][2]["stdout"] == "\0" * 7


def padded(at: At) -> Play:
    return Play(
        [
            pipe(
                input=[{"cmd": f"tar cf - -C {tree(at.fleet)} nothing"}, {"shell": "cat; head -c 200000 /dev/zero"}],
                remote="tar tf -",
            )
        ]
    )


@together(padded)
def test_nul_padding_may_stay_unread(done: Done) -> None:
    """GNU tar stops reading at the end of the archive, not of the padded block: that is not stopping early."""
    assert done.result["stages"][2]["stdout"] == "nothing\n"
    assert done.result["links"][1]["padding"] > 0 and done.result["links"][1]["unread"] == 0


# -- ways to write a command


WORDS = ["sh", "-c", "printf '<%s>' \"$@\"", "sh", "a b", "c", ""]
FORMS: list[tuple[Any, str]] = [
    ("printf '<%s>' \"a  b\" 'c' d\\ e '|' '$HOME' '*'", "<a  b><c><d e><|><$HOME><*>"),
    (WORDS, "<a b><c><>"),
    (["printf", "<%s>", 1, 2.5, True], "<1><2.5><True>"),
    ({"cmd": "printf '<%s>' 'a b' ';' c"}, "<a b><;><c>"),
    ({"argv": WORDS}, "<a b><c><>"),
    ({"shell": "printf '<%s>' $((1 + 1)) && printf x >&2; printf '>'"}, "<2>>"),
    ([{"cmd": "echo ab"}, {"argv": ["tr", "a", "z"]}, {"shell": "cat; echo more"}], "zb\nmore\n"),
    ([{"cmd": "echo one"}], "one\n"),
]


@together(
    *(pipe(remote=form, output="cat") for form, _said in FORMS),
    *(pipe(input=form, remote="cat") for form, _said in FORMS),
    *(pipe(input="true", remote=form) for form, _said in FORMS[:-2]),
    pipe(input="true", remote="cat", output=["cat"]),
)
def test_forms_of_a_command(done: Done) -> None:
    said = [result["stages"][-1]["stdout"] for result in done.results]
    assert said == [text for _form, text in FORMS] * 2 + [text for _form, text in FORMS[:-2]] + [""]


def test_a_shell_pipeline_warns(fleet: Fleet) -> None:
    done = playbook.run(
        fleet,
        [
            pipe(
                input={"shell": "false | cat"},
                remote={"shell": "cat || true"},
                output={"shell": "bash -c 'set -o pipefail; cat | cat'"},
            ),
            pipe(input={"shell": "true"}, remote=[{"cmd": "cat"}, {"shell": "cat | cat"}]),
        ],
    )
    warnings = " ".join(done.output.split())
    assert "in a shell pipeline without pipefail a command that dies looks like a finished one" in warnings
    assert "give a list of commands instead, each with its own status" in warnings
    assert warnings.count("in a shell pipeline") == 2
    assert "input: in a shell" in warnings and "remote[1]: in a shell" in warnings


def placed(at: At) -> Play:
    (at.work / "there").mkdir()
    return Play(
        [
            pipe(input="true", remote={"cmd": "pwd", "chdir": f"{at.work}/nowhere"}),
            pipe(input={"cmd": "pwd", "chdir": f"{at.work}/nowhere"}, remote="cat"),
            pipe(
                input={
                    "shell": "pwd; echo $COLOUR-$HUE",
                    "chdir": f"{at.work}/there",
                    "environment": {"COLOUR": "rot"},
                },
                remote={
                    "shell": "cat; pwd; echo $COLOUR-$HUE",
                    "chdir": "/usr",
                    "environment": {"HUE": 5, "COLOUR": ""},
                },
            ),
            pipe(input="true", remote={"cmd": "./here", "chdir": str(at.work)}),
            pipe(input="true", remote={"cmd": "here", "environment": {"PATH": f"{at.work}:/bin"}}),
            # Python sets LC_CTYPE in the C locale (PEP 538): that is not the login's
            pipe(input="true", remote={"shell": "cat; env | grep LC_ || echo none"}),
        ],
        ignore_errors=True,
    )


@together(placed)
def test_chdir_and_environment(work: Path, done: Done) -> None:
    nowhere, nowhere2, good, relative, path, locale = done.results
    assert nowhere["msg"] == f"remote on h1: there is no directory '{work}/nowhere' to run it in"
    assert nowhere2["msg"] == f"input on localhost: there is no directory '{work}/nowhere' to run it in"
    assert not nowhere["changed"] and not nowhere2["changed"]
    assert good["stages"][1]["stdout"] == f"{work}/there\nrot-\n/usr\n-5\n"
    assert relative["msg"] == "remote on h1: there is no './here'"
    assert path["msg"] == f"remote on h1: there is no 'here' in PATH {work}:/bin"
    assert locale["stages"][1]["stdout"] == "none\n"


# -- creates, removes


HERE, THERE = f"{SCRATCH}/here", f"{SCRATCH}/there"


def skipping(at: At) -> Play:
    at.fleet.controller.run(["touch", HERE])
    at.fleet["h1"].run(["touch", THERE])
    ran = {"shell": f"touch {at.work}/ran; cat"}
    return Play(
        [
            pipe(input="echo x", remote={**ran, "creates": THERE}),
            pipe(input="echo x", remote={**ran, "creates": f"{SCRATCH}/th*e"}),
            pipe(input="echo x", remote={**ran, "removes": f"{SCRATCH}/?here/*"}),
            pipe(input="echo x", remote={**ran, "removes": HERE}),
            pipe(input={**ran, "creates": HERE}, remote="cat"),
            pipe(input={**ran, "removes": THERE}, remote="cat"),
            pipe(remote=ran, output={"cmd": "cat", "creates": HERE}),
            pipe(input=[{"cmd": "echo x"}, {**ran, "creates": "here", "chdir": SCRATCH}], remote="cat"),
            pipe(
                input={"cmd": "echo x", "removes": HERE, "creates": THERE},
                remote={"cmd": "cat", "removes": THERE, "creates": HERE},
            ),
        ]
    )


@together(skipping)
def test_creates_and_removes(work: Path, done: Done) -> None:
    assert not (work / "ran").exists()
    *skipped, ran_through = done.outcomes
    assert [outcome.status for outcome in skipped] == ["skipped"] * 8
    assert [outcome.result["msg"] for outcome in skipped] == [
        f"skipped, since remote: {THERE} exists",
        f"skipped, since remote: {SCRATCH}/th*e exists",
        f"skipped, since remote: {SCRATCH}/?here/* does not exist",
        f"skipped, since remote: {HERE} does not exist",
        f"skipped, since input: {HERE} exists",
        f"skipped, since input: {THERE} does not exist",
        f"skipped, since output: {HERE} exists",
        "skipped, since input[1]: here exists",
    ]
    assert ran_through.status == "ok" and ran_through.result["changed"]
    for outcome in skipped:
        assert outcome.result["changed"] is False
        assert outcome.result["cause"] is None and outcome.result["bytes"] is None
        assert all(stage["rc"] is None for stage in outcome.result["stages"])
        assert all(
            stage.keys() == full.keys()
            for stage, full in zip(outcome.result["stages"][:1], ran_through.result["stages"])
        )
        assert set(outcome.result) == set(ran_through.result)
        assert outcome.result["links"][0].keys() == ran_through.result["links"][0].keys()
    assert max(outcome.at - outcome.started for outcome in skipped) < 25, "the other end need not wait for its time"


# -- what a last stage says


def printing(at: At) -> Play:
    (at.work / "bytes").write_bytes(b"ol\xe9 \x00\x1b[31m \xe2\x82\xac\n")
    return Play(
        [
            pipe(input="head -c 65536 /dev/zero", remote=[{"cmd": "tr '\\0' x"}]),
            pipe(input="head -c 65537 /dev/zero", remote=[{"cmd": "tr '\\0' x"}]),
            pipe(remote="head -c 1000000 /dev/zero", output=[{"cmd": "tr '\\0' x"}, {"shell": "cat; echo END"}]),
            pipe(input=f"cat {at.work}/bytes", remote="cat"),
            pipe(input="echo nothing", remote=f"dd of={at.work}/file status=none"),
            pipe(input="echo abc", remote="sha256sum"),
        ]
    )


@together(printing)
def test_standard_output_of_the_last_stage(done: Done) -> None:
    whole, cut, local, odd, nothing, digest = [result["stages"][-1] for result in done.results]
    assert (whole["stdout"], whole["stdout_truncated"]) == ("x" * 65536, False)
    assert (cut["stdout"], cut["stdout_truncated"]) == ("x" * 65536, True)
    assert (local["stdout"], local["stdout_truncated"]) == ("x" * 65536, True)
    assert odd["stdout"] == "ol\ufffd \0\x1b[31m €\n"
    assert (nothing["stdout"], nothing["stdout_truncated"]) == ("", False)
    assert digest["stdout"] == hashlib.sha256(b"abc\n").hexdigest() + "  -\n"
    assert all("stdout" not in stage for result in done.results for stage in result["stages"][:-1])


@together(pipe(input="cat", remote="wc -c"), pipe(remote="cat", output="wc -c"))
def test_a_source_reads_nothing(done: Done) -> None:
    assert [result["stages"][1]["stdout"].strip() for result in done.results] == ["0", "0"]


# -- full_reads, rate_limit, congestion_control


PIECES = {"shell": "for i in 1 2 3 4 5 6 7 8; do head -c 4096 /dev/zero; sleep 0.1; done"}


@together(
    pipe(input=PIECES, remote="dd bs=32k of=/dev/null"),
    pipe(input=PIECES, remote="dd bs=32k of=/dev/null", full_reads=False),
    pipe(remote="head -c 50M /dev/zero", output="dd bs=32k of=/dev/null"),
)
def test_full_reads(done: Done) -> None:
    """`dd bs=32k` does not loop on read(2): the BUGS section of the original's manual."""
    whole, partial, big = [result["stages"][1]["stderr"].splitlines()[0] for result in done.results]
    assert whole == "1+0 records in"
    assert re.fullmatch(r"0\+[2-8] records in", partial), "pieces that are late may arrive together, all 8 cannot"
    assert big == "1600+0 records in"


@together(
    pipe(input="head -c 4M /dev/zero", remote="wc -c", rate_limit="2M"),
    pipe(remote="head -c 4M /dev/zero", output="wc -c", rate_limit=str(2 * MIB)),
    pipe(input="head -c 4M /dev/zero", remote="wc -c"),
)
def test_rate_limit(done: Done) -> None:
    limited, back, free = done.results
    assert limited["links"][0]["elapsed"] > 1 and back["links"][0]["elapsed"] > 1
    assert limited["links"][0]["rate"] < 4 * MIB < free["links"][0]["rate"]


SHOWN = "import os, socket; os.write(1, socket.socket(fileno=os.dup(1)).getsockopt(6, 13, 16).rstrip(b'\\0'))"
SHOW = {"argv": ["python3", "-c", SHOWN]}  # TCP_CONGESTION of its link


@together(
    pipe(input=SHOW, remote="cat", congestion_control="reno"),
    pipe(remote=SHOW, output="cat", congestion_control="reno"),
    pipe(input="cat /etc/passwd", remote="cat", congestion_control="none_such"),
    pipe(remote="cat /etc/passwd", output="cat", congestion_control="none_such", preflight=True),
    rc=2,
)
def test_congestion_control(done: Done) -> None:
    there, here, *refused = done.results
    assert [result["stages"][1]["stdout"] for result in (there, here)] == ["reno", "reno"]
    for result, stage, host in zip(refused, ("input", "remote"), ("localhost", "h1"), strict=True):
        text = f"{host}: congestion_control: the kernel there has no none_such; modprobe tcp_none_such may load it"
        assert text in result["msg"] and not result["changed"], result["msg"]
        assert all(each["rc"] is None for each in result.get("stages", [])), stage
