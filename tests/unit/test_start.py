# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first code of the command, function by function: whom it trusts, what it loads, and how it begins and ends.

test_cache has the same with the whole command.
"""

from __future__ import annotations

import gc
import importlib
import marshal
import os
import signal
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import installed, start

US, OTHER = 5000, os.geteuid() + 5001  # users, none of them root
KEY = b"the key\n"


# -- directories


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Without links in its own path: a/b/c, and links to them."""
    found = tmp_path.resolve()
    (found / "a/b/c").mkdir(parents=True, mode=0o755)
    (found / "file").touch()
    (found / "relative").symlink_to("a/b")
    (found / "absolute").symlink_to(found / "a/b")
    (found / "a/up").symlink_to("../a/./b")
    for number in range(start.LINKS + 1):
        (found / f"link{number}").symlink_to(f"link{number - 1}" if number else "a")
    return found


def changed(there: Path, monkeypatch: pytest.MonkeyPatch, **owners: int) -> None:
    """These directories belong to these users, the others to us, who are not root."""

    def lstat(path: str) -> Any:
        facts = os.lstat(path)
        owner = owners.get(os.path.basename(path), US)
        return SimpleNamespace(st_mode=facts.st_mode, st_uid=owner)

    monkeypatch.setattr(start, "os", SimpleNamespace(**{**vars(os), "lstat": lstat, "geteuid": lambda: US}))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a/b/c", "a/b/c"),
        ("a//b/./c/", "a/b/c"),
        ("a/b/../b", "a/b"),
        ("relative/c", "a/b/c"),
        ("absolute/c", "a/b/c"),
        ("absolute/../b", "a/b"),
        ("a/up/c", "a/b/c"),
        ("link19/b", "a/b"),
    ],
)
def test_a_directory_that_nobody_else_can_change(there: Path, path: str, found: str) -> None:
    assert start.trusted(f"{there}/{path}") == f"{there}/{found}"


def test_the_root_directory_is_trusted() -> None:
    assert start.trusted("/") == "/"


@pytest.mark.parametrize(
    ("path", "wrong"), [("file", "file"), ("file/x", "file"), ("link20/b", "link0"), ("a/none", "")]
)
def test_what_is_no_directory(there: Path, path: str, wrong: str) -> None:
    with pytest.raises(OSError) as caught:
        start.trusted(f"{there}/{path}")
    if wrong:
        assert isinstance(caught.value, start.Untrusted) and str(caught.value) == f"{there}/{wrong}"
    else:
        assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize(
    ("mode", "good"),
    [(0o755, True), (0o700, True), (0o770, False), (0o707, False), (0o722, False), (0o1777, True), (0o1770, True)],
)
def test_who_may_write_to_a_directory(there: Path, mode: int, good: bool) -> None:
    """As to /tmp: there, only its owner may rename one."""
    (there / "a/b").chmod(mode)
    if good:
        assert start.trusted(f"{there}/a/b/c") == f"{there}/a/b/c"
    else:
        with pytest.raises(start.Untrusted):
            start.trusted(f"{there}/a/b/c")


@pytest.mark.parametrize("name", ["a", "b", "relative"])
def test_what_another_user_owns_is_not_trusted(there: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    changed(there, monkeypatch, **{name: OTHER})
    with pytest.raises(start.Untrusted):
        start.trusted(f"{there}/relative/c")
    changed(there, monkeypatch, **{name: 0})
    assert start.trusted(f"{there}/relative/c") == f"{there}/a/b/c"


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, ""),
        ({"HOME": "/home/me"}, "/home/me/.cache"),
        ({"HOME": "me"}, ""),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/caches"}, "/caches"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "caches"}, "/home/me/.cache"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": ""}, "/home/me/.cache"),
    ],
)
def test_the_directory_of_caches(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], found: str) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert start.home() == found


# -- the file


def test_its_key_has_the_digest_the_file_and_the_byte_code(tmp_path: Path) -> None:
    path = tmp_path / "socketpipe"
    path.write_bytes(b"x" * 12)
    os.utime(path, ns=(1, 34567))
    magic = importlib.util.MAGIC_NUMBER.hex()
    assert start.key(str(path), "digest") == b"digest 12 34567 %s\n" % magic.encode()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its file, which has nothing but a word."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = Path(start.file_name())
    assert path == tmp_path / "socketpipe" / str(sys.implementation.cache_tag)
    path.parent.mkdir(mode=0o700)
    data = marshal.dumps({"word": 5})
    path.write_bytes(KEY + b"%08x" % zlib.crc32(data) + data)
    path.chmod(0o600)
    assert start.read(KEY) == {"word": 5}
    return path


