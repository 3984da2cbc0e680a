# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words and the settings of the archiver: which it needs, and what they are when they are not given."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import create, dump, main
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.settings import Settings
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import SETTINGS, Problem

# {subcommand: (words that it needs, all other options with a value, what it is told then)}
LEVEL = {"level": 1, "base": None, "base_sha256": None, "ahead": 0}
ARCHIVE = {"run": "R", "host": "h", "attempt": "", "machine": ""}
FLAGS = ["incremental", "more", "may_repeat", "again", "delete", "keep_going", "owners_by_name", "into_existing"]
FLAGS += ["allow_root", "strict_paths"]
EXTRACT: dict[str, Any] = {"to": "/x", "sha256": "a", "bytes": 5, "drill": "", "early_exit": None, "paths": []}
EXTRACT.update(dict.fromkeys(FLAGS, False))
WORDS: list[tuple[str, list[str], dict[str, Any]]] = [
    ("create", ["--run=R", "--host=h", "--level=1"], {**ARCHIVE, **LEVEL, "keep": ""}),
    ("dump", ["--run=R", "--host=h"], ARCHIVE),
    ("seal", ["--run=R"], {"run": "R"}),
    ("report", ["--run=R"], {"run": "R"}),
    ("estimate", ["--level=1"], LEVEL),
    ("undo", [], {}),
    ("check", ["--sha256=a", "--bytes=5"], {"sha256": "a", "bytes": 5}),
    ("extract", ["--to=/x", "--sha256=a", "--bytes=5"], EXTRACT),
    ("discard", ["--to=/x", "--drill=5"], {"to": "/x", "drill": "5"}),
]


def parsed(*words: str) -> dict[str, Any]:
    return vars(main.arguments().parse_args(list(words)))


