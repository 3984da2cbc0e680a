# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pipeline: a chain of commands over any hosts."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .conftest import make_fleet
from .playbook import Done
from .together import At, Play, together

PIPELINE = "plumbing.socketpipe.pipeline"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Five hosts and a controller; h4 and h5 cannot connect to each other."""
    for made in make_fleet(["h1", "h2", "h3", "h4", "h5"], tmp_path_factory.mktemp("fleet")):
        made["h4"].block("both", "reject", peer=made["h5"])
        yield made


def pipeline(*stages: Any, **options: Any) -> dict[str, Any]:
    """A task; names with an underscore are its own keywords."""
    task = {key[1:]: value for key, value in options.items() if key.startswith("_")}
    own = {key: value for key, value in options.items() if not key.startswith("_")}
    return {**task, PIPELINE: {"stages": [*stages], **own}}


# -- chains


def numbers(at: At) -> Path:
    """A file whose lines all differ, of 3 MB."""
    path = at.work / "source"
    path.write_text("".join(f"line {number}\n" for number in range(250_000)), encoding="ascii")
    path.chmod(0o604)
    return path


def chains(at: At) -> Play:
    source = numbers(at)
    cat = f"cat {source}"
    h2, h3 = {"host": "h2", "cmd": "tr i I"}, {"host": "h3", "cmd": "tr n N"}
    there = f"tee {at.work}"
    return Play([
        {"name": "three", **pipeline(cat, h2, {**h3, "name": "last"}, {"host": "h3", "cmd": f"{there}/three"})},
        {"name": "back", **pipeline(cat, h2, "tr n N", f"{there}/back")},
        {"name": "twice", **pipeline(cat, h2, "cat", {"host": "h2", "cmd": "tr n N"}, f"{there}/twice")},
        {"name": "local", **pipeline(cat, "tr i I", "tr n N", ["tee", f"{at.work}/local"])},
        {"name": "controller", **pipeline({"host": "localhost", "cmd": cat}, h2, h3,
                                          {"host": "localhost", "cmd": f"{there}/controller"})},
        {"name": "files", **pipeline({"path": str(source)}, h2, h3, {"host": "h2", "path": f"{at.work}/files"})},
        {"name": "sealed", **pipeline({"path": str(source)}, h2, h3, {"path": f"{at.work}/sealed"},
                                      encryption="required")},
        {"name": "elsewhere", **pipeline({"host": "h2", "cmd": cat}, {**h3, "cmd": "tr in IN"},
                                         {"host": "localhost", "cmd": f"{there}/elsewhere"})},
    ], keywords={"module_defaults": {"group/plumbing.socketpipe.all": {"fact": True}}})  # fmt: skip


HOSTS = {
    "three": ["h1", "h2", "h3", "h3"],
    "back": ["h1", "h2", "h1", "h1"],
    "twice": ["h1", "h2", "h1", "h2", "h1"],
    "local": ["h1", "h1", "h1", "h1"],
    "controller": ["localhost", "h2", "h3", "localhost"],
    "files": ["h1", "h2", "h3", "h2"],
    "sealed": ["h1", "h2", "h3", "h1"],
    "elsewhere": ["h2", "h3", "localhost"],
}


@together(chains)
def test_the_data_arrives(done: Done, work: Path) -> None:
    """Over links and socket pairs, through two to five stages, back to a host and to the same host twice."""
    content = (work / "source").read_bytes()
    expected = content.translate(bytes.maketrans(b"in", b"IN"))
    for name, hosts in HOSTS.items():
        result = done.of(name).result
        assert (result["msg"], result["changed"], result["cause"]) == ("ok", True, None)
        assert [stage["host"] for stage in result["stages"]] == hosts
        assert (work / name).read_bytes() == expected, name
        links = result["links"]
        assert [(link["source_host"], link["destination_host"]) for link in links] == list(zip(hosts, hosts[1:]))
        apart = [one != other for one, other in zip(hosts, hosts[1:])]
        assert [link["bytes"] for link in links] == [len(content) if each else None for each in apart]
        assert result["bytes"] == (len(content) if any(apart) else None)
        fact = result["ansible_facts"]["socketpipe"]
        assert set(fact["rc"].values()) == {0} and "peer" not in fact
        connections = {(link["source_address"], link["destination_address"]) for link in links} - {("", "")}
        assert len(connections) == sum(apart), "each link has its own"
    assert [stage["name"] for stage in done.of("three").result["stages"]] == [
        *("stages[0]", "stages[1]", "last", "stages[3]")
    ]
    assert [link["encryption"] is not None for link in done.of("sealed").result["links"]] == [True] * 3
    assert (work / "files").stat().st_mode & 0o777 == 0o644, "as the umask of the writer allows"
    assert sorted(path.name for path in work.iterdir()) == sorted(["source", *HOSTS])


# -- failures

OLD = "the old file\n"
COPY = {"cmd": "cat"}


def guarded(at: At, name: str) -> str:
    """The last command: it leaves a mark when it starts, and another at an end of file."""
    return f"touch {at.work}/{name}.started; cat >/dev/null && touch {at.work}/{name}.ended"


def five(at: At, name: str, stages: dict[int, dict[str, Any]], **options: Any) -> dict[str, Any]:
    """A chain over five hosts that has begun to flow when a stage fails, with other ``stages`` at some places."""
    wait = f"while [ ! -e {at.work}/{name}.started ]; do sleep 0.05; done"
    chain: list[dict[str, Any]] = [
        {"host": "h1", "name": "source", "shell": f"echo data; {wait}; exec cat /dev/zero"},
        {"host": "h2", "name": "second", **COPY},
        {"host": "h3", "name": "third", **COPY},
        {"host": "h2", "name": "fourth", **COPY},
        {"host": "h4", "name": "sink", "shell": guarded(at, name)},
    ]
    given = [
        {**{key: value for key, value in stage.items() if number not in stages or key in ("host", "name")},
         **stages.get(number, {})}
        for number, stage in enumerate(chain)
    ]  # fmt: skip
    return {"name": name, **pipeline(*given, **options)}


def failures(at: At) -> Play:
    for each in ("kept", "late"):
        (at.work / each).write_text(OLD, encoding="ascii")
    (at.work / "source").write_text("data\n", encoding="ascii")

    def after(name: str, what: str) -> dict[str, Any]:
        """A stage that passes on what comes, and does this when the sink has started."""
        wait = f"while [ ! -e {at.work}/{name}.started ]; do sleep 0.05; done"
        return {"shell": f"head -c 5; {wait}; {what}"}

    source = {"shell": f"echo data; {after('first', 'echo broken >&2; exit 3')['shell'].partition('; ')[2]}"}
    written = {"host": "h3", "path": f"{at.work}/kept", "name": "sink"}
    begun = f"ls -A {at.work} | grep -q '^\\.kept\\.'"  # its temporary file
    dies = {"shell": f"head -c 5; until {begun}; do sleep 0.05; done; kill -9 $$"}
    return Play([
        five(at, "first", {0: source}),
        five(at, "middle", {2: after("middle", "kill -9 $$")}),
        five(at, "last", {4: {"shell": "head -c 5 >/dev/null; echo full >&2; exit 1"}}),
        five(at, "early", {4: {"cmd": "head -c 5"}}),
        {"name": "written", **pipeline({"host": "h1", "shell": "echo data; exec cat /dev/zero"},
                                       {"host": "h2", "name": "killer", **dies}, written)},
        {"name": "allowed", **pipeline({"host": "h1", "cmd": "yes"}, {"host": "h2", **COPY},
                                       {"host": "h3", "cmd": "head -c 5", "early_exit": True})},
        {"name": "no command", **pipeline({"host": "h1", "shell": f"touch {at.work}/ran"},
                                          {"host": "h2", "cmd": "no-such-command"}, {"host": "h3", **COPY})},
    ], ignore_errors=True)  # fmt: skip


@together(failures)
def test_a_failure_goes_down_the_chain(done: Done, work: Path) -> None:
    """Whoever fails, no stage after it sees an end of file, and the cause names it."""
    causes = {each.task: each.result["cause"] for each in done.outcomes if each.status == "failed"}
    assert {name: (cause["kind"], cause["stage"], cause["host"]) for name, cause in causes.items()} == {
        "first": ("failed", "source", "h1"),
        "middle": ("failed", "third", "h3"),
        "last": ("failed", "sink", "h4"),
        "early": ("stopped reading", "sink", "h4"),
        "written": ("failed", "killer", "h2"),
        "no command": ("refused", "stages[1]", "h2"),
    }
    assert causes["first"]["msg"] == "source (/bin/sh) on h1 failed with exit status 3: broken"
    assert "third (/bin/sh) on h3 was killed by SIGKILL" in causes["middle"]["msg"]
    assert not list(work.glob("*.ended")), "an end of file"
    assert {path.name for path in work.glob("*.started")} == {"first.started", "middle.started"}
    assert (work / "kept").read_text(encoding="ascii") == OLD
    assert not list(work.glob(".*")) and not (work / "ran").exists()
    assert (done.of("allowed").status, done.of("allowed").result["stages"][2]["stdout"]) == ("ok", "y\ny\ny")
    started = [each.result["changed"] for each in done.outcomes if each.task != "no command"]
    assert all(started) and not done.of("no command").result["changed"]


def files(at: At) -> Play:
    (at.work / "old").write_text(OLD, encoding="ascii")
    (at.work / "old").chmod(0o4600)
    (at.work / "link").symlink_to("old")
    (at.work / "loop").symlink_to("loop")
    (at.work / "source").write_text("data\n", encoding="ascii")
    source = {"path": f"{at.work}/source"}
    grows = f"head -c 1 >/dev/null; echo more >>{at.work}/growing; cat"
    (at.work / "growing").write_bytes(b"x" * 100_000_000)
    cases: dict[str, list[Any]] = {
        "no source": [{"path": f"{at.work}/none"}, {"host": "h2", **COPY}],
        "a directory": [{"path": str(at.work)}, {"host": "h2", **COPY}],
        "a device": [{"path": "/dev/zero"}, {"host": "h2", **COPY}],
        "no directory": [source, {"host": "h2", "path": f"{at.work}/none/x"}],
        "to a directory": [source, {"host": "h2", "path": str(at.work)}],
        "to a slash": [source, {"host": "h2", "path": f"{at.work}/x/"}],
        "to a device": [source, {"host": "h2", "path": "/dev/null"}],
        "to a loop": [source, {"host": "h2", "path": f"{at.work}/loop"}],
        "growing": [{"path": f"{at.work}/growing"}, {"host": "h2", "shell": grows},
                    {"host": "h3", "path": f"{at.work}/copy"}],
        "through a link": [source, {"host": "h2", "cmd": "tr d D"}, {"host": "h3", "path": f"{at.work}/link"}],
        "empty": ["true", {"host": "h2", "path": f"{at.work}/empty"}],
        "exists": [source, {"host": "h2", "path": f"{at.work}/link", "creates": f"{at.work}/old"}],
    }  # fmt: skip
    tasks = [{"name": name, **pipeline(*stages)} for name, stages in cases.items()]
    return Play(tasks, ignore_errors=True)


@together(files)
def test_files(done: Done, work: Path) -> None:
    """What cannot be read or written says so, and leaves what is there."""
    only = "path is for regular files; for anything else give a command, such as dd or tar"
    read, write = (
        "stages[0] (read) on h1 failed with exit status 1: ",
        "stages[1] (write) on h2 failed with exit status 1: ",
    )
    assert {each.task: each.result["msg"] for each in done.outcomes if each.status == "failed"} == {
        "no source": f"{read}there is no file {work}/none",
        "a directory": f"{read}{work} is a directory: {only}",
        "a device": f"{read}/dev/zero is a device: {only}",
        "no directory": f"{write}there is no directory {work}/none: create it first",
        "to a directory": f"{write}{work} is a directory: {only}",
        "to a slash": f"{write}{work}/x/ is not the name of a file",
        "to a device": f"{write}/dev/null is a device: {only}",
        "to a loop": f"{write}{work}/loop is a loop of symbolic links",
        "growing": f"{read}{work}/growing changed while it was read (size 100000000, now 100000005): stop what writes "
        "to it, or transfer a snapshot",
    }
    assert (work / "link").is_symlink() and (work / "old").read_text(encoding="ascii") == "Data\n"
    assert (work / "old").stat().st_mode & 0o7777 == 0o4600, "as that of the old file"
    assert (work / "empty").read_bytes() == b""
    assert done.of("exists").status == "skipped"
    assert sorted(path.name for path in work.iterdir()) == ["empty", "growing", "link", "loop", "old", "source"]


# -- hosts that cannot be reached


def unreachable(at: At) -> Play:
    mark = {"shell": f"touch {at.work}/ran; cat"}
    rescued: dict[str, Any] = {
        "when": "inventory_hostname == 'gone'",
        "block": [{"name": "own", **pipeline(mark, {"host": "h2", **mark})}],
        "rescue": [{"name": "rescued", "ansible.builtin.debug": {"msg": ""}}],
    }
    return Play([
        {"name": "other", "run_once": True, **pipeline({"host": "h1", **mark}, {"host": "gone", **mark},
                                                       {"host": "h2", **mark})},
        {"name": "checked", "run_once": True, "check_mode": True, **pipeline(mark, {"host": "gone", **mark})},
        rescued,
        {"name": "next", "ansible.builtin.debug": {"msg": ""}},
    ], hosts="gone:h1:h2", rc=None, more={"gone": {"of": "h3", "ansible_port": 9}})  # fmt: skip


@together(unreachable)
def test_an_unreachable_host(done: Done, work: Path) -> None:
    """A failure like any other, also of the task's own host, so that run_once does not end the play for all."""
    for name in ("other", "own"):
        outcome = next(each for each in done.outcomes if each.task == name and each.status != "skipped")
        cause = outcome.result["cause"]
        assert (outcome.status, cause["kind"], cause["host"]) == ("failed", "unreachable", "gone")
        assert cause["msg"].startswith("no end could be started on gone: ") and not outcome.result["changed"]
    assert done.of("rescued", "gone").status == "ok"
    assert {each.host for each in done.outcomes if each.task == "next" and each.status == "ok"} == {"gone", "h1", "h2"}
    checked = done.of("checked").result
    assert (checked["changed"], checked["msg"]) == (True, "would run stages[0] on gone, stages[1] on gone")
    assert not (work / "ran").exists()


