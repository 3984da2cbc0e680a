# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may write, in every form, and the sentence for what cannot be meant."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._script import ScriptError
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import (
    PIPE_SPEC,
    STAGE_KEYS,
    OptionError,
    fact_name,
    parse_stages,
    settings,
)

PLAIN: dict[str, Any] = {
    "ports": None,
    "rate_limit": None,
    "congestion_control": None,
    "connect_timeout": 30,
    "stall_timeout": 0,
    "dead_peer": 120,
    "progress": 30,
    "progress_quiet": 60,
    "full_reads": None,
    "preflight": False,
}
SET = {
    "ports": [],
    "rate_limit": 0,
    "congestion_control": "",
    "connect_timeout": 30,
    "stall_timeout": 0,
    "dead_peer": 120,
    "full_reads": None,
    "preflight": False,
}


CONGESTION = "congestion_control: '%s' is not the name of a congestion control, such as cubic, bbr or reno"


class Tagged(str):
    """As ansible-core 2.19's strings: a subclass."""


def stage(name: str, *argv: str, **more: Any) -> dict[str, Any]:
    plain = {"name": name, "argv": list(argv), "ok_rc": [0], "early_exit": False, "environment": {}}
    return {**plain, **more}


SH = ("/bin/sh", "-c")


@pytest.mark.parametrize(
    ("value", "stages"),
    [
        (None, []),
        ("tar cf - /", [stage("input", "tar", "cf", "-", "/")]),
        (Tagged("tar cf -"), [stage("input", "tar", "cf", "-")]),
        ("  tar   cf -  ", [stage("input", "tar", "cf", "-")]),
        ("echo 'a b' \"c d\" e\\ f", [stage("input", "echo", "a b", "c d", "e f")]),
        ("echo $HOME * | cat > x # no", [stage("input", "echo", "$HOME", "*", "|", "cat", ">", "x", "#", "no")]),
        ("echo é → ü", [stage("input", "echo", "é", "→", "ü")]),
        (["tar", "cf", "-", "/a b"], [stage("input", "tar", "cf", "-", "/a b")]),
        (["sleep", 5, 1.5, True], [stage("input", "sleep", "5", "1.5", "True")]),
        (["echo", ""], [stage("input", "echo", "")]),
        (("echo", "x"), [stage("input", "echo", "x")]),
        ({"cmd": "tar cf - /"}, [stage("input", "tar", "cf", "-", "/")]),
        ({"argv": ["tar", "cf"]}, [stage("input", "tar", "cf")]),
        ({"shell": "tar cf - *"}, [stage("input", *SH, "tar cf - *")]),
        ({"cmd": "cat", "argv": None, "shell": None}, [stage("input", "cat")]),
        ({"cmd": "cat", "chdir": "/srv"}, [stage("input", "cat", chdir="/srv")]),
        ({"cmd": "cat", "creates": "/x", "removes": "/y"}, [stage("input", "cat", creates="/x", removes="/y")]),
        ({"cmd": "cat", "chdir": None, "creates": ""}, [stage("input", "cat")]),
        ({"cmd": "cat", "ok_rc": [0, 1]}, [stage("input", "cat", ok_rc=[0, 1])]),
        ({"cmd": "cat", "ok_rc": 1}, [stage("input", "cat", ok_rc=[1])]),
        ({"cmd": "cat", "ok_rc": ["0", "-13"]}, [stage("input", "cat", ok_rc=[0, -13])]),
        ({"cmd": "cat", "early_exit": True}, [stage("input", "cat", early_exit=True)]),
        ({"cmd": "cat", "early_exit": "yes"}, [stage("input", "cat", early_exit=True)]),
        ({"cmd": "cat", "environment": {"A": 1, "B": "x"}}, [stage("input", "cat", environment={"A": "1", "B": "x"})]),
        ({"cmd": "cat", "environment": None}, [stage("input", "cat")]),
        ([{"cmd": "cat"}], [stage("input", "cat")]),
        (
            [{"cmd": "tar cf - /"}, {"argv": ["zstd", "-1"], "ok_rc": [0, 2]}],
            [stage("input[0]", "tar", "cf", "-", "/"), stage("input[1]", "zstd", "-1", ok_rc=[0, 2])],
        ),
    ],
)
def test_forms(value: Any, stages: list[dict[str, Any]]) -> None:
    assert parse_stages("input", value)[0] == stages