def test_only_the_right_one_is_read(kept: Path) -> None:
    assert start.read(b"the kez\n") is None and start.read(b"") is None
    data = kept.read_bytes()
    for at in (0, len(KEY), len(KEY) + 7, len(KEY) + 8, len(data) - 1):
        kept.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert start.read(KEY) is None, at
        kept.write_bytes(data[:at])
        assert start.read(KEY) is None, at


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o622])
def test_one_that_others_can_write_is_not_read(kept: Path, mode: int) -> None:
    kept.chmod(mode)
    assert start.read(KEY) is None
    kept.chmod(0o644)
    assert start.read(KEY) == {"word": 5}


def test_a_link_or_a_directory_or_nothing_is_not_read(kept: Path) -> None:
    other = kept.rename(kept.with_name("other"))
    assert start.read(KEY) is None
    kept.symlink_to(other)
    assert start.read(KEY) is None
    kept.unlink()
    kept.mkdir()
    assert start.read(KEY) is None


@pytest.mark.parametrize("user", ["st_uid", "getuid"])
def test_one_of_another_user_is_not_read(kept: Path, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    """Nor anything by a program that has the rights of another user."""
    changes: dict[str, Any] = {"getuid": lambda: OTHER}
    if user == "st_uid":
        changes = {"fstat": lambda fd: SimpleNamespace(st_uid=OTHER, st_mode=os.fstat(fd).st_mode)}
    monkeypatch.setattr(start, "os", SimpleNamespace(**{**vars(os), **changes}))
    assert start.read(KEY) is None


def test_without_a_home_nothing_is_read(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kept.parents[1])
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "")
    assert start.read(KEY) is None


# -- modules


def code(text: str) -> bytes:
    return marshal.dumps(compile(text, "made", "exec"))


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[start.Loader]:
    """Of a program that has two modules in two folders; it is loaded as it is."""
    archive = tmp_path / "program"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("program/_one/first.py", "the source")
    modules = {
        "_one.first": code("from .._two import second\nVALUE = second.VALUE + 1\n"),
        "_two.second": code("VALUE = 5\n"),
    }
    found = start.Loader(str(archive), "program", {"modules": modules, "loader": b"loader", "parts": {("a",): b"part"}})
    sys.meta_path.insert(0, found)
    yield found
    sys.meta_path.remove(found)
    for name in [name for name in sys.modules if name.partition(".")[0] == "program"]:
        del sys.modules[name]


def test_modules_of_the_cache_import_each_other(loader: start.Loader) -> None:
    archive = loader.archive
    first = importlib.import_module("program._one.first")
    assert (first.VALUE, first.__name__, first.__package__) == (6, "program._one.first", "program._one")
    assert first.__file__ == f"{archive}/program/_one/first.py"
    assert not hasattr(first, "__path__")
    package = sys.modules["program._one"]
    assert package.__file__ == f"{archive}/program/_one/__init__.py" and hasattr(package, "__path__")
    assert sys.modules["program"].__file__ == f"{archive}/program/__init__.py"
    assert loader.loader == b"loader" and loader.parts == {("a",): b"part"}
    assert first.__loader__ is loader


@pytest.mark.parametrize("name", ["other", "program._one.none", "program._three", "_one.first"])
def test_other_modules_are_not_its_own(loader: start.Loader, name: str) -> None:
    assert loader.find_spec(name) is None


def test_sources_are_those_of_the_archive(loader: start.Loader) -> None:
    assert loader.get_data(f"{loader.archive}/program/_one/first.py") == b"the source"


# -- the start