# -- plans that nobody could connect, or that are none


def refused(at: At) -> Play:
    mark = f"touch {at.work}/ran"
    cases: dict[str, dict[str, Any]] = {
        "unknown": pipeline(mark, {"host": "h7", **COPY}),
        "one": pipeline(mark),
        "twice": pipeline({"name": "x", "cmd": mark}, {"host": "h2", "name": "x", **COPY}),
        "no become": pipeline(mark, {"host": "h2", "become_user": "backup1", **COPY}),
        "deaf": pipeline({"host": "h1", "cmd": mark}, {"host": "deaf2", **COPY}, {"host": "deaf3", **COPY}),
        "option": pipeline(mark, {"host": "h2", **COPY}, peer="h2"),
        "seconds": pipeline(mark, {"host": "h2", **COPY}, dead_peer=1),
        "async": pipeline(mark, {"host": "h2", **COPY}, _async=60, _poll=5, preflight=True),
        "home": pipeline({"host": "h2", "cmd": mark}, {"host": "deaf3", **COPY}, _async=60, _delegate_to="deaf2"),
    }
    more = {f"deaf{number}": {"of": f"h{number}", "socketpipe_listen": False} for number in (2, 3)}
    return Play([{"name": name, **task} for name, task in cases.items()], more=more, ignore_errors=True)