FORM = (
    "input: give a command as a string, a list of words, a mapping with one of cmd, argv, shell, script, or a list of "
    "such mappings; not "
)
KEYS = ", ".join(STAGE_KEYS)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "input: the command is empty"),
        ("   ", "input: the command is empty"),
        ("''", "input: the command is empty"),
        ([], "input: the command is empty"),
        ((), "input: the command is empty"),
        ([""], "input: the command is empty"),
        ({"argv": []}, "input: the command is empty"),
        ({"cmd": ""}, "input: the command is empty"),
        ({"shell": " \n"}, "input: the command is empty"),
        (5, FORM + "the number 5"),
        (True, FORM + "the boolean True"),
        (1.5, FORM + "the number 1.5"),
        (["tar", {"cmd": "x"}], FORM + "a list of mixed things"),
        ([["tar"], ["zstd"]], FORM + "a list of mixed things"),
        ({}, "input: give exactly one of cmd, argv, shell, script; found none"),
        ({"chdir": "/"}, "input: give exactly one of cmd, argv, shell, script; found none"),
        ({"cmd": None}, "input: give exactly one of cmd, argv, shell, script; found none"),
        (
            {"cmd": "x", "argv": ["x"]},
            "input: give exactly one of cmd, argv, shell, script; found cmd and argv together",
        ),
        (
            {"cmd": "x", "argv": ["x"], "shell": "x"},
            "input: give exactly one of cmd, argv, shell, script; found cmd and argv and shell together",
        ),
        ({"cmd": "x", "chdri": "/"}, "input: unknown setting chdri; valid settings: " + KEYS),
        ({"command": "x", "b": 1}, "input: unknown setting b, command; valid settings: " + KEYS),
        ({1: "x", "cmd": "x"}, "input: unknown setting 1; valid settings: " + KEYS),
        ("echo 'a", 'input: unbalanced quotes in "echo \'a" (No closing quotation)'),
        ({"cmd": 'echo "a'}, "input: unbalanced quotes in 'echo \"a' (No closing quotation)"),
        ("echo \\", "input: unbalanced quotes in 'echo \\\\' (No escaped character)"),
        ({"argv": "tar cf"}, "input: argv: 'tar cf' is not a list of words"),
        ({"argv": {"a": 1}}, "input: argv: {'a': 1} is not a list of words"),
        ({"shell": {"a": 1}}, "input: shell: a mapping is not a command line"),
        ({"shell": 5}, "input: shell: the number 5 is not a command line"),
        ({"cmd": False}, "input: cmd: the boolean False is not a command line"),
        ("echo \0", "input: a command cannot contain a NUL character"),
        (["echo", "a\0b"], "input: a command cannot contain a NUL character"),
        ({"cmd": "x", "ok_rc": "none"}, "input: ok_rc: 'none' is not a list of exit statuses"),
        ({"cmd": "x", "ok_rc": [0, {}]}, "input: ok_rc: [0, {}] is not a list of exit statuses"),
        ({"cmd": "x", "environment": "A=1"}, "input: environment: 'A=1' is not a mapping of names to values"),
        ({"cmd": "x", "environment": ["A"]}, "input: environment: ['A'] is not a mapping of names to values"),
        ({"cmd": "x", "early_exit": "maybe"}, "input: early_exit: 'maybe' is neither true nor false"),
        ({"cmd": "x", "chdir": ["/"]}, "input: chdir: ['/'] is not a path"),
        ({"cmd": "x", "creates": 5}, "input: creates: 5 is not a path"),
        ([{"cmd": "x"}, {"cmd": ""}], "input[1]: the command is empty"),
        ([{"cmd": "x"}, {"what": ""}], "input[1]: unknown setting what; valid settings: " + KEYS),
    ],
)
def test_what_cannot_be_meant(value: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_stages("input", value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"cmd": ["tar"]}, "input: cmd: a list is not a command line"),
        ({"cmd": "x", "environment": {"A": "a\0b"}}, "input: environment: A cannot contain a NUL character"),
        ({"cmd": "x", "environment": {"A=B": "1"}}, "input: environment: 'A=B' is not a valid variable name"),
        ({"cmd": "x", "environment": {"": "1"}}, "input: environment: '' is not a valid variable name"),
        ({"cmd": "x", "chdir": "/a\0b"}, "input: chdir: '/a\\x00b' is not a path"),
    ],
)
def test_what_should_not_be_meant(value: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_stages("input", value)
    assert str(caught.value) == message


WARNING = (
    "input: in a shell pipeline without pipefail a command that dies looks like a finished one; "
    "give a list of commands instead, each with its own status"
)


@pytest.mark.parametrize(
    ("value", "warns"),
    [
        ({"shell": "tar cf - / | zstd"}, True),
        ({"shell": "a || b | c"}, True),
        ({"shell": "a |& b"}, True),
        ({"shell": "a || b"}, False),
        ({"shell": "set -o pipefail; a | b"}, False),
        ({"shell": "tar cf - /"}, False),
        ({"cmd": "echo '|'"}, False),
        (["echo", "|"], False),
    ],
)
def test_a_pipeline_in_a_shell_is_warned_of(value: Any, warns: bool) -> None:
    assert parse_stages("input", value)[1] == ([WARNING] if warns else [])


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ("tar cf - / | zstd", "|"),
        ("cat >/x", ">/x"),
        ("cat > /x", ">"),
        ("a 2>&1", "2>&1"),
        ("a && b", "&&"),
        ("a ; b", ";"),
        ("tail -f x &", "&"),
        ("echo '>' x", None),
        ("seq 1 3", None),
        ("find . -name 'a>b'", None),
        (["cat", ">", "x"], None),
    ],
)
def test_words_for_a_shell_are_warned_of(value: Any, word: str | None) -> None:
    text = f"input: no shell is run, {word!r} is an argument like any other; for a shell use shell: in a mapping"
    assert parse_stages("input", value)[1] == ([text] if word else [])


