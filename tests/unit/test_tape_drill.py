# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore drill on the controller: which differences there are, and the host that the tape host chooses for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_drill as drills
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost


def part(**more: Any) -> Any:
    """The answer of one pass."""
    good = {"files": 4, "deleted": 0, "errors": [], "error_count": 0}
    return {**good, "compared": 4, "differences": [], "difference_count": 0, "absent": 0, **more}


def archive(run: str = "R1", files: int | None = 4) -> Any:
    return {"run": run, "files": files}


FINDINGS: list[tuple[list[Any], list[Any], int, list[str]]] = [
    ([archive()], [part()], 0, []),
    ([archive(files=None)], [part()], 0, []),  # of a tape that was read in
    ([archive(files=5)], [part()], 1, ["run R1 has 4 names, but its list in the catalog has 5"]),
    ([archive()], [part(differences=["/a: gone"], difference_count=9)], 9, ["/a: gone"]),
    ([archive()], [part(errors=["tar: /a: Cannot mknod"], error_count=1)], 1, ["tar: /a: Cannot mknod"]),
    ([archive(), archive("R2")], [part(), part(deleted=2, absent=2)], 0, []),
    ([archive(), archive("R2")], [part(), part(deleted=3, absent=2)], 0, []),  # a file became a directory
    (
        [archive(), archive("R2")],
        [part(), part(deleted=1, absent=2)],
        1,
        ["1 restored file is gone, and no archive records that it was deleted"],
    ),
]


@pytest.mark.parametrize(("archives", "done", "number", "differences"), FINDINGS)
def test_findings(archives: list[Any], done: list[Any], number: int, differences: list[str]) -> None:
    found = drills.findings(archives, done)
    assert (found["difference_count"], found["differences"]) == (number, differences)
    assert found["compared"] == 4 * len(done)
    result = drills.result("h1", len(archives), found, 61.24)
    assert result["drill"]["ok"] is not result.get("failed", False) and result["drill"]["ok"] is (number == 0)
    assert result["drill"]["elapsed"] == 61.2
    head, *shown = drills.lines(result)
    assert head.startswith(f"DRILL h1  {'FAILED' if number else 'good'}  1:01  ")
    assert shown == [f"Differs {each}" for each in differences]


def test_options_of_other_restores() -> None:
    args = {"restore_paths": ["/etc"], "restore_into_existing": False, "restore_delete": True}
    with pytest.raises(Failure) as caught:
        drills.check({**args, "restore_allow_root": False})
    assert (caught.value.kind, caught.value.msg) == (
        "settings",
        "restore_drill restores everything to a new directory, and removes it: leave out restore_paths, restore_delete",
    )
    drills.check(dict.fromkeys(args, None) | {"restore_allow_root": False})


def test_the_host_that_was_drilled_longest_ago(tape_host: Callable[..., TapeHost]) -> None:
    host = tape_host(2, lease=0)
    said = host.fails("drill")
    assert said == "no host has an archive of set all that can be restored: back up first"
    for name in ("h1", "h2", "h3"):
        host.backup("R1", name, on="B")
    host.backup("R1", "h0", on="A")
    host.ok("mark", "--label", "A", "--reason", "fire")
    assert host.ok("drill") == {"host": "h1", "last": None}, "h0 has nothing left"
    host.ok("restored", "--host", "h1", "--kind", "drilled")
    host.ok("restored", "--host", "h2")
    assert host.ok("drill")["host"] == "h2", "a restore is no drill"
    host.ok("restored", "--host", "h2", "--kind", "drilled", "--failed")
    answer = host.ok("drill")
    assert (answer["host"], answer["last"]["ok"]) == ("h2", False), "nor is a failed one"
    host.ok("restored", "--host", "h2", "--kind", "drilled")
    assert host.ok("drill")["host"] == "h3"
    assert "no host has an archive of set www" in host.fails("drill", set="www")