@together(refused)
def test_what_is_refused(done: Done, work: Path) -> None:
    """One sentence each, before anything starts."""
    found = {each.task: each.result["msg"] for each in done.outcomes}
    assert "Unsupported parameters" in found.pop("option")
    assert found == {
        "unknown": "stages[1]: host: there is no host 'h7' in the inventory",
        "one": "stages: a pipeline has two stages or more, and this is one: for a command alone, use "
        "ansible.builtin.command",
        "twice": "stages[1]: name: 'x' is already the name of stages[0]",
        "no become": "stages[1]: become_user needs become: true",
        "async": "preflight: it starts nothing, so leave out async",
        "home": "neither of deaf2 and deaf3 may listen: set socketpipe_listen to true for one of them",
        "deaf": "neither of deaf3 and deaf2 may listen: set socketpipe_listen to true for one of them",
        "seconds": "dead_peer: must be at least 6 seconds, or 0 to disable it, not 1",
    }
    for each in done.outcomes:
        assert (each.status, each.result["changed"], each.result["cause"]["kind"]) == ("failed", False, "options")
    assert not (work / "ran").exists()


# -- the network


def network(at: At) -> Play:
    def chain(*hosts: str) -> list[Any]:
        return [{"host": host, "shell": f"touch {at.work}/ran; cat"} for host in hosts]

    return Play([
        {"name": "apart", **pipeline(*chain("h1", "h4", "h5", "h2"), connect_timeout=4)},
        {"name": "checked", **pipeline(*chain("h1", "h4", "h5", "h2"), preflight=True, connect_timeout=4)},
        {"name": "joined", **pipeline(*chain("h1", "h4", "h2", "h5", "h2"), preflight=True)},
        {"name": "alone", **pipeline(*chain("h1", "h1"), preflight=True)},
        {"name": "would", "check_mode": True, **pipeline(*chain("h1", "h4"), preflight=True)},
        {"name": "kernel", **pipeline(*chain("h1", "h2", "h3"), encryption="kernel")},
        {"name": "python", **pipeline(*chain("h1", "pythonless", "h2"))},
        {"name": "relay", **pipeline(*chain("h1", "h4", "h2"), preflight=True, encryption="relay")},
    ], ignore_errors=True, more={
        "pythonless": {"of": "h3", "ansible_python_interpreter": "/no/such/python"},
    })  # fmt: skip


