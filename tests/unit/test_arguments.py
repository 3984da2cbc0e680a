# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of socketpipe: every mistake and its line, then what is understood."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import command
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.arguments import Usage, parse
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.options import OPTIONS
from hypothesis import example, given, settings
from hypothesis import strategies as st

GOOD = "-i { date } -l { ssh h1 } -r { cat }"
BRACES = "needs a command in braces, each brace a separate word"
STRAY = "-i, -l, -r and -o take a command in braces: -i { command }"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        # what is missing
        ("", "-l/--login is required: the command that leads to the far side"),
        ("-i { date } -r { cat }", "-l/--login is required: the command that leads to the far side"),
        ("-i { date } -l { ssh h1 }", "-r/--remote is required: the command to run on the far side"),
        (
            "-l { ssh h1 } -r { cat }",
            "-i/--input or -o/--output is required: the command on this host to join -r to",
        ),
        # braces
        ("-i", f"-i/--input: {BRACES}: -i {{ command }}"),
        ("-l ssh h1", f"-l/--login: {BRACES}: -l {{ command }}"),
        ("-r {cat}", f"-r/--remote: {BRACES}: -r {{ command }}"),
        ("-r{ cat }", f"-r/--remote: {BRACES}: -r {{ command }}"),
        ("--output=cat", f"-o/--output: {BRACES}: -o {{ command }}"),
        ("-i }", f"-i/--input: {BRACES}: -i {{ command }}"),
        ("-i {", "-i/--input: the closing brace is missing; it must be a separate word: }"),
        ("-i { date -l { ssh }", "-i/--input: the closing brace is missing; it must be a separate word: }"),
        ("-r { cat }, -b", "-r/--remote: the closing brace is missing; it must be a separate word: }"),
        ("-o { }", "-o/--output: the command is empty"),
        ("-i { date } --input { date }", "-i/--input: given twice"),
        ("-i { date } } -b", f"unexpected word '}}'; {STRAY}"),
        ("{ date }", f"unexpected word '{{'; {STRAY}"),
        # other words
        (f"{GOOD} cat", f"unexpected word 'cat'; {STRAY}"),
        (f"{GOOD} -", f"unexpected word '-'; {STRAY}"),
        (f"{GOOD} --", "--: unknown option"),
        (f"{GOOD} -x", "-x: unknown option"),
        (f"{GOOD} -bx", "-x: unknown option"),
        (f"{GOOD} --batc", "--batc: unknown option"),
        (f"{GOOD} -s h1 5000 cat", "-s: unknown option"),
        (f"{GOOD} --batch=yes", "-b/--batch: takes no value"),
        # values
        (f"{GOOD} -t", "-t/--timeout: needs a value: --timeout SECONDS"),
        (f"-t {GOOD}", "-t/--timeout: needs a value: --timeout SECONDS"),
        (f"{GOOD} --ports {{", "--ports: needs a value: --ports PORTS"),
        (f"{GOOD} -t soon", "-t/--timeout: 'soon' is not a whole number of seconds from 0 to 1000000000"),
        (f"{GOOD} -t=5", "-t/--timeout: '=5' is not a whole number of seconds from 0 to 1000000000"),
        (f"{GOOD} --timeout=-1", "-t/--timeout: '-1' is not a whole number of seconds from 0 to 1000000000"),
        (f"{GOOD} --stall-timeout 1.5", "--stall-timeout: '1.5' is not a whole number of seconds from 0 to 1000000000"),
        (
            f"{GOOD} --stall-timeout 1000000001",
            "--stall-timeout: '1000000001' is not a whole number of seconds from 0 to 1000000000",
        ),
        (f"{GOOD} --dead-peer 5", "--dead-peer: must be at least 6 seconds, or 0 to disable it, not 5"),
        (f"{GOOD} --dead-peer x", "--dead-peer: 'x' is not a whole number of seconds from 0 to 1000000000"),
        (
            f"{GOOD} --rate-limit fast",
            "--rate-limit: 'fast' is not a number of bytes a second, such as 500K, 10M or 1.5G",
        ),
        (
            f"{GOOD} --rate-limit 8388608T",
            "--rate-limit: '8388608T' is not a number of bytes a second, such as 500K, 10M or 1.5G",
        ),
        (f"{GOOD} --ports some", "--ports: 'some' is neither a port (5000) nor a range of ports (5000-5010)"),
        (f"{GOOD} --ports 9-5", "--ports: '9-5' is not within 1-65535, lowest first"),
        (f"{GOOD} --listen both", "--listen: 'both' is neither local nor remote"),
        (f"{GOOD} --listen remote", "--listen=remote needs -h/--host, the address of the far side"),
        (f"{GOOD} --python=", "--python: the value is empty"),
        (f"{GOOD} -h a,,b", "-h/--host: 'a,,b' is not a name or address, or several separated by commas"),
        (f"{GOOD} --host=", "-h/--host: '' is not a name or address, or several separated by commas"),
        # what an original cannot do
        (f"{GOOD} --plain --whole", "--plain: an original on the far side does not support --whole"),
        (f"{GOOD} --ok-rc tar=1", "--ok-rc: 'tar=1' does not name a command and its exit statuses, such as input=0,1"),
        (
            f"{GOOD} --ok-rc input=0,256",
            "--ok-rc: 'input=0,256' does not name a command and its exit statuses, such as input=0,1",
        ),
        (f"{GOOD} --ok-rc input", "--ok-rc: 'input' does not name a command and its exit statuses, such as input=0,1"),
        (f"{GOOD} --plain --stats=/x", "--plain: an original on the far side does not support --stats"),
        (f"{GOOD} --encrypt=maybe", "--encrypt: 'maybe' is not one of required, kernel, relay"),
        (f"{GOOD} --plain --encrypt", "--plain: an original on the far side does not support --encrypt"),
        *(
            (line, "--encrypt: socketpipe -s speaks the protocol of the original, which does not encrypt")
            for line in (
                "-i { date } -l { ssh h1 } -r { socketpipe -s h 1 cat } --encrypt",
                "-i { socketpipe -s h 1 cat } -l { ssh h1 } -r { cat } --encrypt",
                "-o { socketpipe -s h 1 cat } -l { ssh h1 } -r { cat } --encrypt=kernel",
            )
        ),
        (f"{GOOD} --plain -h a,b", "-h/--host: an original on the far side accepts only one address"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_1(line: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Usage) as caught:
        parse(line.split())
    assert str(caught.value) == message
    assert command.main(line.split()) == 1
    assert capfd.readouterr() == ("", f"socketpipe: {message} (see socketpipe --help)\n")


def test_an_empty_word_is_no_command() -> None:
    with pytest.raises(Usage, match="^-r/--remote: the command is empty$"):
        parse(["-r", "{", "", "}"])


@pytest.mark.parametrize(
    ("line", "port"),
    [("-s", ""), ("-s h1", ""), ("-s h1 5000", "")]
    + [(f"-s h1 {port} cat", port) for port in ("x", "0", "65536", "-1")],
)
def test_what_an_original_would_not_say_is_a_mistake(line: str, port: str, capfd: pytest.CaptureFixture[str]) -> None:
    message = f"{port!r} is not a port number" if port else "needs a host, a port and a command"
    assert command.main(line.split()) == 1
    assert capfd.readouterr().err == f"socketpipe: -s: {message}\n"


# -- what is understood


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("", "batch", False),
        ("-b", "batch", True),
        ("--batch --batch", "batch", True),
        ("-bq", "quiet", True),
        ("-bqt5", "timeout", 5),
        ("", "host", None),
        ("-h tape", "host", "tape"),
        ("-htape", "host", "tape"),
        ("--host=tape,2001:db8::1", "host", "tape,2001:db8::1"),
        ("", "timeout", 0),
        ("-t 5", "timeout", 5),
        ("-t 5 --timeout 6", "timeout", 6),
        ("", "listen", "local"),
        ("--listen=remote -h tape", "listen", "remote"),
        ("", "ports", []),
        ("--ports 5000,5002-5003", "ports", [5000, 5002, 5003]),
        ("", "stall_timeout", 0),
        ("--stall-timeout 60", "stall_timeout", 60),
        ("", "dead_peer", 120),
        ("--dead-peer 0", "dead_peer", 0),
        ("--dead-peer=6", "dead_peer", 6),
        ("", "rate_limit", 0),
        ("--rate-limit 1.5M", "rate_limit", 3 * 512 * 1024),
        ("", "congestion_control", ""),
        ("--congestion-control reno", "congestion_control", "reno"),
        ("", "live", False),
        ("--live", "live", True),
        ("--full-reads", "full_reads", True),
        ("", "whole", False),
        ("--whole", "whole", True),
        ("", "ok_rc", {}),
        ("--ok-rc input=0,1", "ok_rc", {"input": [0, 1]}),
        ("--ok-rc=input=1 --ok-rc output=0,2 --ok-rc input=0", "ok_rc", {"input": [0], "output": [0, 2]}),
        ("", "encrypt", "none"),
        ("--encrypt", "encrypt", "required"),
        ("--encrypt=kernel", "encrypt", "kernel"),
        ("--encrypt=relay", "encrypt", "relay"),
        ("", "stats", None),
        ("--stats", "stats", ""),
        ("--stats=/tmp/a b", "stats", "/tmp/a b"),
        ("", "python", None),
        ("--python /opt/python3.12", "python", "/opt/python3.12"),
        ("--python=-x", "python", "-x"),
        ("--plain", "plain", True),
    ],
)
def test_an_option_wherever_it_stands(line: str, name: str, value: Any) -> None:
    words = line.split() if " b" not in line else [line]
    for line_of_all in (words + GOOD.split(), GOOD.split() + words):
        assert getattr(parse(line_of_all), name) == value


