# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide Monitoring tape backups: its commands and plays for notifications, with a web server and a mail relay."""

from __future__ import annotations

import copy
import email
import email.policy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.hosts import Fleet
from tests.system import community, playbook, taping
from tests.system.conftest import make_fleet
from tests.system.taping import Site
from tests.workshop import guides

from .site import wait_until

sys.path.insert(0, str(playbook.collections()))

from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_notify as notify
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_action import validated

SINK = Path(__file__).with_name("sink.py")
SUMMARY = 'BACKUP 20261123T014656Z  1 good, 1 failed; "quoted" $(touch /tmp/x)'


def blocks(kind: str) -> list[str]:
    section = guides.sections("monitoring")["Notification of each run"]
    return [block.text for block in guides.blocks(section, kind)]


MAIL_PROGRAM, CURL, NOTIFY_PY = (yaml.safe_load(text)["tape_notify_command"] for text in blocks("yaml"))
[[PLAY], [MAIL]] = map(yaml.safe_load, blocks("yaml+jinja"))
[SCRIPT] = blocks("python")
ARTIFACT: dict[str, Any] = json.loads(blocks("json")[0])


class Sink:
    """The servers, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        wait_until((folder / "ports").exists, "the servers")
        self.web, self.relay = json.loads((folder / "ports").read_text(encoding="ascii"))

    def posted(self) -> list[Any]:
        """The objects that came."""
        found = []
        for path in self.kept("http"):
            kind, body = json.loads(path.read_text(encoding="utf-8"))
            assert kind == "application/json"
            found.append(json.loads(body))
        return found

    def mails(self) -> list[EmailMessage]:
        return [email.message_from_bytes(path.read_bytes(), policy=email.policy.default) for path in self.kept("smtp")]

    def kept(self, kind: str) -> list[Path]:
        return sorted(self.folder.glob(f"{kind}.*"), key=lambda path: int(path.suffix[1:]))


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    with subprocess.Popen([sys.executable, SINK, tmp_path], stdin=subprocess.PIPE) as process:
        yield Sink(tmp_path)
        assert process.stdin
        process.stdin.close()
        assert process.wait() == 0


def text_of(mail: EmailMessage) -> str:
    """Of its first part, or of a mail without parts."""
    body = mail.get_body()
    assert body
    return str(body.get_content())


def send(command: Any, artifact: dict[str, Any] = ARTIFACT) -> list[str]:
    """As the end of a run does it."""
    notification = notify.notification_of(validated(notify.NOTIFY, {"tape_notify_command": command}, "notify"))
    return notification.send(artifact, SUMMARY)


def test_the_sample_is_what_the_command_gets() -> None:
    """Its keys are those of a run; of a host, those of the statistic."""
    told = notify.without_plan(["db1"], "", {"kind": "failed", "msg": "x"})
    assert set(ARTIFACT) == set(told)
    assert {frozenset(host) for host in ARTIFACT["hosts"].values()} == {frozenset(told["hosts"]["db1"])}


def test_curl(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_URL", f"http://127.0.0.1:{sink.web}/hook")
    assert send(CURL) == []
    assert sink.posted() == [ARTIFACT]
    monkeypatch.setenv("WEBHOOK_URL", "http://127.0.0.1:9/")
    (warning,) = send(CURL)
    assert "failed with exit status 7: " in warning


def test_a_mail_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its place a script that keeps its arguments: nothing of the summary is code, or another word."""
    program = tmp_path / "mail"
    program.write_text(f'#!/bin/sh\nprintf "%s|" "$@" >{tmp_path}/words\ncat >{tmp_path}/text\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert send(MAIL_PROGRAM) == []
    subject = re.sub(r"\s+", " ", SUMMARY)
    assert (tmp_path / "words").read_text() == f"-s|{subject}|ops@example.org|"
    assert json.loads((tmp_path / "text").read_text()) == ARTIFACT


def test_a_script_of_the_project(sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "notify.py").write_text(SCRIPT, encoding="utf-8")
    monkeypatch.chdir(project)
    for name, value in (("FROM", "tape@example.org"), ("TO", "ops@example.org"), ("RELAY", "127.0.0.1")):
        monkeypatch.setenv(f"MAIL_{name}", value)
    monkeypatch.setenv("MAIL_PORT", str(sink.relay))
    assert send(NOTIFY_PY) == []
    (mail,) = sink.mails()
    assert (mail["To"], mail["Subject"]) == ("ops@example.org", re.sub(r"\s+", " ", SUMMARY))
    assert text_of(mail).splitlines() == [
        "db1: good ",
        f"web1: failed {ARTIFACT['hosts']['web1']['note']}",
        *ARTIFACT["warnings"],
        ARTIFACT["resume"],
    ]


# -- modules


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    community.collections()
    yield from make_fleet(taping.HOSTS, tmp_path_factory.mktemp("fleet"))


@pytest.fixture
def site(fleet: Fleet) -> Site:
    site = taping.make_site(fleet)
    site.label()
    return site


def run(site: Site, sink: Sink, own: dict[str, Any]) -> playbook.Done:
    """The play with both tasks, a host of which fails; the backup's result is that of the play."""
    play = copy.deepcopy(PLAY)
    play["tasks"][0]["always"].append(MAIL)
    variables = {
        "webhook_url": f"http://127.0.0.1:{sink.web}/hook",
        "mail_relay": "127.0.0.1",
        "mail_port": sink.relay,
        "mail_from": "tape@example.org",
        "mail_to": "ops@example.org",
    }
    every = site.variables({"all": variables, **own})
    where = f"{playbook.collections()}:{community.collections()}"
    return playbook.run(
        site.fleet, plays=[play], inventory=every, rc=2, env={"ANSIBLE_COLLECTIONS_PATH": where}, args=["-l", "fleet"]
    )


def test_modules(site: Site) -> None:
    """After a run with a failure, and after one that could not be planned."""
    folder = site.top / "sink"
    folder.mkdir(exist_ok=True)
    with site.fleet.controller.popen([sys.executable, SINK, folder], stdin=subprocess.PIPE) as process:
        sink = Sink(folder)
        done = run(site, sink, {"h2": {"tape_paths": ["/no/such/place"]}})
        failed = {each.host for each in done.outcomes if each.status == "failed" and not each.ignored}
        assert failed == {"h2"}, done.output
        (told,) = sink.posted()
        assert (told["good"], told["failed"], set(told["hosts"])) == (1, 1, {"h1", "h2", "tape1"})
        (mail,) = sink.mails()
        assert mail["Subject"].startswith(f"BACKUP {told['run']} ") and "1 good, 1 failed" in mail["Subject"]
        assert yaml.safe_load(text_of(mail)) == told
        run(site, sink, {"tape1": {"ansible_port": 9}})
        (_first, told), (_before, mail) = sink.posted(), sink.mails()
        assert set(told) == {"problem"} and "tape1" in told["problem"] and "Connection refused" in told["problem"]
        assert "Connection refused" in mail["Subject"]
        assert process.stdin
        process.stdin.close()
        assert process.wait() == 0