@together(network)
def test_the_network(done: Done, work: Path) -> None:
    """A link that cannot be made is named; a preflight finds it beforehand."""
    apart = done.of("apart").result["cause"]
    assert (apart["kind"], apart["link"]) == ("not connected", "stages[1] → stages[2]")
    assert apart["msg"].startswith(
        "no connection between h4 and h5 for the link stages[1] → stages[2] within 4 s (connect_timeout). "
    )
    assert "Try the variables socketpipe_address (addresses to dial), socketpipe_ports" in apart["msg"]
    checked = done.of("checked").result
    assert (done.of("checked").status, checked["cause"]["kind"], checked["changed"]) == (
        *("failed", "not connected", False),
    )
    assert checked["msg"].startswith("neither of h4 and h5 can reach the other. ")
    ways = {(tried["from"], tried["to"]) for tried in checked["preflight"] if tried["ok"]}
    assert {frozenset(way) for way in ways} == {frozenset(("h1", "h4")), frozenset(("h5", "h2"))}
    joined = done.of("joined").result
    assert {(tried["from"], tried["to"]) for tried in joined["preflight"] if tried["ok"]} == {
        *(("h1", "h4"), ("h4", "h1"), ("h4", "h2"), ("h2", "h4"), ("h2", "h5"), ("h5", "h2"))
    }
    assert done.of("joined").status == "ok" and [host["host"] for host in joined["encryption"]["hosts"]] == [
        *("h1", "h4", "h2", "h5")
    ]
    assert done.of("alone").result["msg"].startswith("no network is needed; ")
    assert done.of("would").result["msg"] == "would check the network between the hosts of each link"
    assert done.of("kernel").result["cause"]["kind"] == "refused"
    assert "its links are to be encrypted by the kernel" in done.of("kernel").result["msg"]
    python = done.of("python").result["cause"]
    assert (python["kind"], python["host"]) == ("no python", "pythonless")
    assert done.of("relay").result["encryption"]["how"] == "relay"
    assert not (work / "ran").exists()


