# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the manual and of the first guide, run as it stands but for the paths, which become a test's own."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.hosts import Fleet

from . import playbook
from .conftest import SCRATCH
from .playbook import REPOSITORY, Done

HERE = "tapehost"  # the peer of the examples
MOVED = ["/dev/nst0", "/home", "/srv", "/backup", "/var/lib/db", "/etc"]


def manual() -> list[dict[str, Any]]:
    path = REPOSITORY / "plugins" / "modules" / "pipe.py"
    spec = importlib.util.spec_from_file_location("pipe_examples", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(yaml.safe_load(module.EXAMPLES))


def moved(value: Any) -> Any:
    """With every path below the hosts' own directories for tests."""
    if isinstance(value, dict):
        return {key: moved(each) for key, each in value.items()}
    if isinstance(value, list):
        return [moved(each) for each in value]
    if isinstance(value, str):
        for path in MOVED:
            value = value.replace(f" {path}", f" {SCRATCH}{path}").replace(f"={path}", f"={SCRATCH}{path}")
            if value.startswith(path):
                value = SCRATCH + value
        value = value.replace("psql --quiet shop", f"dd of={SCRATCH}/srv/shop status=none")  # no database
        return value.replace("-C / home/luser", f"-C / {SCRATCH[1:]}/home/luser")
    return value


BACKUP = ["a", "b", "etc.tar", "home.tar.zst", "srv.tar"]


def names(tasks: list[dict[str, Any]]) -> Iterator[str]:
    for task in tasks:
        if "block" not in task:
            yield task["name"]
        for part in ("block", "rescue"):
            yield from names(task.get(part, []))


FLEET = ["h1", HERE]


@pytest.fixture
def done(fleet: Fleet) -> Done:
    for host in (fleet.controller, *fleet):
        script = """
            cd "$0" && mkdir -p dev home/luser srv/data backup var/lib/db etc
            seq 1 300000 >home/luser/numbers
            seq 1 100000 >srv/disk.img
            touch srv/data/a srv/data/b var/lib/db/c etc/d
            echo "insert Smith" >srv/shop.sql
            dd if=/dev/zero of=dev/nst0 bs=32k count=1 status=none
        """
        host.run(["sh", "-ec", script, SCRATCH])
    program = playbook.directory(fleet) / "files" / "anonymise"
    program.mkdir(parents=True)
    (program / "__main__.py").write_text(
        "import names, sys\nsys.stdout.write(names.without(sys.stdin.read()))\n", "utf-8"
    )
    (program / "names.py").write_text("def without(text):\n    return text.replace('Smith', 'X')\n", "utf-8")
    # restoring needs what backing up has made; the rest is as it comes
    variables = {"ansible_async_dir": f"{SCRATCH}/jobs"}
    play = {"hosts": "h1", "gather_facts": False, "vars": variables, "tasks": moved(manual())}
    return playbook.run(fleet, plays=[play], rc=None)


def test_every_example(fleet: Fleet, done: Done) -> None:
    assert done.rc == 0, done.output
    assert {outcome.task for outcome in done.outcomes} == set(names(manual())) - {"Show what failed first"}
    assert {outcome.status for outcome in done.outcomes} <= {"ok", "skipped"}
    digest = fleet["h1"].run(["sha256sum", f"{SCRATCH}/srv/disk.img"]).stdout.split()[0]
    assert done.of("Show the checksum").result["msg"] == digest
    assert fleet["h1"].run(["cat", f"{SCRATCH}/srv/shop"]).stdout == "insert X\n"
    archive = fleet[HERE].run(["tar", "tf", f"{SCRATCH}/backup/etc.tar"]).stdout
    assert archive.endswith("/etc/d\n")
    assert fleet[HERE].run(["ls", f"{SCRATCH}/backup"]).stdout.split() == BACKUP
    assert [tried["ok"] for tried in done.of("Check the firewalls before the night of the backup").result["preflight"]]


# -- the guide "First pipe", from its first to its last line


def guide() -> list[Any]:
    """Its plays and, where a block is of tasks only, those."""
    text = (REPOSITORY / "docs/docsite/rst/first_pipe.rst").read_text(encoding="utf-8")
    blocks = re.findall(r"^\.\. code-block:: yaml\+jinja\n\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    assert len(blocks) == text.count(".. code-block::")
    return [each for block in blocks for each in yaml.safe_load(textwrap.dedent(block))]


def test_the_guide(fleet: Fleet) -> None:
    """Nothing is left of it, but for the archives of the fleet, which only root can read."""
    for host in (fleet.controller, *fleet):
        host.run(["sh", "-ec", 'mkdir -p "$0/home" "$0/srv" && seq 1 300000 >"$0/home/numbers"', SCRATCH])
    plays = [{**each, "hosts": each["hosts"].replace("fleet", "h1")} for each in guide() if "hosts" in each]
    tasks = [each for each in guide() if "hosts" not in each]
    plays.append({"hosts": "h1", "gather_facts": False, "tasks": tasks})
    done = playbook.run(fleet, plays=[plays[0], *moved(plays[1:])], rc=None)  # the first reads /etc/hosts
    assert done.rc == 0, done.output
    messages = [outcome.result["msg"] for outcome in done.outcomes if outcome.task == "Show it"]
    assert len(messages) == 2 and messages[0].endswith("bytes over the link") and messages[1] == "Hello"
    assert re.fullmatch(r"\d.* in [\d.]+ s", done.of("Show size and time").result["msg"])
    assert "No such file or directory" in done.of("Show the first failure").result["msg"]  # on the controller
    assert fleet[HERE].run(["stat", "-c", "%a %n", "srv/backup"], cwd=SCRATCH).stdout == "700 srv/backup\n"
    assert fleet[HERE].run(["ls", f"{SCRATCH}/srv/backup"]).stdout.split() == ["h1.tar", "home.tar.zst"]
    archive, copy = (
        host.run(["sha256sum", path], cwd=SCRATCH).stdout.split()[0]
        for host, path in ((fleet[HERE], "srv/backup/h1.tar"), (fleet["h1"], "srv/home.tar"))
    )
    assert archive == copy
