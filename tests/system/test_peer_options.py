# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing of one host is told to the connection and become plugins of another, over real ssh and sudo.

Recording stand-ins: the ssh and sudo plugins of the ansible-core that is tested, which write down every option,
and the whole play context, that they have when they are used.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook
from .playbook import pipe

pytestmark = pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed")

RECORD_CONNECTION = """

def _shown(plugin, kind):
    from ansible import constants as C
    names = C.config.get_configuration_definitions(kind, plugin._load_name)
    return {name: str(plugin.get_option(name)) for name in names}


def _recording(self, *args, exec_command=Connection.exec_command, **kwargs):
    import json
    context = {name: str(getattr(self._play_context, name)) for name in self._play_context.dump_attrs()}
    context["prompt"] = ""  # a number of its own each time
    seen = {"host": self.get_option("host"), "connection": _shown(self, "connection"), "context": context}
    seen["shell"] = _shown(self._shell, "shell")
    if self.become is not None:
        seen["become"] = _shown(self.become, "become")
    with open(os.environ["SOCKETPIPE_TEST_OPTIONS"], "a") as out:
        out.write(json.dumps(seen) + "\\n")
    self.set_option("password", None)  # sshd takes keys only; ssh of old cores cannot do without sshpass
    self._play_context.password = ""
    return exec_command(self, *args, **kwargs)


Connection.exec_command = _recording
"""


def stand_ins(work: Path) -> dict[str, str]:
    """The environment in which there are a connection and a become plugin called "recording"."""
    core = next(playbook.ansible_playbook().parents[1].glob("lib/python3*/site-packages/ansible"))
    for kind, name, more in (("connection", "ssh", RECORD_CONNECTION), ("become", "sudo", "")):
        (work / kind).mkdir()
        text = (core / "plugins" / kind / f"{name}.py").read_text(encoding="utf-8")
        text = text.replace(f"    name: {name}\n", "    name: recording\n")
        (work / kind / "recording.py").write_text(text + more, encoding="utf-8")
    return {
        "ANSIBLE_CONNECTION_PLUGINS": str(work / "connection"),
        "ANSIBLE_BECOME_PLUGINS": str(work / "become"),
        "SOCKETPIPE_TEST_OPTIONS": str(work / "options"),
    }


def own(name: str, fleet: Fleet) -> dict[str, Any]:
    """Variables of a host, each with its name in it; all of them work."""
    return {
        "ansible_password": f"password-of-{name}",
        "ansible_become_password": f"become-password-of-{name}",
        "ansible_become_exe": f"env OF={name} sudo",
        "ansible_become_flags": f"-H FLAGS=of-{name} -S",
        "ansible_become_user": "backup2",
        "ansible_user": "backup1",
        "ansible_remote_tmp": f"/tmp/of-{name}",
        "ansible_ssh_extra_args": f"-o SetEnv=OF={name}",
        "ansible_private_key_file": str(fleet.key),
        "ansible_ssh_private_key_file": None,
        "ansible_port": 22,
        "ansible_timeout": 21,
    }


def run(fleet: Fleet, work: Path, tasks: list[dict[str, Any]], variables: dict[str, Any], **more: Any) -> list[Any]:
    """What the stand-ins have seen, in the order of time: a JSON object a command."""
    every = {"ansible_connection": "recording", "ansible_become_method": "recording"}
    env = stand_ins(work)
    playbook.run(fleet, tasks, inventory={**variables, "all": every}, env=env, **more)
    return [json.loads(line) for line in (work / "options").read_text(encoding="utf-8").splitlines()]


WHO = {"shell": "cat; id -un"}
# of the task, so of its host: not of the peer
KEYWORDS = {
    "_become": True,
    "_become_user": "backup1",
    "_become_flags": "-H -n --user=keyword",
    "_become_exe": "keyword-sudo",
    "_remote_user": "keyword",
    "_port": 2222,
    "_environment": {"KEYWORD": "keyword"},
}


