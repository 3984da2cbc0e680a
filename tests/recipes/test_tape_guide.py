# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide Tape backups of a fleet, from its inventory to the tape that is lost: what it says to type, in order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.hosts import Fleet
from tests.system.conftest import make_fleet
from tests.workshop import guides

from .site import Desk

HOSTS = ("db1", "web1", "web2")
SECTIONS = guides.sections("tape")
WALK = ("Try it without a drive", "The first backup", "Verify", "List", "Find and restore")
RUN = "20261123T014656Z"  # of the guide
# of a job that ends before its backup: tests/system/test_tape_detach.py
ELSEWHERE = "tape_detach"
HEAD = re.compile(r"([A-Z:]+ ){2,}[A-Z:]+")
# what the guide shows of these playbooks, beside the heads of tables; N is a number, HOST a host
SHOWN = {
    "backup": [
        "BACKUP RUN N good, N failed N",
        "HOST good N N",
        "tapeN left out - - - - - the tape host, which has no tape_paths",
        "Verify ansible-playbook -i ",
    ],
    "tape_list": ["DRIVE /", "WEEKN", "RUN all N N", "The next backup needs tape WEEKN"],
    "tape_drill": ["RESTORE HOST as of TIME, to /var/tmp/drill-HOST-RUN of HOST, from tape", "DRILL HOST good N"],
    "tape_retire": ["recorded tape WEEKN: retired (water damage)", "N archives cannot be restored any more"],
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    yield from make_fleet(["tape1", *HOSTS], tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def desk(fleet: Fleet, tmp_path: Path) -> Desk:
    """Hosts of the guide's inventory, with files of their own where it has them."""
    for name in ("tape1", *HOSTS):
        for place in ("/srv", "/home", "/var/lib", "/var/backups"):
            fleet[name].run(["mount", "-t", "tmpfs", "none", place])
    for name in HOSTS:
        fleet[name].run(["sh", "-ec", "mkdir /home/ann; echo buy tapes >/home/ann/notes.txt; seq 9999 >/srv/data"])
    inventory = guides.blocks(SECTIONS[WALK[0]], "yaml")[0]
    return Desk(fleet, tmp_path.name, yaml.safe_load(inventory.text))


def commands(section: str) -> list[str]:
    found = [command for block in guides.blocks(SECTIONS[section], "console") for command, _shown in block.typed()]
    return [command for command in found if ELSEWHERE not in command]


def same(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"\d{8}T\d{6}Z(-[0-9a-f]{8}\b)?", "RUN", " ".join(line.split()))
    line = re.sub(r"\b(db1|web[12])\b", "HOST", re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", "TIME", line))
    return re.sub(r"\d+(\.\d+)?", "N", line)


def check(playbook: str, output: str) -> None:
    """What the guide shows of it is there: these lines, and the heads of its tables."""
    page = [line for block in guides.blocks(guides.read("tape"), "text", "console") for line in block.text.splitlines()]
    lines = [same(line) for line in output.splitlines()]
    for text in SHOWN[playbook]:
        assert any(same(line).startswith(text) for line in page), text
        assert any(line.startswith(text) for line in lines), f"{text}\n{output}"
    heads = {same(line) for line in page}
    for line in lines:
        assert line in heads or not HEAD.fullmatch(line), f"{line}\n{output}"


def test_the_guide(fleet: Fleet, desk: Desk) -> None:
    typed: dict[str, str] = {}
    run = ""
    for section in WALK:
        for command in commands(section):
            if command not in typed:  # the first backup is in two sections
                typed[command] = output = desk.type(command.replace(RUN, run))
                for playbook in SHOWN:
                    if f"plumbing.socketpipe.{playbook}" in command and "--check" not in command:
                        check(playbook, output)
                run = run or "".join(re.findall(r"^BACKUP (\S+)", output, re.MULTILINE))
    assert len(typed) == 11 and run
    [folder] = re.findall(r"^RESTORED 1 file in (\S+) of db1$", "".join(typed.values()), re.MULTILINE)
    assert fleet["db1"].run(["cat", f"{folder}/home/ann/notes.txt"]).stdout == "buy tapes\n"
    of_modules(fleet, desk)
    retire, locate = commands("A tape that is lost, worn out or elsewhere")
    desk.type(locate)
    check("tape_retire", desk.type(retire))


def of_modules(fleet: Fleet, desk: Desk) -> None:
    """The plays with modules, of this guide and of Reports."""
    [report] = [
        yaml.safe_load(block.text)
        for block in guides.blocks(guides.sections("reports")["After your own tasks"])
        if "tape_report_dir" in block.text
    ]
    [age] = [yaml.safe_load(block.text) for block in guides.blocks(SECTIONS["In your own playbook"])]
    folder = report[0]["tasks"][-1]["plumbing.socketpipe.report"]["tape_report_dir"]
    fleet["tape1"].run(["mkdir", "-p", f"/srv{folder}"])
    report[0]["tasks"][-1]["plumbing.socketpipe.report"]["tape_report_dir"] = f"/srv{folder}"
    desk.write("modules.yml", [*report, *age])
    desk.type("ansible-playbook -i inventory.yml modules.yml")
    page = fleet["tape1"].run(["cat", f"/srv{folder}/latest.html"]).stdout
    assert all(name in page for name in HOSTS)
