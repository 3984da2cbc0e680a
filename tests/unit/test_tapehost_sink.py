# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive goes on a tape whole, at its place, or is known as failed there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit import pythons
from ansible_collections.plumbing.socketpipe.tests.unit.archives import BLOCK, archive
from ansible_collections.plumbing.socketpipe.tests.unit.tape import MODULE_UTILS
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]
LABEL = 8192


@pytest.mark.parametrize("version", ["3.6", pythons.OWN])
def test_from_label_to_restore(version: str, tape_host: Maker) -> None:
    """All of it once, on each Python that may be on a tape host."""
    host = tape_host(tapes=0)
    host.python = pythons.needed(version)
    host.tapes = [host.folder / "A"]
    host.tapes[0].mkdir()
    host.settings["devices"] = [str(host.tapes[0])]
    host.ok("label", "--label", "A", "--barcode", "X1L6")
    plan = host.ok("plan", data=b'{"run": "R1", "hosts": {"h1": {"level": 0}}}')
    assert (plan["order"], plan["drives"][0]["state"], plan["drives"][0]["file"]) == (["h1"], "empty", 1)
    data = archive("R1", "h1")
    assert host.backup("R1", "h1", data=data)["state"] == "good"
    assert host.ok("finish", "--run", "R1")["warnings"] == []
    assert host.ok("find", "--path", "/etc/hosts")["found"][0]["file"] == 1
    assert [each["file"] for each in host.ok("chain", "--host", "h1")["archives"]] == [1]
    assert host.run("source", "--tape", "A", "--file", "1").out == data
    assert len(host.ok("verify")["verified"]) == 1
    host.forget()
    assert host.ok("inventory", "--rebuild")["rebuilt"] == [{"label": "A", "archives": 2, "added": 2}]
    assert host.run("source", "--tape", "A", "--file", "1").out == data


PATHS = """
import sys
sys.path.insert(0, sys.argv[1])
from _tape.common import call, files
from _tape.host import settings
from _tape.host.catalog import catalog, lists
found = catalog.Catalog(settings.Settings(call.Call().settings()).catalog_dir)
files.write_whole(lists.path(found, {"run": "R1", "set": "all", "host": "b\\u00fccher"}), b"x")
"""


@pytest.mark.parametrize("version", ["3.6", pythons.OWN])
def test_paths_are_utf_8_in_any_locale(version: str, tmp_path: Path) -> None:
    """A login without LANG has the locale C, where Python 3.6 knows only ASCII: the report was a traceback."""
    given = json.dumps({"catalog_dir": str(tmp_path / "bänder")})
    argv = [pythons.needed(version), "-I", "-B", "-c", PATHS, str(MODULE_UTILS)]
    subprocess.run(argv, env={"LC_ALL": "C", "SOCKETPIPE_TAPE": given}, check=True)
    assert (tmp_path / "bänder/lists/R1/all,bücher.gz").read_bytes() == b"x"


def test_each_archive_follows_the_last(tape_host: Maker) -> None:
    host = tape_host()
    archives = [archive("R1", "h%d" % number, size=5000 * number) for number in range(1, 4)]
    for number, data in enumerate(archives, 1):
        entry = host.sink("R1", "h%d" % number, data).answer
        assert (entry["file"], entry["bytes"], entry["state"]) == (number, len(data), "written")
    assert host.files() == archives
    assert host.states() == [(1, "h1", "written"), (2, "h2", "written"), (3, "h3", "written")]


BAD = [
    (b"", "tape A, file 1: no data arrived: run the backup again", []),
    (
        b"x" * (BLOCK + 512),
        "tape A, file 1: the last block is incomplete: "
        "the archive does not consist of blocks of tape_block_size: run the backup again",
        [(1, "h1", "failed")],
    ),
]


