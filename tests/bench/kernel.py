# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""dd to dd over links that the kernel encrypts, in the machine of tests/tls, against plain and relayed ones.

Both hosts share one emulated processor, whose system calls are slow, and the kernel's ciphers are portable C there. So
the relays come a second time, with the cipher of the kernel, and without vector instructions.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.hosts import Fleet
from tests.system import program
from tests.tape.guest import Guest
from tests.tape.needs import requirements
from tests.tls.machine import TLS

from .encryption import CHACHA
from .throughput import ratios, sink_rate, source, spread

ROOT = Path(__file__).resolve().parents[2]
SIZE = 128 << 20
BLOCKS = {"32 KiB": 32 << 10, "256 KiB": 256 << 10}
SLOW = {"OPENSSL_CONF": "openssl.cnf", "OPENSSL_ia32cap": "0:0"}  # OPENSSL_ia32cap(3)
WAYS: dict[str, tuple[str, dict[str, str]]] = {
    "none": ("", {}),
    "kernel": ("--encrypt=kernel", {}),
    "relay": ("--encrypt=relay", {}),
    "relay, ChaCha20, no vectors": ("--encrypt=relay", SLOW),
}
NETWORK = "from tests.tls.between import network; network()"


def measure(guest: Guest, way: str, block: int) -> tuple[float, str]:
    """GB/s as the sink's dd sees it, and the cipher."""
    option, environment = WAYS[way]
    line = f"{sys.executable} -IS socketpipe --stats=stats {option} -i {{ {source(block, SIZE)} }} "
    line += f"-l {{ ip netns exec other }} -r {{ dd of=/dev/null bs={block} }}"
    done = guest.run(["sh", "-c", line], env=environment, cwd=guest.scratch, timeout=600)
    (link,) = json.loads((guest.scratch / "stats").read_text())["links"]
    return sink_rate(done.stderr), link["encryption"]["cipher"] if link["encryption"] else ""


def table(_fleet: Fleet, rounds: int) -> str:
    """GB/s, and the shares of none and of kernel in it, pair by pair."""
    reason = requirements([])
    if reason:
        return f"skipped: {reason}"
    lines = ["| block | way | cipher | GB/s | it : none | kernel : it |", "| --- " * 6 + "|"]
    with tempfile.TemporaryDirectory() as folder, Guest(Path(folder), modules=TLS) as guest:
        program.build(guest.scratch / "socketpipe")
        (guest.scratch / "openssl.cnf").write_text(CHACHA, encoding="ascii")
        guest.run([sys.executable, "-c", NETWORK], cwd=ROOT)
        for way in WAYS:
            measure(guest, way, block=256 << 10)  # the first time, files come from the machine
        for name, block in BLOCKS.items():
            rates: dict[str, list[float]] = {way: [] for way in WAYS}
            ciphers = {}
            for _round in range(rounds):
                for way in WAYS:
                    rate, ciphers[way] = measure(guest, way, block)
                    rates[way].append(rate)
            for way, each in rates.items():
                plain, kernel = ratios(each, rates["none"]), ratios(rates["kernel"], each)
                cells = [name, way, ciphers[way], f"{statistics.median(each):.3f}", spread(plain), spread(kernel)]
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
