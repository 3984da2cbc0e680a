# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module asks a program of the role tape: the request is in the archive that the program comes in."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_run import with_request
from ansible_collections.plumbing.socketpipe.tests.unit.pythons import TARGETS, needed


def ask(python: str, folder: Path, program: str, request: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run a program as a stage runs it, with no word on its command line, nothing in its environment."""
    path = folder / program
    path.write_bytes(with_request(program, request))
    return subprocess.run(
        [python, "-I", path], capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return dict(json.loads(zlib.decompress(base64.b64decode(done.stdout))))


@pytest.mark.parametrize("version", TARGETS)
def test_a_request_of_any_length_is_answered(version: str, tmp_path: Path) -> None:
    """3,000 excludes are more than a command line or an environment can have; so may be the paths of a restore."""
    python = needed(version)
    there = tmp_path / "data"
    there.mkdir()
    (there / "file").write_text("x")
    settings = {"paths": [str(there)], "state_dir": str(tmp_path / "state"), "set": "all"}
    settings["excludes"] = ["/no/such/directory/with/a/long/name/%d" % number for number in range(3000)]
    done = ask(python, tmp_path, "archiver", {"words": ["estimate", "--level=0"], "settings": settings})
    assert answer(done)["bytes"] > 0
    tape = tmp_path / "tape"
    tape.mkdir()
    settings = {"devices": [str(tape)], "catalog_dir": str(tmp_path / "catalog")}
    done = ask(python, tmp_path, "host", {"words": ["label", "--label=WEEK01"], "settings": settings})
    assert answer(done)["label"] == "WEEK01"
    wanted = {"dry": True, "hosts": {"host-%d" % number: {"level": 0} for number in range(3000)}}
    done = ask(python, tmp_path, "host", {"words": ["plan"], "settings": settings, "input": wanted})
    assert len(answer(done)["order"]) == 3000 and len(done.stdout) < 60_000


@pytest.mark.parametrize(
    ("program", "words", "kind", "msg"),
    [
        ("archiver", ["estimate", "--level=0"], "settings", "tape_paths is empty: there is nothing to back up"),
        ("archiver", ["report", "--run=R1"], "failed", "run R1 has no complete archive on this host"),
        ("host", ["label", "--label="], "settings", "'' cannot be the name of a tape"),
        ("host", ["plan"], "settings", "this host has no drives"),
        ("host", ["chain", "--host=h7"], "not found", "there is no good archive of h7"),
    ],
)
def test_a_refusal_has_a_kind(tmp_path: Path, program: str, words: list[str], kind: str, msg: str) -> None:
    """No branch of a module looks at a message's text."""
    settings = {"state_dir": str(tmp_path), "catalog_dir": str(tmp_path / "catalog")}
    done = ask(sys.executable, tmp_path, program, {"words": words, "settings": settings, "input": {"hosts": {}}})
    assert (done.returncode, done.stdout) in ((1, ""), (2, ""))
    problem = json.loads(done.stderr.splitlines()[-1])["problem"]
    assert problem["kind"] == kind and problem["msg"].startswith(msg)
