# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore without a tar: its command line, what its programs' ends mean, and what becomes of its answer."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import extract, gnutar, links, target
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver import extraction as module
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.archiver.crew import Child, Lines
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.problem import SETTINGS, Problem

SUM = "ab" * 32
NEVER = "; do not trust the files in /to"


def extraction_of(asked: tuple[bytes, ...] = (), **given: Any) -> module.Extraction:
    words = {
        "bytes": 512,
        "sha256": SUM.upper(),
        "to": "/to",
        "drill": "",
        "owners_by_name": False,
        "keep_going": False,
    }
    nowhere: Any = None
    return module.Extraction(SimpleNamespace(**{**words, **given}), nowhere, list(asked))


@pytest.mark.parametrize(
    ("size", "found"),
    [(2**18, 2**18), (3 * 2**19, 2**18), (3 * 2**14, 2**14), (2**13, 2**18), (10240, 2**18), (512, 2**18), (7, 2**18)],
)
def test_tar_reads_whole_records(size: int, found: int) -> None:
    """If they are not too small."""
    assert extraction_of(bytes=size).record == found


BEFORE = ["--extract", "--preserve-permissions"]
LITERAL = ["--no-wildcards", "--blocking-factor=512", "--verbose"]
SILENT = ["--warning=no-timestamp", "--warning=no-unknown-keyword"]
AFTER = [b"--exclude=./.socketpipe-restore", "--index-file=/proc/self/fd/7", "--file=-"]
LONG = ["--verbose", "--quoting-style=c"]
ROOT = ["--same-owner", "--xattrs-include=*"]


