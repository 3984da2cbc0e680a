# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""End of file means success, and nothing else does: each rule on real ends, and what happens without it.

A rule is a function that makes a run and says whether the rule held.  It is asked
twice: of the program as it is, and of one in which the lines that make the rule
are changed (WITHOUT), where it must say no: so that the test would have noticed.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import processes
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import rules as rules_module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.patience import Patience
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.stage import Stage
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.tests.unit.ends import (
    ASLEEP,
    HASTY,
    KERNEL_TLS,
    LONG,
    RECORD,
    Change,
    Ends,
    alive,
    eventually,
    make_plan,
    parent_and_state,
    py,
    record,
    recorded,
    sh,
    signal_to,
    stage,
    started,
    written,
)

Launch = Callable[..., Ends]
Rule = Callable[[Launch, Path, tuple[Change, ...]], bool]
MEGA = 1 << 20

WRITE_FOREVER = "import os\nwhile True: os.write(1, b'x' * 65536)"
BREAKS = ("ECONNRESET", "ENOTCONN", "EPIPE", "EIO")  # how a broken link reads; never "eof"


def two(source: dict[str, Any], sink: dict[str, Any], **options: Any) -> Plan:
    return make_plan(("a", source), ("b", sink), **options)


def one_end(source: dict[str, Any], sink: dict[str, Any], **options: Any) -> Plan:
    return make_plan(("a", source), ("a", sink), **options)


WHERE = {"two hosts": two, "one host": one_end}
where = pytest.mark.parametrize("shape", WHERE.values(), ids=WHERE.keys())


def broken(path: Path) -> bool:
    """The recording sink has seen an error; it says so soon, or never."""
    return recorded(path)["how"] in BREAKS


@where
def test_a_stage_that_never_started_is_not_to_blame(launch: Launch, tmp_path: Path, shape: Callable[..., Plan]) -> None:
    """Its link was broken before it could: who broke it is."""
    plan = shape(sh("input", "exit 3"), sh("output", "touch %s/started; cat" % tmp_path))
    ends = launch(plan).wait()
    said = ends.stage("output")
    assert (said["started_at"], said["rc"], said["problem"], said["blame"]) == (None, None, None, [plan.links[0]["id"]])
    assert ends.cause()["stage"] == "input" and not (tmp_path / "started").exists()


def test_each_of_two_holders_in_succession_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What still reads, and, when that is gone, what still writes."""
    found: list[dict[int, tuple[str, str]]] = []
    monkeypatch.setattr(rules_module, "holders", lambda inodes, others: found.pop(0))
    decides, held = rules_module.Rules([], Patience()), list[bool]()
    judged = Stage({"name": "remote", "fds": {}, "argv": ["sh"], "ok_rc": [0]}, {})
    side = cast(Any, SimpleNamespace(inode=7))
    one, other = {5: ("cat", processes.HAS)}, {6: ("tee", processes.HAS)}
    for now, holding in ((0.0, one), (4.0, one), (6.0, {}), (7.0, other), (11.0, other)):
        found.append(holding)
        held.append(decides.held(judged, [side], now))
    assert (held, judged.problem) == ([True, True, False, True, True], None)
    found.append(other)
    assert decides.held(judged, [side], 7.0 + Patience().hold) is False
    assert judged.problem == {
        "kind": "held",
        "processes": [{"pid": 6, "name": "tee"}],
        "sure": True,
    }


# -- the rules that are also tried without the lines that make them


def failed_source_is_no_end_of_file(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    """It fails after its last byte: without an error the sink would keep a file that looks whole."""
    source = sh("input", "echo all; " + started(tmp_path / "seen") + "exit 1")
    launch(two(source, record("output", tmp_path / "seen")), changes).wait()
    return broken(tmp_path / "seen")


def failed_neighbour_is_no_end_of_file(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    """The same between two stages of one host, by a signal: a pipe would give a clean end."""
    source = sh("input", "echo all; " + started(tmp_path / "seen") + "kill -9 $$")
    ends = launch(one_end(source, record("output", tmp_path / "seen"), full_reads=True), changes)
    how = recorded(tmp_path / "seen")["how"]
    ends.wait()
    return how in BREAKS


def death_of_all_watchers_is_no_end_of_file(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    """End and guard are killed, then the source: nobody is left to reset the link but the kernel (linger)."""
    source = sh("input", "echo $$ > %s/pid; echo data; exec sleep 600" % tmp_path)
    ends = launch(two(source, record("output", tmp_path / "seen"), full_reads=False), changes)
    pid = int(written(tmp_path / "pid"))
    eventually((tmp_path / "seen.started").exists, "the sink has not started")
    guard, end = ends.guard("a"), ends.end("a")
    for process in (guard, end):
        os.kill(process, signal.SIGSTOP)
    for process in (guard, end):
        os.kill(process, signal.SIGKILL)
    signal_to(pid, signal.SIGKILL)
    return broken(tmp_path / "seen")


def dead_source_never_starts_the_sink(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    """`> file` truncates when it is opened: last week's backup must stay."""
    target = tmp_path / "target"
    target.write_text("last week")
    ends = launch(two(sh("input", "sleep 0.5; exit 1"), sh("output", "cat > %s" % target)), changes).wait()
    assert ends.cause()["stage"] == "input"
    return target.read_text() == "last week" and ends.stage("output")["started_at"] is None


LAST_WEEK = "last week"