def test_short_and_long_names_mean_the_same() -> None:
    long = "--input { date } --login { ssh h1 } --remote { cat }"
    assert parse(long.split()) == parse(GOOD.split())


def test_words_of_a_command_are_its_own() -> None:
    options = parse(["-b", "-i", "{", "-b", "a b", "$x", "*", "", "--help", "{}", "é\n", "}", *GOOD.split()[4:]])
    assert options.input == ["-b", "a b", "$x", "*", "", "--help", "{}", "é\n"]
    assert options.output is None and options.help is False


@pytest.mark.parametrize("name", ["help", "manual", "version"])
def test_who_asks_need_not_give_the_rest(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert command.main([f"--{name}"]) == 0
    out, err = capfd.readouterr()
    assert out.endswith("\n") and err == ""


def test_every_option_is_tried_here() -> None:
    """Of each a mistake or a value; this fails for one that is added without."""
    with open(__file__, encoding="utf-8") as source:
        text = source.read()
    assert [option.long for option in OPTIONS if option.long not in text and f'"{option.long[2:]}"' not in text] == []


# -- braces, against a reference

NAMES = {"-i": "input", "-l": "login", "-r": "remote", "-o": "output"}


def reference(words: list[str]) -> dict[str, list[str]] | None:
    """{option: its command}; None for a mistake. By the depth after each word."""
    found: dict[str, list[str]] = {}
    while words:
        name, rest = words[0], words[1:]
        depths = list(itertools.accumulate((word == "{") - (word == "}") for word in rest))
        if name not in NAMES or name in found or rest[:1] != ["{"] or 0 not in depths:
            return None
        found[name], words = rest[1 : depths.index(0)], rest[depths.index(0) + 1 :]
    complete = {"-l", "-r"} <= set(found) and {"-i", "-o"} & set(found)
    return found if complete and all(command and command[0] for command in found.values()) else None


leaf = st.sampled_from(["a", "-i", "-l", "-r", "-o", "{}", "{a", "a}", "", " ", "{ }", "ä"])
nested = st.recursive(
    leaf.map(lambda word: [word]),
    lambda inside: st.lists(inside, max_size=4).map(lambda parts: ["{", *itertools.chain(*parts), "}"]),
    max_leaves=12,
)
commands = st.lists(nested, max_size=4).map(lambda parts: ["a", *itertools.chain(*parts)])


@st.composite
def command_lines(draw: st.DrawFn) -> list[list[str]]:
    return [[name, "{", *draw(commands), "}"] for name in draw(st.permutations(list(NAMES)))]


anything = st.lists(st.sampled_from(["{", "}", "a", "-i", "-l", "-r", "-o"]), max_size=24)


def outcome(words: list[str]) -> dict[str, list[str]] | None:
    try:
        options = parse(words)
    except Usage as exc:
        assert "\n" not in str(exc)
        return None
    return {name: getattr(options, NAMES[name]) for name in NAMES if getattr(options, NAMES[name]) is not None}


@given(command_lines())
@settings(deadline=None)
def test_whatever_is_nested_comes_out_as_it_was(parts: list[list[str]]) -> None:
    words = list(itertools.chain(*parts))
    assert outcome(words) == reference(words) == {part[0]: part[2:-1] for part in parts}


@given(command_lines().map(lambda parts: list(itertools.chain(*parts))), st.data())
@settings(deadline=None)
def test_a_brace_more_or_less_is_seen_as_the_reference_sees_it(words: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(words) - 1))
    changed = data.draw(st.sampled_from([[], ["{", words[at]], ["}", words[at]]]))
    words = words[:at] + changed + words[at + 1 :]
    assert outcome(words) == reference(words)


@given(anything)
@example(["-l", "{", "a", "}", "-r", "{", "{", "}", "}", "-i", "{", "a", "}"])
@settings(max_examples=400, deadline=None)
def test_any_words(words: list[str]) -> None:
    assert outcome(words) == reference(words)
