# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: one sentence that a person can act on, before anything starts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .playbook import Done, Outcome, pipe

FORMS = (
    r"give a command as a string, a list of words, a mapping with one of cmd, argv, shell, script, "
    r"or a list of such mappings; not "
)
KEYS = "valid settings: cmd, argv, shell, script, executable, chdir, environment, ok_rc, early_exit, creates, removes"
EMPTY = "the value is empty; set it to none to send the data in clear"
OMITTED = "omit also removes the value of module_defaults; leave the option out, or give it a value"
ENCRYPTED = {"encryption": "required"}
FINE = {"input": "echo x", "remote": "cat"}

# name: (the task, its message as a regular expression that matches all of it)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing at all": (pipe(), r"remote is required: the command on the task's host"),
    "no remote": (pipe(input="echo x"), r"remote is required: the command on the task's host"),
    "no input and no output": (
        pipe(remote="cat"),
        r"input or output is required: the command on the peer to join remote to",
    ),
    "an unknown option": (
        pipe(**FINE, inptu="x"),
        r"Unsupported parameters for \(.*pipe\) module: inptu\. Supported parameters include: address, .*",
    ),
    # empty commands
    "empty string": (pipe(input="", remote="cat"), r"input: the command is empty"),
    "blank string": (pipe(input="echo", remote="  "), r"remote: the command is empty"),
    "empty string as output": (pipe(remote="cat", output=""), r"output: the command is empty"),
    "empty list": (pipe(input=[], remote="cat"), r"input: the command is empty"),
    "empty remote list": (pipe(input="echo", remote=[]), r"remote: the command is empty"),
    "list of an empty word": (pipe(input=[""], remote="cat"), r"input: the command is empty"),
    "empty cmd": (pipe(input={"cmd": ""}, remote="cat"), r"input: the command is empty"),
    "empty argv": (pipe(input={"argv": []}, remote="cat"), r"input: the command is empty"),
    "blank shell": (pipe(input={"shell": " \n"}, remote="cat"), r"input: the command is empty"),
    "one of several is empty": (
        pipe(input=[{"cmd": "echo"}, {"cmd": ""}], remote="cat"),
        r"input\[1\]: the command is empty",
    ),
    # what cannot be a command
    "unbalanced quotes": (
        pipe(input="echo 'a b", remote="cat"),
        r"input: unbalanced quotes in \"echo 'a b\" \(No closing quotation\)",
    ),
    "unbalanced quotes in a list": (
        pipe(remote=[{"cmd": "cat"}, {"cmd": 'sed "s'}], output="cat"),
        r"remote\[1\]: unbalanced quotes in 'sed \"s' \(No closing quotation\)",
    ),
    "an escape at the end": (
        pipe(input="echo \\", remote="cat"),
        r"input: unbalanced quotes in 'echo \\\\' \(No escaped character\)",
    ),
    "cmd and argv": (
        pipe(input={"cmd": "echo", "argv": ["echo"]}, remote="cat"),
        r"input: give exactly one of cmd, argv, shell, script; found cmd and argv together",
    ),
    "all three": (
        pipe(input={"cmd": "echo", "argv": ["echo"], "shell": "echo"}, remote="cat"),
        r"input: give exactly one of cmd, argv, shell, script; found cmd and argv and shell together",
    ),
    "none of the three": (
        pipe(remote={"chdir": "/"}, output="cat"),
        r"remote: give exactly one of cmd, argv, shell, script; found none",
    ),
    "a number": (pipe(input="echo", remote=5), rf"remote: {FORMS}the number 5"),
    "a boolean": (pipe(input=True, remote="cat"), rf"input: {FORMS}the boolean True"),
    "words and mappings": (pipe(input=["echo", {"cmd": "x"}], remote="cat"), rf"input: {FORMS}a list of mixed things"),
    "a list in a list": (pipe(input=[["echo", "x"]], remote="cat"), rf"input: {FORMS}a list of mixed things"),
    "argv is a string": (pipe(input={"argv": "echo x"}, remote="cat"), r"input: argv: 'echo x' is not a list of words"),
    "argv is a mapping": (
        pipe(input={"argv": {"a": 1}}, remote="cat"),
        r"input: argv: .*a.*1.* is not a list of words",
    ),
    "cmd is a list": (pipe(input={"cmd": ["echo", "x"]}, remote="cat"), r"input: cmd: a list is not a command line.*"),
    "cmd is a mapping": (pipe(input={"cmd": {"a": 1}}, remote="cat"), r"input: cmd: a mapping is not a command line"),
    "shell is a number": (pipe(input={"shell": 3}, remote="cat"), r"input: shell: the number 3 is not a command line"),
    "a NUL": (pipe(input=["echo", "a\0b"], remote="cat"), r"input: a command cannot contain a NUL character"),
    # a stage's other options
    "an unknown option of a stage": (
        pipe(input={"cmd": "echo", "cwd": "/"}, remote="cat"),
        rf"input: unknown setting cwd; {KEYS}",
    ),
    "two unknown options of a stage": (
        pipe(remote=[{"cmd": "cat"}, {"cmd": "cat", "stdin": "x", "args": 1}], output="cat"),
        rf"remote\[1\]: unknown setting args, stdin; {KEYS}",
    ),
    "ok_rc": (
        pipe(input={"cmd": "echo", "ok_rc": "some"}, remote="cat"),
        r"input: ok_rc: 'some' is not a list of exit statuses",
    ),
    "ok_rc of mappings": (
        pipe(input={"cmd": "echo", "ok_rc": [{}]}, remote="cat"),
        r"input: ok_rc: \[\{\}\] is not a list of exit statuses",
    ),
    "environment": (
        pipe(input={"cmd": "echo", "environment": ["A=b"]}, remote="cat"),
        r"input: environment: \['A=b'\] is not a mapping of names to values",
    ),
    "early_exit": (
        pipe(input={"cmd": "echo", "early_exit": "maybe"}, remote="cat"),
        r"input: early_exit: 'maybe' is neither true nor false",
    ),
    "chdir": (pipe(input={"cmd": "echo", "chdir": 5}, remote="cat"), r"input: chdir: 5 is not a path"),
    "creates": (
        pipe(input={"cmd": "echo", "creates": ["/a"]}, remote="cat"),
        r"input: creates: \['/a'\] is not a path",
    ),
    "removes": (pipe(remote={"cmd": "echo", "removes": True}, output="cat"), r"remote: removes: True is not a path"),
    # the task's other options
    "a port that is none": (
        pipe(**FINE, ports="http"),
        r"ports: 'http' is neither a port \(5000\) nor a range of ports \(5000-5010\)",
    ),
    "a range of three": (pipe(**FINE, ports="1-2-3"), r"ports: '1-2-3' is neither a port \(5000\) nor a range .*"),
    "a port too high": (pipe(**FINE, ports="5000,65536"), r"ports: '65536' is not within 1-65535, lowest first"),
    "port zero": (pipe(**FINE, ports=0), r"ports: '0' is not within 1-65535, lowest first"),
    "a range backwards": (pipe(**FINE, ports="5010-5000"), r"ports: '5010-5000' is not within 1-65535, lowest first"),
    "a rate in words": (
        pipe(**FINE, rate_limit="fast"),
        r"rate_limit: 'fast' is not a number of bytes a second, such as 500K, 10M or 1\.5G",
    ),
    "a negative rate": (
        pipe(**FINE, rate_limit="-5M"),
        r"rate_limit: '-5M' is not a number of bytes a second, such as .*",
    ),
    "an endless rate": (
        pipe(**FINE, rate_limit="inf"),
        r"rate_limit: 'inf' is not a number of bytes a second, such as .*",
    ),
    "congestion_control": (
        pipe(**FINE, congestion_control="the best"),
        r"congestion_control: 'the best' is not the name of a congestion control, such as cubic, bbr or reno",
    ),
    "connect_timeout 0": (
        pipe(**FINE, connect_timeout=0),
        r"connect_timeout: must be at least 1 second, not 0",
    ),
    "connect_timeout in words": (pipe(**FINE, connect_timeout="long"), r".*connect_timeout.* int.*"),
    "stall_timeout": (
        pipe(**FINE, stall_timeout=-1),
        r"stall_timeout: must be at least 0 seconds, not -1",
    ),
    "dead_peer": (pipe(**FINE, dead_peer=-1), r"dead_peer: must be at least 6 seconds, or 0 to disable it, not -1"),
    "progress": (pipe(**FINE, progress=-1), r"progress: must be at least 0 seconds, not -1"),
    "listen": (pipe(**FINE, listen="both"), r"value of listen must be one of: auto, peer, remote, got: both"),
    "full_reads": (pipe(**FINE, full_reads="perhaps"), r".*full_reads.*perhaps.* boolean.*"),
    "fact with a space": (
        pipe(**FINE, fact="last backup"),
        r"fact: 'last backup' is neither a variable name nor false",
    ),
    "fact is a list": (pipe(**FINE, fact=["a"]), r"fact: \['a'\] is neither a variable name nor false"),
    "fact is a number": (pipe(**FINE, fact=5), r"fact: '?5'? is neither a variable name nor false"),
    # encryption that somebody asks for is never left out
    "encryption is empty": (pipe(**FINE, encryption=""), f"encryption: {EMPTY}"),
    "encryption is null": (pipe(**FINE, encryption=None), f"encryption: {EMPTY}"),
    "encryption is a variable without a value": (
        pipe(**FINE, encryption="{{ nothing }}", _vars={"nothing": None}),
        f"encryption: {EMPTY}",
    ),
    "encryption is false": (pipe(**FINE, encryption=False), r"value of encryption must be one of: none, .*False"),
    "encryption in capitals": (pipe(**FINE, encryption="REQUIRED"), r"value of encryption must be one of: none, .*"),
    "encryption for all, omitted": (
        pipe(**FINE, encryption="{{ omit }}", _module_defaults={"group/plumbing.socketpipe.all": ENCRYPTED}),
        f"encryption: {OMITTED}",
    ),
    "encryption of all pipes, omitted": (
        pipe(**FINE, encryption="{{ omit }}", _module_defaults={"plumbing.socketpipe.pipe": ENCRYPTED}),
        f"encryption: {OMITTED}",
    ),
    # hosts
    "an unknown peer": (pipe(**FINE, peer="nowhere"), r"peer: there is no host 'nowhere' in the inventory"),
    "an empty peer": (pipe(**FINE, peer=""), r"peer: .*"),
    "a peer without a connection plugin": (
        pipe(**FINE, peer="h2", _vars={"ansible_connection": "ssh"}),
        r"h2: there is no connection plugin 'carrier_pigeon'",
    ),
    "a peer without a become plugin": (
        pipe(**FINE, peer="controller", peer_become=True),
        r"controller: there is no become plugin 'magic'",
    ),
    # other keywords
    "async for a preflight": (
        pipe(**FINE, preflight=True, _async=60, _poll=5),
        r"preflight: it starts nothing, so leave out async",
    ),
    "cancel and a command": (
        pipe(**FINE, cancel="ab" * 16),
        r"cancel: it stops a job and runs no command, so leave out input, remote",
    ),
    "cancel with async": (
        pipe(cancel="ab" * 16, _async=60, _poll=5),
        r"cancel: it stops a job and runs no command, so leave out async",
    ),
    "cancel of something else": (pipe(cancel="../x"), r"cancel: '\.\./x' is no ansible_job_id of a run, .*"),
}


@pytest.fixture(scope="module")
def done(fleet: Fleet) -> Done:
    """All of them, on a host that would be unreachable: so nothing has been started when they fail."""
    tasks = [{"name": name, **task} for name, (task, _text) in BAD.items()]
    variables = {
        "h1": {"ansible_port": 1},
        "h2": {"ansible_connection": "carrier_pigeon"},
        "controller": {"ansible_become_method": "magic"},
    }
    return playbook.run(fleet, tasks, ignore_errors=True, inventory=variables)


def message(outcome: Outcome) -> str:
    """Without the words that ansible-core before 2.19 puts before an action's."""
    return re.sub(r"^(Task failed: |Action failed: )+", "", str(outcome.result["msg"]))


@pytest.mark.parametrize("name", BAD)
def test_bad_input(done: Done, name: str) -> None:
    outcome = done.of(name)
    assert outcome.status == "failed"
    assert re.fullmatch(BAD[name][1], message(outcome), re.DOTALL), message(outcome)
    assert outcome.result["changed"] is False and outcome.result["stages"] == []
    assert outcome.result["cause"] == {"kind": "options", "host": "h1", "msg": outcome.result["msg"]}
    assert "Traceback" not in str(outcome.result)