# -- users, environments and other keywords


WHO = {"shell": "cat; echo $(id -un) ${LEVEL:-none}"}


def users(at: At) -> Play:
    first = {"shell": "echo $(id -un) ${LEVEL:-none}"}
    backup1, backup2 = ({**WHO, "become": True, "become_user": f"backup{number}"} for number in (1, 2))
    su = {"_become_method": "su"}
    return Play([
        {"name": "users", **pipeline(first, {"host": "su2", **backup1}, {"host": "su2", **backup2},
                                     {"host": "su2", **WHO}, backup2, {"host": "becomes", **WHO},
                                     {"host": "becomes", "become": False, **WHO},
                                     _environment={"LEVEL": "task"}, **su)},
        {"name": "task", **pipeline(first, {**WHO, "become": False}, {"host": "su2", **WHO},
                                    {**WHO, "become": True, "become_user": "backup1", "environment": {"LEVEL": "own"}},
                                    WHO, _become=True, _become_user="backup1", _environment={"LEVEL": "task"}, **su)},
        {"name": "delegated", **pipeline(first, {"host": "su1", **WHO}, WHO, {"host": "localhost", **WHO},
                                         _delegate_to="su2", _environment={"LEVEL": "task"})},
    ], hosts="su1", more={
        "su1": {"of": "h1", "ansible_become_method": "su"},
        "su2": {"of": "h2", "ansible_become_method": "su"},
        "becomes": {"of": "h3", "ansible_become": True, "ansible_become_method": "su",
                    "ansible_become_user": "backup2"},
    })  # fmt: skip


