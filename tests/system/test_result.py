# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task gives back: one shape, bounded, the fact, check mode, no_log, and what other keywords make of it."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts import Fleet

from . import anatomy, playbook
from .playbook import REPOSITORY, Done, pipe
from .together import At, Play, together

_spec = importlib.util.spec_from_file_location("pipe_documentation", REPOSITORY / "plugins" / "modules" / "pipe.py")
assert _spec is not None and _spec.loader is not None
DOCUMENTATION = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(DOCUMENTATION)

DOCUMENTED = yaml.safe_load(DOCUMENTATION.RETURN)
OF_A_JOB = {"ansible_job_id", "results_file", "progress"}  # with async only
RESULT = (set(DOCUMENTED) | {"changed"}) - {"preflight", "encryption", "ansible_facts", "censored"} - OF_A_JOB
LAST_STAGE = set(DOCUMENTED["stages"]["contains"])
STAGE = LAST_STAGE - {"stdout", "stdout_truncated"}
LINK = set(DOCUMENTED["links"]["contains"])
WAITED = set(DOCUMENTED["links"]["contains"]["waited"]["contains"])
FACT = set(DOCUMENTED["ansible_facts"]["contains"]["socketpipe"]["contains"])
CAUSE = {key for key, value in DOCUMENTED["cause"]["contains"].items() if value["returned"] == "always"}
CORES = {"ansible_facts", "exception", "warnings", "deprecations", "failed", "skipped"}  # in some results only


def own(result: dict[str, Any]) -> dict[str, Any]:
    """Without what ansible-core adds."""
    return {key: value for key, value in result.items() if key not in CORES and not key.startswith("_ansible")}


# -- shape


def shapes(at: At) -> Play:
    chain: dict[str, Any] = {"input": [{"cmd": "echo abc"}, {"cmd": "cat"}], "remote": "cat", "output": "cat"}
    chain["fact"] = True
    return Play(
        [
            {"name": "ok", **pipe(**chain)},
            {"name": "failed", **pipe(**{**chain, "remote": "false"})},
            {"name": "refused", **pipe(**{**chain, "remote": "no-such-command"})},
            {"name": "check", **pipe(**chain, _check_mode=True)},
            {"name": "skipped", **pipe(**{**chain, "output": {"cmd": "cat", "creates": "/etc/passwd"}})},
            {"name": "preflight", **pipe(**chain, preflight=True)},
        ],
        ignore_errors=True,
    )


@together(shapes)
def test_one_shape(done: Done) -> None:
    """The same keys when all is well, when a stage fails or is not there, in check mode, and when skipped."""
    assert [outcome.status for outcome in done.outcomes] == ["ok", "failed", "failed", "ok", "skipped", "ok"]
    for outcome in done.outcomes:
        result = outcome.result
        more = {"preflight", "encryption"} if outcome.task == "preflight" else set()
        assert own(result).keys() == RESULT | more, outcome.task
        assert [stage["name"] for stage in result["stages"]] == ["input[0]", "input[1]", "remote", "output"]
        assert [stage["host"] for stage in result["stages"]] == ["localhost", "localhost", "h1", "localhost"]
        assert [stage.keys() for stage in result["stages"]] == [STAGE, STAGE, STAGE, LAST_STAGE]
        assert [link.keys() for link in result["links"]] == [LINK, LINK, LINK]
        assert [(link["source"], link["destination"]) for link in result["links"]] == [
            ("input[0]", "input[1]"),
            ("input[1]", "remote"),
            ("remote", "output"),
        ]
        assert [link["waited"].keys() for link in result["links"]] == [WAITED] * 3
        assert result["peer"] == "localhost" and re.fullmatch("[0-9a-f]{32}", result["run"])
    facts = [outcome.task for outcome in done.outcomes if "ansible_facts" in outcome.result]
    assert facts == ["ok"]
    assert [outcome.task for outcome in done.outcomes if outcome.result["changed"]] == ["ok", "failed", "check"]
    failed, refused = done.of("failed").result, done.of("refused").result
    assert failed["cause"].keys() == CAUSE | {"stage", "rc"} and refused["cause"].keys() == CAUSE | {"stage"}
    assert all(done.of(task).result["cause"] is None for task in ("ok", "check", "skipped", "preflight"))


