# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody between the hosts: who listens on the wire, and who answers in another's stead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, cast

from tests.hosts import Fleet, Host

# all frames of the switch that the hosts hang on: how many had each of these texts in them, once standard input ends
SNIFFER = """
import json, select, socket, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
markers = [text.encode() for text in sys.argv[1:]]
print("ready", flush=True)
found, frames, size, tails = dict.fromkeys(sys.argv[1:], 0), 0, 0, {}
waiting = True
while waiting:
    ready = select.select([wire, sys.stdin], [], [])[0]
    waiting = sys.stdin not in ready
    while True:
        try:
            frame, name = wire.recvfrom(1 << 17, socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
        frames, size = frames + 1, size + len(frame)
        flow = name[0], frame[26:38]  # IPv4: addresses and ports
        text = tails.get(flow, b"") + frame[54:]
        tails[flow] = text[-64:]
        for marker in markers:
            found[marker.decode()] += marker in text
drops = int.from_bytes(wire.getsockopt(263, 6, 8)[4:8], sys.byteorder)  # SOL_PACKET, PACKET_STATISTICS
print(json.dumps({"found": found, "frames": frames, "bytes": size, "drops": drops}))
"""


class Sniffer:
    """What has crossed the switch of a fleet while it was on."""

    def __init__(self) -> None:
        self.found: dict[str, int] = {}
        self.frames = self.bytes = 0


@contextmanager
def sniffing(fleet: Fleet, markers: Sequence[str]) -> Iterator[Sniffer]:
    nsenter = shutil.which("nsenter") or "nsenter"
    process = subprocess.Popen(
        [nsenter, "-n", "-t", str(fleet.switch), sys.executable, "-c", SNIFFER, *markers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    out = cast(IO[str], process.stdout)
    assert out.readline() == "ready\n"
    sniffer = Sniffer()
    try:
        yield sniffer
    finally:
        told = json.loads(process.communicate("", timeout=60)[0])
    assert told["drops"] == 0, "the sniffer has not seen everything"
    sniffer.found, sniffer.frames, sniffer.bytes = told["found"], told["frames"], told["bytes"]


# passes on what comes to each of its ports to the same port of another host, and meddles with what comes back once that
# is more than a handshake; the arguments: the other host, and for each port what to do
PROXY = """
import os, socket, sys, threading, time
other, wanted = sys.argv[1], [word.split("=") for word in sys.argv[2:]]
AFTER = 200_000
def reset(sock):
    # another thread may sleep in it, so that to close it is not enough
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
    sock.shutdown(socket.SHUT_RD)
    sock.close()
def meddle(how, chunk, target):
    if how == "flip":
        return chunk[:-1] + bytes([chunk[-1] ^ 1])
    if how == "replay":
        return chunk + chunk
    if how == "inject":
        return chunk + b"\\x17\\x03\\x03\\x00\\x30" + os.urandom(48)
    if how == "drop":
        return b""
    if how == "delay":
        time.sleep(2)
    return chunk
def pump(source, target, how):
    count, done = 0, False
    try:
        while True:
            chunk = source.recv(65536)
            if not chunk:
                break
            count += len(chunk)
            if count > AFTER and not done:
                done = True
                if how == "cut":
                    target.shutdown(socket.SHUT_WR)
                    while source.recv(65536):
                        pass
                    return
                if how == "reset":
                    return
                chunk = meddle(how, chunk, target)
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
        return
    except OSError:
        pass
    finally:
        if how == "reset" and done:
            for sock in (source, target):
                reset(sock)
    for sock in (source, target):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
def serve(port, how):
    server = socket.create_server(("", port))
    server.listen(50)
    while True:
        near = server.accept()[0]
        try:
            far = socket.create_connection((other, port), 2)
        except OSError:
            near.close()
            continue
        far.settimeout(None)
        for way in ((near, far, ""), (far, near, how)):
            threading.Thread(target=pump, args=way, daemon=True).start()
for port, how in wanted:
    threading.Thread(target=serve, args=(int(port), how), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def proxying(host: Host, other: str, ways: dict[int, str]) -> Iterator[None]:
    """On ``host``: {port: what is done to what comes from the same port of the other host}."""
    words = ["%d=%s" % item for item in ways.items()]
    python = os.path.realpath("/usr/bin/python3")
    process = host.popen([python, "-c", PROXY, other, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        process.communicate("", timeout=60)