@together(users)
def test_users(done: Done) -> None:
    """Two users of one host are two ends; become and environment of the task are for its host."""
    found = {each.task: each.result["stages"][-1]["stdout"].splitlines() for each in done.outcomes}
    assert found["users"] == [
        *("root task", "backup1 none", "backup2 none", "root none", "backup2 task", "backup2 none", "root none")
    ]
    assert found["task"] == ["backup1 task", "root task", "root none", "backup1 own", "backup1 task"]
    assert found["delegated"] == ["root task", "root none", "root task", "root none"]
    links = done.of("users").result["links"]
    assert all(link["bytes"] for link in links), "each user is an end of its own"
    within = [link for link in links if link["source_host"] == link["destination_host"] == "su2"]
    assert len(within) == 2, "two users of one host are joined by a connection"
    for link in within:
        assert link["source_address"].rpartition(":")[0] == link["destination_address"].rpartition(":")[0] != ""
    assert [stage["host"] for stage in done.of("delegated").result["stages"]] == ["su2", "su1", "su2", "localhost"]


def keywords(at: At) -> Play:
    word = "VERYSECRET"
    dest = {"host": "h3", "path": f"{at.work}/{{{{ inventory_hostname }}}}"}
    return Play([
        {"name": "each", **pipeline(
            {"cmd": "echo from {{ inventory_hostname }}"}, {"host": "h2", **COPY}, dest, fact=True)},
        {"name": "once", "run_once": True, **pipeline(
            {"host": "h1", "cmd": "echo {{ hostvars['h2'].inventory_hostname }}"}, {"host": "h3", **COPY})},
        {"name": "hidden", "no_log": True, **pipeline(f"echo {word}", {"host": "h2", **COPY}, fact=True)},
        {"name": "failed", "no_log": True, **pipeline(
            f"echo {word}", {"host": "h2", "name": "x", "shell": f"cat; echo {word} >&2; exit 3"})},
        {"name": "renamed", "run_once": True, **pipeline({"host": "h1", "cmd": "true"}, {"host": "h3", **COPY},
                                                         fact="mine")},
        {"name": "script", "run_once": True, **pipeline(
            {"host": "h1", "cmd": "echo data"}, {"host": "h3", "script": f"{at.work}/script.py D"})},
    ], hosts="h1:h2", rc=None, ignore_errors=True) if script(at) else Play()  # fmt: skip