@together(pipe(input="head -c 5M /dev/zero", remote="cat", output="wc -c"))
def test_types_of_figures(fleet: Fleet, done: Done) -> None:
    result = done.result
    assert result["changed"] is True and result["cause"] is None and result["msg"] == "ok"
    assert result["strangers"] == 0 and result["left_running"] == []
    assert 0 < result["elapsed"] < 60
    for stage in result["stages"]:
        assert stage["rc"] == 0 and stage["signal"] is None and isinstance(stage["argv"], list)
        assert 0 < stage["elapsed"] < 60 and 0 <= stage["cpu"] < 60
    for link in result["links"]:
        assert link["bytes"] == 5 * 1024 * 1024 and link["unread"] == link["padding"] == 0
        assert link["rate"] > 0 and link["rtt"] > 0 and link["retransmits"] >= 0
        assert all(0 <= seconds < 60 for seconds in link["waited"].values())
        assert 1 <= len(link["samples"]) <= 100
        waited = link["waited"]["receiver"]
        assert link["samples"][-1] == [link["elapsed"], link["bytes"], link["rtt"], link["retransmits"], waited]
    here, there = (re.escape(str(host.address)) for host in (fleet.controller, fleet["h1"]))
    to, back = result["links"]
    assert re.fullmatch(rf"{here}:\d+", to["source_address"]) and re.fullmatch(
        rf"{there}:\d+", to["destination_address"]
    )
    assert re.fullmatch(rf"{there}:\d+", back["source_address"])
    assert re.fullmatch(rf"{here}:\d+", back["destination_address"])


def floods(at: At) -> Play:
    junk = "head -c 300000 /dev/urandom >&2; head -c 20000 /dev/zero >&2"
    long = ["x" * 1000] * 60
    noisy = {"argv": ["/bin/sh", "-c", f"cat; {junk}", *long]}
    last = {"argv": ["/bin/sh", "-c", f"cat >/dev/null; head -c 300000 /dev/urandom; {junk}", *long]}
    fails = {"argv": ["/bin/sh", "-c", f"cat >/dev/null; {junk}; exit 9", *long]}
    return Play(
        [
            pipe(input=[noisy, noisy], remote=[noisy, noisy], output=[noisy, last], fact=True),
            pipe(input=[noisy, noisy], remote=[noisy, noisy], output=[noisy, fails], fact=True),
        ],
        ignore_errors=True,
    )


@together(floods)
def test_a_result_is_small(done: Done) -> None:
    """Junk on every standard error and standard output, commands as long as they may be: under 200 KB with the fact."""
    good, bad = done.results
    for result in (good, bad):
        assert len(json.dumps(result)) < 200_000
        assert all(len(" ".join(stage["argv"])) < 3000 for stage in result["stages"])
        assert "more" in result["stages"][0]["argv"][-1], "what is cut off is said"
        assert all(len(stage["stderr"]) <= 4096 for stage in result["stages"][:-1])
        assert all(len(stage["stderr"]) > 300 for stage in result["stages"])
    assert good["stages"][-1]["stdout_truncated"] is True
    assert bad["cause"]["stage"] == "output[1]" and len(bad["msg"]) < 1000


def counting(at: At) -> Play:
    numbers = "seq 1 20000 >&2"
    return Play(
        [
            pipe(input={"shell": numbers}, remote={"shell": f"cat; {numbers}"}),
            pipe(input={"shell": numbers}, remote={"shell": f"cat; {numbers}; exit 1"}),
        ],
        ignore_errors=True,
    )


@together(counting)
def test_stderr_is_a_tail_and_longer_of_what_failed(done: Done) -> None:
    good, bad = done.results
    # as JSON spells it; less after a failure, for Ansible shows that, and an event has what it shows as JSON in JSON
    for stage, least in [(each, 4090) for each in good["stages"]] + [(bad["stages"][0], 3800)]:
        assert least <= len(json.dumps(stage["stderr"])) - 2 <= 4096
        assert stage["stderr"].endswith("\n19999\n20000\n")
    failed = bad["stages"][1]["stderr"]
    assert 4096 < len(failed) <= 65536 and failed.endswith("\n19999\n20000\n")
    assert bad["msg"] == "remote (/bin/sh) on h1 failed with exit status 1: 19998; 19999; 20000"


# -- changed, failed


