# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole runs of the command, with a shell of this host as the login command."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import is_alive
from ansible_collections.plumbing.socketpipe.tests.unit.ends import ASLEEP, LONG, default_signals
from ansible_collections.plumbing.socketpipe.tests.unit.tape import MODULE_UTILS, script
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import wait_for

CODE = (
    "import sys; sys.path.insert(0, %r); from module_utils._command.command import main; sys.exit(main(sys.argv[1:]))"
)
PROGRAM = [sys.executable, "-I", "-c", CODE % str(MODULE_UTILS.parent)]
LOGIN = ["-l", "{", "/bin/sh", "-c", 'eval "$*"', "login", "}"]  # as ssh has it: a shell gets the words, joined
UPPER = ["-r", "{", "tr", "a-z", "A-Z", "}"]


def environment(path: str = "") -> dict[str, str]:
    return {**os.environ, "SSH_CLIENT": "127.0.0.1 1 2", "PATH": f"{path}:{os.environ['PATH']}".strip(":")}


def run(*words: str, data: bytes = b"", path: str = "") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*PROGRAM, *words],
        input=data,
        capture_output=True,
        env=environment(path),
        timeout=LONG,
        check=False,
        preexec_fn=default_signals,
    )


def test_there_and_back(tmp_path: Path) -> None:
    """Standard input is the input command's, and standard output the output command's."""
    words = ["-h", "127.0.0.1", "-i", "{", "cat", "}", *LOGIN, *UPPER, "-o", "{", "cat", "}"]
    began = time.monotonic()
    done = run(*words, f"--stats={tmp_path}/stats", data=b"hello\n")
    whole = time.monotonic() - began
    assert (done.returncode, done.stdout, done.stderr) == (0, b"HELLO\n", b"")
    stats = json.loads((tmp_path / "stats").read_text())
    assert (stats["ok"], stats["exit_status"], stats["msg"], stats["bytes"]) == (True, 0, "ok", 6)
    assert 0 < stats["elapsed"] <= whole
    assert [stage["name"] for stage in stats["stages"]] == ["input", "remote", "output"]


def test_what_goes_on_is_named() -> None:
    """A process that the remote command has left behind, and that holds no link, is no failure."""
    behind = f"sleep 1000 </dev/null >/dev/null 2>&1 & {ASLEEP}; echo $!"
    done = run("-h", "127.0.0.1", *LOGIN, "-r", "{", "sh", "-c", behind, "}", "-o", "{", "cat", "}")
    pid = int(done.stdout)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    said = f'socketpipe: left running on the far side (/bin/sh -c eval "$*" login): {pid} sleep\n'
    assert (done.returncode, done.stderr.decode()) == (0, said)


def test_a_command_that_is_socketpipe() -> None:
    """It need not be installed on the far side."""
    done = run("-h", "127.0.0.1", *LOGIN, "-r", "{", "socketpipe", "--version", "}", "-o", "{", "cat", "}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == run("--version").stdout != b""


@pytest.fixture
def original(tmp_path: Path) -> str:
    """A folder with a socketpipe, for the PATH."""
    words = " ".join("'%s'" % word.replace("'", "'\\''") for word in PROGRAM)
    script(tmp_path / "bin", "socketpipe", f'exec {words} "$@"\n')
    return str(tmp_path / "bin")


@pytest.mark.parametrize(
    ("words", "status", "out", "err"),
    [
        (["-i", "{", "cat", "}", *UPPER, "-o", "{", "cat", "}"], 0, b"HELLO\n", b""),
        (["-i", "{", "cat", "}", *UPPER], 0, b"", b""),
        (["-r", "{", "echo", "far", "}", "-o", "{", "cat", "}"], 0, b"far\n", b""),
        (
            ["-r", "{", "echo", "far", "}", "-o", "{", "sh", "-c", "cat; echo no >&2; exit 3", "}"],
            3,
            b"far\n",
            b"no\nsocketpipe: output ended with exit status 3\n",
        ),
        (
            ["-r", "{", "echo", "far", "}", "-o", "{", "sh", "-c", "cat; exit 3", "}", "--ok-rc", "output=3"],
            0,
            b"far\n",
            b"",
        ),
    ],
)
def test_an_original_on_the_far_side(original: str, words: list[str], status: int, out: bytes, err: bytes) -> None:
    done = run("--plain", *LOGIN, *words, data=b"hello\n", path=original)
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)


def test_an_input_that_fails_beside_an_original(original: str, tmp_path: Path) -> None:
    """It is named, and the far side sees its input break off."""
    remote = ["-r", "{", "sh", "-c", f"cat 2>/dev/null || : >{tmp_path}/broken", "}"]
    done = run("--plain", *LOGIN, "-i", "{", "sh", "-c", "echo no >&2; exit 4", "}", *remote, path=original)
    said = b"no\nsocketpipe: input ended with exit status 4; to accept this status, use --ok-rc input=0,4\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert (tmp_path / "broken").exists()


@pytest.mark.parametrize("plain", [True, False])
def test_a_signal_ends_all(original: str, tmp_path: Path, plain: bool) -> None:
    """And the command ends by it, too, as a shell expects."""
    far = script(tmp_path, "far", f"echo $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec cat 2>/dev/null\n")
    remote = ["-r", "{", str(far), "}"]
    feed = ["-i", "{", "sh", "-c", "echo; exec sleep 1000", "}"]
    process = subprocess.Popen(
        [*PROGRAM, *(["--plain"] if plain else ["-h", "127.0.0.1"]), *LOGIN, *feed, *remote],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(original),
        preexec_fn=default_signals,
    )
    wait_for((tmp_path / "pid").exists)
    process.terminate()
    said = process.communicate(timeout=LONG)[1]
    more = "" if plain else ": socketpipe was stopped by SIGTERM"
    assert (process.returncode, said.decode()) == (-signal.SIGTERM, f"socketpipe: interrupted{more}\n")
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_alive(pid))


def test_a_far_side_that_does_not_connect() -> None:
    done = run("--plain", "-l", "{", "sh", "-c", "exit 5", "}", "-i", "{", "sleep", "1000", "}", *UPPER)
    said = "socketpipe: the far side did not connect: the login command ended with exit status 5\n"
    assert (done.returncode, done.stderr.decode()) == (2, said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["h", "1"], "needs a host, a port and a command"),
        (["h", "1", ""], "needs a host, a port and a command"),
        (["h", "0", "x"], "'0' is not a port number"),
        (["h", "65536", "x"], "'65536' is not a port number"),
        (["h", "x", "x"], "'x' is not a port number"),
    ],
)
def test_the_original_s_words(words: list[str], said: str) -> None:
    done = run("-s", *words)
    assert (done.returncode, done.stderr.decode()) == (1, f"socketpipe: -s: {said}\n")


def test_nobody_listens() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        done = run("-s", "127.0.0.1", str(port), "cat")
    said = f"socketpipe: -s: cannot connect to 127.0.0.1 port {port}: Connection refused\n"
    assert (done.returncode, done.stderr.decode()) == (2, said)