def test_each_stage_warns_by_its_own_name() -> None:
    warnings = parse_stages("output", [{"shell": "a | b"}, {"cmd": "c"}, {"shell": "d | e"}])[1]
    assert [warning.partition(":")[0] for warning in warnings] == ["output[0]", "output[2]"]


def test_a_stage_is_plain_data() -> None:
    """What is sent to an end holds no subclass of Ansible's."""
    value = {Tagged("cmd"): Tagged("cat"), "chdir": Tagged("/"), "environment": {Tagged("A"): Tagged("1")}}
    (found,), _warnings = parse_stages("input", value)
    assert found["chdir"].__class__ is str
    assert [type(each) for pair in found["environment"].items() for each in pair] == [str, str]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {}),
        ({"ports": ["5000-5001", "5002"]}, {"ports": [5000, 5001, 5002]}),
        ({"ports": []}, {}),
        ({"rate_limit": "50M"}, {"rate_limit": 50 * 1024**2}),
        ({"rate_limit": "0"}, {}),
        ({"congestion_control": "cubic"}, {"congestion_control": "cubic"}),
        ({"congestion_control": ""}, {}),
        ({"connect_timeout": 1}, {"connect_timeout": 1}),
        ({"stall_timeout": 60}, {"stall_timeout": 60}),
        ({"dead_peer": 0}, {"dead_peer": 0}),
        ({"full_reads": False}, {"full_reads": False}),
        ({"full_reads": True}, {"full_reads": True}),
        ({"preflight": True}, {"preflight": True}),
        ({"progress": 0, "progress_quiet": 0}, {}),
    ],
)
def test_settings(given: dict[str, Any], found: dict[str, Any]) -> None:
    assert settings({**PLAIN, **given}) == {**SET, **found}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ports": ["x"]}, "ports: 'x' is neither a port (5000) nor a range of ports (5000-5010)"),
        ({"ports": ["70000"]}, "ports: '70000' is not within 1-65535, lowest first"),
        (
            {"rate_limit": "fast"},
            "rate_limit: 'fast' is not a number of bytes a second, such as 500K, 10M or 1.5G",
        ),
        ({"rate_limit": "-1"}, "rate_limit: '-1' is not a number of bytes a second, such as 500K, 10M or 1.5G"),
        ({"congestion_control": "a b"}, CONGESTION % "a b"),
        ({"congestion_control": "x" * 16}, CONGESTION % ("x" * 16)),
        ({"connect_timeout": 0}, "connect_timeout: must be at least 1 second, not 0"),
        ({"stall_timeout": -1}, "stall_timeout: must be at least 0 seconds, not -1"),
        ({"dead_peer": -5}, "dead_peer: must be at least 6 seconds, or 0 to disable it, not -5"),
        ({"progress": -1}, "progress: must be at least 0 seconds, not -1"),
        ({"progress_quiet": -1}, "progress_quiet: must be at least 0 seconds, not -1"),
    ],
)
def test_settings_that_cannot_be_meant(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        settings({**PLAIN, **given})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("socketpipe", "socketpipe"),
        ("backup_1", "backup_1"),
        (False, ""),
        ("false", ""),
        ("no", ""),
        ("Off", ""),
        (True, "socketpipe"),
        ("yes", "socketpipe"),
    ],
)
def test_fact_name(value: Any, name: str) -> None:
    assert fact_name(value) == name