@pytest.mark.parametrize(("data", "sentence", "states"), BAD)
def test_what_is_no_archive(data: bytes, sentence: str, states: list[tuple[int, str, str]], tape_host: Maker) -> None:
    host = tape_host()
    done = host.sink("R1", "h1", data)
    assert (done.status, done.said, host.states()) == (1, sentence, states)
    place = len(states) + 1
    assert host.sink("R1", "h2").answer["file"] == place
    assert host.states() == [*states, (place, "h2", "written")]


def test_a_failed_archive_stays_and_the_numbers_go_on(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1")
    broken = "head -c 5000; echo 'dd: it burns' >&2; exit 1"
    host.tool("dd", broken)
    for file, name in ((2, "h2"), (3, "h3")):
        assert host.sink("R1", name).said == "tape A, file %d: dd: it burns: run the backup again" % file
    (host.folder / "bin" / "dd").unlink()
    host.sink("R1", "h4")
    assert [state for _file, _host, state in host.states()] == ["written", "failed", "failed", "written"]
    assert [len(data) for data in host.files()] == [2 * BLOCK, 5000, 5000, 2 * BLOCK]
    # only the last one may be written over, when that is wanted
    assert host.sink("R1", "h5", reclaim=True).answer["file"] == 5
    host.sink("R1", "h6", b"x" * 100)
    assert host.sink("R1", "h7", b"x" * 100, reclaim=True).said.startswith("tape A, file 6: ")
    assert host.sink("R1", "h8", reclaim=True).answer["file"] == 6
    assert host.states()[1:] == [
        (2, "h2", "failed"),
        (3, "h3", "failed"),
        (4, "h4", "written"),
        (5, "h5", "written"),
        (6, "h8", "written"),
    ]
    assert host.files()[5] == archive("R1", "h8")


def test_an_archive_that_comes_to_the_end_of_the_tape(tape_host: Maker) -> None:
    host = tape_host(capacity=LABEL + 5 * BLOCK)
    host.sink("R1", "h1")
    done = host.sink("R1", "h2", archive("R1", "h2", size=20_000))
    assert done.said == "tape A, file 2: the tape is full: run the backup again, and it uses the next tape"
    assert (host.states()[1], host.tape()["full"]) == ((2, "h2", "failed"), True)
    assert sum(path.stat().st_size for path in host.tapes[0].iterdir()) <= LABEL + 5 * BLOCK
    said = host.sink("R1", "h3").said
    assert said == "no drive has a writable tape: drive %s: its tape A is full" % host.tapes[0]


def test_the_next_archive_goes_on_the_next_tape(tape_host: Maker) -> None:
    host = tape_host(2, capacity=LABEL + 3 * BLOCK)
    host.sink("R1", "h1")
    data = archive("R1", "h2")
    assert host.sink("R1", "h2", data).status == 1
    assert host.sink("R1", "h2", data).answer["tape"] == "B"
    assert host.commit("R1", "h2", data).answer["tape"] == "B"
    assert host.states("B") == [(1, "h2", "good")]


def test_what_does_not_fit_anywhere(tape_host: Maker) -> None:
    host = tape_host(capacity=LABEL + 3 * BLOCK)
    words = ["sink", "--run", "R1", "--host", "h1", "--expect"]
    assert host.fails(*words, 3 * BLOCK + 1) == (
        "an archive of 12.0 KiB does not fit on any tape: split tape_paths, or raise tape_capacity"
    )
    host.sink("R1", "h0")
    assert host.fails(*words, 3 * BLOCK).endswith("its tape A has less than 12.0 KiB left")
    assert host.files() == [archive("R1", "h0")]


def test_a_tape_that_is_fuller_than_its_capacity_says(tape_host: Maker) -> None:
    """The capacity may have been set later, and what a kill has left there has no size in the catalog."""
    host = tape_host()
    host.sink("R1", "h1")
    host.edit("A", lambda tape: tape["archives"][0].update(bytes=None))
    done = host.sink("R1", "h2", capacity=LABEL + BLOCK)
    assert done.said == "tape A, file 2: the tape is full: run the backup again, and it uses the next tape"
    assert host.states() == [(1, "h1", "written")]


@pytest.mark.parametrize(
    ("said", "full", "problem"),
    [
        ("dd: error writing 'x': No space left on device", True, "the tape is full"),
        ("dd: error writing 'x': Input/output error", False, "dd: error writing 'x': Input/output error"),
        ("dd: error reading 'standard input': Connection reset by peer", False, "it was cut off at its source"),
    ],
)
def test_what_dd_says(said: str, full: bool, problem: str, tape_host: Maker) -> None:
    host = tape_host()
    text = 'head -c 4096; echo "%s" >&2; '
    host.tool("dd", text % said + "echo '1+0 records in\n1+0 records out\n4096 bytes copied' >&2; exit 1")
    assert host.sink("R1", "h1").said.startswith("tape A, file 1: " + problem)
    assert host.tape()["full"] == full
    assert (host.tape()["archives"][0]["state"], host.tape()["archives"][0]["bytes"]) == ("failed", 4096)


def extra(tape: Path) -> None:
    (tape / "000003").write_bytes(b"x")


def far_beyond(tape: Path) -> None:
    (tape / "000009").write_bytes(b"x")


def missing(tape: Path) -> None:
    (tape / "000002").unlink()


def missing_before(tape: Path) -> None:
    (tape / "000001").unlink()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            extra,
            "tape A has more data than the catalog knows: there is data at tape file 3: nothing was written; "
            "tape_inventory with tape_rebuild adds it to the catalog",
        ),
        (
            far_beyond,
            "tape A has more data than the catalog knows: there is data at tape file 3: nothing was written; "
            "tape_inventory with tape_rebuild adds it to the catalog",
        ),
        (missing, "the virtual tape %s has fewer than 3 tape files: were files in it removed?"),
        (missing_before, "the virtual tape %s has fewer than 3 tape files: were files in it removed?"),
    ],
)
def test_a_tape_that_is_not_as_the_catalog_says(
    change: Callable[[Path], None], sentence: str, tape_host: Maker
) -> None:
    host = tape_host()
    host.sink("R1", "h1")
    host.sink("R1", "h2")
    tape = host.tapes[0]
    change(tape)
    before = {path.name: path.read_bytes() for path in tape.iterdir()}, host.states()
    assert host.sink("R1", "h3").said == sentence.replace("%s", str(tape))
    assert ({path.name: path.read_bytes() for path in tape.iterdir()}, host.states()) == before


