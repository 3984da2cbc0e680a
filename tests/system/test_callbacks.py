# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What callbacks, levels of -v, check and diff show of a task: as a person and a program see it."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts import Fleet

from . import community, playbook, taping
from .conftest import make_fleet
from .taping import Site

GUIDE = playbook.REPOSITORY / "docs" / "docsite" / "rst" / "output.rst"
SECRET = "not for any eye"
PIPE: dict[str, Any] = {
    "name": "Count",
    "plumbing.socketpipe.pipe": {"input": "echo some bytes", "remote": "wc -c"},
    "environment": {"TOKEN": SECRET},
}
FAILS: dict[str, Any] = {
    "name": "Fail",
    "plumbing.socketpipe.pipe": {
        "input": "echo some bytes",
        "remote": "sh -c 'cat; echo one >&2; echo two >&2; exit 3'",
    },
    "ignore_errors": True,
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    community.collections()
    yield from make_fleet(taping.HOSTS, tmp_path_factory.mktemp("fleet"))


def run(fleet: Fleet, tasks: Any, env: dict[str, str], *args: str) -> playbook.Done:
    where = f"{playbook.collections()}:{community.collections()}"
    return playbook.run(fleet, tasks, env={"ANSIBLE_COLLECTIONS_PATH": where, **env}, args=args)


def backup(site: Site, env: dict[str, str], *args: str) -> playbook.Done:
    where = f"{playbook.collections()}:{community.collections()}"
    plays = [{"name": "backup", "ansible.builtin.import_playbook": "plumbing.socketpipe.backup"}]
    return playbook.run(
        site.fleet,
        plays=plays,
        inventory=site.variables(),
        env={"ANSIBLE_COLLECTIONS_PATH": where, **env},
        args=["-e", "tape_hosts=fleet", *args],
    )


def test_json_is_one_document(site: Site) -> None:
    """The table is not in it, but on standard error; the statistic is in it."""
    env = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_SHOW_CUSTOM_STATS": "1"}
    done = backup(site, env)
    told = json.loads(done.stdout)
    assert told["global_custom_stats"]["tape_backup"]["good"] == 2
    assert re.search(r"^BACKUP .* 2 good, 0 failed ", done.stderr, re.MULTILINE)


def test_json_of_a_task(fleet: Fleet) -> None:
    """Of one that fails, too; a line of progress is not in it."""
    slow = {"input": "sh -c 'echo x; sleep 3'", "remote": "wc -c", "progress": 1}
    tasks = [{"name": "Slow", "plumbing.socketpipe.pipe": slow}, FAILS]
    done = run(fleet, tasks, {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"})
    play = json.loads(done.stdout)["plays"][0]
    slow_result, failed = (task["hosts"]["h1"] for task in play["tasks"])
    assert slow_result["bytes"] == 2 and failed["cause"]["rc"] == 3
    assert "h1: " in done.stderr, "progress"
    done = run(fleet, tasks, {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl"})
    assert all(isinstance(json.loads(line), dict) for line in done.stdout.splitlines())


def test_yaml_shows_a_standard_error_as_it_was(fleet: Fleet) -> None:
    done = run(fleet, FAILS, {"ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"})
    (block,) = re.findall(r"FAILED! => *\n((?: {4}.*\n)+)", done.stdout)
    told = yaml.safe_load(textwrap.dedent(block))
    assert told["cause"]["rc"] == 3 and told["msg"]
    assert [stage["stderr"] for stage in told["stages"]][-1].splitlines()[-2:] == ["one", "two"]
    assert "\\n" not in block


def test_profile_tasks(fleet: Fleet) -> None:
    done = run(fleet, PIPE, {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks"})
    assert re.search(r"^Count -+ \d+\.\d\ds$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("level", ["", "-v", "-vvvv"])
def test_levels(level: str, fleet: Fleet) -> None:
    """-v shows the result; no level shows the environment of a command, nor a secret of the run."""
    done = run(fleet, PIPE, {}, *([level] if level else []))
    shown = '"bytes": 11' in done.stdout
    assert shown == bool(level)
    assert SECRET not in done.output
    assert not re.search(r'"secret"|"key": "[0-9a-f]{32}', done.output)


def test_check_and_diff(fleet: Fleet, work: Path) -> None:
    """Nothing is changed; what would be is shown by the words of the modules."""
    (work / "new").write_text("longer than before", encoding="utf-8")
    (work / "old").write_text("before", encoding="utf-8")
    copy = {"src": str(work / "new"), "dest": str(work / "old")}
    tasks = [PIPE, {"name": "Copy", "plumbing.socketpipe.transfer": copy}]
    done = run(fleet, tasks, {}, "--check", "--diff")
    assert (work / "old").read_text(encoding="utf-8") == "before"
    assert re.search(r"^-.*\b6\b", done.stdout, re.MULTILINE) and re.search(r"^\+.*\b18\b", done.stdout, re.MULTILINE)
    assert [each.result["changed"] for each in done.outcomes] == [True, True]


def test_the_quiet_configuration_of_the_guide(site: Site) -> None:
    """Only the lines of the sample, of this site."""
    text = GUIDE.read_text(encoding="utf-8")
    (config,) = re.findall(r"^\.\. code-block:: ini\n\n((?:    .*\n)+)", text, re.MULTILINE)
    (sample,) = re.findall(r"^\.\. code-block:: text\n\n((?:    .*\n|\n)+)", text, re.MULTILINE)
    path = site.top / "ansible.cfg"
    path.write_text(textwrap.dedent(config), encoding="utf-8")
    done = backup(site, {"ANSIBLE_CONFIG": str(path)})
    assert [first(line) for line in lines(done.stdout)] == [first(line) for line in lines(textwrap.dedent(sample))]


def lines(text: str) -> list[str]:
    """Without those of the recap, whose heading is the last one."""
    head, recap, _figures = text.partition("PLAY RECAP")
    return [line for line in [*head.splitlines(), recap] if line.strip()]


def first(line: str) -> list[str]:
    """What is the same in each run: of headings and results everything, of other lines the first word."""
    return line.rstrip(" *").split() if line.endswith(("*", "]")) else line.split()[:1]