@pytest.mark.parametrize("value", ["a b", "a-b", "1a", 5, ["a"], {"a": 1}])
def test_what_is_no_fact_name(value: Any) -> None:
    with pytest.raises(OptionError) as caught:
        fact_name(value)
    assert str(caught.value) == "fact: %r is neither a variable name nor false" % (value,)


def test_defaults_can_be_meant() -> None:
    """What validate_argument_spec makes of an empty task is accepted."""
    args = {name: spec.get("default") for name, spec in PIPE_SPEC.items()}
    assert settings(args) == SET and fact_name(args["fact"]) == "" and fact_name("yes") == "socketpipe"


# -- scripts


def script_stage(item: dict[str, Any], content: bytes = b"print(1)") -> dict[str, Any]:
    stages, _warnings = parse_stages("input", item, {"files/x y.py": content}.__getitem__)
    return stages[0]


def test_a_script_travels_with_its_stage() -> None:
    found = script_stage({"script": "'files/x y.py' --level 1"})
    assert found["argv"] == ["files/x y.py", "--level", "1"]
    assert base64.b64decode(found["program"]) == b"print(1)"
    assert found["launcher"] == [None, "-I", "/proc/self/fd/3"]
    assert script_stage({"script": "'files/x y.py'", "executable": "perl -w"})["launcher"] == [
        "perl",
        "-w",
        "/proc/self/fd/3",
    ]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"script": "/no/such"}, "input: script: /no/such: No such file or directory"),
        ({"script": "/"}, "input: script: /: there is no __main__.py in this directory for Python to run"),
        ({"script": ""}, "input: the command is empty"),
        ({"script": "/etc/passwd", "executable": " "}, "input: executable: ' ' is not a command line"),
        ({"script": "/etc/passwd", "executable": ["sh"]}, "input: executable: ['sh'] is not a command line"),
        (
            {"script": "/etc/passwd", "executable": "sh '"},
            'input: executable: unbalanced quotes in "sh \'" (No closing quotation)',
        ),
        ({"cmd": "cat", "executable": "/bin/sh"}, "input: executable: only valid with script, not with cmd"),
        ({"script": ["x"]}, "input: script: a list is not a command line"),
    ],
)
def test_a_script_that_cannot_be_meant(item: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match="^" + re.escape(message) + "$"):
        parse_stages("input", item)


def test_a_script_that_is_not_to_be_had() -> None:
    """The reason is said as the action gives it, and not taken for a mistake in ``executable``."""

    def read(_path: str) -> bytes:
        raise ScriptError("Could not find or access 'x'")

    with pytest.raises(OptionError, match="^input: script: x: Could not find or access 'x'$"):
        parse_stages("input", {"script": "x"}, read)


def test_a_script_of_bounded_size() -> None:
    with pytest.raises(OptionError, match="has 4194305 bytes; the limit is 4194304"):
        script_stage({"script": "'files/x y.py'"}, b"#" * (4 * 1024 * 1024 + 1))
    script_stage({"script": "'files/x y.py'"}, b"#" * (4 * 1024 * 1024))
