# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An interpreter without CPython's private modules: everything works with the public ones, more slowly."""

from __future__ import annotations

import ast
import ctypes
import errno
import hashlib
import hmac
import json.encoder
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import lean
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.marked import read_marked
from ansible_collections.plumbing.socketpipe.tests.unit import pythons
from ansible_collections.plumbing.socketpipe.tests.unit.ends import (
    Ends,
    make_plan,
    record,
    recorded,
    sh,
    stage,
    started,
)
from ansible_collections.plumbing.socketpipe.tests.unit.test_bootstrap import PLAN

Launch = Callable[..., Ends]

# only our own modules do not find them, for CPython's public ones need them; ours import with and without globals
WITHOUT = """
import builtins
real_import = builtins.__import__
def without(name, names=None, *rest):
    if name in %r and (names is None or names["__name__"] in ("__main__", "socketpipe._end.lean", "lean")):
        raise ImportError("no module " + name)
    return real_import(name, names, *rest)
builtins.__import__ = without
"""
TEXT, VALUE = '{"a": [1, -2.5e3, null, true, "\\u00e9"]} ', {"a": [1, -2500.0, None, True, "\u00e9"]}
PRIVATE = ("_ctypes", "_json", "_operator", "_sha2", "_sha256", "_signal", "_socket", "_struct")


def loaded(monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]) -> ModuleType:
    monkeypatch.setattr("builtins.__import__", __import__)  # to be restored
    exec(WITHOUT % (missing,), {})
    module = ModuleType("lean")
    exec(dict(bootstrap.sources())["_end.lean"], module.__dict__)
    return module


def test_the_private_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (lean.signal.__name__, lean.socket.__name__, lean.struct.__name__) == ("_signal", "_socket", "_struct")
    assert lean.compare_digest.__module__ in ("_operator", None)
    module = loaded(monkeypatch, PRIVATE)
    assert (module.signal, module.socket, module.struct) == (signal, socket, struct)
    assert module.compare_digest is hmac.compare_digest
    assert module.json_string is json.encoder.encode_basestring_ascii
    assert module.sha256 is hashlib.sha256
    assert module.get_errno is ctypes.get_errno


@pytest.mark.parametrize("missing", [(), PRIVATE, ("_ctypes",), ("_sha2",)], ids=["none", "all", "_ctypes", "_sha2"])
def test_all_of_them_do_the_same(monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]) -> None:
    module = loaded(monkeypatch, missing)
    assert module.json_string('\u00e9"\n') == '"\\u00e9\\"\\n"'
    assert module.json_value(TEXT, 0) == (VALUE, len(TEXT) - 1)
    with pytest.raises((ValueError, StopIteration)):
        module.json_value("{", 0)
    assert module.sha256(b"abc").hexdigest() == hashlib.sha256(b"abc").hexdigest()
    assert module.compare_digest(b"a", b"a") and not module.compare_digest(b"a", b"b")
    assert module.c_function("getpid")() > 0
    assert module.c_function("connect")(-1, b"\0" * 16, 16) == -1 and module.get_errno() == errno.EBADF


def test_a_ctypes_that_is_made_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPy has a module _ctypes of its own."""
    other: Any = ModuleType("_ctypes")
    real = __import__

    def importing(name: str, names: dict[str, Any] | None = None, *rest: Any) -> Any:
        return other if name == "_ctypes" and (names or {}).get("__name__") == "lean" else real(name, names, *rest)

    monkeypatch.setattr("builtins.__import__", importing)
    module = ModuleType("lean")
    exec(dict(bootstrap.sources())["_end.lean"], module.__dict__)
    assert module.get_errno is ctypes.get_errno and module.c_function("getpid")() > 0


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_the_loader_needs_no_private_module(version: str) -> None:
    python = pythons.needed(version)
    code = WITHOUT % (PRIVATE,) + bootstrap.START
    stream = bootstrap.stream(bootstrap.program(bootstrap.sources()), PLAN)
    result = subprocess.run([python, "-IS", "-c", code], input=stream, capture_output=True, timeout=60, check=False)
    report = read_marked(result.stdout.decode())
    assert report is not None and report["refused"]["name"] == "no-such-command", result


@pytest.mark.parametrize("status", [0, 3])
def test_an_end_that_has_the_public_modules_only(launch: Launch, tmp_path: Path, status: int) -> None:
    """It moves all bytes and keeps the rules."""
    seen = tmp_path / "seen"
    line = '    report["connect"] = meeting.report()\n'
    changes = [
        ("lean", "TYPE_CHECKING = False\n", WITHOUT % (PRIVATE,) + "TYPE_CHECKING = False\n"),
        ("main", line, line + '    report["loaded"] = sorted(sys.modules)\n'),
    ]
    source = sh("input", "head -c 100000 /dev/zero; %sexit %d" % (started(seen), status))
    ends = launch(make_plan(("a", source), ("a", stage("local", ["cat"])), ("b", record("output", seen))), changes)
    ends.wait()
    for name in ends.names:
        assert {"socket", "signal", "ctypes", "hashlib", "hmac", "json.encoder"} <= set(ends.report(name)["loaded"])
    if status:
        assert recorded(seen)["how"] == "ECONNRESET" and ends.cause()["stage"] == "input"
    else:
        ends.ok()
        assert (recorded(seen)["how"], recorded(seen)["bytes"]) == ("eof", 100_000)
    ends.gone()


def test_no_private_module_is_forgotten_here() -> None:
    tree = ast.parse(dict(bootstrap.sources())["_end.lean"])
    names = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    found = {name for name in names if name.startswith("_") and name in sys.stdlib_module_names | {"_sha2", "_sha256"}}
    assert found == set(PRIVATE)


def test_an_interpreter_without_its_own_sha256(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, name, None)
    assert lean.own_sha256() is hashlib.sha256
