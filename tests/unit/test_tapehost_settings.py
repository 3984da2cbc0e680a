# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role's variables may be, and that whatever is asked of the program, it answers with a sentence."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import settings as archiver
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common import call, problem, units
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host import main, settings
from ansible_collections.plumbing.socketpipe.tests.unit.archives import report
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost, command
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("28d", 2419200), ("12h", 43200), ("90m", 5400), ("30s", 30), ("2w", 1209600), (" 5 ", 5), (0, 0), (7, 7)],
)
def test_duration(text: object, seconds: int) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1", "1.5h", "5 minutes", "1e3", None, [], True, "9" * 400, "1" * 12 + "d"])
def test_no_duration(text: object) -> None:
    with pytest.raises(problem.Problem, match="is not a duration: write it as 28d, 12h, 90m or 30s, and at most 1000"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("28d", 28),
        ("0d", 0),
        ("4w", 28),
        ("6mo", 186),
        ("1y", 366),
        ("1y6mo", 552),
        ("6 months", 186),
        ("1 day", 1),
        ("2 Weeks", 14),
        (" 1 year, 2 months ", 428),
    ],
)
def test_retention(text: str, days: int) -> None:
    assert units.parse_retention(text) == days * 86400


@pytest.mark.parametrize(
    "text",
    ["", "d", "28", 28, 0, "6m", "6 m", "90min", "12h", "30s", "-1d", "1.5d", "1001y", "1d 5", None, [], True],
)
def test_no_retention(text: object) -> None:
    with pytest.raises(problem.Problem, match="is not a retention: .*it needs a unit of days or more, such as 28d, 4w"):
        units.parse_retention(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256K", 262144),
        ("2g", 2**31),
        ("2.5T", 5 * 2**39),
        ("1MiB", 2**20),
        ("1MB", 2**20),
        ("12B", 12),
        (512, 512),
        ("9007199254740993", 9007199254740993),
    ],
)
def test_size(text: object, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "1e3", "1 2", None, [], True, "9" * 400, "99999999T", "1KK"])
def test_no_size(text: object) -> None:
    with pytest.raises(problem.Problem, match="is not a size: write it as 256K, 2G or 2.5T"):
        units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-23T01:46:56Z", 1795398416),
        ("20261123T014656Z", 1795398416),
        ("2026-11-23 01:46:56", 1795398416),
        ("2026-11-23 01:46", 1795398360),
        ("2026-11-23T01:46", 1795398360),
        ("2026-11-23", 1795478399),
        ("1970-01-01", 86399),
    ],
)
def test_time(text: str, seconds: int) -> None:
    assert units.parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2026-11-23T01:46:56+01:00", "1795398416"])
def test_no_time(text: str) -> None:
    with pytest.raises(problem.Problem, match="is not a time: write it in UTC as 2026-11-23 or 2026-11-23 01:46"):
        units.parse_time(text)


