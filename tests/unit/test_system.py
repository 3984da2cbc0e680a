# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an end uses in place of os: the same functions, and paths as in os.path."""

from __future__ import annotations

import ast
import itertools
import os
import subprocess
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import system
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap
from ansible_collections.plumbing.socketpipe.tests.unit import pythons

MADE = system.made()
WORDS = ["", "/", "a", "/a", "b/", "a//b", "."]


def used() -> set[str]:
    """All that the modules of an end use of os."""
    names = [name for name in [*bootstrap.MODULES, *bootstrap.STATUS_MODULES] if name != "_end.system"]
    nodes = itertools.chain(*(ast.walk(ast.parse(text)) for _name, text in bootstrap.sources(names)))
    found = [node for node in nodes if isinstance(node, ast.Attribute)]
    return {node.attr for node in found if isinstance(node.value, ast.Name) and node.value.id == "os"}


def test_where_os_is_loaded_it_is_used() -> None:
    assert system.os is os


@pytest.mark.parametrize("name", sorted(used() - {"path", "environb"}))
def test_all_that_is_used_is_the_same(name: str) -> None:
    assert getattr(MADE, name) == getattr(os, name)


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_every_python_has_it(version: str) -> None:
    """Except memfd_create(2) before 3.8: see spawn.in_memory."""
    text = dict(bootstrap.sources())["_end.system"]
    text += "\nprint(' '.join(os.__dict__), 'loaded' if 'os' in sys.modules else '', os.environb[b'WORD'].decode())"
    environment = {"WORD": "the-word"}
    said = subprocess.check_output([pythons.needed(version), "-IS", "-c", text], env=environment, text=True).split()
    assert used() - set(said) <= {"memfd_create"} and "loaded" not in said and said[-1] == "the-word"


@pytest.mark.parametrize("words", list(itertools.product(WORDS, repeat=2)) + [("a", "b", "/c", "d")])
def test_paths_are_joined(words: tuple[str, ...]) -> None:
    assert MADE.path.join(*words) == os.path.join(*words)
    inside = [word.encode() for word in words]
    assert MADE.path.join(*inside) == os.path.join(*inside)


@pytest.mark.parametrize("name", ["file", "folder", "link", "dangling", "none", "file/none", "\0", ""])
@pytest.mark.parametrize("function", ["exists", "lexists", "isfile", "isdir"])
def test_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, function: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("folder").mkdir()
    Path("link").symlink_to("folder")
    Path("dangling").symlink_to("none")
    for path in (name, name.encode()):
        assert getattr(MADE.path, function)(path) == getattr(os.path, function)(path)