class System:
    """Stands for the module sys, and for what the start calls; ``did`` is what was done, in its order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, argv: list[str], kept: Any) -> None:
        self.did: list[Any] = []
        library = os.path.dirname(os.__file__)
        self.library = [library, f"{library}/lib-dynload"]
        self.argv, self.path = argv, ["/x/socketpipe", *self.library, "/other"]
        self.meta_path: list[Any] = ["the others"]
        self.modules = sys.modules
        self.kept, self.status = kept, 7
        monkeypatch.setattr(start, "sys", self)
        monkeypatch.setattr(start, "__import__", self.load, raising=False)
        monkeypatch.setattr(start, "key", lambda *words: b"%s %s\n" % tuple(word.encode() for word in words))
        monkeypatch.setattr(start, "read", self.read)
        monkeypatch.setattr(start, "default_interrupt", lambda: self.note("interrupt"))
        monkeypatch.setattr(start, "leave", lambda status: self.note("leave", status))

    def note(self, *what: object) -> None:
        self.did.append((*what, gc.isenabled()) if what[0] in ("read", "run") else what)

    def load(self, name: str, fromlist: list[str]) -> Any:
        def run(words: list[str]) -> int:
            self.note("run", name, words)
            return self.status

        return SimpleNamespace(**{each: run if each != "write" else self.write for each in fromlist})

    def read(self, key: bytes) -> Any:
        self.note("read", key)
        return self.kept

    def write(self, key: bytes) -> None:
        self.note("write", key)


KEPT: Any = {"modules": {}, "loader": b"", "parts": {}}
READ, WRITE = ("read", b"/x/socketpipe digest\n", False), ("write", b"/x/socketpipe digest\n")


def run(name: str, *words: str) -> tuple[object, ...]:
    return "run", f"package._command.{name}", list(words), True


@pytest.mark.parametrize("first", [[], ["-c"]], ids=["as a file", "by its first line"])
@pytest.mark.parametrize(
    ("words", "kept", "did"),
    [
        (["a", "-s"], None, [READ, run("command", "a", "-s"), WRITE, ("leave", 7)]),
        (["a", "-s"], KEPT, [READ, run("command", "a", "-s"), ("leave", 7)]),
        ([], KEPT, [READ, run("command"), ("leave", 7)]),
        # it becomes another program, so the cache is written before
        (["-s", "h", "-s"], None, [READ, WRITE, run("serve", "h", "-s"), ("leave", 7)]),
        (["-s", "h", "-s"], KEPT, [READ, run("serve", "h", "-s"), ("leave", 7)]),
    ],
)
def test_what_a_start_does(
    monkeypatch: pytest.MonkeyPatch, first: list[str], words: list[str], kept: Any, did: list[Any]
) -> None:
    """What runs may make garbage, what comes before does not. A cache is asked before everybody else."""
    system = System(monkeypatch, [*first, "/x/socketpipe", *words], kept)
    if first:
        del system.path[0]
        system.path.insert(0, "")
    start.start("package", "digest")
    assert system.did == [("interrupt",), *did]
    if kept is None:
        assert system.meta_path == ["the others"] and system.path == ["/x/socketpipe", *system.library]
    else:
        loader, *others = system.meta_path
        assert others == ["the others"]
        assert (loader.archive, loader.package) == ("/x/socketpipe", "package") and system.path == system.library


def test_a_python_without_a_library_keeps_its_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(monkeypatch, [], None)
    monkeypatch.setattr(start, "os", SimpleNamespace(path=os.path))
    before = list(system.path)
    start.isolate()
    assert system.path == before


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize(
    ("handler", "after"), [(signal.default_int_handler, signal.SIG_DFL), (signal.SIG_IGN, signal.SIG_IGN)]
)
def test_ctrl_c_ends_it_unless_that_is_ignored(
    monkeypatch: pytest.MonkeyPatch, loaded: bool, handler: Any, after: Any
) -> None:
    monkeypatch.setattr(start, "sys", SimpleNamespace(modules=sys.modules if loaded else {}))
    before = signal.signal(signal.SIGINT, handler)
    try:
        start.default_interrupt()
        assert signal.getsignal(signal.SIGINT) == after
    finally:
        signal.signal(signal.SIGINT, before)


class Left(BaseException):
    """The process has ended."""


@pytest.mark.parametrize(
    ("error", "left"),
    [(None, Left), (AttributeError, SystemExit), (BrokenPipeError, SystemExit), (ValueError, SystemExit)],
)
def test_it_ends_without_delay_if_all_is_written(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception] | None, left: type[BaseException]
) -> None:
    """Otherwise Python says so."""

    def end(status: int) -> None:
        raise Left(status)

    def flush() -> None:
        if error:
            raise error

    monkeypatch.setattr(start, "sys", SimpleNamespace(stdout=SimpleNamespace(flush=flush)))
    monkeypatch.setattr(start, "os", SimpleNamespace(_exit=end))
    with pytest.raises(left) as caught:
        start.leave(3)
    assert caught.value.args == (3,)


@pytest.mark.parametrize(("words", "ran"), [(["-s", "h"], ("serve", ["h"])), (["a", "-s"], ("main", ["a", "-s"]))])
def test_the_start_of_an_installed_command(
    monkeypatch: pytest.MonkeyPatch, words: list[str], ran: tuple[str, list[str]]
) -> None:
    """Its status is that of the command, as a program for each."""
    did: list[Any] = []

    def leave(status: int) -> None:
        raise Left(status)

    monkeypatch.setattr(start, "leave", leave)
    monkeypatch.setattr(start, "default_interrupt", lambda: did.append("interrupt"))

    def runs(name: str) -> Any:
        def run(words: list[str]) -> int:
            did.append((name, words))
            return 9

        return run

    for module, name in (("serve", "serve"), ("command", "main")):
        monkeypatch.setattr(importlib.import_module(f"{start.__package__}.{module}"), name, runs(name))
    monkeypatch.setattr(sys, "argv", ["socketpipe", *words])
    with pytest.raises(Left) as caught:
        installed.main()
    assert (did, caught.value.args) == (["interrupt", ran], (9,))