@pytest.mark.parametrize(
    ("given", "user", "tar", "judged", "found"),
    [
        ({}, 1000, [], False, [*BEFORE, "--numeric-owner", *LITERAL, *SILENT, *AFTER]),
        ({}, 1, ["xattrs", "keep-directory-symlink"], False, [*BEFORE, "--numeric-owner", *LITERAL, *SILENT, *AFTER]),
        ({"owners_by_name": True}, 0, [], True, [*BEFORE, *LITERAL, *SILENT, "--same-owner", *AFTER]),
        ({"asked": (b"./a",)}, 5, [], False, [*BEFORE, "--numeric-owner", *LITERAL, *LONG, *SILENT, *AFTER]),
        (
            {"drill": "1"},
            0,
            ["xattrs", "keep-directory-symlink"],
            True,
            [*BEFORE, "--numeric-owner", *LITERAL, *LONG, "--full-time", "--utc", *SILENT, *ROOT]
            + ["--keep-directory-symlink", *AFTER],
        ),
    ],
)
def test_the_command_line_of_tar(
    monkeypatch: pytest.MonkeyPatch, given: Any, user: int, tar: list[str], judged: bool, found: list[Any]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    fake: Any = SimpleNamespace(metadata=tar, has=tar.__contains__, argv=lambda *words: list(words))
    assert extraction_of(**given).argv(fake, 7, judged) == found


# -- which end is the cause


@pytest.mark.parametrize(
    ("status", "errors", "missing", "unlinked", "found"),
    [
        (0, 5, 0, 0, False),
        (1, 5, 0, 0, False),
        (2, 1, 1, 0, True),
        (2, 0, 1, 0, False),
        (2, 0, 0, 1, False),
        (2, 0, 1, 1, False),
        (2, 0, 0, 0, True),
        (-9, 0, 0, 0, True),
    ],
)
def test_errors_of_tar(status: int, errors: int, missing: int, unlinked: int, found: bool) -> None:
    """What was requested and is missing is none."""
    made = extraction_of()
    made.status, made.says.count, made.says.missing, made.says.unlinked = status, errors, missing, unlinked
    assert made.has_errors is found


def child(name: str, status: int = 0, says: str = "", ok: tuple[int, ...] = (0,)) -> Child:
    process: Any = SimpleNamespace(returncode=status)
    lines = Lines()
    for line in says.splitlines():
        lines.add(line)
    made = Child(name, process, ok, lines)
    made.killed = status == -9
    return made


def judged(
    made: module.Extraction, tar: int = 0, tee: Child | None = None, summer: Child | None = None, says: str = ""
) -> tuple[str, list[str]]:
    """(the problem, the output that is told with it)."""
    for line in says.splitlines():
        made.says.add(line)
    made.status = tar
    process: Any = SimpleNamespace(returncode=tar)
    try:
        made.judge(Child("tar", process, (0, 1, 2), made.says), tee or child("tee"), summer)
    except Problem as exc:
        return str(exc), list(exc.output)
    return "", []


GOOD = {"summer": child("sum")}
TWO = "tar: one\ntar: two"
CAUSES: list[tuple[dict[str, Any], str, list[str]]] = [
    ({}, "", []),
    ({"tee": child("tee", 1, "a\nb"), "tar": 2}, f"the archive was cut off: a b{NEVER}", []),
    ({"tee": child("tee", 1), "tar": -9}, f"the archive was cut off: tee failed with status 1{NEVER}", []),
    (
        {"summer": child("sum", 1, "a\nb"), "tee": child("tee", -13)},
        f"the checksum program failed with status 1: a b{NEVER}",
        [],
    ),
    (
        {"summer": child("sum", -9), "tee": child("tee", -9), "tar": 3, "says": TWO},
        f"tar failed with status 3: two (the last of 2 lines){NEVER}",
        ["tar: one"],
    ),
    (
        {"tee": child("tee", -13), "tar": 3, "says": "tar: one"},
        f"tar failed with status 3: one{NEVER}",
        [],
    ),
    ({"tar": 1, "says": TWO}, "", []),
    ({"tar": 2}, "tar failed with status 2: it gave no reason", []),
    ({"tar": 2, "says": TWO}, "tar failed with status 2: two (the last of 2 lines)", ["tar: one"]),
    (
        {"tar": 2, "says": TWO, **GOOD},
        "tar failed with status 2: two (the last of 2 lines); the archive itself is intact",
        ["tar: one"],
    ),
]


@pytest.mark.parametrize(("given", "text", "output"), CAUSES)
def test_the_cause_of_a_failure(given: Any, text: str, output: list[str]) -> None:
    made = extraction_of()
    made.digest.extend(SUM.encode() + b" *stdin\n")
    assert judged(made, **given) == (text, output)


@pytest.mark.parametrize(("status", "failed"), [(0, False), (1, False), (2, False), (3, True), (-9, True)])
def test_a_restore_that_goes_on(status: int, failed: bool) -> None:
    """Over errors of single files, and nothing else."""
    assert bool(judged(extraction_of(keep_going=True), status, says=TWO)[0]) is failed


def test_what_the_gate_says() -> None:
    made = extraction_of()
    assert made.gate_says == {"gone": [], "later": [], "kept": [], "count": 0, "deleted": []}
    made.answer.extend(b'{"refused": "/x is a trap"}')
    assert made.gate_says == {"refused": "/x is a trap"}
    found = judged(made, tee=child("tee", 1, "other"))
    assert found == (f"/x is a trap: remove it, or choose another directory{NEVER}", [])


OTHER = "cd" * 32
THESE = f"these are not the 512 bytes in the catalog%s: their SHA-256 is {OTHER}, not {SUM}{NEVER}%s"


@pytest.mark.parametrize(
    ("digest", "total", "tar", "text"),
    [
        (SUM, 7, 0, ""),
        (gnutar.EMPTY, 0, 2, "none of 512 bytes arrived: the tape was at the end of its data, or the source sent none"),
        (OTHER, -1, 0, THESE % ("", "")),
        (OTHER, 512, 0, THESE % ("", "")),
        (OTHER, 0, 0, THESE % (" (tar read 0)", "")),
        (OTHER, 7, 2, THESE % (" (tar read 7)", "; tar failed with status 2: it gave no reason")),
    ],
)
def test_another_checksum(digest: str, total: int, tar: int, text: str) -> None:
    made = extraction_of(keep_going=True)
    made.digest.extend(digest.encode() + b" *stdin\n")
    made.says.total = total
    assert judged(made, tar, summer=child("sum"))[0] == text


# -- the answer


@pytest.mark.parametrize(
    ("path", "found"), [("/", b"."), ("", b"."), ("a/b/", b"./a/b"), ("/a//b", b"./a/b"), ("\udcff", b"./\xff")]
)
def test_the_name_of_a_path(path: str, found: bytes) -> None:
    assert extract.member(path) == found


def test_a_path_that_leads_up() -> None:
    for path in ("../a", "/a/..", ".."):
        with pytest.raises(Problem, match="a path to restore must not contain '..'") as caught:
            extract.member(path)
        assert caught.value.kind == SETTINGS


WORDS: dict[str, Any] = {
    "paths": [],
    "bytes": 1,
    "sha256": SUM.upper(),
    "to": "/to",
    "early_exit": None,
    "strict_paths": False,
    **dict.fromkeys(("delete", "drill", "again", "more"), ""),
}


class Played:
    """An extraction of which only the answer is ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | None):
        self.done: list[Any] = []
        record = SimpleNamespace(remove=lambda: self.done.append("removed"))
        made = SimpleNamespace(put_back=lambda: self.done.append("put back"), record=record)
        monkeypatch.setattr(extract, "Target", lambda words: made)

        def restore(words: Any, to: object, *members: Any) -> dict[str, Any]:
            assert to is made and (words.again or len(members) == 1)
            self.done.append(members[0] if members else "again")
            if answer is None:
                raise Problem("it failed")
            return answer

        monkeypatch.setattr(extract, "restore", restore)
        monkeypatch.setattr(links, "fetch", restore)

    def run(self, **given: Any) -> Any:
        nothing: Any = None
        return extract.extract(nothing, SimpleNamespace(**{**WORDS, **given}))


@pytest.mark.parametrize(
    ("given", "again", "removed"),
    [
        ({}, False, True),
        ({"more": True}, False, False),
        ({"more": True}, True, False),
        ({}, True, False),
        ({"drill": "1"}, False, False),
        ({"again": True}, False, True),
    ],
)
def test_when_the_record_goes(monkeypatch: pytest.MonkeyPatch, given: Any, again: bool, removed: bool) -> None:
    """With the last archive, unless a drill needs it; and after a failure."""
    played = Played(monkeypatch, {"again": again, "tar": 0})
    answer = played.run(**given)
    assert played.done == ["again" if given.get("again") else [], "put back", *["removed"] * removed]
    assert answer == {**DEFAULT, "to": "/to", "bytes": 1, "sha256": SUM, "again": again, "tar": 0}
    failed = Played(monkeypatch, None)
    with pytest.raises(Problem, match="it failed"):
        failed.run(**given)
    assert failed.done[1:] == ["put back", *["removed"] * ("drill" not in given)]


DEFAULT = {"files": 0, "deleted": 0, "again": False, "whole": True, "warnings": [], "kept_links": []}
DEFAULT.update(deleted_names=[], missing=[], gone=[])


def test_missing_paths_are_named_as_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, {"missing": [b"./b"], "gone": [b"./a"]})
    answer = played.run(paths=["a/", "b//"])
    assert answer["again"] is False
    assert (answer["missing"], answer["gone"], played.done[0]) == (["b//"], ["a/"], [b"./a", b"./b"])
    with pytest.raises(Problem, match=r"^not in this archive: b//$"):
        played.run(paths=["a", "b//"], strict_paths=True)
    assert Played(monkeypatch, {}).run(paths=["a"], strict_paths=True)["missing"] == []
    everything = Played(monkeypatch, {})
    everything.run(paths=["a", "/"])
    assert everything.done[0] == []


CATALOG = "--bytes and --sha256 must be those of the archive in the catalog"
EARLY = "--early-exit needs PATHs, and excludes --delete, --drill and --again"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"bytes": 0}, CATALOG),
        ({"bytes": -1}, CATALOG),
        ({"sha256": "a" * 63}, CATALOG),
        ({"sha256": "a" * 65}, CATALOG),
    ]
    + [({"early_exit": 0, "paths": paths}, EARLY) for paths in ([], ["/"])]
    + [({"early_exit": 1, "paths": ["a"], name: "1"}, EARLY) for name in ("delete", "drill", "again")],
)
def test_words_that_do_not_fit(monkeypatch: pytest.MonkeyPatch, given: Any, text: str) -> None:
    played = Played(monkeypatch, {})
    with pytest.raises(Problem) as caught:
        played.run(**given)
    assert (str(caught.value), caught.value.kind, played.done) == (text, SETTINGS, [])
    assert played.run(early_exit=1, paths=["a"])["missing"] == []


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    ("is_new", "given", "gate", "recorded", "removed"),
    [
        (True, {}, False, False, False),
        (True, {"incremental": True, "more": True, "delete": True}, True, True, False),
        (False, {"may_repeat": True, "delete": True}, True, True, True),
        (False, {}, True, False, False),
        (True, {"drill": "7"}, False, True, False),
    ],
)
def test_the_answer_of_one_pass(
    monkeypatch: pytest.MonkeyPatch, is_new: bool, given: Any, gate: bool, recorded: bool, removed: bool, again: bool
) -> None:
    """What tar, the gate and the comparison have found, together."""
    done: list[Any] = []
    words = SimpleNamespace(**{**WORDS, "incremental": False, "may_repeat": False, **given})
    words.early_exit = 1 if again else None

    def start(everything: bool) -> Any:
        done.append(("start", everything))
        return SimpleNamespace(close=lambda: done.append("close"))

    record = SimpleNamespace(start=start, mark=done.append)
    to: Any = SimpleNamespace(is_new=is_new, real=b"/to", record=record)
    found = SimpleNamespace(count=3, missing={b"./m"}, links={b"./l": b"./o"})
    made = SimpleNamespace(count=2, deleted=["/late"], remove_now=done.append)
    says = SimpleNamespace(first=["said"], count=9)
    gate_says = {"count": 4, "deleted": ["/early"], "kept": ["/k"], "gone": ["./g"], "later": ["./x"]}
    read: list[Any] = []
    extraction = SimpleNamespace(
        says=says, gate_says=gate_says, has_errors=again, status=2, read=lambda *a: read.extend(a)
    )
    monkeypatch.setattr(
        extract, "Gate", lambda *a: made if a[0] == b"/to" and a[2:] == (record, words.delete) else None
    )
    monkeypatch.setattr(extract, "Found", lambda *a: found)
    monkeypatch.setattr(extract, "Extraction", lambda *a: extraction if a == (words, to, [b"./a"]) else None)
    monkeypatch.setattr(extract, "Beginning", lambda selection, wanted: (selection.asked, wanted))
    monkeypatch.setattr(extract, "Listing", lambda _record: SimpleNamespace(compare=lambda *a: {"compared": a}))
    monkeypatch.setattr(links, "remember", lambda *a: a == (words, to, found.links))
    answer = extract.restore(words, to, [b"./a"])
    assert answer == {
        **({"compared": (b"/to", words.more)} if words.drill else {}),
        "tar": 2,
        "files": 3,
        "deleted": 6 if gate else 4,
        "deleted_names": ["/early", "/late"] if gate else ["/early"],
        "kept_links": ["/k"],
        "missing": {b"./m"},
        "gone": [b"./g"],
        "warnings": [] if again else ["said"],
        "errors": ["said"] if again else [],
        "error_count": 9 if again else 0,
        "again": True,
        "whole": not again,
    }
    assert read == [found, b"/to", made if gate else None, ({b"./a"}, 1) if again else None]
    drilled = [words.drill] if words.drill else []
    began = [("start", is_new), *drilled, "close"] if recorded else []
    assert done == began + ([[b"./x"]] if removed else [])


# -- the directory


def target_of(to: Path | str, **given: Any) -> target.Target:
    names = ("allow_root", "into_existing", "incremental", "again", "drill")
    words: dict[str, Any] = {"to": str(to), "bytes": 1, "paths": [], **dict.fromkeys(names, False), **given}
    return target.Target(SimpleNamespace(**words))


ROOT_TEXT = target.OVER_ROOT


def test_a_directory_of_another_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "link").symlink_to("/nowhere")
    with pytest.raises(Problem, match="/link is a symbolic link, in a world-writable directory: choose another"):
        target_of(tmp_path / "link/new")


@pytest.mark.parametrize(
    ("to", "given", "text", "kind"),
    [
        ("relative", {}, "'relative': the directory to restore to must begin with /", SETTINGS),
        ("/", {}, ROOT_TEXT, SETTINGS),
        ("/", {"allow_root": True}, ROOT_TEXT, SETTINGS),
        ("/", {"into_existing": True}, ROOT_TEXT, SETTINGS),
        ("{}/new", {"incremental": True}, target.NO_RECORD % "{}/new", SETTINGS),
        ("{}/new", {"again": True}, target.NO_RECORD % "{}/new", SETTINGS),
        ("{}/empty", {"incremental": True}, target.NO_RECORD % "{}/empty", SETTINGS),
        ("{}/empty", {"again": True}, target.NO_RECORD % "{}/empty", SETTINGS),
        ("{}/file", {}, "{}/file exists and is not a directory", "failed"),
        (
            "{}/empty",
            {"drill": "1"},
            "{}/empty exists, but a restore drill makes and removes its own directory: choose a new one",
            SETTINGS,
        ),
        (
            "{}",
            {},
            "{} is not empty, so restored files would be mixed with existing ones: "
            "choose a new directory, or set restore_into_existing",
            "failed",
        ),
    ],
)
def test_directories_that_are_refused(tmp_path: Path, to: str, given: Any, text: str, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(Problem) as caught:
        target_of(to.format(tmp_path), **given)
    assert (str(caught.value), caught.value.kind) == (text.replace("{}", str(tmp_path)), kind)
    assert sorted(os.listdir(tmp_path)) == ["empty", "file"] and not os.listdir(tmp_path / "empty")


def test_directories_that_will_do(tmp_path: Path) -> None:
    made = target_of(tmp_path / "new/deep", drill="1")
    assert made.is_new and not made.record.is_there and (tmp_path / "new/deep").stat().st_mode & 0o777 == 0o700
    made.record.start(True)
    assert target_of(tmp_path / "new/deep", incremental=True, drill="1").record.is_there
    again = target_of(tmp_path / "new/deep", again=True)
    assert again.record.is_there and again.is_new
    (tmp_path / "new/deep/file").touch()
    assert not target_of(tmp_path / "new/deep", again=True).is_new
    assert not target_of(tmp_path / "new/deep", into_existing=True).is_new
    (tmp_path / "link").symlink_to("new")
    assert target_of(tmp_path / "link", into_existing=True).real == os.fsencode(tmp_path / "new")
    assert target_of("/", allow_root=True, into_existing=True, paths=["a"]).path == b"/"


@pytest.mark.parametrize(
    ("given", "free", "size", "text"),
    [
        ({}, 5 * 2**40, 2**50, ""),
        ({}, 5 * 2**40 - 1, 2**40, "5120.0"),
        ({"paths": ["a"]}, 1, 1, ""),
        ({"into_existing": True}, 1, 5 * 2**40, ""),
        ({"into_existing": True}, 2**50, 2**40, "1024.0"),
    ],
)
def test_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: Any, free: int, size: int, text: str) -> None:
    """Of a disk that is to be filled anew the free room counts, else all of it."""
    monkeypatch.setattr(target, "room", lambda path: (free, size))
    to = tmp_path if "into_existing" in given else tmp_path / "new"
    (tmp_path / "file").touch()
    if not text:
        assert target_of(to, bytes=5 * 2**40, **given).path == os.fsencode(to)
        return
    with pytest.raises(Problem) as caught:
        target_of(to, bytes=5 * 2**40, **given)
    assert str(caught.value) == (
        f"the archive has 5120.0 GiB, but {to} has room for only {text} GiB: choose another directory"
    )
    assert os.listdir(tmp_path) == ["file"]


def test_owner_and_mode_are_put_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = target_of(tmp_path / "new")
    (tmp_path / "new").chmod(0o755)
    made.put_back()
    assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o700
    given: list[object] = []
    monkeypatch.setattr(os, "chown", lambda path, user, group: given.append((path, user, group)))
    monkeypatch.setattr(os, "chmod", lambda path, mode: given.append(oct(mode)))
    now = made.before
    made.put_back()
    for user, group in ((1, 0), (0, 1)):
        made.before = SimpleNamespace(st_uid=now.st_uid + user, st_gid=now.st_gid + group, st_mode=0o43751)
        made.put_back()
    owners = [(made.real, now.st_uid + user, now.st_gid + group) for user, group in ((1, 0), (0, 1))]
    assert given == ["0o700", owners[0], "0o3751", owners[1], "0o3751"]
    made.real = b"/"
    made.put_back()
    assert len(given) == 5


@pytest.mark.parametrize(("user", "free"), [(0, 40), (1, 20), (1000, 20)])
def test_free_room(monkeypatch: pytest.MonkeyPatch, user: int, free: int) -> None:
    """Blocks that are kept for root are only its."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(target.mounts, "mounted", list)
    at = SimpleNamespace(f_bfree=4, f_bavail=2, f_blocks=7, f_frsize=10)
    monkeypatch.setattr(os, "statvfs", lambda path: at)
    assert target.room(b"/") == (free, 70)