@together(
    pipe(input="no-such-command -x", remote="cat"),
    pipe(input="true", remote="/no/such/command"),
    pipe(input="true", remote="/etc/passwd"),
    pipe(input="true", remote={"cmd": "true", "chdir": "/etc/passwd"}),
    pipe(remote="true", output=["./script"]),
    pipe(input={"shell": "exit 1"}, remote="cat"),
    ignore_errors=True,
)
def test_changed_once_a_stage_has_started(done: Done) -> None:
    name, path, file, chdir, output, started = done.results
    assert re.fullmatch(r"input on localhost: there is no 'no-such-command' in PATH .+", name["msg"])
    assert path["msg"] == "remote on h1: there is no '/no/such/command'"
    assert file["msg"] == "remote on h1: '/etc/passwd' is not executable"
    assert chdir["msg"] == "remote on h1: there is no directory '/etc/passwd' to run it in"
    assert output["msg"] == "output on localhost: there is no './script'"
    for result in (name, path, file, chdir, output):
        assert result["changed"] is False and result["cause"]["kind"] == "refused"
        assert all(stage["rc"] is None and stage["elapsed"] is None for stage in result["stages"])
    assert started["changed"] is True and started["cause"]["kind"] == "failed"
    assert max(outcome.at - outcome.started for outcome in done.outcomes) < 25, "nobody need wait for connect_timeout"


def uninterpreted(at: At) -> Play:
    script = at.work / "script"
    script.write_text("#!/no/such/interpreter\n", encoding="ascii")
    script.chmod(0o755)
    return Play([pipe(input="echo x", remote=[str(script)])], rc=2)


@together(uninterpreted)
def test_a_command_whose_interpreter_is_missing(work: Path, done: Done) -> None:
    script = work / "script"
    assert re.fullmatch(
        rf"remote \({script}\) on h1 could not be started: cannot run '{script}': .*No such file or directory.*"
        r"\(its interpreter, the #! line\?\)",
        done.result["msg"],
    )
    assert done.result["cause"]["stage"] == "remote"


# -- the fact


SECRET = "s3cr3t-word"


def facts(at: At) -> Play:
    stage = {"argv": ["sh", "-c", f"cat; echo {SECRET} >&2"], "environment": {"WORD": SECRET}}
    show = {"ansible.builtin.debug": {"msg": "{{ ansible_facts }}"}}
    return Play(
        [
            {"name": "one", **pipe(input="echo abc", remote=stage, fact=True, _register="first")},
            {"name": "after one", **show},
            {"name": "two", **pipe(input="echo abc", remote="false", fact=True, _ignore_errors=True)},
            {"name": "after two", **show},
            {"name": "three", **pipe(input="echo abc", remote="cat", fact="nightly_backup")},
            {"name": "four", **pipe(input="echo abc", remote="cat")},
            {"name": "five", **pipe(input="echo abc", remote={"cmd": "cat", "creates": "/etc/passwd"}, fact=True)},
            {"name": "six", **pipe(input="echo abc", remote="cat", fact=True, _no_log=True)},
            {"name": "seven", **pipe(input="echo abc", remote="cat", fact=True, preflight=True)},
            {"name": "at last", **show},
            {"name": "eight", **pipe(input="echo abc", remote="cat", fact="socketpipe")},
            {"name": "at the very last", **show},
            {
                "name": "same",
                "ansible.builtin.debug": {"msg": "{{ first.run == first.ansible_facts.socketpipe.run }}"},
            },
        ],
        hosts="forgetful1",
        more={"forgetful1": {"of": "h1"}},
    )


@together(facts)
def test_the_fact(done: Done) -> None:
    one = done.of("one").result
    after = done.of("after one").result["msg"]
    assert after == one["ansible_facts"] and after.keys() == {"socketpipe"}
    fact = after["socketpipe"]
    assert fact.keys() == FACT and fact["ok"] is True and fact["bytes"] == 4
    assert fact["run"] == one["run"] and fact["elapsed"] == one["elapsed"] and fact["peer"] == "localhost"
    assert fact["rc"] == {"input": 0, "remote": 0}
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", fact["time"])
    assert SECRET not in json.dumps(fact)
    assert done.of("after two").result["msg"] == after, "a failure leaves the fact of the last success"
    last = done.of("at last").result["msg"]
    assert last.keys() == {"socketpipe", "nightly_backup"} and last["socketpipe"] == fact
    assert last["nightly_backup"]["run"] == done.of("three").result["run"]
    assert (
        done.of("at the very last").result["msg"]["socketpipe"]["run"] == done.of("eight").result["run"] != fact["run"]
    )
    assert done.of("same").result["msg"] is True


