# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make test` installs first, or names at its end."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import hosts
from tests.tape import needs as tape
from tests.workshop import packages


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A machine: whether it has apt-get, what it lacks, who we are; its policy, and the commands run there."""
    policy = tmp_path / "policy-rc.d"
    made = SimpleNamespace(apt=True, lacks=set(), user=0, kind="x86_64", commands=[], venv=True, policy=policy)
    made.allowed = []  # the policy's answer to each command that may start a service

    def which(name: str, path: str) -> str | None:
        return None if name in made.lacks or (name == "apt-get" and not made.apt) else f"/usr/bin/{name}"

    monkeypatch.setattr(shutil, "which", which)
    monkeypatch.setattr(os, "geteuid", lambda: made.user)
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=made.kind))
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda _name: made.venv or None)

    def run(words: list[str], **_options: Any) -> None:
        made.commands.append(words)
        made.allowed.append(subprocess.call([policy]))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(packages, "POLICY", policy)
    return made


def said(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["packages", *words])
    return packages.main()


def test_root_on_debian_installs_what_is_missing_and_says_so(
    machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.lacks, machine.venv = {"sshd", "linux"}, False
    assert said(monkeypatch) == 0
    update, install = machine.commands
    assert update[0] == install[0] == "apt-get" and update[-1] == "update"
    assert install[-4:] == ["--no-install-recommends", "openssh-server", "user-mode-linux", "python3-venv"]
    assert capsys.readouterr().out.endswith("need: openssh-server user-mode-linux python3-venv\n")
    assert machine.allowed == [101, 101] and not machine.policy.exists()  # no service starts, now; later ones may


def test_a_policy_that_is_there_stays(machine: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.lacks = {"sshd"}
    machine.policy.write_text("#!/bin/sh\nexit 104\n")
    machine.policy.chmod(0o755)
    assert said(monkeypatch) == 0
    assert machine.allowed == [104, 104] and machine.policy.read_text() == "#!/bin/sh\nexit 104\n"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"user": 1000}, "not everything can be tested yet. As root: apt-get install openssh-server\n"),
        ({"apt": False}, "not everything can be tested without these programs: sshd\n"),
        ({"lacks": set()}, ""),
        ({"lacks": {"linux"}, "kind": "aarch64"}, ""),
    ],
)
def test_who_cannot_install_is_told_what_to_type(
    machine: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    expected: str,
) -> None:
    machine.lacks = {"sshd"}
    vars(machine).update(changes)
    assert said(monkeypatch) == 0
    assert capsys.readouterr().out == expected and not machine.commands


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "installing Debian packages that make needs: python3-venv\n"),
        ({"user": 1000}, "a virtual environment cannot be made yet. As root: apt-get install python3-venv\n"),
        ({"apt": False}, "a virtual environment cannot be made without these programs: venv of Python\n"),
        ({"venv": True}, ""),
    ],
)
@pytest.mark.parametrize("works", [True, False])
def test_every_target_first_gets_what_makes_a_virtual_environment(
    machine: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    expected: str,
    works: bool,
) -> None:
    machine.lacks, machine.venv = {"sshd"}, False
    vars(machine).update(changes)
    run = subprocess.run

    def install(words: list[str], **options: Any) -> None:
        run(words, check=options.pop("check"), **options)
        machine.venv = works

    monkeypatch.setattr(subprocess, "run", install)
    assert said(monkeypatch, "--venv") == int(not machine.venv)
    assert capsys.readouterr().out == expected
    assert [words[-1] for words in machine.commands] == (["update", "python3-venv"] if not changes else [])
    assert bool(machine.venv) == (works and not changes or "venv" in changes)


@pytest.mark.parametrize(
    ("reasons", "lacks", "expected"),
    [
        ((None, None), set(), ""),
        (
            ("only root", None),
            {"zstd"},
            "NOT TESTED: system, recipes, molecule, hit (only root); "
            "parts of unit (these packages are missing: zstd)\n",
        ),
        (
            ("only root", "no guest"),
            set(),
            "NOT TESTED: system, recipes, molecule, hit (only root); tape, tls (no guest)\n",
        ),
        ((None, None), {"zstd"}, "NOT TESTED: parts of unit, system and recipes (these packages are missing: zstd)\n"),
    ],
)
def test_what_could_not_be_tested_is_named_and_is_a_failure_unless_allowed(
    machine: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reasons: tuple[str | None, str | None],
    lacks: set[str],
    expected: str,
) -> None:
    machine.lacks = lacks
    monkeypatch.setattr(hosts, "requirements", lambda: reasons[0])
    monkeypatch.setattr(tape, "requirements", lambda: reasons[1])
    for allowed in ("0", "1"):
        monkeypatch.setenv("ALLOW_SKIPS", allowed)
        assert said(monkeypatch, "--missing") == int(bool(expected) and allowed == "0")
        assert capsys.readouterr().out == expected