def test_a_write_protected_tape(tape_host: Maker) -> None:
    host = tape_host(tapes=1)
    host.tapes[0].chmod(0o555)
    assert host.sink("R1", "h1").said.endswith("its tape A is write-protected")
    host.tapes[0].chmod(0o755)


@pytest.mark.parametrize("labels", ["B*", ["B*", "C"]])
def test_a_tape_that_is_not_wanted(labels: object, tape_host: Maker) -> None:
    host = tape_host()
    assert "its tape A is not one of tape_labels (B*" in host.sink("R1", "h1", labels=labels).said
    assert host.sink("R1", "h1", labels=["A?", "A"]).status == 0


def test_dd_is_not_there(tape_host: Maker) -> None:
    host = tape_host()
    host.path = str(host.folder)
    said = host.sink("R1", "h1").said
    assert said.startswith("tape A, file 1: there is no dd on this host: install it, or leave tape_buffer empty")
    assert host.states() == []


def test_a_run_of_one_host_in_two_sets(tape_host: Maker) -> None:
    host = tape_host()
    host.sink("R1", "h1")
    host.sink("R1", "h1", set="www")
    data = archive("R1", "h1")
    assert host.commit("R1", "h1", data, set="www").said.startswith("this is the report of run R1 of h1, set www")
    host.settings["set"] = "www"
    assert host.commit("R1", "h1", data, set="www").answer["file"] == 2
    assert host.states() == [(1, "h1", "written"), (2, "h1", "good")]