# -- no_log


def test_no_log(fleet: Fleet) -> None:
    """The word is in the command, the environment, both outputs and the failure, and nobody sees it."""
    word = "pl4inW0rd"
    shell = f"cat; echo {word} >&2; echo {word}"
    stage = {"shell": shell, "environment": {"WORD": word}}
    done = playbook.run(
        fleet,
        [
            pipe(input=f"echo {word}", remote=stage, fact=True, _no_log=True),
            pipe(input=f"echo {word}", remote={**stage, "shell": shell + f"; exit 3 # {word}"}, _no_log=True),
            pipe(input=f"echo {word}", remote=f"{word} x", _no_log=True),
            pipe(input=f"echo '{word}", remote="cat", _no_log=True),
            pipe(input=f"echo {word}", remote="cat", _no_log=True, _check_mode=True),
            pipe(input=f"echo {word}", remote=stage, _no_log=True, _loop=[1, 2]),
        ],
        ignore_errors=True,
        args=["-vvv"],
    )
    assert [outcome.status for outcome in done.outcomes] == ["ok", "failed", "failed", "failed", "ok", "ok"]
    assert word not in done.output
    assert all(word not in json.dumps(result) for result in done.results)
    assert all("censored" in result for result in done.results)
    assert all("ansible_facts" not in result for result in done.results)


# -- check mode


def test_check_mode_starts_nothing(fleet: Fleet, work: Path) -> None:
    """Not even a login: nobody answers where the host is said to be."""
    touch = {"shell": f"touch {work}/ran; cat"}
    done = playbook.run(
        fleet,
        [
            pipe(input=touch, remote=touch),
            pipe(remote=[touch, touch], output=touch, peer="h2", rate_limit="1M"),
            pipe(input=touch, remote="no-such-command"),
            pipe(input=touch, remote="cat", preflight=True),
            pipe(input=touch, remote="", _ignore_errors=True),
            pipe(remote="cat", output="cat", peer="nowhere", _ignore_errors=True),
        ],
        args=["--check"],
        inventory={"fleet": {"ansible_port": 1}},
    )
    assert list(work.iterdir()) == []
    plain, peer, missing, preflight, empty, unknown = done.outcomes
    assert plain.result["msg"] == "would run input on localhost, remote on h1"
    assert peer.result["msg"] == "would run remote[0] on h1, remote[1] on h1, output on h2"
    assert peer.result["peer"] == "h2"
    assert missing.status == preflight.status == "ok"
    assert all(outcome.result["changed"] is True for outcome in (plain, peer, missing))
    assert preflight.result["changed"] is False, "a preflight changes nothing"
    assert all(stage["rc"] is None for stage in plain.result["stages"])
    assert plain.result["stages"][0]["argv"] == ["/bin/sh", "-c", touch["shell"]]
    assert plain.result["bytes"] is None and plain.result["links"][0]["source_address"] == ""
    assert empty.status == "failed" and empty.result["msg"].endswith("remote: the command is empty")
    assert unknown.status == "failed" and "no host 'nowhere'" in unknown.result["msg"]


# -- other keywords of a task


def third_time(at: At) -> Play:
    counting = f"cat; echo x >>{at.work}/count; [ $(wc -l <{at.work}/count) = 3 ]"
    return Play(
        [
            pipe(
                input="head -c 100000 /dev/zero",
                remote={"shell": f"cat >/dev/null; {counting}"},
                _register="backup",
                _until="backup is succeeded",
                _retries=5,
                _delay=0,
            )
        ]
    )


@together(third_time)
def test_until_makes_a_fresh_run_each_time(done: Done) -> None:
    attempts = [outcome.result for outcome in [*done.retries, *done.outcomes]]
    assert len(attempts) == 3 and len({result["run"] for result in attempts}) == 3
    assert [bool(result["cause"]) for result in attempts] == [True, True, False]
    assert done.only.status == "ok" and done.result["bytes"] == 100000


