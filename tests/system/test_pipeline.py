# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""pipeline: a chain of commands over any hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from .conftest import make_fleet
from .playbook import Done
from .together import At, Play, together

PIPELINE = "plumbing.socketpipe.pipeline"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Three hosts and a controller."""
    yield from make_fleet(["h1", "h2", "h3"], tmp_path_factory.mktemp("fleet"))


def pipeline(*stages: Any, **options: Any) -> dict[str, Any]:
    """A task; names with an underscore are its own keywords."""
    task = {key[1:]: value for key, value in options.items() if key.startswith("_")}
    own = {key: value for key, value in options.items() if not key.startswith("_")}
    return {**task, PIPELINE: {"stages": [*stages], **own}}


# -- chains


def numbers(at: At) -> Path:
    """A file whose lines all differ, of 3 MB."""
    path = at.work / "source"
    path.write_text("".join(f"line {number}\n" for number in range(250_000)), encoding="ascii")
    path.chmod(0o604)
    return path


def chains(at: At) -> Play:
    source = numbers(at)
    cat = f"cat {source}"
    h2, h3 = {"host": "h2", "cmd": "tr i I"}, {"host": "h3", "cmd": "tr n N"}
    there = f"tee {at.work}"
    return Play([
        {"name": "three", **pipeline(cat, h2, {**h3, "name": "last"}, {"host": "h3", "cmd": f"{there}/three"})},
        {"name": "back", **pipeline(cat, h2, "tr n N", f"{there}/back")},
        {"name": "twice", **pipeline(cat, h2, "cat", {"host": "h2", "cmd": "tr n N"}, f"{there}/twice")},
        {"name": "local", **pipeline(cat, "tr i I", "tr n N", ["tee", f"{at.work}/local"])},
        {"name": "controller", **pipeline({"host": "localhost", "cmd": cat}, h2, h3,
                                          {"host": "localhost", "cmd": f"{there}/controller"})},
        {"name": "files", **pipeline({"path": str(source)}, h2, h3, {"host": "h2", "path": f"{at.work}/files"})},
        {"name": "sealed", **pipeline({"path": str(source)}, h2, h3, {"path": f"{at.work}/sealed"},
                                      encryption="required")},
        {"name": "elsewhere", **pipeline({"host": "h2", "cmd": cat}, {**h3, "cmd": "tr in IN"},
                                         {"host": "localhost", "cmd": f"{there}/elsewhere"})},
    ])  # fmt: skip


HOSTS = {
    "three": ["h1", "h2", "h3", "h3"],
    "back": ["h1", "h2", "h1", "h1"],
    "twice": ["h1", "h2", "h1", "h2", "h1"],
    "local": ["h1", "h1", "h1", "h1"],
    "controller": ["localhost", "h2", "h3", "localhost"],
    "files": ["h1", "h2", "h3", "h2"],
    "sealed": ["h1", "h2", "h3", "h1"],
    "elsewhere": ["h2", "h3", "localhost"],
}


@together(chains)
def test_the_data_arrives(done: Done, work: Path) -> None:
    """Over links and socket pairs, through two to five stages, back to a host and to the same host twice."""
    content = (work / "source").read_bytes()
    expected = content.translate(bytes.maketrans(b"in", b"IN"))
    for name, hosts in HOSTS.items():
        result = done.of(name).result
        assert (result["msg"], result["changed"], result["cause"]) == ("ok", True, None)
        assert [stage["host"] for stage in result["stages"]] == hosts
        assert (work / name).read_bytes() == expected, name
        links = result["links"]
        assert [(link["source_host"], link["destination_host"]) for link in links] == list(zip(hosts, hosts[1:]))
        apart = [one != other for one, other in zip(hosts, hosts[1:])]
        assert [link["bytes"] for link in links] == [len(content) if each else None for each in apart]
        assert result["bytes"] == (len(content) if any(apart) else None)
        fact = result["ansible_facts"]["socketpipe"]
        assert set(fact["rc"].values()) == {0} and "peer" not in fact
        connections = {(link["source_address"], link["destination_address"]) for link in links} - {("", "")}
        assert len(connections) == sum(apart), "each link has its own"
    assert [stage["name"] for stage in done.of("three").result["stages"]] == [
        *("stages[0]", "stages[1]", "last", "stages[3]")
    ]
    assert [link["encryption"] is not None for link in done.of("sealed").result["links"]] == [True] * 3
    assert (work / "files").stat().st_mode & 0o777 == 0o644, "as the umask of the writer allows"
    assert sorted(path.name for path in work.iterdir()) == sorted(["source", *HOSTS])