LIST = "it must be a list of words"
DRIVE = "it must be a path, or a mapping such as {serial: HU1234567A}; quote a serial number of digits"
QUOTES = 'quote each one ("042142"): otherwise YAML reads it as a number, with a leading 0 as an octal one'
YES = "it must be true or false"
SIZE = "write it as 256K, 2G or 2.5T"
DURATION = "write it as 28d, 12h, 90m or 30s, and at most 1000 years"
RETENTION = "it needs a unit of days or more, such as 28d, 4w, 6mo or 1y, and is at most 1000 years"
BLOCK = "it must be a multiple of 512, and at most 4M"
WRONG = [
    ({"devices": 5}, "tape_devices: 5 is not a list: it must be a list of drives"),
    ({"devices": {"serial": "A"}}, "tape_devices: {'serial': 'A'} is not a list: it must be a list of drives"),
    ({"devices": False}, "tape_devices: False is not a list: it must be a list of drives"),
    ({"devices": ["a", ["b"]]}, "tape_devices: ['b'] is no drive: " + DRIVE),
    ({"devices": [5]}, "tape_devices: 5 is no drive: " + DRIVE),
    ({"devices": [{"serial": 1234}]}, "tape_devices: {'serial': 1234} is no drive: " + DRIVE),
    ({"devices": [{"serial": " "}]}, "tape_devices: {'serial': ' '} is no drive: " + DRIVE),
    ({"devices": [{"serial": "a/b"}]}, "tape_devices: {'serial': 'a/b'} is no drive: " + DRIVE),
    ({"devices": [{"serial": "A", "path": "/x"}]}, "tape_devices: {'serial': 'A', 'path': '/x'} is no drive: " + DRIVE),
    ({"devices": [""]}, "tape_devices: '' is no drive: " + DRIVE),
    ({"barcodes": [None]}, "tape_barcodes: [None] is not a list: " + LIST),
    ({"barcodes": ["A00001L6", 17506]}, "tape_barcodes: ['A00001L6', 17506] contains a number: " + QUOTES),
    ({"labels": [17506]}, "tape_labels: [17506] contains a number: " + QUOTES),
    ({"labels": 1.5}, "tape_labels: 1.5 is not a list: " + LIST),
    ({"paths": True}, "tape_paths: True is not a list: " + LIST),
    ({"devices": ["a\0b"]}, "tape_devices: 'a\\x00b' is no drive: " + DRIVE),
    ({"block_size": "4k4"}, "tape_block_size: '4k4' is not a size: " + SIZE),
    ({"block_size": 0}, "tape_block_size: 0 bytes: " + BLOCK),
    ({"block_size": 1000}, "tape_block_size: 1000 bytes: " + BLOCK),
    ({"block_size": "32M"}, "tape_block_size: 33554432 bytes: " + BLOCK),
    ({"capacity": "much"}, "tape_capacity: 'much' is not a size: " + SIZE),
    ({"capacity": [1]}, "tape_capacity: [1] is not a size: " + SIZE),
    ({"buffer": -1}, "tape_buffer: -1 is not a size: " + SIZE),
    ({"buffer": "1M"}, "tape_buffer: 1.0 MiB: it must be at least 10 blocks of tape_block_size, or empty"),
    (
        {"retention": "6m"},
        "tape_retention: '6m' is not a retention: for months write 6mo; " + RETENTION,
    ),
    ({"retention": 28}, "tape_retention: 28 is not a retention: for days write 28d; " + RETENTION),
    ({"retention": "12h"}, "tape_retention: '12h' is not a retention: " + RETENTION),
    ({"expire_last": "perhaps"}, "tape_expire_last: 'perhaps': " + YES),
    ({"wait": {}}, "tape_wait: {} is not a duration: " + DURATION),
    ({"lease": True}, "tape_lease: True is not a duration: " + DURATION),
    ({"reuse": "always"}, "tape_reuse: 'always': it must be one of never, scratch, expired"),
    ({"reuse": ["never"]}, "tape_reuse: ['never']: it must be one of never, scratch, expired"),
    ({"steal": "maybe"}, "tape_steal: 'maybe': " + YES),
    ({"reclaim": 2}, "tape_reclaim: 2: " + YES),
    ({"compression": "lots"}, "tape_compression: 'lots': " + YES),
    ({"encryption": "x"}, "tape_encryption: 'x' is not a mapping: the documentation of the role lists its keys"),
    (
        {"encryption": {"key_file": 5}},
        "tape_encryption has no key_file: set it to a file on the tape host with the key in ",
    ),
    ({"set": "a/b"}, "tape_set: 'a/b' cannot be the name of a set: use letters, digits, - _ and ., at most 64 of them"),
    ({"set": "a b"}, "tape_set: 'a b' cannot be the name of a set: use letters, digits, - _ and ., at most 64 of them"),
    ({"catalog_dir": "here"}, "tape_catalog_dir: 'here' is not a path: it must begin with /"),
    ({"catalog_dir": ["/x"]}, "tape_catalog_dir: ['/x'] is not a path: it must begin with /"),
    ({"changer": ["/dev/sg3"]}, "tape_changer: ['/dev/sg3']: it must be one word"),
    ({"next_command": {}}, "tape_next_command: {}: it must be one word"),
    ([], "SOCKETPIPE_TAPE is not a JSON object"),
    ("all", "SOCKETPIPE_TAPE is not a JSON object"),
    (None, "SOCKETPIPE_TAPE is not a JSON object"),
]