def script(at: At) -> bool:
    (at.work / "script.py").write_text("import sys\nprint(sys.argv[1] + sys.stdin.read()[1:])\n", encoding="ascii")
    return True


@together(keywords)
def test_keywords(done: Done, work: Path) -> None:
    assert {name: (work / name).read_text(encoding="ascii") for name in ("h1", "h2")} == {
        name: f"from {name}\n" for name in ("h1", "h2")
    }
    assert done.of("each", "h2").result["ansible_facts"]["socketpipe"]["ok"]
    assert (done.of("once").host, done.of("once").result["stages"][1]["stdout"]) == ("h1", "h2\n")
    assert list(done.of("renamed").result["ansible_facts"]) == ["mine"]
    assert done.of("script").result["stages"][1]["stdout"] == "Data\n\n"
    assert "VERYSECRET" not in done.output
    for host in ("h1", "h2"):
        assert done.of("hidden", host).status == "ok" and "ansible_facts" not in done.of("hidden", host).result
        assert done.of("failed", host).status == "failed"


def batches(at: At) -> Play:
    chain: list[Any] = [{"host": "h3", "cmd": "echo data"}, {"host": "h2", "shell": f"cat >>{at.work}/count"}]
    first = {"when": "inventory_hostname == ansible_play_hosts_all[0]"}
    return Play([
        {"name": "each batch", "run_once": True, **pipeline(*chain)},
        {"name": "first batch", **first, **pipeline(*chain)},
    ], hosts="h1:h2", keywords={"serial": 1})  # fmt: skip


@together(batches)
def test_serial(done: Done, work: Path) -> None:
    """run_once is once a batch, as for every task; the condition in the examples is once."""
    ran = [(each.task, each.host) for each in done.outcomes if each.status == "ok"]
    assert ran == [("each batch", "h1"), ("first batch", "h1"), ("each batch", "h2")]
    assert (work / "count").read_text(encoding="ascii") == "data\n" * 3


def slow(at: At) -> Play:
    data = {"host": "localhost", "cmd": "head -c 5M /dev/zero"}
    return Play([
        {"name": "stalls", **pipeline("sleep 600", {"host": "h2", **COPY}, {"host": "h3", **COPY}, stall_timeout=1)},
        {"name": "slow", **pipeline(data, {"host": "h2", **COPY}, {"host": "h3", "cmd": "wc -c"},
                                    rate_limit="1M", progress=1, expect_bytes="5M")},
    ], ignore_errors=True)  # fmt: skip


@together(slow)
def test_time_and_rate(done: Done) -> None:
    stalled = done.of("stalls").result["cause"]
    assert stalled["kind"] == "stalled" and stalled["msg"].endswith("no byte moved for 1 s (stall_timeout)")
    result = done.of("slow").result
    assert result["stages"][2]["stdout"] == f"{5 * 1024 * 1024}\n"
    assert re.search(r"h1: stages\[0\] → stages\[1\] \S+ \S+ of 5.0 MiB \(\d+ %\)", done.stdout), "a line of progress"


# -- the controller is gone


def test_the_controller_is_killed(fleet: Fleet, work: Path) -> None:
    """While other hosts talk: their commands end, and the old file stays."""
    (work / "dest").write_text(OLD, encoding="ascii")
    chain: list[Any] = [
        {"host": "h1", "shell": "echo data; exec sleep 600"},
        {"host": "h2", **COPY},
        {"host": "h3", "path": f"{work}/dest"},
    ]
    started = playbook.start(fleet, pipeline(*chain))
    eventually(lambda: len(list(work.iterdir())) == 2, started.said)
    started.kill(group=True)
    started.wait()
    shutil.rmtree(playbook.ansible_home(fleet) / "tmp")  # a killed Ansible leaves its own temporary directory
    eventually(lambda: len(list(work.iterdir())) == 1, lambda: str(list(work.iterdir())))
    assert (work / "dest").read_text(encoding="ascii") == OLD


def eventually(look: Callable[[], bool], complaint: Callable[[], str]) -> None:
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)
