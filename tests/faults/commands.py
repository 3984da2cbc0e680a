# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run's commands do, the files by which they are held, and whether its sink has got everything."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.hosts import Fleet

from .catalogue import GROUPS, RELAYS, RUNNING
from .draw import HONEST, Run

SOURCE = Path(__file__).with_name("source.py")
HOLDS = Path(__file__).with_name("hold.py")
HOLDER = Path(__file__).with_name("holder.py")
SIZE = 3 * 1024 * 1024
OLD = "last week's backup\n"
FULL = "/var/tmp/full"  # a small file system on each host
PAUSE = 9  # seconds, longer than dead_peer of these tasks
EARLY = 100_000  # bytes that a sink reads which stops early

# $1 is where all of this run's files begin, $2 what to write; its exit status is kept for the judge
SINK = 'echo > "$1.started"; {sink}; rc=$?; echo $rc > "$1.rc"; {hold}exit $rc'
HOLD = 'echo > "$1.at"; while [ ! -e "$1.go" ]; do sleep 0.05; done; '
READS = {
    "cat": 'cat > "$1.out"',
    "dd": 'dd of="$1.out" obs=32k status=none',
    "gzip": 'gzip -1 > "$1.out"',
    "zstd": 'zstd -q -1 > "$1.out"',
    "mbuffer": 'mbuffer -q -f -m 1M -o "$1.out"',
    "tar": 'mkdir "$1.d" && tar xf - -C "$1.d"',
    "perl": 'perl -ne print > "$1.out"',
    "noerror": 'dd of="$1.out" conv=noerror status=none',
}
ODD = {
    "sink exits 1": f'head -c {EARLY} > "$1.out"; false',
    "sink exits 0": f'head -c {EARLY} > "$1.out"',
    "sink is full": f'dd of={FULL}/"${{1##*/}}" obs=32k status=none',
    "sink pauses": f'head -c 1000 > "$1.out"; sleep {PAUSE}; cat >> "$1.out"',
    "sink ignores timeout": "trap '' TERM PIPE INT HUP; cat > \"$1.out\"; while :; do sleep 1; done",
    "sink ignores all": "trap '' TERM PIPE INT HUP; cat > \"$1.out\"; while :; do sleep 1; done",
}
# {fault: (what is left in the background, whether it writes the rest)}
HOLDERS = {
    "thread holds": ("thread", False),
    "generations hold": ("generations", False),
    "hidden holds": ("hidden", False),
    "thread writes late": ("thread", True),
    "generations write late": ("generations", True),
}
# what an end is run with (-IS -c CODE LABEL, -IS - LABEL, or -IS PROGRAM PLAN LABEL), with a hold before it
AFTER_HOLD = """options=$1 how=$2; shift 2
case $how in
-c) code=$1; shift;;
-) code='exec(sys.stdin.read())';;
*) code='sys.argv.pop(0); exec(open(sys.argv[0]).read())'; set -- "$how" "$@";;
esac
set -- "$options" -c "$(cat {hold})
$code" "$@"
"""
# where an end is held.  "linked": the other end may already have its link by then, and this one has split off no guard
POINTS: dict[str, list[Any]] = {
    "linked": ["call", "tcp_side"],
    "made": ["call", "Barrier.step"],
    "ready": ["return", "Gate.say"],
    "go": ["call", "Gate.say", -1, 2],
    "connected": ["call", "detach"],
    "kept": ["return", "Home.prepare"],
    "told": ["call", "leave"],
}
WITHOUT_PTRACE = "setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace "
OTHER_USER = "setpriv --reuid=1 --regid=1 --clear-groups "


def payload(folder: Path) -> Path:
    """An archive: tar wants one, the others do not mind."""
    content, archive = folder / "content", folder / "payload.tar"
    content.write_bytes(os.urandom(SIZE))
    with tarfile.open(archive, "w") as tar:
        tar.add(content, "content")
    return archive


def held(how: str, *arguments: Any) -> str:
    """Code that goes before a program, so that it is held: see hold.py."""
    return f"{HOLDS.read_text(encoding='ascii')}\n{how}({', '.join(map(repr, arguments))})\n"


