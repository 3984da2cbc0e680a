# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiver of the role tape, when something ends that should not: an archive that is not whole never looks so."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import processes
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import (
    NOT_ROOT,
    TIMEOUT,
    Host,
    Started,
    begun,
    is_alive,
    within,
)
from ansible_collections.plumbing.socketpipe.tests.unit.tape import MODULE_UTILS, TAPE, start

MiB = 1024**2
KEEPING = "; tape_keep_incomplete keeps such an archive"
GONE = "the reader of the archive has gone, so the archive is incomplete: the reason is on the other host"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def halfway(host: Host) -> Iterator[Started]:
    yield from begun(host)


def test_tar_fails(host: Host) -> None:
    host.program(
        "tar",
        'case $* in *--create*) REAL "$@"; echo "tar: ./a: Cannot open: No" >&2; echo "tar: ./b: Read error" >&2; '
        'echo "tar: Exiting with failure status due to previous errors" >&2; exit 2;; esac; exec REAL "$@"',
    )
    said = host.said(*host.words())
    hint = "" if os.geteuid() == 0 else " (not as root: become: true?)"
    assert said == (
        "tar: ./a: Cannot open: No\n"
        f"archiver create: tar failed with status 2: ./b: Read error (the last of 2 lines){hint}{KEEPING}"
    )
    assert host.states() == ["lock"]


def test_what_is_not_root_s_to_read(host: Host) -> None:
    host.file("secret", "x").chmod(0)
    argv = host.argv
    if os.geteuid() == 0:
        shutil.copytree(TAPE, host.top / "program" / "_tape")
        drop = (
            "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); os.execv(sys.argv[1], sys.argv[1:])"
        )
        python = shutil.which("python3", path="/usr/bin:/bin")
        if not python:
            pytest.skip("there is no Python that others can run")
        argv = [sys.executable, "-c", drop, python, "-I", "-B", *start("archiver", host.top / "program")]
        for folder in [host.top, *host.top.parents][:4]:
            folder.chmod(folder.stat().st_mode | 0o711)
        host.state.mkdir()
        os.chown(host.state, 65534, 65534)
    host.argv = argv
    assert host.said(*host.words()) == (
        f"archiver create: tar failed with status 2: .{host.root}/secret: Cannot open: Permission denied "
        f"(not as root: become: true?){KEEPING}"
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["tar"], "archiver create: tar was killed by %s: it gave no reason" + NOT_ROOT),
        (["tee"], "archiver create: " + GONE),
        (["openssl", "sha256sum"], "archiver create: the checksum program was killed by %s: "),
    ],
)
def test_a_program_of_ours_is_killed(
    host: Host, halfway: Started, names: list[str], said: str, number: signal.Signals
) -> None:
    os.kill(halfway.child(*names), number)
    rc, stderr = halfway.end()
    assert rc == 1
    assert stderr.splitlines()[-1] == (said % number.name if "%" in said else said)
    assert host.states() == ["lock"]


@pytest.mark.parametrize("name", ["tar", "tee", "openssl"])
def test_a_program_of_ours_stops_for_ever(host: Host, halfway: Started, name: str) -> None:
    """Not even one that does nothing any more is left when we are ended."""
    if name == "openssl" and not shutil.which("openssl"):
        pytest.skip("there is no openssl")
    os.kill(halfway.child(name), signal.SIGSTOP)
    halfway.process.terminate()
    rc, stderr = halfway.end()
    assert (rc, stderr) == (128 + signal.SIGTERM, "archiver create: ended by SIGTERM\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_it_is_ended(host: Host, halfway: Started, number: signal.Signals) -> None:
    children = processes.descendants(halfway.process.pid)
    assert len(children) == 3
    halfway.process.send_signal(number)
    assert halfway.end() == (128 + number, f"archiver create: ended by {number.name}\n")
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)
    assert host.states() == ["lock"]


# starts a program that asks its starter to end, before the starter knows that it has it
EARLY = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from _tape.archiver.crew import Crew
from _tape.common import process
process.end_on_signals()
ask = process.die_with
process.die_with = lambda parent: lambda: (ask(parent)(), os.kill(parent, signal.SIGTERM))
%s
"""
OF_ARCHIVER = """
with Crew() as all:
    try:
        all.start("sleep", [b"sleep", b"60"])
    except process.Ended:
        pass
print([child.process.returncode for child in all.children])
"""
OF_TAPE_HOST = """
with process.Children() as all:
    try:
        all.start(["sleep", "60"])
    except process.Ended:
        pass