@pytest.mark.parametrize(("given", "sentence"), WRONG)
def test_wrong_settings(given: Any, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCKETPIPE_TAPE", json.dumps(given))
    with pytest.raises(problem.Problem) as raised:
        settings.Settings(call.Call().settings())
    assert str(raised.value).startswith(sentence) if sentence.endswith(" in ") else str(raised.value) == sentence


@pytest.mark.parametrize("text", ["{", "\xff", "[" * 100_000, "{'a': 1}"])
def test_no_json(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCKETPIPE_TAPE", text)
    with pytest.raises(problem.Problem, match="^SOCKETPIPE_TAPE is not JSON"):
        settings.Settings(call.Call().settings())


def test_what_is_not_set_or_empty_is_the_default() -> None:
    found = settings.Settings({"devices": None, "wait": "", "strange": 1, "reuse": None})
    assert (found.devices, found.wait, found.reuse, found.block_size) == ([], 3600, "scratch", 262144)
    assert (found.steal, found.reclaim, found.compression) == (False, False, None)


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("False", False), ("on", True), ("0", False), (1, True)])
def test_what_a_command_line_says_of_true_and_false(word: object, value: bool) -> None:
    """-e tape_steal=false is the string "false", which Python takes for true."""
    found = settings.Settings({"steal": word, "compression": word})
    assert (found.steal, found.compression) == (value, value)
    assert archiver.Settings({"one_file_system": word}).one_file_system is value


def test_one_word_is_a_list_of_it() -> None:
    found = settings.Settings({"devices": "/dev/nst0", "labels": "WEEK*"})
    assert (found.devices, found.labels) == (["/dev/nst0"], ["WEEK*"])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(sorted(settings.DEFAULTS)), VALUES, max_size=4))
@hypothesis(max_examples=100, deadline=None)
def test_settings_are_right_or_a_sentence(value: dict[str, Any]) -> None:
    try:
        settings.Settings(value)
    except problem.Problem as exc:
        assert str(exc).startswith("tape_")


USED_WRONGLY = [
    [],
    ["frobnicate"],
    ["sink"],
    ["sink", "--run", "R1", "--host", "h1", "--level", "one"],
    ["source", "--tape", "A", "--file", "x"],
]


@pytest.mark.parametrize("words", USED_WRONGLY, ids=" ".join)
def test_used_wrongly(words: list[str], tape_host: Callable[..., TapeHost]) -> None:
    done = tape_host(tapes=0).run(*words)
    assert (done.status, done.out) == (2, b"")
    assert done.said.startswith(
        "tapehost: error: unknown subcommand '" if words in USED_WRONGLY[:2] else "tapehost %s: error: " % words[0]
    )


NAME = "use letters, digits, - _ and ., at most 64 of them"
REFUSED = [
    (["sink", "--run", "../R", "--host", "h1"], "'../R' cannot be the name of a run: " + NAME),
    (["sink", "--run", "R,1", "--host", "h1"], "'R,1' cannot be the name of a run: " + NAME),
    (["finish", "--run", ""], "'' cannot be the name of a run: " + NAME),
    (["sink", "--run", "R1", "--host", "a/b"], "'a/b' cannot be the name of a host: use one word without /"),
    (["sink", "--run", "R1", "--host", "a b"], "'a b' cannot be the name of a host: use one word without /"),
    (["sink", "--run", "R1", "--host", ""], "'' cannot be the name of a host: use one word without /"),
    (["sink", "--run", "R1", "--host", ".."], "'..' cannot be the name of a host: use one word without /"),
    (["sink", "--run", "R1", "--host", "h1", "--level", "10"], "level 10: it must be from 0 (everything) to 9"),
    (["sink", "--run", "R1", "--host", "h1", "--level", "-1"], "level -1: it must be from 0 (everything) to 9"),
    (["sink", "--run", "R1", "--host", "h1"], "this host has no drives: set tape_devices in the variables of the "),
    (["commit", "--run", "R1", "--host", "h1"], "the report of h1 for run R1 cannot be read: "),
    (["source", "--tape", "../A", "--file", "1"], "'../A' cannot be the name of a tape: " + NAME),
    (["source", "--tape", "A", "--file", "1"], "tape A is not in the catalog "),
    (["verify", "--tape", "a/b"], "'a/b' cannot be the name of a tape: " + NAME),
    (["label", "--label", "A"], "tape_device is required: set it to one of: none, set tape_devices"),
    (
        ["label", "--label", "A", "--device", "/nowhere"],
        "drive /nowhere: No such file or directory: check tape_devices",
    ),
    (["label", "--label", "A", "--device", "/dev/null"], "/dev/null is not a tape drive: "),
    (["label", "--label", "Wöche"], "'Wöche' cannot be the name of a tape: " + NAME),
    (["label", "--label", "."], "'.' cannot be the name of a tape: " + NAME),
    (["chain", "--host", "h1"], "there is no good archive of h1 (set all): the catalog "),
    (["chain", "--host", "h1", "--as-of", "then"], "'then' is not a time: "),
    (["plan"], "invalid request: "),
]


