# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources of a host: the option, outputs of commands as archives, and the commands around them."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.answers import Failure
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_sources
from ansible_collections.plumbing.socketpipe.tests.unit.archiving import TIMEOUT, Host, Started

DUMP: dict[str, Any] = {"name": "db", "cmd": "pg_dump shop"}


def test_a_source() -> None:
    [found] = _tape_sources.sources_of(
        [{**DUMP, "become_user": "postgres", "restore": ["psql", "a b"], "after": "lvremove -f x", "retention": "6mo"}]
    )
    assert found.cmd == ["runuser", "-u", "postgres", "--", "pg_dump", "shop"]
    assert found.restore == ["runuser", "-u", "postgres", "--", "psql", "a b"]
    assert (found.before, found.after, found.hook_timeout) == ([], ["lvremove", "-f", "x"], 60)
    assert (found.level, found.retention, found.paths) == (0, "6mo", [])
    assert found.settings() == {
        "before": [],
        "after": found.after,
        "hook_timeout": 60,
        "source": {"name": "db", "run": found.cmd, "restore": found.restore},
    }
    [files] = _tape_sources.sources_of([{"name": "files", "paths": "/etc", "level": "1", "hook_timeout": 5}])
    assert (files.paths, files.level, files.hook_timeout, "source" in files.settings()) == (["/etc"], 1, 5, False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["db"], "each must be a mapping with a name, not 'db'"),
        ([{"cmd": "x"}], "the name None is none: use letters, digits, - and _, at most 40 of them"),
        ([{"name": "a/b", "cmd": "x"}], "the name 'a/b' is none: use letters, digits, - and _, at most 40 of them"),
        ([{"name": "db"}], "db must have either cmd or paths"),
        ([{**DUMP, "paths": ["/etc"]}], "db must have either cmd or paths"),
        ([{"name": "f", "paths": ["/etc"], "restore": "x"}], "f: restore is for a source with cmd"),
        ([{**DUMP, "cmd": ""}], "db: cmd is empty"),
        ([{**DUMP, "cmd": 5}], "db: cmd must be a command, not 5"),
        ([{**DUMP, "after": "x '"}], "db: after: No closing quotation"),
        ([{**DUMP, "hook_timeout": 0}], "db: hook_timeout must be a number from 1 to 86400, not 0"),
        ([{"name": "f", "paths": ["/etc"], "level": 10}], "f: level must be a number from 0 to 9, not 10"),
        ([DUMP, DUMP], "two of them have the name db"),
        (
            [{**DUMP, "cmd": "pg_dump shop | zstd"}],
            "db: cmd: no shell runs '|': give a list such as [bash, -o, pipefail, -c, …]",
        ),
    ],
)
def test_a_source_that_is_refused(given: list[Any], said: str) -> None:
    with pytest.raises(Failure) as caught:
        _tape_sources.sources_of(given)
    assert (caught.value.kind, caught.value.msg) == ("settings", f"tape_sources: {said}")


# -- the program on the host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.settings.update(paths=[], source={"name": "db", "run": ["echo", "all of it"], "restore": ["cat"]})
    return host


def words(run: str = "R0") -> list[str]:
    return ["dump", "--run", run, "--host", "h1"]


def log(host: Host) -> list[str]:
    path = host.top / "log"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def hook(host: Host, text: str) -> list[str]:
    return ["sh", "-c", f"echo {text} >> {host.top}/log"]


def test_the_output_of_a_command(host: Host) -> None:
    done = host.run(*words())
    assert (done.returncode, done.stdout) == (0, b"all of it\n")
    said = host.run("report", "--run", "R0").stdout
    assert said.count(b"\n") == 1 and b'"unlisted": true' in said and b'"name": "db"' in said
    digest = hashlib.sha256(done.stdout).hexdigest()
    passed = host.run("check", "--bytes", "10", "--sha256", digest, data=done.stdout)
    assert (passed.returncode, passed.stdout) == (0, done.stdout)
    assert host.said("check", "--bytes", "10", "--sha256", digest, data=b"all of i?\n").startswith(
        "archiver check: these are not the 10 bytes in the catalog: they are 10, and their SHA-256 is "
    )


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo half; exit 3", "sh failed with status 3: it gave no reason"),
        ("echo half; echo broken >&2; kill -9 $$", "sh was killed by SIGKILL: broken"),
    ],
)
def test_a_command_that_fails(script: str, said: str, host: Host) -> None:
    host.settings["source"]["run"] = ["sh", "-c", script]
    host.settings.update(before=hook(host, "before"), after=hook(host, "after"))
    assert host.said(*words()) == f"archiver dump: {said}"
    assert host.states() == ["lock"] and log(host) == ["before", "after"]


def test_both_fail(host: Host) -> None:
    host.settings.update(before=["false"], after=["no-such-program"])
    said = host.said(*words())
    assert said.startswith(
        "archiver dump: the command before (false) failed with status 1: it gave no reason; and then: "
    )
    assert "the command after (no-such-program): there is no no-such-program on this host" in said


def held(host: Host) -> Started:
    """A dump in its middle."""
    host.settings["source"]["run"] = ["sh", "-c", "echo half; exec sleep 1000"]
    return Started([*host.argv, *words()], host.environment(), 4)


def test_a_backup_that_is_told_to_stop(host: Host) -> None:
    host.settings.update(after=hook(host, "after"))
    started = held(host)
    started.process.send_signal(signal.SIGTERM)
    assert started.end()[0] == 128 + signal.SIGTERM
    assert log(host) == ["after"] and host.states() == ["lock"]


def test_a_backup_that_is_killed(host: Host) -> None:
    """As by a power cut: what had to run after it runs before the next one, whatever that is told to run."""
    host.settings.update(after=hook(host, "first"))
    started = held(host)
    started.process.kill()
    started.process.communicate(timeout=TIMEOUT)
    started.link.close()
    assert log(host) == [] and "after" in host.states()
    host.settings.update(source={"name": "db", "run": ["echo"], "restore": []}, before=hook(host, "next"), after=[])
    done = host.run(*words("R1"))
    assert done.returncode == 0 and b"the backup before was killed" in done.stderr
    assert log(host) == ["first", "next"] and "after" not in host.states()


def test_a_hook_of_files_may_make_the_paths(host: Host) -> None:
    host.settings.update(source={}, paths=[str(host.root / "snapshot")])
    host.settings.update(before=["mkdir", str(host.root / "snapshot")], after=["rmdir", str(host.root / "snapshot")])
    assert host.create().names == [f".{host.root}/snapshot/"]
    assert not (host.root / "snapshot").exists()
