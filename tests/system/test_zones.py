# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv6 link-local addresses, which mean nothing without their zone: fe80::1%eth0."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.hosts import Fleet, Host

from .playbook import Done, Task, pipe
from .shell import Shell
from .together import At, Play, together

HELLO: dict[str, Any] = {"input": "echo hello", "remote": "cat", "connect_timeout": 10}


def link_local(host: Host) -> str:
    """A host's link-local address, once the kernel has made sure that nobody else has it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        [card] = json.loads(host.run(["ip", "-json", "address", "show", "dev", "eth0", "scope", "link"]).stdout)
        for info in card.get("addr_info", ()):
            if info and not info.get("tentative"):
                return str(info["local"])
        time.sleep(0.1)
    raise AssertionError(f"{host.name} has no link-local address")


def addresses(fleet: Fleet) -> dict[str, str]:
    """The addresses with their zone, which is called the same on each host."""
    return {host.name: f"{link_local(host)}%eth0" for host in (fleet.controller, *fleet)}


@pytest.fixture(scope="module")
def zoned(fleet: Fleet) -> dict[str, str]:
    return addresses(fleet)


def local(at: At, *tasks: Task, **options: Any) -> Play:
    """On local1; local2 is there, too."""
    zoned = addresses(at.fleet)
    more = {
        f"local{number}": {"ansible_host": zoned[f"h{number}"], "ansible_ssh_extra_args": f"-o HostKeyAlias=h{number}"}
        for number in (1, 2)
    }
    return Play(tasks, hosts="local1", more=more, **options)


@pytest.mark.parametrize("listen", ["auto", "peer", "remote"])
@together(lambda at: local(at, pipe(**HELLO, listen=at.params["listen"])))
def test_ansible_host_with_a_zone(zoned: dict[str, str], listen: str, done: Done) -> None:
    """It is dialled with its zone from the controller; a host dials the controller where its own login came from."""
    [link] = done.result["links"]
    assert done.result["stages"][-1]["stdout"] == "hello\n"
    assert link["source_address"].startswith(f"[{zoned['controller']}]:"), link
    assert link["destination_address"].startswith(f"[{zoned['h1']}]:"), link


def between(at: At) -> Play:
    zoned = addresses(at.fleet)
    return local(
        at,
        pipe(**HELLO, peer="local2"),
        pipe(**HELLO, peer="local2", address=zoned["h2"]),
        pipe(**HELLO, peer="local2", address=zoned["h1"], listen="remote"),
        pipe(**{**HELLO, "connect_timeout": 1}, peer="local2", listen="peer", address="fe80::1%nosuch"),
        pipe(**{**HELLO, "connect_timeout": 1}, peer="local2", listen="peer", address="fe80::1"),
        ignore_errors=True,
    )


@together(between)
def test_between_two_hosts(zoned: dict[str, str], done: Done) -> None:
    """The zone of the controller is not that of another host: it has to be given, and a wrong one is named."""
    nowhere, there, back, wrong, without = done.results
    assert "neither of local2 and local1 has an address that the other could dial: set address" in nowhere["msg"]
    for result in (there, back):
        [link] = result["links"]
        assert result["stages"][-1]["stdout"] == "hello\n"
        assert link["source_address"].startswith(f"[{zoned['h2']}]:")
    assert "at fe80::1%nosuch port" in wrong["msg"] and "(there is no interface nosuch here)" in wrong["msg"]
    assert "(a link-local address needs the interface that it is behind, as in fe80::1%eth0)" in without["msg"]


def test_the_command(zoned: dict[str, str], shell: Shell) -> None:
    """The address that its own login came from, one that is given, and one to dial from here."""
    login = f"-l {{ ssh -o HostKeyAlias=h1 {zoned['h1']} }}"
    for more in ("", f"-h {zoned['controller']}", f"--listen=remote -h {zoned['h1']}"):
        ended = shell.run(f"socketpipe -b -t 10 {more} -i {{ echo hello }} {login} -r {{ cat }} -o {{ cat }}")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "hello\n", ""), more
    ended = shell.run(f"socketpipe -b --stats -i {{ echo hello }} {login} -r {{ cat }} -o {{ cat }}")
    links = json.loads(ended.stderr)["links"]
    assert all(link["source_address"].startswith("[fe80::") and "%eth0]:" in link["source_address"] for link in links)