print([child.returncode for child in all.started])
"""


@pytest.mark.parametrize("program", [OF_ARCHIVER, OF_TAPE_HOST], ids=["archiver", "tapehost"])
def test_it_is_ended_while_it_starts_a_program(program: str) -> None:
    """What has just been started is ended like the others, and waited for."""
    argv = [sys.executable, "-B", "-c", EARLY % program, str(MODULE_UTILS)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert (done.stdout, done.stderr) == ("[-9]\n", "")


def test_it_is_killed(host: Host, halfway: Started) -> None:
    children = processes.descendants(halfway.process.pid)
    halfway.process.kill()
    halfway.process.wait()
    assert within(10, lambda: not any(is_alive(pid) for pid in children))
    assert host.states() == ["R0.list.gz.tmp", "R0.snar.tmp", "lock"]
    host.create("R1")
    assert host.states() == ["R1.json", "R1.list.gz", "R1.reported", "R1.snar", "lock"]


def test_a_run_that_is_made_again_and_killed_counts_for_nothing(host: Host) -> None:
    host.file("big", os.urandom(8 * MiB))
    host.create("R0")
    again = host.start()
    again.process.kill()
    again.process.communicate()
    again.link.close()
    assert "run R0 has no complete archive on this host" in host.said("report", "--run", "R0")


def links(kind: str) -> tuple[socket.socket, socket.socket]:
    if kind == "unix":
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _address = listener.accept()
    return ours, theirs


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("idle", [False, True])
def test_whoever_reads_goes_away(host: Host, kind: str, how: str, idle: bool) -> None:
    """Also while tar has nothing to write for hours: it is looking for what has changed."""
    host.file("big", os.urandom(8 * MiB))
    if idle:
        host.program("tar", 'case $* in *--create*) exec sleep 600;; esac; exec REAL "$@"')
    ours, theirs = links(kind)
    with theirs:
        process = subprocess.Popen(
            [*host.argv, *host.words()], env=host.environment(), stdin=-3, stdout=theirs.fileno(), stderr=-1
        )
    if idle:
        assert within(20, lambda: "sleep" in processes.descendants(process.pid).values())
    else:
        ours.recv(1000)
    if how == "reset":
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    begun = time.monotonic()
    ours.close()
    if idle and kind == "tcp" and how == "close":  # a FIN: he may still read, and only what we send tells us
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        process.communicate(timeout=TIMEOUT)
        return
    said = process.communicate(timeout=TIMEOUT)[1].decode()
    assert process.returncode == 1
    assert said.startswith("archiver create: " + GONE)
    assert time.monotonic() - begun < 20
    assert host.states() == ["lock"]


def test_no_reader_of_a_pipe(host: Host) -> None:
    host.file("big", os.urandom(8 * MiB))
    done = subprocess.run(
        ["sh", "-c", '{ "$@"; echo $? >&2; } | head -c 1000 >/dev/null', "sh", *host.argv, *host.words()],
        env=host.environment(),
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert GONE.encode() in done.stderr
    assert done.stderr.endswith(b"\n1\n")


def test_the_disk_of_the_state_is_full(host: Host) -> None:
    """As far as a limit of a file's size is like that; tar is told by the kernel in the same way."""
    for number in range(300):
        host.file(f"{os.urandom(100).hex()}{number}")

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    said = host.said(*host.words(), preexec_fn=little)
    assert said == f"archiver create: the archiver failed: File too large: {host.state_dir}/R0.list.gz.tmp"
    assert host.states() == ["lock"]


def test_two_at_once(host: Host, halfway: Started) -> None:
    """The second one waits, and does not take away what the first one has still to report."""
    second = Started([*host.argv, *host.words("R1")], host.environment(), 0)
    assert second.process.stderr
    assert second.process.stderr.readline().decode() == (
        f"waiting for process {halfway.process.pid}, another backup of this set on this host "
        f"(it holds {host.state_dir}/lock)\n"
    )
    gone = Started([*host.argv, *host.words("R2")], host.environment(), 0)
    assert gone.process.stderr
    assert gone.process.stderr.readline().startswith(b"waiting for process ")
    gone.link.close()
    assert gone.end() == (
        1,
        "archiver create: the reader of the archive has gone before it was begun: another backup was running\n",
    )
    host.settings["set"] = "other"
    host.create("R1")
    host.settings["set"] = "all"
    halfway.read()
    assert halfway.end()[0] == 0
    second.read()
    assert second.end()[0] == 0
    assert [host.report(run)[0]["bytes"] for run in ("R0", "R1")] == [len(halfway.data), len(second.data)]
    host.create("R2")
    assert {name.partition(".")[0] for name in host.states()} == {"R2", "lock"}


def test_a_state_whose_report_never_comes(host: Host) -> None:
    """Its job was killed: for a day it may still be asked for."""
    assert host.run(*host.words("R0")).returncode == 0
    host.create("R1")
    assert host.report("R0")[0]["run"] == "R0"
    (host.state_dir / "R0.reported").unlink()
    old = time.time() - 90000
    os.utime(host.state_dir / "R0.json", (old, old))
    host.create("R2")
    assert {name.partition(".")[0] for name in host.states()} == {"R2", "lock"}


def test_nothing_of_ours_is_left_open_in_the_programs(halfway: Started) -> None:
    """Otherwise the end of a pipe would not be seen when a program has ended."""
    found = {}
    for pid, name in processes.descendants(halfway.process.pid).items():
        targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        found[name] = sum(target.startswith(("pipe:", "socket:")) for target in targets)
    found.pop("sha256sum", found.pop("openssl", None))
    assert found["tee"] <= 5  # archive, link, messages, the branch as inherited and as opened
    assert found["tar"] <= 4  # archive, messages, the names as inherited and as opened
