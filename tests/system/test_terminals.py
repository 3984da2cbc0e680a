# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins with a terminal, and become plugins that want one: the program goes through a file, and all is well."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import Fleet

from . import playbook
from .batch import OWN_LOGIN
from .conftest import sudo_requires_a_tty
from .playbook import Done, pipe
from .together import At, Play, together

WHO = {"shell": "cat; id -un"}
SUDO = pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed")


def said(done: playbook.Done) -> list[str]:
    return [result["stages"][-1]["stdout"] for result in done.results]


HOWS = {"tt": "-tt", "force": "-o RequestTTY=force", "configuration": "-F {}"}


def at_terminals(at: At) -> Play:
    name = at.params["name"]
    config = at.work / "config"
    config.write_text("Host *\n  RequestTTY force\n", encoding="ascii")
    variables = {"ansible_ssh_extra_args": HOWS[name].format(config), **OWN_LOGIN}
    return Play(
        [
            pipe(input="id -un", remote=WHO),
            pipe(input="id -un", remote=WHO, peer=f"{name}2"),
            pipe(input="head -c 3M /dev/zero", remote="cat", output="wc -c", peer=f"{name}2"),
        ],
        hosts=f"{name}1",
        more={f"{name}{number}": {"of": f"h{number}", **variables} for number in (1, 2)},
    )


@pytest.mark.parametrize("name", HOWS)
@together(at_terminals)
def test_ssh_with_a_terminal(name: str, done: Done) -> None:
    """On both sides; what only ssh's configuration says, the host finds out and tells.

    Without a master connection: of one, ssh asks for a terminal that does nothing, which mostly works.
    """
    assert said(done) == ["root\nroot\n", "root\nroot\n", f"{3 * 1024 * 1024}\n"]


@pytest.fixture
def requiretty(fleet: Fleet) -> Iterator[None]:
    yield from sudo_requires_a_tty(fleet)


@SUDO
def test_sudo_that_wants_a_terminal(fleet: Fleet, requiretty: None) -> None:
    users = {"fleet": {"ansible_user": "backup1"}}
    tasks = [
        pipe(input="id -un", remote=WHO, _become=True),
        pipe(input="id -un", remote=WHO, peer="h2", peer_become=True),
        pipe(remote="id -un", output=WHO, peer="h2", peer_become=True, _become=True, _become_user="backup2"),
    ]
    done = playbook.run(fleet, tasks, inventory=users)
    assert said(done) == ["root\nroot\n", "root\nbackup1\n", "backup2\nroot\n"]


@SUDO
def test_a_become_plugin_that_wants_a_terminal(fleet: Fleet, work: Path) -> None:
    """Such as machinectl: sudo's own, which says so."""
    core = next(playbook.ansible_playbook().parents[1].glob("lib/python3*/site-packages/ansible"))
    text = (core / "plugins" / "become" / "sudo.py").read_text(encoding="utf-8")
    text = text.replace("    name: sudo\n", "    name: ttysudo\n")
    assert "class BecomeModule(BecomeBase):\n" in text
    text = text.replace(
        "class BecomeModule(BecomeBase):\n", "class BecomeModule(BecomeBase):\n\n    require_tty = True\n"
    )
    (work / "ttysudo.py").write_text(text, encoding="utf-8")
    program = work / "sudo-at-a-terminal"
    program.write_text('#!/bin/sh\n[ -t 0 ] || exit 9\nexec sudo "$@"\n', encoding="ascii")
    program.chmod(0o755)
    variables = {"ansible_become_method": "ttysudo", "ansible_become_exe": str(program)}
    tasks = [
        pipe(input="id -un", remote=WHO, _become=True, _become_user="backup1"),
        pipe(input="id -un", remote=WHO, peer="h2", peer_become=True, peer_become_user="backup2"),
    ]
    env = {"ANSIBLE_BECOME_PLUGINS": str(work)}
    peer = playbook.run(fleet, tasks[1], inventory={"fleet": variables}, env=env)
    # of a task's own host core wants to see that there will be a terminal
    both = playbook.run(fleet, tasks, inventory={"fleet": variables}, env={**env, "ANSIBLE_SSH_EXTRA_ARGS": "-tt"})
    assert said(peer) + said(both) == ["backup2\nroot\n", "root\nbackup1\n", "backup2\nroot\n"]
