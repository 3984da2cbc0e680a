# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A script of several files: what is sent of a directory, and that each Python runs it from memory."""

from __future__ import annotations

import errno
import io
import os
import random
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import PROGRAM_FD, in_memory, spawn
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._script import ScriptError, read_program
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import OptionError, parse_stages
from ansible_collections.plumbing.socketpipe.tests.unit import pythons

MAIN = "__main__.py"


def write(top: Path, names: Sequence[str]) -> Path:
    """Files that contain their names; an empty directory has a slash, a symbolic link its target, a FIFO a bar."""
    for name in names:
        name, arrow, target = name.partition(" -> ")
        path = top / name.rstrip("/|")
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            path.symlink_to(target)
        elif name.endswith("/"):
            path.mkdir()
        elif name.endswith("|"):
            os.mkfifo(path)
        else:
            path.write_text(name, encoding="utf-8", errors="surrogateescape")
    return top


def unreadable(path: str) -> bytes:
    if path.endswith("a.py"):
        raise ScriptError("Decryption failed")
    if path.endswith("b.py"):
        raise PermissionError(errno.EACCES, "Permission denied", path)
    return b""


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["main.py"], "there is no __main__.py in this directory for Python to run"),
        ([MAIN + "/"], "there is no __main__.py in this directory for Python to run"),
        ([MAIN + " -> gone"], "there is no __main__.py in this directory for Python to run"),
        ([MAIN, "lib/x.py -> gone"], "lib/x.py: No such file or directory"),
        ([MAIN, "x.py -> x.py"], "x.py: Too many levels of symbolic links"),
        ([MAIN, "lib/pipe|"], "lib/pipe is neither a file nor a directory"),
        ([MAIN, "lib/up -> .."], "lib/up is a link to a directory that contains it"),
        ([MAIN, "lib/far -> /"], "lib/far is a link to a directory that contains it"),
        ([MAIN, "a/x -> ../b", "b/y -> ../a"], "a/x/y is a link to a directory that contains it"),
        ([MAIN, "\udcff.py"], "'\\udcff.py' is a name that is not UTF-8"),
        ([MAIN, "lib/a.py"], "lib/a.py: Decryption failed"),
        ([MAIN, "lib/b.py"], "lib/b.py: Permission denied"),
    ],
)
def test_a_directory_that_cannot_be_a_script(tmp_path: Path, names: list[str], message: str) -> None:
    top = write(tmp_path / "prog", names)
    with pytest.raises(OptionError, match="^" + re.escape(f"input: script: {top}: {message}") + "$"):
        parse_stages("input", {"script": str(top)}, lambda path: read_program(path, unreadable))


def test_an_archive_of_bounded_size(tmp_path: Path) -> None:
    """What counts is what is sent; what cannot be sent any more is not read either."""
    top, most = write(tmp_path, [MAIN, "a", "b", "c"]), 4 * 1024 * 1024
    seen: list[str] = []

    def read(path: str) -> bytes:
        seen.append(path)
        return b"" if path.endswith(MAIN) else noise

    noise = bytes(8 * most)
    assert len(read_program(str(top), read)) < most
    noise, seen = random.Random(1).randbytes(most // 2), []
    with pytest.raises(ScriptError) as caught:
        read_program(str(top), read)
    assert str(caught.value) == f"its zip archive exceeds the limit of {most} bytes"
    assert seen == [f"{top}/{name}" for name in (MAIN, "a", "b")]


SENT = [MAIN, "data/", "data/a.txt", "empty/", "lib/", "lib/__init__.py", "lib/sub/", "lib/sub/é.py", "one.py"]


def test_what_is_sent_of_a_directory(tmp_path: Path) -> None:
    left = [".git/config", ".hidden.py", "__pycache__/one.cpython-311.pyc", "lib/old.pyc", "lib/__pycache__/x"]
    flat = [name for name in SENT if not name.endswith("/") or name == "empty/"]
    made = [
        read_program(str(write(tmp_path / "first", flat + left))),
        read_program(str(write(tmp_path / "second", list(reversed(flat))))),
    ]
    assert made[0] == made[1] == read_program(str(tmp_path / "first") + "/")
    with zipfile.ZipFile(io.BytesIO(made[0])) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {
            name: "" if name.endswith("/") else name for name in SENT
        }
        assert archive.namelist() == SENT
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}

    write(tmp_path / "shared", ["__init__.py", "sub/é.py"])
    third = write(tmp_path / "third", ["lib -> ../shared", "one.py -> data/a.txt", MAIN, "data/a.txt", "empty/"])
    with zipfile.ZipFile(io.BytesIO(read_program(str(third)))) as archive:
        assert archive.namelist() == SENT and archive.read("one.py") == b"data/a.txt"


PROGRAM = {
    "__main__.py": "import sys\nfrom lib.deep import down\nfrom names import é\nprint(down.fail(sys.argv))\n",
    "lib/__init__.py": "",
    "lib/deep/__init__.py": "import pkgutil\nDATA = pkgutil.get_data(__name__, 'data.txt').decode()\n",
    "lib/deep/data.txt": "of the package",
    "lib/deep/down.py": "from . import DATA\n\ndef fail(argv):\n    raise ValueError(DATA, argv)\n",
    "names/é.py": "",  # a package without an __init__.py
}


@pytest.mark.parametrize("version", pythons.TARGETS)
@pytest.mark.parametrize("old", [False, True], ids=["memfd_create", "O_TMPFILE"])
def test_python_runs_a_directory_that_is_in_memory(
    tmp_path: Path, version: str, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In isolation as in a task: its packages, its data, its arguments, and its files in a traceback."""
    python = pythons.needed(version)
    for name, text in PROGRAM.items():
        path = tmp_path / "prog" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (stage,), _warnings = parse_stages("input", {"script": f"{tmp_path}/prog --level 1"})
    assert stage["argv"] == [f"{tmp_path}/prog", "--level", "1"]
    if old:
        monkeypatch.delattr(os, "memfd_create")
    program = in_memory(stage["program"])
    out, out_in = os.pipe()
    words = [python if word is None else word for word in stage["launcher"]] + stage["argv"][1:]
    pid = spawn(words, dict(os.environb), None, {1: out_in, 2: out_in, PROGRAM_FD: program})
    os.close(program)
    os.close(out_in)
    with open(out, encoding="utf-8") as said:
        text = said.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert 'File "/proc/self/fd/3/__main__.py", line 4, in <module>\n' in text
    assert 'File "/proc/self/fd/3/lib/deep/down.py", line 4, in fail\n' in text
    assert text.endswith("\nValueError: ('of the package', ['/proc/self/fd/3', '--level', '1'])\n")
