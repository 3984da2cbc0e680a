# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recording of a terminal in README.md, from a real run: python -m tests.workshop.recording

Label a virtual tape, back up three hosts, find a lost file and restore it: the playbooks run on a terminal, and an
animated SVG shows their lines at the times at which they came. Long pauses are shortened. `make recording` writes it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import html
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.demo import demo

from .pictures import FOLDER

FILE = FOLDER / "recording.svg"
TITLE = "A terminal: a tape is labelled, three hosts are backed up to it, a lost file is found and restored."
COLUMNS, ROWS = 128, 28
WIDE, HIGH, MARGIN = 7.25, 17, 12  # of a character, a line, and around the text, in pixels
PAUSE = 1.2  # seconds, the longest that is shown
LAST = 6.0  # seconds that the end stays
SGR = re.compile(r"\x1b\[([\d;]*)m")
ESCAPE = re.compile(r"\x1b\[[\d;?]*[A-Za-ln-z]|[\r\x07]")  # what moves the cursor, or rings
COLOURS = {31: "red", 32: "green", 33: "yellow", 34: "blue", 35: "purple", 36: "cyan"}
STYLE = """text{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1f2328;white-space:pre}
rect{fill:#f6f8fa;stroke:#818b98}.typed{font-weight:600}.red{fill:#cf222e}.green{fill:#1a7f37}
.yellow{fill:#9a6700}.blue{fill:#0969da}.purple{fill:#8250df}.cyan{fill:#1b7c83}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}rect{fill:#151b23;stroke:#656c76}.red{fill:#ff7b72}
.green{fill:#3fb950}.yellow{fill:#d29922}.blue{fill:#4493f8}.purple{fill:#ab7df8}.cyan{fill:#39c5cf}}"""


@dataclasses.dataclass(frozen=True)
class Line:
    """``at``: in seconds since the start."""

    at: float
    text: str
    typed: bool = False


def run(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[str]:
    """Lines as they come, from a command on a terminal of its own.

    Raises subprocess.CalledProcessError if it fails.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=environment, cwd=folder
    ) as started:
        os.close(theirs)
        text = b""
        while data := read(ours):
            *lines, text = (text + data).split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace")
        os.close(ours)
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, command)


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has its other side any more
        return b""


def record(commands: Iterable[list[str]], environment: dict[str, str], folder: Path) -> Iterator[Line]:
    """What is typed, and what comes: all lines of all commands, one command after the other."""
    now, seen = 0.0, time.monotonic()

    def passed() -> float:
        nonlocal now, seen
        later = time.monotonic()
        now, seen = now + min(later - seen, PAUSE), later
        return now

    for command in commands:
        now += PAUSE
        yield Line(passed(), f"$ {shlex.join(command)}", typed=True)
        for text in run(command, environment, folder):
            yield Line(passed(), text)


def spans(line: str) -> str:
    """A line with its colours, as SVG."""
    found, kind = [], ""
    for number, part in enumerate(SGR.split(ESCAPE.sub("", line)[: 8 * COLUMNS])):
        if number % 2:
            codes = [int(code) for code in part.split(";") if code]
            kind = next((COLOURS[code] for code in codes if code in COLOURS), "")
        elif part:
            words = html.escape(part, quote=False)
            found.append(f'<tspan class="{kind}">{words}</tspan>' if kind else words)
    return "".join(found)


def folded(lines: Iterable[Line]) -> Iterator[Line]:
    """Long lines as a terminal shows them; without empty ones, which take the room of what matters."""
    for line in lines:
        plain = SGR.sub("", ESCAPE.sub("", line.text)).rstrip()
        if len(plain) <= COLUMNS:
            if plain:
                yield line
        else:
            for start in range(0, len(plain), COLUMNS):
                yield dataclasses.replace(line, text=plain[start : start + COLUMNS])


def frames(lines: list[Line], total: float) -> str:
    """Where the text stands at each time: the last line is at the bottom."""
    steps = {0.0: 0} | {round(100 * line.at / total, 2): number for number, line in enumerate(lines, start=1)}
    return "".join(f"{share}%{{transform:translateY({-HIGH * number}px)}}" for share, number in steps.items())


def svg(lines: list[Line]) -> str:
    """The animation. Where motion is not wanted it shows the end."""
    total = lines[-1].at + LAST
    width, height = round(COLUMNS * WIDE) + 2 * MARGIN, ROWS * HIGH + 2 * MARGIN
    bottom = MARGIN + ROWS * HIGH - 4
    end = f"transform:translateY({-HIGH * len(lines)}px)"
    animation = f"@keyframes run{{{frames(lines, total)}to{{{end}}}}}"
    style = f"{STYLE}\n#lines{{{end};animation:run {total:.1f}s steps(1,end) infinite}}\n{animation}"
    calm = "@media(prefers-reduced-motion:reduce){#lines{animation:none}}"
    shown = [
        f'<text x="{MARGIN}" y="{bottom + HIGH * number}"'
        + (' class="typed"' if line.typed else "")
        + f">{spans(line.text)}</text>"
        for number, line in enumerate(lines, start=1)
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img">',
            "<!-- made by make recording",
            "Copyright: the plumbing.socketpipe contributors",
            "SPDX-License-" + "Identifier: GPL-3.0-or-later -->",  # in one piece, reuse would read it as ours
            f"<title>{TITLE}</title>",
            f"<style>{style}\n{calm}</style>",
            f'<clipPath id="window"><rect x="1" y="{MARGIN}" width="{width - 2}" height="{ROWS * HIGH}"/></clipPath>',
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
            '<g clip-path="url(#window)"><g id="lines" xml:space="preserve">',
            *shown,
            "</g></g>",
            "</svg>\n",
        ]
    )


def commands(root: Path) -> list[list[str]]:
    """Those of the README, for hosts that are this machine."""
    collection = ["ansible-playbook", "-i", "inventory.yml"]
    lost = root / "db1" / "srv" / "data" / "2.bin"
    return [
        [*collection, "plumbing.socketpipe.tape_label", "-e", "tape_label=WEEK01"],
        [*collection, "plumbing.socketpipe.backup"],
        ["rm", str(lost)],
        [*collection, "plumbing.socketpipe.tape_find", "-e", f"path={lost}"],
        [
            *[*collection, "plumbing.socketpipe.restore", "-e", "restore_host=db1"],
            *["-e", json.dumps({"restore_paths": [str(lost)], "restore_to": str(root / "restored")})],
        ],
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        root = Path(folder).resolve()
        for name in demo.FLEET:
            demo.make_tree(root / name)
        (root / "tape").mkdir()
        (root / "inventory.yml").write_text(json.dumps(demo.hosts(root)), encoding="utf-8")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        terminal = {"PATH": path, "TERM": "xterm", "COLUMNS": str(COLUMNS), "ANSIBLE_DISPLAY_OK_HOSTS": "false"}
        environment = {**os.environ, **demo.QUIET, **terminal}
        lines = list(folded(record(commands(root), environment, root)))
    FILE.write_text(svg(lines), encoding="utf-8")
    print(f"{FILE}: {len(lines)} lines, {lines[-1].at:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