class Commands:
    """One run's commands and files; ``work`` is a folder that all hosts see."""

    def __init__(self, run: Run, work: Path) -> None:
        self.run, self.work = run, work
        self.base = work / run.name
        self.payload = work / "payload.tar"
        self.reads = run.sink if shutil.which(run.sink) or run.sink == "noerror" else "cat"
        waits = "held" in run.fault.kinds or run.fault.victim in RELAYS
        # until all runs of its batch are there, or one after the other is hit: of jobs that takes longer
        waits = waits or (run.moment == "last" and (run.fault in GROUPS or run.kind == "async"))
        if waits and self.reads == "tar":
            self.reads = "cat"  # tar stops by itself at the end of the archive, so soon that it may be blamed instead
        self.odd = run.fault.name in ODD  # the sink does something else
        self.honest = self.reads in HONEST and not self.odd

    def file(self, suffix: str) -> Path:
        return self.work / f"{self.run.name}.{suffix}"

    def mark(self, stage: str) -> str:
        """A word of a stage's argv by which its process is found."""
        return f"mark-{self.run.name}-{stage}"

    def prepare(self, fleet: Fleet) -> None:
        """The sink's old file, and a Python that waits at the moment "connect" and before a handshake."""
        self.file("out").write_text(OLD, encoding="ascii")
        python = self.file("python")
        wait = f"echo > {self.base}.at; while [ ! -e {self.base}.start ]; do sleep 0.05; done" if self.late else ""
        rights = WITHOUT_PTRACE if self.blinded else ""
        run = f'exec {rights}/usr/bin/python3 "$@"\n'
        if self.run.moment in POINTS:
            hold = self.file("hold")
            hold.write_text(held("hold_at", str(self.base), *POINTS[self.run.moment]), encoding="ascii")
            run = AFTER_HOLD.format(hold=hold) + run
        python.write_text(f"#!/bin/sh\n{wait}\n{run}", encoding="ascii")
        python.chmod(0o755)

    @property
    def release(self) -> str:
        """What lets the run go on a moment before it is hit; "": it is hit where it is held."""
        return "start" if self.run.moment == "handshake" else ""

    @property
    def late(self) -> bool:
        """Whether the task's host waits with its Python."""
        return self.run.moment in ("connect", "handshake")

    @property
    def blinded(self) -> bool:
        """Whether the end on the task's host may not look at other users' processes, as in most containers."""
        return self.run.fault.name == "hidden holds"

    @property
    def interpreter(self) -> str:
        own = self.late or self.blinded or self.run.moment in POINTS
        return str(self.file("python")) if own else "/usr/bin/python3"

    def stop(self) -> int:
        """The byte at which the source waits."""
        size = self.payload.stat().st_size
        return {"first": 1, "stream": int(size * self.run.part), "last": size}.get(self.run.moment, -1)

    def source(self) -> list[str]:
        fault = self.run.fault.name
        kind, late = HOLDERS.get(fault, ("", False))
        ends = {"source exits 1": "1", "source kills itself": "9", "sink ignores all": "1"}
        end = "leave" if late else {**ends, "source closes early": "close"}.get(fault, "0")
        words = [str(SOURCE), str(self.payload), str(self.stop()), f"{self.base}.at", f"{self.base}.go", end]
        argv = ["/usr/bin/python3", "-IS", *words]
        if fault == "source says nothing":
            argv = ["false"]
        elif fault == "command missing":
            argv = ["no-such-command"]
        elif fault == "kill child":
            return ["sh", "-c", '"$@" & wait $!', self.mark("source"), *argv, self.mark("child")]
        elif kind == "hidden":
            return ["sh", "-c", f'"$@"; {OTHER_USER}sleep 30 & exit 0', self.mark("source"), *argv]
        elif kind:
            name = str(self.payload) if late else "-"
            holder = f"/usr/bin/python3 -IS {HOLDER} {kind} {name} {self.mark('holder')}"
            return ["sh", "-c", f'"$@"; {holder} & sleep 0.5; exit 0', self.mark("source"), *argv]
        elif fault == "grandchild holds":
            return ["sh", "-c", '"$@"; sleep 900 & exit 0', self.mark("source"), *argv]
        return [*argv, self.mark("source")] if argv[0] != "false" else argv

    def middle(self) -> list[str]:
        script = "cat; exit $?"
        if self.run.command and self.run.moment in RUNNING:  # its reads are full ones: cat's would wait for 128 KiB
            script = "head -c 1 && cat"
        return ["sh", "-c", script, self.mark("middle")]

    def sink(self) -> list[str]:
        hold = HOLD if self.run.moment == "after" else ""
        script = SINK.format(sink=ODD.get(self.run.fault.name, READS[self.reads]), hold=hold)
        return ["sh", "-c", script, self.mark("sink"), str(self.base)]

    def options(self) -> dict[str, Any]:
        """Those of the task or the command that are commands."""
        source, middle, sink = self.source(), self.middle(), self.sink()
        found: dict[str, dict[str, Any]] = {
            "push": {"input": source, "remote": sink},
            "pull": {"remote": source, "output": sink},
            "through": {"input": source, "remote": middle, "output": sink},
            "beside": {"input": source, "remote": [{"argv": middle}, {"argv": sink}]},
        }
        return found[self.run.shape]

    def sink_started(self) -> bool:
        return self.file("started").exists()

    def strike(self, fleet: Fleet) -> None:
        """What happens to this run at its moment, if it is no signal."""

    # -- afterwards

    def sink_status(self) -> str:
        """The exit status of what the sink ran; "" when it did not come to its end."""
        return self.file("rc").read_text(encoding="ascii").strip() if self.file("rc").exists() else ""

    def untouched(self) -> bool:
        return self.file("out").read_bytes() == OLD.encode()

    def whole(self) -> bool:
        """Whether the sink has everything that the source had to say."""
        if self.reads == "tar" and not self.odd:
            found = self.work / f"{self.run.name}.d" / "content"
            return found.exists() and filecmp.cmp(self.work / "content", found, shallow=False)
        data = self.file("out").read_bytes()
        if self.reads in ("gzip", "zstd") and not self.odd:
            undone = subprocess.run([self.reads, "-dc"], input=data, capture_output=True, check=False)
            data = undone.stdout if undone.returncode == 0 else b""
        return data == self.payload.read_bytes()

    def remove(self) -> None:
        for path in self.work.glob(f"{self.run.name}.*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