def writers_end_dies(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> Ends:
    """A run whose sink truncates its file as it starts; ``changes`` end the writer's end before its stage runs."""
    target = tmp_path / "target"
    target.write_text(LAST_WEEK)
    source = sh("input", "sleep 1; echo this week")  # one whose guard has died is ended meanwhile
    return launch(two(source, sh("output", "cat > %s" % target)), changes).wait()


def dies_before(module: str, line: str, end: str, how: str = "os.kill(os.getpid(), 9)") -> Change:
    """The program of the writer's end dies as it comes to this line; ``end`` is an expression for the end's name."""
    indent = " " * (len(line) - len(line.lstrip()))
    return module, line, "%sif %s == 'a':\n%s    %s\n%s" % (indent, end, indent, how, line)


BEFORE_LINK = dies_before("main", "    sides, refused = make_sides(", 'plan["end"]')
# the moments of the writer's end between the reader's "taken" and the first byte of its stage
MOMENTS: dict[str, Change] = {
    "as it hears that the link is taken": dies_before("handshake", '        key.check(b"taken",', "'a'"),
    "as the handshake ends": dies_before("meeting", "        self.made[connection.link] =", 'self.plan["end"]'),
    "before the link is made": BEFORE_LINK,
    "before the guard is split off": dies_before("main", "        channel = split(", 'plan["end"]'),
    "as the end begins": dies_before("guard", "        ours.close()\n", "name"),
    "as the guard begins": dies_before("guard", "    theirs.close()\n", "name"),
    "by an error of ours": dies_before("main", "    sides, refused = make_sides(", 'plan["end"]', "raise KeyError"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_writers_end_dies_before_its_stage_runs(launch: Launch, tmp_path: Path, moment: str) -> None:
    """The reader has its link by then: it must see a reset, not a clean end, and never start its stage."""
    ends = writers_end_dies(launch, tmp_path, (MOMENTS[moment],))
    assert (tmp_path / "target").read_text() == LAST_WEEK
    report = ends.report("b")
    assert [side["state"] for side in report["links"]] == ["reset"]
    assert [each["started_at"] for each in report["stages"]] == [None]
    assert not ends.verdict().ok
    ends.gone()


def dead_writers_end_never_starts_the_sink(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    writers_end_dies(launch, tmp_path, (*changes, BEFORE_LINK))
    return (tmp_path / "target").read_text() == LAST_WEEK


def background_child_still_writes(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    """The shell is done, its child is not: the end of file must not come before the child's last byte."""
    plan = two(sh("input", "(sleep 1; echo late) & echo early"), record("output", tmp_path / "seen"))
    ends = launch(plan, changes).wait()
    return recorded(tmp_path / "seen")["bytes"] == len("early\nlate\n") and ends.verdict().ok


def reader_that_stops_is_not_ok(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    # later: when the end of file has come, so that the rule alone tells
    ends = launch(two(sh("input", "printf abcdef"), sh("output", "sleep 1; head -c 3 > /dev/null")), changes).wait()
    return not ends.verdict().ok


def end_killed_leaves_nothing(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    """kill -9 of the end: its guard ends the stages and all they have started."""
    source = sh("input", "setsid sh -c 'echo $$ > %s/pid; exec sleep 600' & %s" % (tmp_path, "sleep 600"))
    ends = launch(two(source, stage("output", ["cat"])), changes)
    pid = int(written(tmp_path / "pid"))
    os.kill(ends.end("a"), signal.SIGKILL)
    return dies(pid)


def guard_killed_leaves_nothing(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    """kill -9 of the guard: the end ends the stages and all they have started, orphans too."""
    orphan = "(setsid sh -c 'echo $$ > %s/pid; exec sleep 600' &); exec sleep 600" % tmp_path
    ends = launch(two(sh("input", orphan), stage("output", ["cat"])), changes, patience=HASTY)
    pid = int(written(tmp_path / "pid"))
    end = ends.end("a")
    # its parent, a subshell, is gone: it must have come to the end already
    eventually(lambda: parent_and_state(pid)[0] in (end, ends.guard("a"), 1), "not an orphan")
    os.kill(ends.guard("a"), signal.SIGKILL)
    return dies(pid)


def dies(pid: int, seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def lost_reader_ends_all(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    """The controller's ssh is gone: nobody waits for the result any more."""
    source = sh("input", "echo $$ > %s/pid; exec sleep 600" % tmp_path)
    ends = launch(two(source, stage("output", ["cat"])), changes, patience=HASTY)
    pid = int(written(tmp_path / "pid"))
    stdout = ends.processes["a"].stdout
    assert stdout is not None
    stdout.close()
    return dies(pid)


def stage_has_blocking_descriptors(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    code = "import fcntl, os, sys\nsys.exit(1 if fcntl.fcntl(%d, fcntl.F_GETFL) & os.O_NONBLOCK else 0)"
    ends = launch(two(py("input", code % 1), py("output", code % 0)), changes).wait()
    return ends.stage("input")["rc"] == 0 and ends.stage("output")["rc"] == 0


def survivor_is_ended_on_failure(launch: Launch, tmp_path: Path, changes: tuple[Change, ...]) -> bool:
    """What has left its session and its descriptors is still found."""
    orphan = "(setsid sh -c 'echo $$ > %s/pid; exec sleep 600' < /dev/null > /dev/null 2>&1 &)" % tmp_path
    wait = 'while [ ! -s "%s/pid" ]; do sleep 0.01; done; ' % tmp_path
    ends = launch(two(sh("input", "%s; %s exit 1" % (orphan, wait)), stage("output", ["cat"])), changes).wait()
    assert not ends.verdict().ok
    return not alive(int(written(tmp_path / "pid")))


NO_LINGER: tuple[Change, ...] = (
    ("dialler", "set_linger(self.sock, True)", "pass"),
    ("connect", "set_linger(sock, True)", "pass"),
)
RULES: dict[str, tuple[Rule, tuple[Change, ...]]] = {
    "a failed source is no end of file": (
        failed_source_is_no_end_of_file,
        (
            (
                "rules",
                "if stage.problem is not None:\n            self.break_links(stage)",
                "if False:\n            pass",
            ),
        ),
    ),
    "a failed neighbour is no end of file": (
        failed_neighbour_is_no_end_of_file,
        (("transport", 'reader.send(b"\\0")', "pass"),),
    ),
    "no waiting reads from a neighbour": (  # unix(7) loses the reset to a read that waits with a part of its bytes
        failed_neighbour_is_no_end_of_file,
        (
            (
                "link",
                "        if size and self.tcp:\n",
                "        if not self.tcp:\n            full_reads(self.sock, size)\n        if size and self.tcp:\n",
            ),
        ),
    ),
    "linger": (
        death_of_all_watchers_is_no_end_of_file,
        NO_LINGER,
    ),
    "linger from birth": (dead_writers_end_never_starts_the_sink, NO_LINGER),
    "readers start late": (
        dead_source_never_starts_the_sink,
        (("rules", "if not all(side.readable() for side in stage.ins):", "if False:"),),
    ),
    "commit when nobody can write any more": (
        background_child_still_writes,
        (("rules", "if stage.problem is None and writing and self.held(stage, stage.outs, now):", "if False:"),),
    ),
    "read to the end": (
        reader_that_stops_is_not_ok,
        (("rules", "if side.state == link.EOF and side.unread() == 0:", "if True:"),),
    ),
    "the guard": (
        end_killed_leaves_nothing,
        (("guard", "if said != DONE:", "if said == DONE:"),),
    ),
    "the end adopts too": (
        guard_killed_leaves_nothing,
        (("guard", "become_subreaper()  # so that", "pass  # so that"),),
    ),
    "the end watches its guard": (
        guard_killed_leaves_nothing,
        (("end", "if self.guard.fileno() in found and not self.rules.cancelled:", "if False:"),),
    ),
    "the end watches its own output": (
        lost_reader_ends_all,
        (("watch", "if seen & HANGUP:", "if seen and False:"),),
    ),
    "no O_NONBLOCK": (
        stage_has_blocking_descriptors,
        (("transport", "sock.setblocking(True)", "sock.setblocking(False)"),),
    ),
    "nothing lives on after a failure": (
        survivor_is_ended_on_failure,
        (("end", "if self.rules.failed() or any(side.state in link.BROKEN for side in self.sides):", "if False:"),),
    ),
}
rules = pytest.mark.parametrize("name", RULES)


@rules
def test_rule(launch: Launch, tmp_path: Path, name: str) -> None:
    assert RULES[name][0](launch, tmp_path, ())


@rules
def test_without_its_lines_the_rule_does_not_hold(
    launch: Launch, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule, changes = RULES[name]
    monkeypatch.setattr(sys.modules[__name__], "dies", lambda pid: dies_within(pid, 1.5))
    assert not rule(launch, tmp_path, changes)


dies_within = dies


HALF_CLOSE = """
import os, socket, sys
socket.socket(fileno=os.dup(0)).shutdown(socket.SHUT_WR)
count = 0
while True:
    chunk = os.read(0, 65536)
    if not chunk:
        break
    count += len(chunk)
print(count)
"""


@pytest.mark.parametrize("size", [0, 100, 3 * MEGA])
def test_a_reader_that_shuts_its_own_sending_side(launch: Launch, tmp_path: Path, size: int) -> None:
    """It does so before the end of file arrives; afterwards the end may take it for a reset, if it looks too late."""
    shut = tmp_path / "shut"
    script = "head -c %d /dev/zero" % size
    if size:  # else the sink starts after the end of file
        script += "; while [ ! -e %s ]; do sleep 0.01; done" % shut
    sink = HALF_CLOSE.replace("count = 0", "open(%r, 'w').close(); count = 0" % str(shut))
    ends = launch(two(sh("input", script), py("output", sink))).wait().ok()
    assert ends.stage("output")["stdout"] == "%d\n" % size


def test_a_failed_source_of_a_reader_that_shuts_its_own_sending_side(launch: Launch, tmp_path: Path) -> None:
    script = "echo; while [ ! -e %s/seen ]; do sleep 0.01; done; exit 3" % tmp_path
    sink = HALF_CLOSE.replace("count = 0", "open('%s/seen', 'w').close(); count = 0" % tmp_path)
    ends = launch(two(sh("input", script), py("output", sink))).wait()
    assert ends.cause()["stage"] == "input" and ends.side("input", "R")["state"] == "reset"


@where
@pytest.mark.parametrize("early", [True, False])
def test_who_writes_to_a_reader_that_has_gone_gets_sigpipe(
    launch: Launch, shape: Callable[..., Plan], early: bool
) -> None:
    """As in a shell: it ends without a word about a connection."""
    sink = sh("output", "head -c 10 > /dev/null" + ("" if early else "; exit 3"), early_exit=early)
    ends = launch(shape(stage("input", ["dd", "if=/dev/zero", "bs=64k", "status=none"]), sink)).wait()
    assert (ends.stage("input")["rc"], ends.stage("input")["stderr"]) == (-signal.SIGPIPE, "")
    assert ends.verdict().ok == early
    ends.gone()


# 4faeee0cf8a5, for a stage on this side that says by a file that it sleeps
BUSY = """def busy(fd: int, *rest: "Any") -> int:
    from .processes import descendants
    from ctypes import set_errno

    if any(os.path.exists("%s/" + str(pid)) for pid in descendants(os.getpid())):
        set_errno(errno.EBUSY)
        return -1
    return int(c_connect(fd, *rest))


def disconnect("""


# the kernel's TLS tells the other host by an alert, whose end then resets the link: a stage has its usual time
PATIENT = HASTY if KERNEL_TLS else {"reset": 600.0}


def sleeper(tmp_path: Path) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """A stage that sleeps, and a kernel that resets no link while it does."""
    changes = (
        ("kernel", "def disconnect(", BUSY % tmp_path),
        ("kernel", "if c_connect(", "if busy("),
    )
    return sh("remote", "echo; touch %s/$$; exec sleep 600" % tmp_path), changes


def test_a_kernel_that_resets_nothing_somebody_sleeps_in(launch: Launch, tmp_path: Path) -> None:
    """The stage is ended for it at once, which lets the reset through; and the cause stays the true one."""
    sleeping, changes = sleeper(tmp_path)
    fails = 'echo; while [ -z "$(ls %s)" ]; do sleep 0.01; done; exit 3' % tmp_path
    ends = launch(
        make_plan(("b", sh("input", fails)), ("a", sleeping), ("b", stage("output", ["cat"]))),
        changes,
        patience=PATIENT,
    ).wait()
    assert ends.cause()["rc"] == 3
    assert ends.side("remote", "R")["state"] == "reset" and ends.stage("remote")["rc"] == -15
    ends.gone()


def test_a_guard_that_may_reset_nothing_somebody_sleeps_in(launch: Launch, tmp_path: Path) -> None:
    """It ends the stage first."""
    sleeping, changes = sleeper(tmp_path)
    ends = launch(make_plan(("a", sleeping), ("b", stage("output", ["cat"]))), changes, patience=PATIENT)
    eventually(lambda: list(tmp_path.iterdir()), "it does not sleep")
    os.kill(ends.end("a"), signal.SIGKILL)
    ends.wait()
    assert next(side["state"] for side in ends.report("b")["links"]) == "reset"
    assert ends.report("a")["died"]["signal"] == "SIGKILL"
    ends.gone()


def ended_in_error(ends: Ends, seen: Path) -> bool:
    """Whether a sink whose own end has broken its link saw an error, and no end.

    On a link that the kernel encrypts it may see nothing: its reads cannot be broken from this side, so it is killed.
    """
    if KERNEL_TLS and len(ends.names) > 1 and not seen.exists():
        return ends.stage("output")["signal"] in (signal.SIGTERM, signal.SIGKILL)
    return recorded(seen)["how"] in BREAKS


@where
def test_a_reader_of_an_end_that_is_stopped_sees_no_end(
    launch: Launch, shape: Callable[..., Plan], tmp_path: Path
) -> None:
    """It may ignore SIGTERM, or be quicker than that."""
    seen = tmp_path / "seen"
    sink = py("output", "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + RECORD, seen, 3)
    ends = launch(shape(sh("input", "echo data; exec sleep 600"), sink), patience=HASTY)
    eventually((tmp_path / "seen.started").exists, "the sink has not started")
    os.kill(ends.end(ends.names[-1]), signal.SIGTERM)
    ends.wait()
    assert ended_in_error(ends, seen)
    ends.gone()


@pytest.mark.parametrize("early", [True, False])
def test_what_a_reader_has_left_behind_sees_no_end(launch: Launch, tmp_path: Path, early: bool) -> None:
    """It still reads when the stage that started it has failed, or has left early."""
    seen = tmp_path / "seen"
    behind = "exec 3<&0; %s -IS -c '%s' %s 3 <&3 & exec 3<&-; %s exit %d"
    script = behind % (sys.executable, RECORD.replace("'", '"'), seen, started(seen), 0 if early else 3)
    ends = launch(two(sh("input", "echo data; exec sleep 600"), sh("output", script, early_exit=early)), patience=HASTY)
    ends.wait().gone()
    assert not seen.exists() or recorded(seen)["how"] in BREAKS  # it may have been ended before it could say so


BORN = "assert %s or signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())\n"


def test_a_child_is_born_with_its_signals_blocked(launch: Launch) -> None:
    """Python drops a signal that comes between fork(2) and its own first steps in the child: an end ran on for ever."""
    changes = [
        (module, line, line + indent + BORN % name)
        for module, line, indent, name in (
            ("guard", "        pid = os.fork()\n", " " * 8, "pid"),
            ("spawn", "        pid = os.fork()\n", " " * 8, "pid"),
        )
    ]
    launch(two(sh("input", "echo"), sh("output", "cat")), changes).wait().ok()


# -- a stage fails


def failing(where_: str, how: str, seen: Path) -> str:
    """A shell script of a stage that fails once the sink runs."""
    return started(seen) + how


@where
@pytest.mark.parametrize("how", ["exit 1", "kill -9 $$", "kill -TERM $$", "exit 255"])
@pytest.mark.parametrize("status", [0, 3], ids=["sink exits 0 all the same", "sink fails too"])
def test_source_fails(launch: Launch, tmp_path: Path, shape: Callable[..., Plan], how: str, status: int) -> None:
    """The verdict comes from the links, not from the sink's status (dd conv=noerror, sh's read, perl exit 0)."""
    seen = tmp_path / "seen"
    source = sh("input", "head -c 100000 /dev/zero; " + started(seen) + how)
    ends = launch(shape(source, record("output", seen, status))).wait()
    assert recorded(seen)["how"] in BREAKS
    assert ends.cause()["stage"] == "input"
    sink = ends.stage("output")
    assert sink["rc"] == status and sink["blame"] == [ends.plan.links[0]["id"]]
    assert ends.side("input", "R")["state"] in ("reset", "aborted")
    ends.gone()


@pytest.mark.parametrize("ends_of", ["aba", "abc", "aab", "abb", "aaa"])
def test_middle_is_killed(launch: Launch, tmp_path: Path, ends_of: str) -> None:
    """Both neighbours are victims, whichever of them shares its host."""
    seen = tmp_path / "seen"
    middle = started(seen) + "kill -9 $$"
    plan = make_plan(
        (ends_of[0], py("input", WRITE_FOREVER)),
        (ends_of[1], sh("remote", "head -c 100000; " + middle)),
        (ends_of[2], record("output", seen)),
    )
    ends = launch(plan).wait()
    assert recorded(seen)["how"] in BREAKS
    cause = ends.cause()
    assert (cause["stage"], cause["rc"]) == ("remote", -9)
    assert "was killed by SIGKILL" in cause["msg"] and "out of memory" in cause["msg"]
    first = ends.stage("input")
    assert first["rc"] != 0 and first["blame"] == [plan.links[0]["id"]]
    assert ends.stage("output")["blame"] == [plan.links[1]["id"]]
    ends.gone()


@where
@pytest.mark.parametrize("how", ["exit 1", "kill -9 $$"])
def test_sink_fails(launch: Launch, tmp_path: Path, shape: Callable[..., Plan], how: str) -> None:
    """The source's SIGPIPE is a consequence."""
    plan = shape(py("input", WRITE_FOREVER), sh("output", "head -c 100000 > /dev/null; echo full >&2; " + how))
    ends = launch(plan).wait()
    cause = ends.cause()
    assert cause["stage"] == "output" and ": full" in cause["msg"]
    source = ends.stage("input")
    assert source["rc"] != 0 and source["blame"] == [plan.links[0]["id"]]
    assert ends.side("input", "W")["state"] == "reset"
    ends.gone()


def test_a_source_that_fails_by_itself_while_its_sink_fails(launch: Launch, tmp_path: Path) -> None:
    """Whoever is first: with nothing broken when it failed, it is the cause; the other follows."""
    plan = two(sh("input", "echo; " + started(tmp_path / "seen") + "exit 4"), record("output", tmp_path / "seen", 5))
    ends = launch(plan).wait()
    assert ends.cause()["stage"] == "input"


READ_EXACTLY = """
import os, sys
left = int(sys.argv[1])
while left:
    left -= len(os.read(0, left))
"""


@where
@pytest.mark.parametrize("count", [0, 1, 100_000])
def test_sink_stops_reading(launch: Launch, tmp_path: Path, shape: Callable[..., Plan], count: int) -> None:
    """Exit status 0 with bytes unread is a failure, and says how many were read."""
    plan = shape(sh("input", "yes | head -c 500000"), py("output", READ_EXACTLY, count))
    ends = launch(plan, patience=HASTY).wait()
    cause = ends.cause()
    assert (cause["kind"], cause["stage"], cause["rc"]) == ("stopped reading", "output", 0)
    assert "early_exit" in cause["msg"] and "with exit status 0" in cause["msg"]
    assert "left unread" in cause["msg"] or "had not ended" in cause["msg"]
    if shape is two:
        assert " after %d bytes " % count in cause["msg"]
    ends.gone()


def test_sink_stops_reading_while_nothing_comes(launch: Launch, tmp_path: Path) -> None:
    plan = two(sh("input", "echo data; sleep 600"), sh("output", "read line"), full_reads=False)
    cause = launch(plan, patience=HASTY).wait().cause()
    assert cause["stage"] == "output" and "its input had not ended" in cause["msg"]


def test_what_is_left_unread_is_told_exactly(launch: Launch, tmp_path: Path) -> None:
    ends = launch(two(sh("input", "yes | head -c 70000"), py("output", READ_EXACTLY, 10_000)), patience=HASTY).wait()
    side = ends.side("input", "R")
    assert (side["bytes"], side["unread"]) == (70_000, 60_000)
    assert "after 10000 bytes" in ends.cause()["msg"] and "60000 left unread" in ends.cause()["msg"]


PADDING = {
    "none": (b"", True),
    "one": (b"\0", True),
    "a tape record": (b"\0" * 10240, True),
    "more than a record": (b"\0" * 10241, False),
    "many": (b"\0" * 3_000_000, False),
    "data": (b"x", False),
    "data after NUL": (b"\0" * 100_000 + b"x", False),
}


@where
@pytest.mark.parametrize("name", PADDING)
def test_padding_need_not_be_read(launch: Launch, tmp_path: Path, shape: Callable[..., Plan], name: str) -> None:
    """GNU tar stops at its end mark and leaves the rest of the last record, which is NUL."""
    rest, ok = PADDING[name]
    (tmp_path / "data").write_bytes(b"abc" + rest)
    ends = launch(shape(stage("input", ["cat", str(tmp_path / "data")]), py("output", READ_EXACTLY, 3))).wait()
    assert ends.verdict().ok is ok, ends.output
    if ok and shape is two:
        side = ends.side("input", "R")
        assert (side["bytes"], side["padding"], side["unread"]) == (3 + len(rest), len(rest), 0)


def test_tar_leaves_padding(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("content")
    (tmp_path / "out").mkdir()
    source = stage("input", ["tar", "-C", str(tmp_path), "-b", "2048", "-cf", "-", "tree"])
    launch(two(source, stage("output", ["tar", "-C", str(tmp_path / "out"), "-xf", "-"]))).wait().ok()
    assert (tmp_path / "out" / "tree" / "file").read_text() == "content"


@where
@pytest.mark.parametrize("rest", [1, 500, 50_000_000])
def test_what_dd_leaves_is_data(launch: Launch, shape: Callable[..., Plan], rest: int) -> None:
    """The rest of a disk image is often NUL."""
    image = sh("input", "echo image; head -c 507 /dev/zero; head -c %d /dev/zero" % (rest - 1))
    ends = launch(shape(image, stage("output", ["dd", "of=/dev/null", "bs=512", "count=1"])), patience=HASTY).wait()
    assert ends.cause()["kind"] == "stopped reading", ends.cause()


# -- early_exit


@pytest.mark.parametrize("ends_of", ["ab", "aa", "aba", "abc", "aab", "abb", "aaa", "abca"])
def test_early_exit_excuses_all_before_it(launch: Launch, tmp_path: Path, ends_of: str) -> None:
    stages = [(ends_of[0], stage("first", ["yes"]))]
    stages += [(end, stage("cat%d" % number, ["cat"])) for number, end in enumerate(ends_of[1:-1])]
    stages += [(ends_of[-1], stage("last", ["head", "-n", "2"], early_exit=True))]
    ends = launch(make_plan(*stages)).wait().ok()
    assert ends.stage("last")["stdout"] == "y\ny\n"
    ends.gone()


def test_early_exit_is_no_excuse_for_a_failure(launch: Launch, tmp_path: Path) -> None:
    plan = two(stage("input", ["yes"]), sh("output", "head -n 2; exit 1", early_exit=True))
    assert launch(plan).wait().cause()["stage"] == "output"


def test_early_exit_does_not_excuse_a_source_that_failed_before(launch: Launch, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    sink = record("output", seen, 0)
    sink["early_exit"] = True
    ends = launch(two(sh("input", "echo; " + started(seen) + "exit 3"), sink)).wait()
    assert ends.cause()["stage"] == "input"


def test_early_exit_of_the_middle(launch: Launch, tmp_path: Path) -> None:
    """`tar | head -c 1M | sha256sum`: what comes before is excused, what comes after must be whole."""
    plan = make_plan(
        ("a", stage("input", ["yes"])),
        ("b", stage("remote", ["head", "-c", "100000"], early_exit=True)),
        ("a", record("output", tmp_path / "seen")),
    )
    launch(plan).wait().ok()
    assert recorded(tmp_path / "seen")["bytes"] == 100_000


def test_early_exit_that_reads_it_all(launch: Launch, tmp_path: Path) -> None:
    launch(two(sh("input", "echo data"), stage("output", ["cat"], early_exit=True))).wait().ok()


# -- late start


@where
@pytest.mark.parametrize("how", ["exit 1", "kill -9 $$"])
def test_a_dead_source_starts_nobody(launch: Launch, tmp_path: Path, shape: Callable[..., Plan], how: str) -> None:
    (tmp_path / "target").write_text("last week")
    ends = launch(shape(sh("input", how), sh("output", "cat > %s/target" % tmp_path))).wait()
    assert (tmp_path / "target").read_text() == "last week"
    assert ends.cause()["stage"] == "input"
    sink = ends.stage("output")
    assert (sink["started_at"], sink["rc"], sink["elapsed"]) == (None, None, None)


@where
def test_an_empty_source_starts_its_sink(launch: Launch, tmp_path: Path, shape: Callable[..., Plan]) -> None:
    (tmp_path / "target").write_text("last week")
    launch(shape(sh("input", "exit 0"), sh("output", "cat > %s/target" % tmp_path))).wait().ok()
    assert (tmp_path / "target").read_text() == ""


@where
def test_the_first_byte_starts_the_sink(launch: Launch, tmp_path: Path, shape: Callable[..., Plan]) -> None:
    """Even with full reads: one byte is enough to start."""
    plan = shape(sh("input", "printf x; " + started(tmp_path / "seen")), record("output", tmp_path / "seen"))
    launch(plan).wait().ok()


# -- what a stage leaves running


@where
def test_a_child_that_keeps_the_link_is_named(launch: Launch, tmp_path: Path, shape: Callable[..., Plan]) -> None:
    source = sh("input", "sleep 600 & %s; echo $! > %s/pid; echo data" % (ASLEEP, tmp_path))
    ends = launch(shape(source, record("output", tmp_path / "seen")), patience=HASTY).wait()
    cause = ends.cause()
    pid = int(written(tmp_path / "pid"))
    assert (cause["kind"], cause["stage"]) == ("held", "input")
    assert "sleep (pid %d)" % pid in cause["msg"]
    assert not alive(pid) and {"pid": pid, "name": "sleep"} in ends.report("a")["killed"]
    if shape is two:
        assert recorded(tmp_path / "seen")["how"] in BREAKS
    else:  # a socketpair cannot be broken while a process holds it: the sink is ended instead
        assert ends.stage("output")["signal"] == signal.SIGTERM
    ends.gone()


KEEP = "exec 3<&0; (%s) <&3 3<&- & "  # a shell gives its background children /dev/null, unless they are told


@where
def test_a_child_of_a_reader_that_keeps_the_link_is_named(
    launch: Launch, tmp_path: Path, shape: Callable[..., Plan]
) -> None:
    """It may still read: whether all was read cannot be said."""
    sink = sh("output", "read line; " + KEEP % "exec sleep 600" + "echo $! > %s/pid; %s" % (tmp_path, ASLEEP))
    ends = launch(shape(sh("input", "echo one; echo two"), sink), patience=HASTY).wait()
    cause = ends.cause()
    assert (cause["kind"], cause["stage"]) == ("held", "output")
    assert "sleep (pid %s)" % written(tmp_path / "pid").strip() in cause["msg"]
    ends.gone()


@where
def test_a_child_of_a_reader_that_reads_the_rest_in_time(
    launch: Launch, tmp_path: Path, shape: Callable[..., Plan]
) -> None:
    sink = sh("output", "read line; " + KEEP % ("sleep 0.5; cat > %s/rest" % tmp_path))
    launch(shape(sh("input", "echo one; echo two"), sink)).wait().ok()
    assert (tmp_path / "rest").read_text() == "two\n"


@where
def test_a_child_of_a_reader_that_has_nothing_left_to_read(
    launch: Launch, tmp_path: Path, shape: Callable[..., Plan]
) -> None:
    """All was read and the end has come: who still holds the socket can do no harm."""
    sink = sh("output", "cat; " + KEEP % "exec sleep 600" + "echo $! > %s/pid; %s" % (tmp_path, ASLEEP))
    ends = launch(shape(sh("input", "echo one; echo two"), sink)).wait().ok()
    name = "b" if shape is two else "a"
    assert ends.report(name)["left"] == [{"pid": int(written(tmp_path / "pid")), "name": "sleep"}]


@where
def test_a_child_that_ends_in_time(launch: Launch, tmp_path: Path, shape: Callable[..., Plan]) -> None:
    plan = shape(sh("input", "(sleep 1; echo late) & echo early"), record("output", tmp_path / "seen"))
    launch(plan).wait().ok()
    assert recorded(tmp_path / "seen")["bytes"] == len("early\nlate\n")


@where
@pytest.mark.parametrize("stderr", ["2>&1", ""], ids=["closed all", "keeps its standard error"])
def test_a_child_without_the_link_is_left_alone(
    launch: Launch, tmp_path: Path, shape: Callable[..., Plan], stderr: str
) -> None:
    """An agent, or the master of ssh's ControlPersist: as with `command`, it stays, and is named."""
    sleeps = "sleep 600 < /dev/null > /dev/null %s & %s" % (stderr, ASLEEP)
    source = sh("input", "%s; echo $! > %s/pid; echo data" % (sleeps, tmp_path))
    ends = launch(shape(source, stage("output", ["cat"])))
    ends.wait().ok()
    pid = int(written(tmp_path / "pid"))
    assert alive(pid)
    assert ends.report("a")["left"] == [{"pid": pid, "name": "sleep"}]
    assert ends.report("a")["killed"] == []
    assert ends.running() == [pid]


def test_a_child_that_ignores_sigterm_is_killed_on_failure(launch: Launch, tmp_path: Path) -> None:
    child = "trap '' TERM; sleep 600 & echo $! > %s/pid; " % tmp_path
    ends = launch(two(sh("input", child + "exit 1"), stage("output", ["cat"]))).wait()
    pid = int(written(tmp_path / "pid"))
    assert not alive(pid)
    assert ends.cause()["stage"] == "input" and ends.report("a")["left"] == []
    ends.gone()


# -- a stage that does not notice


@where
def test_a_stage_that_does_not_notice_is_ended(launch: Launch, tmp_path: Path, shape: Callable[..., Plan]) -> None:
    """It neither reads nor writes: its broken link says nothing to it."""
    seen = tmp_path / "seen"
    sink = sh("output", "touch %s.started; exec sleep 600" % seen)
    ends = launch(shape(sh("input", "echo; " + started(seen) + "exit 3"), sink), patience=HASTY).wait()
    assert ends.stage("output")["rc"] == -15
    assert ends.cause()["stage"] == "input"
    ends.gone()


@where
def test_a_stage_that_ignores_sigterm_is_killed(launch: Launch, tmp_path: Path, shape: Callable[..., Plan]) -> None:
    seen = tmp_path / "seen"
    script = "trap '' TERM; touch %s.started; while :; do sleep 600; done" % seen
    ends = launch(shape(sh("input", "echo; " + started(seen) + "exit 3"), sh("output", script)), patience=HASTY).wait()
    assert ends.stage("output")["rc"] == -9
    assert ends.cause()["stage"] == "input"
    assert any(each["name"] == "/bin/sh" for each in ends.report("b" if "b" in ends.names else "a")["killed"])
    ends.gone()


def test_a_stage_that_has_children_is_ended_with_them(launch: Launch, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    sink = sh("output", "(setsid sleep 600 &) ; sleep 600 & touch %s.started; wait" % seen)
    launch(two(sh("input", "echo; " + started(seen) + "exit 3"), sink), patience=HASTY).wait().gone()


def test_standard_error_without_end_holds_nothing_up(launch: Launch, tmp_path: Path) -> None:
    """A stage that floods its standard error must not keep the end from its other work."""
    source = sh("input", "echo; yes flood >&2 & yes flood >&2")
    ends = launch(two(source, sh("output", "read line; exit 1"), full_reads=False), patience=HASTY)
    ends.wait(40)
    assert ends.cause()["stage"] == "output"
    assert len(ends.stage("input")["stderr"]) > 1000
    ends.gone()


# -- the end, the guard, the controller


def watched(launch: Launch, tmp_path: Path, shape: Callable[..., Plan] = two) -> Ends:
    """A run in full flow, with a grandchild that has left its session and still holds the link."""
    source = f"(setsid sleep 600 & {ASLEEP}); exec " + " ".join(
        [sys.executable, "-IS", "-c", '"import os\nwhile True: os.write(1, bytes(65536))"']
    )
    ends = launch(shape(sh("input", source), record("output", tmp_path / "seen")), patience=HASTY)
    eventually((tmp_path / "seen.started").exists, "the sink has not started")
    return ends


def test_end_killed(launch: Launch, tmp_path: Path) -> None:
    """The guard resets the link at once, kills everything, and reports in the end's place."""
    ends = watched(launch, tmp_path)
    os.kill(ends.end("a"), signal.SIGKILL)
    ends.wait()
    assert recorded(tmp_path / "seen")["how"] in BREAKS
    report = ends.report("a")
    assert report["died"] == {"kind": "signal", "signal": "SIGKILL"} and report["left"] == []
    assert any(each["name"] == "sleep" for each in report["killed"])
    cause = ends.cause()
    assert (cause["kind"], cause["host"]) == ("end", "host-a") and "SIGKILL" in cause["msg"]
    ends.gone()


def test_end_and_guard_killed_together(launch: Launch, tmp_path: Path) -> None:
    """By somebody's pkill, for example: a stage that neither reads nor writes would sleep on for ever."""
    source = sh("input", "echo $$ > %s/pid; echo data; exec sleep 600" % tmp_path)
    ends = launch(two(source, record("output", tmp_path / "seen"), full_reads=False))
    pid = int(written(tmp_path / "pid"))
    eventually((tmp_path / "seen.started").exists, "the sink has not started")
    both = [ends.guard("a"), ends.end("a")]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # so that neither hears of the other's death
        for process in both:
            os.kill(process, number)
    eventually(lambda: not alive(pid), "the source lives on")
    ends.wait()
    assert recorded(tmp_path / "seen")["how"] in BREAKS
    ends.gone()


def test_readers_end_killed(launch: Launch, tmp_path: Path) -> None:
    ends = watched(launch, tmp_path)
    os.kill(ends.end("b"), signal.SIGKILL)
    ends.wait()
    assert ends.report("b")["died"] and ends.cause()["host"] == "host-b"
    assert ends.stage("input")["blame"] == [ends.plan.links[0]["id"]]
    ends.gone()


def test_an_error_of_ours_is_no_end_of_file_and_is_told(launch: Launch, tmp_path: Path) -> None:
    """The end fails by itself, in the middle of a run: as good as killed, and it says why."""
    wrong = 'stall = self.spec[1] if self.spec["side"] == "W" and self.moved_at < now - 1 else 0'
    changes = (("pulse", 'stall = self.spec.get("stall_timeout") or 0', wrong),)
    plan = two(sh("input", "echo data; sleep 600"), record("output", tmp_path / "seen"))
    ends = launch(plan, changes, patience=HASTY).wait()
    report = ends.report("a")
    assert report["died"]["kind"] == "error" and report["died"]["error"].startswith("KeyError") and report["left"] == []
    assert "an error in socketpipe itself" in ends.cause()["msg"]
    assert recorded(tmp_path / "seen")["how"] in BREAKS
    ends.gone()


@pytest.mark.parametrize("name", ["a", "b"])
def test_guard_killed(launch: Launch, tmp_path: Path, name: str) -> None:
    ends = watched(launch, tmp_path)
    os.kill(ends.guard(name), signal.SIGKILL)
    ends.wait()
    if name == "a":
        assert recorded(tmp_path / "seen")["how"] in BREAKS
    report = ends.report(name)
    assert report["cancelled"] == {"kind": "guard"} and report["left"] == []
    assert ends.cause()["host"] == "host-" + name
    assert not ends.errors[name]
    ends.gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("who", ["end", "guard"])
def test_signals_end_the_run(launch: Launch, tmp_path: Path, who: str, number: signal.Signals) -> None:
    """Whoever of the two gets it: an error downstream, a report, nothing left."""
    ends = watched(launch, tmp_path)
    os.kill(getattr(ends, who)("a"), number)
    ends.wait()
    assert recorded(tmp_path / "seen")["how"] in BREAKS
    report = ends.report("a")
    assert report["cancelled"] == {"kind": "signal", "signal": number.name}
    assert not report["left"]
    assert ends.cause()["host"] == "host-a" and number.name in ends.cause()["msg"]
    ends.gone()


@pytest.mark.parametrize("name", ["a", "b"])
def test_nobody_listens_any_more(launch: Launch, tmp_path: Path, name: str) -> None:
    """ssh is gone: all of this end goes, and takes the other along."""
    ends = watched(launch, tmp_path)
    stdout = ends.processes[name].stdout
    assert stdout is not None
    stdout.close()
    ends.wait()
    if name == "a":
        assert recorded(tmp_path / "seen")["how"] in BREAKS
    ends.gone()


def test_nobody_listens_any_more_on_one_host(launch: Launch, tmp_path: Path) -> None:
    ends = watched(launch, tmp_path, one_end)
    stdout = ends.processes["a"].stdout
    assert stdout is not None
    stdout.close()
    ends.wait().gone()


@where
def test_signal_while_stages_ignore_everything(launch: Launch, tmp_path: Path, shape: Callable[..., Plan]) -> None:
    script = "trap '' TERM INT HUP; echo; touch %s/%s; while :; do sleep 600; done"
    plan = shape(sh("input", script % (tmp_path, "one")), sh("output", script % (tmp_path, "two")), full_reads=False)
    ends = launch(plan, patience=HASTY)
    eventually(lambda: len(list(tmp_path.iterdir())) == 2, "not started")
    for name in ends.names:
        os.kill(ends.end(name), signal.SIGTERM)
    ends.wait()
    assert [ends.stage(name)["rc"] for name in ("input", "output")] == [-9, -9]
    ends.gone()


def cpu(pid: int) -> float:
    """Seconds that a process has used so far."""
    fields = Path("/proc/%d/stat" % pid).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_waiting_costs_nothing(launch: Launch, tmp_path: Path) -> None:
    """Ended while it waits for a stage that ignores SIGTERM: it still sleeps until SIGKILL is due."""
    seen = tmp_path / "seen"
    sink = sh("output", "trap 'touch %s.term' TERM; touch %s.started; while :; do sleep 0.1; done" % (seen, seen))
    ends = launch(two(sh("input", "echo; " + started(seen) + "exit 3"), sink), patience={"reset": 0.2, "term": 3.0})
    eventually(Path("%s.term" % seen).exists, "no SIGTERM")
    end = ends.end("b")
    os.kill(end, signal.SIGTERM)
    before = cpu(end)
    time.sleep(1.5)
    assert cpu(end) - before < 0.3
    ends.wait().gone()
    assert ends.stage("output")["rc"] == -9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_before_the_links_are_made(launch: Launch, tmp_path: Path, number: signal.Signals) -> None:
    ends = launch(two(sh("input", "echo"), stage("output", ["cat"])), only=["a"])
    time.sleep(0.5)  # it listens and dials
    os.kill(ends.guard("a"), number)
    ends.wait(20)
    assert ends.report("a")["cancelled"] == {"kind": "signal", "signal": number.name}
    cause = ends.verdict().cause
    assert cause is not None
    ends.gone()


def test_nobody_listens_before_the_links_are_made(launch: Launch, tmp_path: Path) -> None:
    ends = launch(two(sh("input", "echo"), stage("output", ["cat"])), only=["a"])
    time.sleep(0.5)
    stdout = ends.processes["a"].stdout
    assert stdout is not None
    stdout.close()
    ends.gone()


def test_stall_timeout(launch: Launch, tmp_path: Path) -> None:
    plan = two(sh("input", "echo data; sleep 600"), record("output", tmp_path / "seen"), stall_timeout=1)
    ends = launch(plan, patience=HASTY).wait()
    cause = ends.cause()
    assert cause["kind"] == "stalled" and cause["link"] == plan.links[0]["id"]
    assert "no byte moved for 1 s (stall_timeout)" in cause["msg"]
    assert "host-a" in cause["msg"] and "host-b" in cause["msg"]
    assert ended_in_error(ends, tmp_path / "seen")
    ends.gone()


def test_an_idle_link_without_a_stall_timeout_lives(launch: Launch, tmp_path: Path) -> None:
    plan = two(sh("input", "echo data; sleep 4"), stage("output", ["cat"]), dead_peer=3)
    launch(plan, patience=HASTY).wait().ok()


def test_three_runs_at_once_do_not_meet(launch: Launch, tmp_path: Path) -> None:
    runs = []
    for number in range(3):
        plan = two(sh("input", "echo %d" % number), stage("output", ["cat"]), ports=[29001, 29002, 29003, 29004])
        runs.append(launch(plan))
    for number, ends in enumerate(runs):
        assert ends.wait(LONG).ok().stage("output")["stdout"] == "%d\n" % number
