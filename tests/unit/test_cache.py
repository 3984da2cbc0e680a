# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache of the command: it is only used where nobody else can write, and whatever is wrong with it costs time only.

What would be loaded from it here says so: a cache in which the command is a program that writes PLANTED.
"""

from __future__ import annotations

import marshal
import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import archive, cache, manual, start
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap
from ansible_collections.plumbing.socketpipe.tests.unit import pythons

ROOT = os.geteuid() == 0
OTHER = 5001  # a user
TRUE, PLANTED = manual.version(), "PLANTED\n"
PROGRAM = "def main(words):\n    print('PLANTED')\n    return 0\n"
KEY = b"of this test\n"
needs_root = pytest.mark.skipif(not ROOT, reason="only root can give a file to another user, or mount")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("command") / "socketpipe"
    path.write_bytes(archive.archive(sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    found = tmp_path / "home"
    found.mkdir(mode=0o700)
    return found


def folder(home: Path) -> Path:
    return home / ".cache" / "socketpipe"


def kept(home: Path) -> Path:
    return folder(home) / str(sys.implementation.cache_tag)


def run(command: Path, home: Path | str | None, *more: str, **environment: str) -> str:
    """What --version writes: it must always work, and silently."""
    env = {"PATH": os.environ["PATH"], **({} if home is None else {"HOME": str(home)}), **environment}
    words = [*more, sys.executable, "-S", str(command), "--version"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def plant(command: Path, home: Path) -> None:
    """Replace the command in the cache."""
    assert run(command, home) == TRUE
    data = kept(home).read_bytes()
    key = data[: data.index(b"\n") + 1]
    content = {
        "modules": {"_command.command": marshal.dumps(compile(PROGRAM, "planted", "exec"))},
        "loader": b"",
        "parts": {},
    }
    payload = marshal.dumps(content)
    kept(home).write_bytes(key + start.checksum(payload) + payload)
    assert run(command, home) == PLANTED, "else no test here could fail"


def test_the_second_start_uses_it(command: Path, home: Path) -> None:
    assert run(command, home) == TRUE
    facts = os.stat(kept(home))
    assert (facts.st_uid, facts.st_mode) == (os.geteuid(), stat.S_IFREG | 0o600)
    assert [path.stat().st_mode & 0o777 for path in (folder(home), folder(home).parent)] == [0o700, 0o700]
    plant(command, home)
    assert [path.name for path in folder(home).iterdir()] == [kept(home).name], "one file, nothing else"


# -- who could have written it


def other_name(home: Path) -> None:
    kept(home).rename(home / "mine")
    kept(home).symlink_to(home / "mine")


def fifo(home: Path) -> None:
    kept(home).unlink()
    os.mkfifo(kept(home), 0o600)


def directory(home: Path) -> None:
    kept(home).unlink()
    kept(home).mkdir()


def elsewhere(home: Path) -> None:
    """The directory is safe, the way to it is not."""
    (home / "open").mkdir()
    shutil.move(folder(home).parent, home / "open" / "cache")
    folder(home).parent.symlink_to(home / "open" / "cache")
    (home / "open").chmod(0o777)


def loop(home: Path) -> None:
    shutil.rmtree(folder(home).parent)
    folder(home).parent.symlink_to(folder(home).parent)


def mode(place: Callable[[Path], Path], bits: int) -> Callable[[Path], None]:
    return lambda home: place(home).chmod(bits)


def owned(place: Callable[[Path], Path]) -> Callable[[Path], None]:
    return lambda home: os.chown(place(home), OTHER, OTHER, follow_symlinks=False)


def link_of_another(home: Path) -> None:
    shutil.move(folder(home).parent, home / "cache")
    folder(home).parent.symlink_to(home / "cache")
    os.chown(folder(home).parent, OTHER, OTHER, follow_symlinks=False)


UNSAFE = {
    "the file, its group": mode(kept, 0o620),
    "the file, all": mode(kept, 0o602),
    "the directory, its group": mode(folder, 0o770),
    "the directory, all": mode(folder, 0o707),
    "the directory of all caches": mode(lambda home: folder(home).parent, 0o777),
    "home": mode(lambda home: home, 0o777),
    "above home": mode(lambda home: home.parent, 0o777),
    "a link": other_name,
    "a pipe": fifo,
    "a directory": directory,
    "a link to a place that is open": elsewhere,
    "a link to itself": loop,
}
OWNED = {
    "the file": owned(kept),
    "the directory": owned(folder),
    "the directory of all caches": owned(lambda home: folder(home).parent),
    "home": owned(lambda home: home),
    "above home": owned(lambda home: home.parent),
    "a link": link_of_another,
}


@pytest.mark.parametrize("change", UNSAFE.values(), ids=UNSAFE)
def test_it_is_not_loaded_where_others_can_write(command: Path, home: Path, change: Callable[[Path], None]) -> None:
    plant(command, home)
    change(home)
    assert run(command, home) == TRUE


@needs_root
@pytest.mark.parametrize("change", OWNED.values(), ids=OWNED)
def test_it_is_not_loaded_where_another_user_owns_it(command: Path, home: Path, change: Callable[[Path], None]) -> None:
    plant(command, home)
    change(home)
    assert run(command, home) == TRUE


def sticky(home: Path) -> None:
    home.parent.chmod(0o1777)  # like /tmp


def own_link(home: Path) -> None:
    shutil.move(folder(home).parent, home / "cache")
    folder(home).parent.symlink_to("../home/cache")


@pytest.mark.parametrize("change", [sticky, own_link])
def test_it_is_loaded_where_only_this_user_can_write(command: Path, home: Path, change: Callable[[Path], None]) -> None:
    plant(command, home)
    change(home)
    assert run(command, home) == PLANTED


@needs_root
def test_root_leaves_nothing_in_the_home_of_another_user(command: Path, home: Path) -> None:
    """sudo may keep HOME."""
    os.chown(home, OTHER, OTHER)
    assert run(command, home) == TRUE
    assert list(home.iterdir()) == []


@needs_root
def test_a_program_with_the_rights_of_another_user_has_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(os, "getuid", lambda: OTHER)
    cache.write(KEY)
    assert list(home.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    cache.write(KEY)
    assert start.read(KEY) is not None
    monkeypatch.setattr(os, "getuid", lambda: OTHER)
    assert start.read(KEY) is None


# -- where it is


def test_the_directory_for_caches_can_be_chosen(command: Path, home: Path) -> None:
    (home / "x").mkdir()
    assert run(command, home, XDG_CACHE_HOME=str(home / "x" / "caches")) == TRUE
    assert (home / "x/caches/socketpipe" / kept(home).name).is_file() and not folder(home).exists()
    assert run(command, home, XDG_CACHE_HOME="x") == TRUE, "a relative one is invalid"
    assert kept(home).is_file()


@pytest.mark.parametrize("home", [None, "", "relative", "/proc/none", "/dev/null", "/proc/self/fd"])
def test_no_home_is_no_failure(command: Path, home: str | None) -> None:
    assert run(command, home) == TRUE


def test_python_may_be_told_to_write_no_byte_code(command: Path, home: Path) -> None:
    assert run(command, home, PYTHONDONTWRITEBYTECODE="1") == TRUE
    assert list(home.iterdir()) == []


@pytest.mark.skipif(ROOT, reason="root can write everywhere")
def test_a_directory_without_permission_is_no_failure(command: Path, home: Path) -> None:
    home.chmod(0o500)
    assert run(command, home) == TRUE
    assert list(home.iterdir()) == []


@needs_root
@pytest.mark.parametrize("options", ["ro", "size=64k", "nr_inodes=3"])
def test_a_file_system_without_room_is_no_failure(command: Path, home: Path, options: str) -> None:
    """Read-only, full, or without room for another name: nothing of it is left there either."""
    script = 'mount -t tmpfs -o mode=0700,"$0" none "$1" && shift && "$@" && cd "$HOME" && find . -type f >&2'
    wrapper = ["unshare", "-m", "sh", "-c", script, options, str(home)]
    assert run(command, home, *wrapper) == TRUE
    script = script.replace(' && cd "$HOME"', ' >/dev/null; "$@" && cd "$HOME"')
    assert run(command, home, *wrapper[:4], script, *wrapper[5:]) == TRUE


def test_a_limit_of_files_is_no_failure(command: Path, home: Path) -> None:
    words = [sys.executable, "-S", str(command), "--version"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(words, env={"HOME": str(home)}, capture_output=True, preexec_fn=limit, check=False)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, TRUE, b"")
    assert list(folder(home).iterdir()) == []


# -- damage


@pytest.fixture
def written(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    cache.write(KEY)
    assert start.read(KEY) is not None and start.read(b"of another\n") is None
    return kept(home)


def test_damage_is_found(written: Path) -> None:
    data = written.read_bytes()
    for at in [*range(len(KEY) + 16), *range(0, len(data), len(data) // 100), len(data) - 1]:
        for bad in (data[:at], data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], data[:at] + bytes(len(data) - at)):
            written.write_bytes(bad)
            assert start.read(KEY) is None or bad == data, at
    written.write_bytes(data)
    assert start.read(KEY) is not None


@pytest.mark.parametrize("damage", [b"", b"\n", b"x" * 100_000])
def test_a_damaged_one_is_replaced(command: Path, home: Path, damage: bytes) -> None:
    plant(command, home)
    kept(home).write_bytes(damage)
    assert run(command, home) == TRUE
    plant(command, home)


def test_that_of_another_file_is_replaced(command: Path, home: Path, tmp_path: Path) -> None:
    """A new version may have the same size and date, a changed one the same sources."""
    plant(command, home)
    copy = Path(shutil.copy2(command, tmp_path))
    assert run(copy, home) == PLANTED
    os.utime(copy, (1, 1))
    assert run(copy, home) == TRUE
    plant(copy, home)
    data = copy.read_bytes()
    at = data.index(b"start('socketpipe', '") + len(b"start('socketpipe', '")
    copy.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    os.utime(copy, (1, 1))
    assert run(copy, home) == TRUE


def test_what_a_killed_process_has_left_is_removed(written: Path) -> None:
    written.unlink()
    left = written.with_name(written.name + ".new")
    left.write_bytes(b"half")
    cache.write(KEY)
    assert left.read_bytes() == b"half" and not written.exists(), "another process is just writing it"
    os.utime(left, (time.time() - cache.STALE - 1,) * 2)
    cache.write(KEY)
    assert not left.exists()
    cache.write(KEY)
    assert start.read(KEY) is not None and not left.exists()


def test_many_at_once(command: Path, home: Path) -> None:
    words = [sys.executable, "-S", str(command), "--version"]
    each = [subprocess.Popen(words, env={"HOME": str(home)}, stdout=subprocess.PIPE, text=True) for _one in range(6)]
    assert [process.communicate()[0] for process in each] == [TRUE] * 6
    assert [path.name for path in folder(home).iterdir()] == [kept(home).name]
    plant(command, home)


# -- what is in it


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_each_python_has_its_own(command: Path, home: Path, version: str) -> None:
    ours = version == "%d.%d" % sys.version_info[:2]
    if not ours:
        plant(command, home)
    python = pythons.needed(version)
    words = [[python, "-IS", str(command), word] for word in ("--manual", "--manual", "--help", "-x")]
    said = [subprocess.run(each, env={"HOME": str(home)}, capture_output=True, check=False) for each in words]
    assert [each.returncode for each in said] == [0, 0, 0, 1]
    assert [each.stdout.decode() for each in said[:3]] == [manual.page(), manual.page(), manual.usage()]
    assert said[3].stderr.startswith(b"socketpipe: -x: unknown option")
    assert len(list(folder(home).iterdir())) == 1 + (not ours)
    assert run(command, home) == (TRUE if ours else PLANTED)


def test_the_program_for_the_far_side_is_in_it(written: Path) -> None:
    content = start.read(KEY)
    assert content is not None
    names = {*bootstrap.MODULES, *bootstrap.OF_COMMAND, *bootstrap.COMMAND_MODULES}
    assert set(content["modules"]) == names
    assert {name for group in content["parts"] for name in group} == {*bootstrap.MODULES, *bootstrap.OF_COMMAND}
    assert content["loader"] == bootstrap.loader()


def test_a_python_given_by_its_path_reads_no_archive(command: Path, home: Path, tmp_path: Path) -> None:
    """And nothing that the environment could change."""
    (tmp_path / "os.py").write_text("raise Exception('the wrong os')\n", encoding="ascii")
    for count in range(2):
        environment = {"HOME": str(home), "PYTHONPATH": str(tmp_path)}
        done = subprocess.run([command, "--version"], env=environment, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, done.stdout.decode(), done.stderr) == (0, TRUE, b""), count
    first = command.read_bytes().split(b"\n")[0]
    assert first.startswith(b"#!%s -ISc" % sys.executable.encode()) and len(first) < archive.LINE_MOST
    assert archive.archive("/" + 80 * "x").startswith(b"#!/%s -IS\n" % (80 * b"x")), "Linux would cut it"