@together(
    {
        "block": [
            {"name": "backup", **pipe(input={"shell": "echo no tape >&2; exit 7"}, remote="cat", _register="job")}
        ],
        "rescue": [
            {
                "name": "seen",
                "ansible.builtin.debug": {
                    "msg": {
                        "cause": "{{ ansible_failed_result.cause }}",
                        "changed": "{{ ansible_failed_result.changed }}",
                        "same": "{{ job.cause == ansible_failed_result.cause }}",
                        "fact": "{{ ansible_facts.socketpipe is defined }}",
                    }
                },
            }
        ],
    },
    hosts="forgetful2",
    more={"forgetful2": {"of": "h1"}},
    rc=None,  # rescued
)
def test_rescue_sees_the_cause(done: Done) -> None:
    seen = done.of("seen").result["msg"]
    assert seen["cause"]["kind"] == "failed" and seen["cause"]["stage"] == "input" and seen["cause"]["rc"] == 7
    assert seen["cause"]["host"] == "localhost"
    assert seen["cause"]["msg"] == "input (/bin/sh) on localhost failed with exit status 7: no tape"
    assert (seen["changed"], seen["same"], seen["fact"]) in ((True, True, False), ("True", "True", "False"))


def defaults(at: At) -> Play:
    """A site encrypts everything, but for a task that says otherwise."""
    of_site = {"ports": "41000-41007", "listen": "remote", "fact": "site", "encryption": "relay"}
    return Play(
        [pipe(input="echo x", remote="cat"), pipe(input="echo x", remote="cat", ports="41010", encryption="none")],
        keywords={"module_defaults": {"group/plumbing.socketpipe.all": of_site}},
    )


@together(defaults)
def test_module_defaults_for_the_group(fleet: Fleet, done: Done) -> None:
    default, given = done.results
    assert re.fullmatch(rf"{fleet['h1'].address}:4100[0-7]", default["links"][0]["destination_address"])
    assert given["links"][0]["destination_address"] == f"{fleet['h1'].address}:41010"
    assert default["links"][0]["encryption"]["how"] == "relay" and given["links"][0]["encryption"] is None
    assert default["ansible_facts"].keys() == given["ansible_facts"].keys() == {"site"}


def test_what_a_stage_leaves_running_is_named(fleet: Fleet) -> None:
    """Descendants that hold no link are left alone on success, as `command` leaves them, and go with a failure."""
    leaves = f"cat; sleep 53 </dev/null >/dev/null 2>&1 & {anatomy.ASLEEP};"
    done = playbook.run(
        fleet,
        [
            pipe(input="echo x", remote={"shell": leaves}),
            pipe(input="echo x", remote={"shell": f"{leaves} exit 1"}),
        ],
        ignore_errors=True,
    )
    good, bad = done.results
    assert [line for line in good["left_running"] if re.match(r"h1: \d+ sleep", line)], good["left_running"]
    sleepers = [process for process in fleet["h1"].processes() if process.cmdline == "sleep 53"]
    assert len(sleepers) == 1, "the one of the successful task"
    fleet["h1"].run(["kill", str(sleepers[0].pid)])
    assert bad["cause"]["stage"] == "remote" and bad["left_running"] == []


@pytest.mark.parametrize("version", ["-v", "-vvvv"])
def test_nothing_is_shown_of_the_program(fleet: Fleet, version: str) -> None:
    """However verbose: neither the secrets nor the program's source are on the screen."""
    done: Done = playbook.run(fleet, pipe(input="echo x", remote="cat"), args=[version])
    assert "tcp_info" not in done.output and "secret" not in done.output
    assert len(done.output) < 60_000


@together(
    pipe(
        input="{{ commands.source }}",
        remote="{{ commands.list }}",
        connect_timeout="{{ seconds }}",
        full_reads="{{ 1 == 2 }}",
        progress="{{ seconds }}",
        fact="{{ fact }}",
    ),
    pipe(input="{{ commands.source }}", remote="cat", fact="{{ 1 == 2 }}"),
    keywords={
        "vars": {
            "commands": {
                "source": ["printf", "%s", "{{ 6 * 7 }}"],
                "list": [{"cmd": "cat"}, {"cmd": "wc -c", "ok_rc": [0]}],
            },
            "seconds": 20,
            "fact": "named",
        }
    },
)
def test_templates_and_numbers(done: Done) -> None:
    """Values may come from variables, as whatever type this Ansible gives them."""
    named, none = done.results
    assert named["stages"][2]["stdout"].strip() == "2" and named["ansible_facts"].keys() == {"named"}
    assert none["stages"][1]["stdout"] == "42" and "ansible_facts" not in none