@pytest.mark.parametrize(("words", "sentence"), REFUSED, ids=[" ".join(words) for words, _sentence in REFUSED])
def test_refused(words: list[str], sentence: str, tape_host: Callable[..., TapeHost]) -> None:
    assert tape_host(tapes=0).fails(*words).startswith(sentence)


REQUESTS: list[object] = [
    [],
    {},
    {"run": "R1"},
    {"run": "R1", "hosts": ["h1"]},
    {"run": "R1", "hosts": {"h1": None}},
    {"run": "R1", "hosts": {"h1": {"level": "x"}}},
    {"run": "R1", "hosts": {"h1": {"level": [1]}}},
    {"run": "R1", "hosts": {"h1": {"level": 0, "bytes": "many"}}},
    {"run": ["R1"], "hosts": {}},
]


@pytest.mark.parametrize("request_", [json.dumps(each).encode() for each in REQUESTS] + [b"\xff", b"[" * 100_000])
def test_a_request_that_is_none(request_: bytes, tape_host: Callable[..., TapeHost]) -> None:
    assert tape_host(tapes=0).fails("plan", data=request_).startswith("invalid request: ")


def test_whoever_is_not_there_is_no_traceback(tape_host: Callable[..., TapeHost]) -> None:
    host = tape_host()
    (host.folder / "plain").write_text("")
    text = host.fails("inventory", catalog_dir=str(host.folder / "plain" / "catalog"))
    assert text.endswith("plain/catalog: Not a directory")
    environment = host.environment({})
    closed = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command("inventory")], env=environment, capture_output=True, check=False
    )
    assert closed.returncode == 1 and b"Traceback" not in closed.stderr
    full = subprocess.run(
        ["sh", "-c", 'exec "$@" > /dev/full', "sh", *command("inventory")],
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (full.returncode, full.stderr) == (1, b"No space left on device\n")


def test_standard_input_that_is_closed(tape_host: Callable[..., TapeHost]) -> None:
    host = tape_host()
    for words in (["plan"], ["commit", "--run", "R1", "--host", "h1"], ["sink", "--run", "R1", "--host", "h1"]):
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", *command(*words)],
            env=host.environment({}),
            capture_output=True,
            check=False,
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (1, False), done.stderr


def test_a_damaged_lease_is_none(tape_host: Callable[..., TapeHost]) -> None:
    host = tape_host()
    host.backup("R1", "h1")
    (host.catalog_dir / "leases" / "A.json").write_text("{")
    assert host.ok("inventory")["tapes"][0]["run"] is None


def test_a_report_that_does_not_belong_here_is_no_traceback(tape_host: Callable[..., TapeHost]) -> None:
    host = tape_host()
    words = ["commit", "--run", "R1", "--host", "h1"]
    assert host.fails(*words, data=report("R1", "h1", b"x")).startswith("run R1 has no complete archive of h1")


@pytest.mark.parametrize("words", [["plan"], ["sink", "--run", "R1", "--host", "h1"], ["label", "--label", "A"]])
def test_without_drives_nothing_is_made(words: list[str], tape_host: Callable[..., TapeHost]) -> None:
    """It may be the controller, of which nobody thinks as a tape host."""
    host = tape_host(tapes=0)
    host.fails(*words, data=b'{"hosts": {"h1": {}}}')
    assert not host.catalog_dir.exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_a_user_may_not_do(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as to take a lock that root has made."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said = main.say_error(OSError(number, os.strerror(number), "/var/lib/socketpipe/tape/locks/st0"))
    assert said == "/var/lib/socketpipe/tape/locks/st0: %s%s" % (
        os.strerror(number),
        ""
        if number == errno.EROFS
        else ": this program runs as user ID 1000: set tape_become, or give that user access",
    )
