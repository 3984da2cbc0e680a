# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pictures of the documentation, as SVG for light and dark screens: python -m tests.workshop.pictures

A picture is a list of boxes, arrows and words on a grid. `make pictures` writes docs/docsite/rst/pictures.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence

from .venvs import ROOT

FOLDER = ROOT / "docs" / "docsite" / "rst" / "pictures"
STYLE = """text{font:14px system-ui,sans-serif;fill:#1f2328}
.host{font-weight:600}.code{font:13px ui-monospace,monospace}.note{font-size:12px;fill:#59636e}
rect{fill:#f6f8fa;stroke:#818b98}.data{stroke:#0969da;stroke-width:4}.control{stroke:#818b98;stroke-dasharray:5 4}
line{stroke-width:1.5}#blue{fill:#0969da}#grey{fill:#818b98}
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.note{fill:#9198a1}rect{fill:#151b23;stroke:#656c76}
.data{stroke:#4493f8}.control{stroke:#656c76}#blue{fill:#4493f8}#grey{fill:#656c76}}"""
HEAD = '<marker id="{0}m" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="{1}" \
markerHeight="{1}" orient="auto"><path id="{0}" d="M0 0 8 4 0 8z"/></marker>'


@dataclasses.dataclass(frozen=True)
class Box:
    """A host, with the command that runs there."""

    x: int
    y: int
    host: str
    command: str
    width: int = 130

    def svg(self) -> str:
        middle = self.x + self.width // 2
        return (
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="56" rx="6"/>'
            + words(middle, self.y + 23, self.host, "host")
            + words(middle, self.y + 43, self.command, "code")
        )


@dataclasses.dataclass(frozen=True)
class Arrow:
    """From one point to another: the data, or the control connection."""

    x: int
    y: int
    to_x: int
    to_y: int
    kind: str = "data"

    def svg(self) -> str:
        head = "bluem" if self.kind == "data" else "greym"
        return (
            f'<line class="{self.kind}" x1="{self.x}" y1="{self.y}" x2="{self.to_x}" y2="{self.to_y}" '
            f'marker-end="url(#{head})"/>'
        )


@dataclasses.dataclass(frozen=True)
class Words:
    x: int
    y: int
    text: str

    def svg(self) -> str:
        return words(self.x, self.y, self.text, "note")


Part = Box | Arrow | Words


def words(x: int, y: int, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="middle">{html.escape(text)}</text>'


def svg(title: str, parts: Sequence[Part], width: int, height: int) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'role="img">',
            "<!-- made by make pictures",
            "Copyright: the plumbing.socketpipe contributors",
            "SPDX-License-" + "Identifier: GPL-3.0-or-later -->",  # in one piece, reuse would read it as ours
            f"<title>{html.escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f"<defs>{HEAD.format('blue', 14)}{HEAD.format('grey', 10)}</defs>",
            *(part.svg() for part in parts),
            "</svg>\n",
        ]
    )


def row(y: int, *boxes: tuple[str, str], gap: int = 56) -> list[Part]:
    """Boxes from left to right, with an arrow of data from each to the next."""
    found: list[Part] = []
    for number, (host, command) in enumerate(boxes):
        x = 10 + number * (130 + gap)
        found.append(Box(x, y, host, command))
        if number:
            found.append(Arrow(x - gap + 3, y + 28, x - 4, y + 28))
    return found


PICTURES: dict[str, str] = {
    "who_talks": svg(
        "The controller starts a command on db1 and one on tapehost over Ansible's connections. "
        "The data goes from db1 to tapehost over one TCP connection.",
        [
            Box(235, 10, "controller", "ansible-playbook", 170),
            Arrow(270, 68, 130, 136, "control"),
            Arrow(370, 68, 510, 136, "control"),
            Words(320, 98, "Ansible's connections"),
            Words(320, 116, "start the commands, get their reports"),
            Box(50, 140, "db1", "tar cf - /home", 150),
            Box(440, 140, "tapehost", "dd of=/dev/nst0", 150),
            Arrow(204, 168, 436, 168),
            Words(320, 158, "one TCP connection: the data"),
            Words(320, 190, "stdout of tar is stdin of dd"),
        ],
        640,
        206,
    ),
    "workflow": svg(
        "Backup is followed by verify if it succeeds, and by retry if it fails. "
        "Retry is followed by verify in any case.",
        [
            Box(10, 10, "backup", "backup.yml"),
            Box(410, 10, "verify", "verify.yml"),
            Box(210, 110, "retry", "retry.yml"),
            Arrow(144, 38, 406, 38, "control"),
            Words(275, 28, "on success"),
            Arrow(100, 68, 206, 138, "control"),
            Words(110, 122, "on failure"),
            Arrow(344, 138, 450, 70, "control"),
            Words(430, 122, "always"),
        ],
        550,
        176,
    ),
    "chain": svg(
        "pg_dump on db1, zstd on fast1 and dd on tapehost, each joined to the next by one TCP connection.",
        row(10, ("db1", "pg_dump"), ("fast1", "zstd"), ("tapehost", "dd")),
        540,
        76,
    ),
    "fork": svg(
        "pg_dump on db1 feeds zstd on fast1, which feeds both dd on tapehost and a file on store.",
        [
            *row(50, ("db1", "pg_dump"), ("fast1", "zstd")),
            Box(382, 10, "tapehost", "dd"),
            Box(382, 90, "store", "file"),
            Arrow(329, 68, 378, 40),
            Arrow(329, 88, 378, 116),
        ],
        540,
        156,
    ),
    "many": svg(
        "A file goes from image1 to kvm1, from there to kvm2, and so on to kvm40.",
        row(10, ("image1", "file"), ("kvm1", "file"), ("kvm2, kvm3, …", "file"), ("kvm40", "file")),
        710,
        76,
    ),
    "fetch": svg(
        "A file that only root can read goes from db1 to the controller.",
        row(10, ("db1", "file of root"), ("controller", "file")),
        350,
        76,
    ),
    "pod": svg(
        "The execution environment dials the host, which listens. The data flows either way over that connection.",
        [
            Box(10, 10, "execution environment", "tar / dd", 190),
            Box(420, 10, "host", "dd / tar", 190),
            Arrow(204, 26, 416, 26, "control"),
            Words(310, 18, "dials; cannot be dialled"),
            Arrow(312, 50, 416, 50),
            Arrow(308, 50, 204, 50),
            Words(310, 72, "data, either way"),
        ],
        620,
        82,
    ),
    "processes": svg(
        "The action plugin on the controller sends program, plan and secrets to an end on each host, and gets one "
        "report from each. The ends shake hands, then the commands have the connection.",
        [
            Box(195, 10, "controller", "action plugin of the task", 250),
            Arrow(240, 68, 120, 150, "control"),
            Arrow(400, 68, 520, 150, "control"),
            Words(320, 96, "Ansible's connection"),
            Words(320, 114, "in: program, plan, one secret a link"),
            Words(320, 132, "out: one report at the end"),
            Box(10, 154, "db1", "guard, end", 170),
            Box(460, 154, "tapehost", "guard, end", 170),
            Arrow(184, 182, 456, 182, "control"),
            Words(320, 174, "1. handshake: who are you?"),
            Box(10, 226, "tar", "stdout", 170),
            Box(460, 226, "dd", "stdin", 170),
            Arrow(184, 254, 456, 254),
            Words(320, 246, "2. the same connection: the data"),
        ],
        640,
        292,
    ),
}


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    for name, text in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
