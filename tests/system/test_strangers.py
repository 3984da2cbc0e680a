# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""While a task waits for its peer, others call from a third host: in silence, with rubbish, with what was once said."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet, HostProcess

from . import playbook
from .playbook import pipe

PORT = 23002
SILENT = LOUD = 200
CROWD = 150  # fewer than HALF_OPEN: none has to make room for another
TIME = 90  # seconds, connect_timeout; one after the other, the silent ones alone would take 5 s each
LATE = """#!/bin/sh
# the peer comes when the test says so
while [ ! -e {go} ]; do sleep 0.1; done
exec /usr/bin/python3 "$@"
"""

# takes what an end says first, and hangs up
RECORDER = """
import socket, sys
server = socket.create_server(("", int(sys.argv[1])))
print("ready", flush=True)
heard = b""
while len(heard) < 61:
    sock = server.accept()[0]
    sock.settimeout(5)
    heard = sock.recv(4096)
print(heard.hex(), flush=True)
"""

# calls, and says on standard output what becomes of its calls; the arguments: host, port, what to say, how many silent
# ones, how many with rubbish, and again
STRANGERS = """
import json, os, select, socket, sys, time
host, port, replay = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
silent, loud = int(sys.argv[4]), int(sys.argv[5])
deadline, poller, calls = time.monotonic() + 60, select.poll(), {}
def call(kind, data):
    while True:
        try:
            sock = socket.create_connection((host, port), 5)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    try:
        sock.sendall(data)
    except OSError:
        pass
    calls[sock.fileno()] = kind, sock, time.monotonic()
    poller.register(sock, select.POLLIN)
def gone(patience):
    # {kind: how many have been sent away}, and what was said to any of them
    found, heard = {}, b""
    while calls and patience > 0:
        for fd, _event in poller.poll(100):
            kind, data, age = take(fd)
            heard += data
            if not data:
                found[kind] = found.get(kind, 0) + 1
        patience -= 0.1
    return {"gone": found, "heard": heard.hex()}
def take(fd):
    kind, sock, since = calls[fd]
    try:
        data = sock.recv(4096)
    except OSError:
        data = b""
    if not data:
        poller.unregister(fd)
        del calls[fd]
        sock.close()
    return kind, data, time.monotonic() - since
def press():
    # whoever is sent away calls again, until nobody listens any more: all are then closed, whatever their age
    global deadline
    deadline, listened, ages = 0, True, []
    while calls:
        for fd, _event in poller.poll(100):
            kind, data, age = take(fd)
            if kind == "silent" and not data:
                ages.append(age)
            try:
                if not data and listened:
                    call("silent", b"")
            except OSError:
                listened = False
    return {"again": len(ages), "early": len([age for age in ages if age < 4])}
def say(what):
    print(json.dumps(what), flush=True)
for number in range(max(silent, loud)):
    if number < loud:
        call("loud", os.urandom(200))
    if number < silent:
        call("silent", b"")
    time.sleep(0.02)  # so that at every moment some of them are young
call("replay", replay)
say({"called": len(calls)})
for line in sys.stdin:
    say(press() if line == "press\\n" else gone(30))
"""


@pytest.fixture(scope="module")
def replay(fleet: Fleet) -> str:
    """What the end of an earlier run has said to somebody else who had the port, in hex."""
    recorder = fleet["h2"].popen(["/usr/bin/python3", "-c", RECORDER, "23001"], stdout=subprocess.PIPE)
    assert recorder.stdout is not None
    assert recorder.stdout.readline() == "ready\n"
    options = {"listen": "peer", "ports": "23001", "address": fleet["h2"].address, "connect_timeout": 3}
    playbook.run(fleet, pipe(input="true", remote="cat", **options), rc=2)
    said = recorder.stdout.readline().strip()
    end(recorder)
    assert bytes.fromhex(said).startswith(b"SKTPIPE1")
    return said


def end(process: HostProcess) -> None:
    process.kill()
    process.wait(10)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


class Strangers:
    """Callers on h2, for whoever listens on the controller's port."""

    def __init__(self, fleet: Fleet, replay: str, silent: int, loud: int) -> None:
        argv = [
            "/usr/bin/python3",
            "-c",
            STRANGERS,
            fleet.controller.address,
            str(PORT),
            replay,
            str(silent),
            str(loud),
        ]
        self.process = fleet["h2"].popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def heard(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def send(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def calling(fleet: Fleet, replay: str, silent: int, loud: int) -> Iterator[Strangers]:
    """All of them have called; they are ended in any case."""
    strangers = Strangers(fleet, replay, silent, loud)
    try:
        assert strangers.heard()["called"] == silent + loud + 1
        yield strangers
    finally:
        end(strangers.process)


class Waiting:
    """A task whose peer on the controller listens, and whose host's end comes when it is let."""

    def __init__(self, fleet: Fleet, work: Path) -> None:
        self.go = work / "go"
        late = work / "late-python"
        late.write_text(LATE.format(go=self.go), encoding="ascii")
        late.chmod(0o755)
        task = pipe(input="echo hello", remote="cat", listen="peer", ports=str(PORT), connect_timeout=TIME)
        self.started = playbook.start(fleet, task, inventory={"h1": {"ansible_python_interpreter": str(late)}})

    def waits(self) -> bool:
        return self.started.process.poll() is None and not self.go.exists()

    def over(self) -> dict[str, Any]:
        self.go.touch()
        result = self.started.wait().only.result
        assert result["msg"] == "ok" and result["stages"][-1]["stdout"] == "hello\n"
        return result


def test_strangers_do_not_hold_up_the_true_peer(fleet: Fleet, work: Path, replay: str) -> None:
    """Those that are sent away call again: there is no moment without any of them."""
    task = Waiting(fleet, work)
    with calling(fleet, replay, CROWD, LOUD) as strangers:
        strangers.send("press")
        result = task.over()
        said = strangers.heard()
    assert said["early"] > 0, "the link was made when those that were there had not had their time yet"
    assert result["strangers"] >= LOUD


def test_strangers_are_dropped_by_their_deadline(fleet: Fleet, work: Path, replay: str) -> None:
    """While the task still waits; each is counted, and none was told anything."""
    task = Waiting(fleet, work)
    with calling(fleet, replay, SILENT, LOUD) as strangers:
        strangers.send("wait")
        said = strangers.heard()
        assert task.waits()
        result = task.over()
    assert said == {"gone": {"silent": SILENT, "loud": LOUD, "replay": 1}, "heard": ""}
    # who asks for another run is on the wrong port, but no stranger
    assert result["strangers"] == SILENT + LOUD