@pytest.mark.parametrize(("command", "needed", "told"), WORDS)
def test_words_of_a_subcommand(
    command: str, needed: list[str], told: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert parsed(command, *needed) == {"command": command, **told}
    for missing in needed:
        with pytest.raises(SystemExit) as caught:
            parsed(command, *[word for word in needed if word != missing])
        said = capsys.readouterr().err
        assert caught.value.code == 2 and said.endswith("are required: " + missing.partition("=")[0] + "\n")
    for name, value in told.items():
        option = "--" + name.replace("_", "-")
        if value is False:
            assert parsed(command, *needed, option)[name] is True
        elif value in ("", None, 0):
            given = 7 if name in ("ahead", "early_exit") else "7"
            assert parsed(command, *needed, option, "7")[name] == given
    if "paths" in told:
        assert parsed(command, *needed, "a", "b")["paths"] == ["a", "b"]


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    assert [parsed("estimate", f"--level={level}")["level"] for level in (0, 9)] == [0, 9]
    for level in ("10", "-1", "x"):
        with pytest.raises(SystemExit):
            parsed("estimate", f"--level={level}")
    with pytest.raises(SystemExit):
        parsed()
    said = capsys.readouterr().err
    assert said.endswith(
        "the following arguments are required: create | dump | seal | report | estimate | extract | "
        "discard | check | undo\n"
    )
    assert said.startswith("usage: archiver ")


def test_an_answer_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there is one: the archive itself is none."""
    answers: list[object] = []
    call: Any = SimpleNamespace(settings=dict, answer=answers.append)
    words: Any = SimpleNamespace(command="estimate")
    answer = {"bytes": 5}
    monkeypatch.setattr(create, "estimate", lambda _settings, given: answer if given is words else 1 // 0)
    main.run(call, words)
    monkeypatch.setattr(create, "estimate", lambda _settings, _given: None)
    main.run(call, words)
    assert answers == [{"bytes": 5}]


# -- settings


def settings_of(**given: Any) -> Settings:
    return Settings(given)


def test_settings_that_are_not_given() -> None:
    found = settings_of(paths=["/"])
    assert (found.set, found.block_size, found.one_file_system, found.tar_may_end_with) == ("all", 2**18, True, (0, 1))
    assert found.state_dir == b"/var/lib/socketpipe/tape-state/localhost/all"
    assert (found.excludes, found.exclude_tag, found.exclude_files, found.exclude_caches) == ([], [], [], False)
    assert (found.filters, found.source, found.before, found.after) == ([], {}, [], [])
    assert (found.hook_timeout, found.undone, found.paths) == (60, False, [b"/"])


def test_settings_as_given(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "link").symlink_to("a")
    paths = [f"//{tmp_path}/a/", f"{tmp_path}/x/../a", f"{tmp_path}/link"]
    found = settings_of(
        keep_incomplete=True,
        set="etc",
        state_dir="/s//t/",
        tape_host=".a/ü_b",
        excludes=["/a/", "b"],
        exclude_tag=["tag", "..x"],
        exclude_files=["/x"],
        paths=paths,
    )
    assert found.tar_may_end_with == (0, 1, 2) and found.state_top == b"/s/t"
    assert found.state_dir == b"/s/t/%2ea%2f%c3%bc_b/etc" and found.excludes == [b"/a", b"b"]
    assert (found.exclude_tag, found.exclude_files) == ([b"tag", b"..x"], [b"/x"])
    assert found.paths == [os.fsencode(tmp_path / "a"), os.fsencode(tmp_path / "link")]


NOT_HERE = "not on this host: {0}/x, {0}/y (each of tape_paths must exist; set tape_paths for this host if it differs)"
A_LINK = "{0}/link of tape_paths is a symbolic link, and tar would store only the link: use {0}/d instead"


@pytest.mark.parametrize(
    ("given", "text"),
    [({"excludes": [each]}, "tape_excludes contains an empty pattern, or /") for each in ("", "/", "//")]
    + [
        ({"exclude_tag": [each]}, f"tape_exclude_tag contains {each!r}: it must be the name of a file, without /")
        for each in ("", ".", "..", "a/b")
    ]
    + [
        ({"exclude_files": ["/a", "b"]}, "tape_exclude_files contains 'b': each path must begin with /"),
        ({"paths": ["/", "b"]}, "tape_paths contains 'b': each path must begin with /"),
        ({"paths": []}, "tape_paths is empty: there is nothing to back up"),
        ({"paths": ["{0}/x", "{0}", "{0}/y"]}, NOT_HERE),
        ({"paths": ["{0}/d", "{0}/link"]}, A_LINK),
    ],
)
def test_settings_that_are_wrong(tmp_path: Path, given: dict[str, list[str]], text: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    (name,) = given
    with pytest.raises(Problem) as caught:
        settings_of(**{name: [each.format(tmp_path) for each in given[name]]}).paths  # noqa: B018
    assert str(caught.value) == text.format(tmp_path)
    assert caught.value.kind == ("failed" if "{0}" in text else SETTINGS)


# -- the output of a command


class Dumped:
    """A command whose output has passed."""

    def run(self) -> dict[str, Any]:
        return {"bytes": 5, "sha256": "ab" * 32}


SOURCE = {"name": "db", "run": ["dump"], "restore": "load"}


def test_the_facts_of_an_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The states of other runs that were reported are no bases, and go; so does that of an earlier attempt."""
    commands: list[list[str]] = []

    def passage(command: list[str]) -> Dumped:
        commands.append(command)
        return Dumped()

    monkeypatch.setattr(dump, "Passage", passage)
    machines: list[object] = []
    monkeypatch.setattr(dump, "same_machine", lambda *found: machines.append(found))
    monkeypatch.setattr(dump, "machine_id", lambda: "m")
    times = iter((1000.0, 1001.23456))
    clock = SimpleNamespace(time=lambda: next(times), strftime=time.strftime, gmtime=time.gmtime)
    monkeypatch.setattr(dump, "time", clock)
    settings = settings_of(state_dir=str(tmp_path), source=SOURCE, filters=["f"])
    folder = Path(os.fsdecode(settings.state_dir))
    folder.mkdir(parents=True)
    for name in ("old.json", "old.reported", "R.snar", "R.seal"):
        (folder / name).touch()
    words: Any = SimpleNamespace(run="R", host="h", machine="n", attempt="A")
    outputs: list[int] = []
    monkeypatch.setattr(dump.States, "open", lambda states, out: outputs.append(out))
    dump.dump(settings, words)
    facts = dump.States(settings.state_dir).facts("R")
    assert sorted(os.listdir(folder)) == ["R.json"] and machines == [("h", "n")]
    assert outputs == [1]
    assert commands == [["dump"]] and capsys.readouterr().err == "5 bytes\n"
    assert facts == {
        "run": "R",
        "host": "h",
        "set": "all",
        "level": 0,
        "level_problem": "",
        "base": None,
        "time": "1970-01-01T00:16:40Z",
        "machine_id": "m",
        "paths": [],
        "bytes": 5,
        "sha256": "ab" * 32,
        "tar": 0,
        "incomplete": False,
        "warnings": [],
        "warning_count": 0,
        "other_file_systems": [],
        "files": 0,
        "elapsed": 1.235,
        "filters": ["f"],
        "source": {"name": "db", "restore": "load"},
        "unlisted": True,
        "attempt": "A",
    }


def test_no_command(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="^there is no command to run$") as caught:
        dump.dump(settings_of(state_dir=str(tmp_path)), SimpleNamespace(run="R", host="h"))
    assert caught.value.kind == SETTINGS and os.listdir(tmp_path) == []


@pytest.mark.parametrize(("size", "digest", "good"), [(5, "AB", True), (4, "ab", False), (5, "ac", False)])
def test_the_way_back(monkeypatch: pytest.MonkeyPatch, size: int, digest: str, good: bool) -> None:
    monkeypatch.setattr(dump, "Passage", Dumped)
    words: Any = SimpleNamespace(bytes=size, sha256=digest * 32)
    if good:
        dump.check(settings_of(), words)
        return
    with pytest.raises(Problem) as caught:
        dump.check(settings_of(), words)
    assert str(caught.value) == (
        f"these are not the {size} bytes in the catalog: they are 5, and their SHA-256 is {'ab' * 32}, "
        f"not {digest * 32}; do not trust what was restored"
    )