def test_a_peer_is_told_nothing_of_the_tasks_host(fleet: Fleet, work: Path) -> None:
    """In both directions, with delegate_to, and with each of the task's keywords."""
    h1, h2 = own("h1", fleet), own("h2", fleet)
    bare = {"ansible_connection": "recording"}
    tasks = [
        pipe(input="true", remote=WHO, peer="controller", peer_become=True, **KEYWORDS),
        pipe(input="true", remote=WHO, peer="h2", peer_become=True, **KEYWORDS),
        pipe(input="true", remote=WHO, peer="controller", peer_become=True, _delegate_to="h2", **KEYWORDS),
        pipe(input="true", remote=WHO, peer="h1", peer_become=True, _delegate_to="h2", **KEYWORDS),
        pipe(input="true", remote=WHO, peer="h1", _delegate_to="controller", _become=True, _become_user="backup1"),
    ]
    seen = run(fleet, work, tasks, {"h1": h1, "h2": h2, "controller": bare})
    assert len(seen) == 10
    names = {fleet[name].address: name for name in ("h1", "h2")}
    for each in seen:
        name, text = names.get(each["host"], "controller"), json.dumps(each)
        for other in {"h1", "h2"} - {name}:
            assert f"of-{other}" not in text and f"OF={other}" not in text, (name, each)
        told = {key: each["become"][key] for key in ("become_pass", "become_exe")} if "become" in each else {}
        if name != "controller":
            assert each["connection"]["password"] == f"password-of-{name}", "it has its own"
            assert told in ({}, {"become_pass": f"become-password-of-{name}", "become_exe": f"env OF={name} sudo"})
    peers = [seen_by for seen_by in seen if names.get(seen_by["host"]) is None and "become" in seen_by]
    assert len(peers) == 2 + 1, "as a peer twice, and once as the host that is delegated to"
    for each in peers[:2]:
        assert "keyword" not in json.dumps(each) and each["context"]["port"] in ("None", "22")
        assert not each["become"]["become_pass"].startswith("become-password"), each["become"]


@pytest.mark.parametrize(("task", "told"), [("controller", "typed"), ("h1", "None"), ("delegated", "None")])
def test_what_was_typed_is_told_to_the_peer(fleet: Fleet, work: Path, task: str, told: str) -> None:
    """Unless the task's host has passwords of its own: then nobody can tell which they are."""
    for name in ("typed-password", "typed-become"):
        (work / name).write_text(f"{name}\n", encoding="ascii")
    files = [f"--connection-password-file={work / 'typed-password'}", f"--become-password-file={work / 'typed-become'}"]
    delegate = {"_delegate_to": "h1"} if task == "delegated" else {}
    tasks = [pipe(input="true", remote=WHO, peer="h2", peer_become=True, _become=True, **delegate)]
    hosts = "h1" if task == "h1" else "controller"
    seen = run(fleet, work, tasks, {"h1": own("h1", fleet)}, args=files, hosts=hosts)
    [peer] = [each for each in seen if each["host"] == fleet["h2"].address]
    passwords = [peer["connection"]["password"], peer["become"]["become_pass"]]
    assert passwords == (["typed-password", "typed-become"] if told == "typed" else ["None", "None"])
    assert ("typed" in json.dumps(peer)) is (told == "typed")


def test_the_configuration_of_another_become_plugin_is_not_typed(fleet: Fleet, work: Path) -> None:
    """ANSIBLE_BECOME_PASS is for each plugin that reads it; what only sudo's is set to is not for su."""
    env = {**stand_ins(work), "ANSIBLE_SUDO_PASS": "of-sudo"}
    variables = {"ansible_connection": "recording"}
    tasks = pipe(input="true", remote=WHO, peer="h2", peer_become=True, _become=True, _become_method="sudo")
    playbook.run(fleet, tasks, inventory={"all": variables, "h2": {"ansible_become_method": "su"}}, env=env)
    seen = [json.loads(line) for line in (work / "options").read_text(encoding="utf-8").splitlines()]
    told = {each["host"]: each["become"]["become_pass"] for each in seen if "become" in each}
    assert told == {fleet["h1"].address: "of-sudo", fleet["h2"].address: "None"}
