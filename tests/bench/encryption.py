# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dd to dd over an encrypted pipe task, against a plain one, dd through ssh, and openssl s_client."""

from __future__ import annotations

import shlex
import statistics
import subprocess
import time
from collections.abc import Callable

from tests.hosts import Fleet
from tests.system import playbook

from .shaping import seconds
from .throughput import BLOCKS, GIB, sink_rate, source, spread

SIZE = 2 * GIB
PORT = 24433
FAST = "aes128-gcm@openssh.com"
CHACHA = """openssl_conf = a
[a]
ssl_conf = b
[b]
system_default = c
[c]
Ciphersuites = TLS_CHACHA20_POLY1305_SHA256
"""
Measure = Callable[[Fleet, int, int], float]  # a block, all bytes; returns GB/s


def pipe(encryption: str, configuration: str = "") -> Measure:
    def measure(fleet: Fleet, block: int, size: int) -> float:
        variables = {}
        if configuration:
            path = fleet.directory / "openssl.cnf"
            path.write_text(configuration, encoding="ascii")
            variables = {"ansible_python_interpreter": f"/usr/bin/env OPENSSL_CONF={path} /usr/bin/python3"}
        task = playbook.pipe(
            input=source(block, size), remote=f"dd of=/dev/null bs={block}", encryption=encryption, _vars=variables
        )
        return sink_rate(playbook.run(fleet, task, hosts="h1").result["stages"][-1]["stderr"])

    return measure


def ssh(*options: str) -> Measure:
    def measure(fleet: Fleet, block: int, size: int) -> float:
        login = shlex.join(["ssh", "-F", str(fleet.ssh_config), "-o", "ControlPath=none", *options, "h1"])
        command = f"{source(block, size)} | {login} dd of=/dev/null bs={block}"
        return sink_rate(fleet.controller.run(["sh", "-c", command], timeout=300).stderr)

    return measure


def s_client(fleet: Fleet, block: int, size: int) -> float:
    """openssl s_client to openssl s_server, which is one way that a shell has."""
    folder, host = fleet.directory, fleet["h1"]
    key = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=h1 -keyout {folder}/k"
    host.run(["sh", "-c", f"{key} -out {folder}/c 2>/dev/null"])
    serve = f"openssl s_server -quiet -accept {PORT} -naccept 1 -cert {folder}/c -key {folder}/k"
    words = ["sh", "-c", f"{serve} | dd of=/dev/null bs={block}"]
    # the end of its own input would be that of s_server
    server = host.popen(words, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 10
    while not any(f":{PORT}" in line for line in host.listeners()) and time.monotonic() < deadline:
        time.sleep(0.02)
    call = f"{source(block, size)} | openssl s_client -quiet -no_ign_eof -connect {host.address}:{PORT} >/dev/null 2>&1"
    fleet.controller.run(["sh", "-c", call], check=False, timeout=300)
    return sink_rate(server.communicate(timeout=60)[1])


WAYS: dict[str, Measure] = {
    "none": pipe("none"),
    "relay": pipe("relay"),
    "relay, ChaCha20": pipe("relay", CHACHA),
    "ssh, AES-128-GCM": ssh("-c", FAST),
    "ssh": ssh(),
    "openssl s_client": s_client,
}


def table(fleet: Fleet, rounds: int) -> str:
    """GB/s, CPU seconds for a GiB on both hosts together, and relay's share of ssh's fastest cipher, pair by pair.

    The start of a run is not part of the CPU seconds: those of a run with one block are subtracted.
    """
    heads = [f"{way}: GB/s, CPU s/GiB" for way in WAYS]
    lines = [f"| block | {' | '.join(heads)} | relay : ssh | CPU, relay : ssh |"]
    lines.append("| --- " * (len(WAYS) + 3) + "|")
    for name, block in BLOCKS.items():
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        work: dict[str, list[float]] = {way: [] for way in WAYS}
        for _round in range(rounds):
            for way, measure in WAYS.items():
                marks = [seconds(fleet)]
                measure(fleet, block, block)
                marks.append(seconds(fleet))
                rates[way].append(measure(fleet, block, SIZE))
                marks.append(seconds(fleet))
                work[way].append((marks[2] - marks[1] - (marks[1] - marks[0])) / (SIZE / GIB))
        cells = [f"{spread(rates[way])}, {statistics.median(work[way]):.2f}" for way in WAYS]
        for figures in (rates, work):
            pairs = zip(figures["relay"], figures["ssh, AES-128-GCM"], strict=True)
            cells.append(spread([mine / other for mine, other in pairs]))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
