# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role tape under Ansible's own settings, and with everything given as strings, as -e and surveys give it."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from . import playbook, taping
from .taping import Site

ENTRY = "plumbing.socketpipe.tape"
ROLE = {"name": ENTRY, "tasks_from": "backup"}


FLEET = taping.HOSTS


def play(name: str, **variables: Any) -> list[dict[str, Any]]:
    return [{"name": name, "ansible.builtin.import_playbook": f"plumbing.socketpipe.{name}", "vars": variables}]


def run(
    site: Site,
    plays: list[dict[str, Any]],
    rc: int = 0,
    own: taping.Variables | None = None,
    env: dict[str, str] | None = None,
) -> playbook.Done:
    words = ["-e", "tape_hosts=fleet"]
    return playbook.run(site.fleet, plays=plays, rc=rc, inventory=site.variables(own), args=words, env=env)


def good(done: playbook.Done) -> dict[str, str]:
    return {row[0]: row[1] for row in taping.table(done, "BACKUP")[2:] if row[0] in taping.HOSTS}


WELL = {"h1": "good", "h2": "good", "tape1": "left out"}


@pytest.mark.parametrize("strategy", ["free", "host_pinned"])
def test_another_strategy_that_fails_all_at_the_first_error_and_shows_no_ok(site: Site, strategy: str) -> None:
    """The playbooks have their own strategy; who fails is told at the end, with all that is good."""
    env = {
        "ANSIBLE_STRATEGY": strategy,
        "ANSIBLE_ANY_ERRORS_FATAL": "true",
        "ANSIBLE_DISPLAY_OK_HOSTS": "false",
        "ANSIBLE_JINJA2_NATIVE": "true",
        "ANSIBLE_DEPRECATION_WARNINGS": "false",
    }
    assert good(run(site, play("backup"), env=env)) == WELL
    done = run(site, play("backup"), rc=2, own={"h1": {"tape_paths": ["/no/such/place"]}}, env=env)
    assert good(done) == {**WELL, "h1": "FAILED"}
    assert taping.states_of(site, "good") == ["h1", "h2", "h2"]
    assert run(site, [*play("verify"), *play("tape_inventory")], env=env).rc == 0


def test_a_play_of_ones_own(site: Site) -> None:
    """In a loop, one host after the other, with the controller as tape host; and under a strategy that cannot be."""
    own = {"tape1": {"ansible_connection": "ansible.builtin.local"}}
    task = {"ansible.builtin.include_role": ROLE, "loop": ["all", "more"], "vars": {"tape_set": "{{ item }}"}}
    mine = {"hosts": "h1,h2", "gather_facts": False, "serial": 1, "tasks": [{"name": "Loop", **task}]}
    run(site, [mine], own=own)
    assert [(each["host"], each["set"]) for each in site.archives() if each["state"] == "good"] == [
        ("h1", "all"),
        ("h1", "more"),
        ("h2", "all"),
        ("h2", "more"),
    ]
    mine = {**mine, "strategy": "free", "serial": 2, "tasks": [{"name": "Once", "ansible.builtin.include_role": ROLE}]}
    done = run(site, [mine], rc=2)
    assert set(taping.failures(done, "Plan").values()) == {
        "tape_plan must run once, but strategy free runs it for each host: "
        "set strategy: ansible.builtin.linear for this play"
    }


def strings(**given: str) -> list[str]:
    """Extra variables as a person types them."""
    return [word for name, value in given.items() for word in ("-e", f"{name}={value}")]


def test_all_of_it_given_as_strings(site: Site) -> None:
    """A false is a false; sizes, numbers and lists are what they say."""
    path = str(site.data("h1"))
    patterns = site.top / "patterns"
    patterns.write_text("*.old\n", encoding="utf-8")
    for name, tag in {"made": "CACHEDIR.TAG", "scratch": ".nobackup"}.items():
        (site.data("h1") / name).mkdir()
        (site.data("h1") / name / tag).write_text("Signature: 8a477f597d28d172789f06886806bc55")
        (site.data("h1") / name / "x").touch()
    site.fill("h1", **{"a.no": "", "b.no": "", "c.old": ""})
    words = strings(
        tape_paths=path,
        tape_excludes=f"{path}/two,*.no",
        tape_exclude_files=str(patterns),
        tape_exclude_caches="yes",
        tape_exclude_tag=".nobackup,.nothing",
        tape_level="0",
        tape_estimate="true",
        tape_one_file_system="yes",
        tape_keep_incomplete="off",
        tape_reclaim="False",
        tape_steal="no",
        tape_become="0",
        tape_compression="no",
        tape_block_size="64K",
        tape_capacity="100M",
        tape_labels="WEEK*,MONTH*",
        tape_retries="2",
        tape_connect_timeout="20",
        tape_stall_timeout="0",
        tape_rate_limit="50M",
        tape_link_encryption="required",
        tape_ports="20000-21000,22000",
        tape_wait="0",
    )
    done = site.run("backup", args=[*words, "--limit", "h1,tape1"])
    assert "1 warning" not in done.stdout
    told = taping.statistic(done)
    for host in ("h1", "tape1"):
        encryption = told["hosts"][host]["encryption"]
        assert told["hosts"][host]["left_out"] == {
            f"tape_excludes: {path}/two": 1,
            "tape_excludes: *.no": 2,
            "tape_exclude_files: *.old": 1,
            "tape_exclude_caches": 1,
            "tape_exclude_tag: .nobackup": 1,
            "tape_exclude_tag: .nothing": 0,
        }
        assert told["encryption"] == {encryption["how"]: 2} and encryption["cipher"] and encryption["records"] > 0
    assert [line for line in done.stdout.splitlines() if re.fullmatch("Links   2 encrypted by .+", line)] != []
    (archive,) = [each for each in site.archives() if each["host"] == "h1"]
    assert (archive["block_size"], archive["paths"]) == (65536, [path])
    to = site.top / "back"
    words = strings(restore_into_existing="false", restore_allow_root="no", restore_delete="False", restore_host="h1")
    more = strings(restore_to=str(to), restore_paths=f"{path}/one", tape_link_encryption="relay")
    done = site.run("restore", args=[*words, *more])
    (read,) = taping.result(done, "Restore")["archives"]
    assert read["sha256"] == archive["sha256"] and read["encryption"]["how"] == "relay"
    assert [each.name for each in (to / path[1:]).iterdir()] == ["one"]
    done = site.run("restore", rc=2, args=[*words, *strings(restore_to=str(to))])
    assert "is not empty" in taping.failures(done, "Restore")["h1"]
    before = site.everything()
    site.run("tape_inventory", args=strings(tape_rebuild="false"))
    assert site.everything() == before


def test_the_root_directory_takes_both_consents(site: Site) -> None:
    site.run("backup", args=["--limit", "h1,tape1"])
    for words in (
        {"restore_allow_root": "no", "restore_into_existing": "yes"},
        {"restore_allow_root": "yes", "restore_into_existing": "no"},
    ):
        done = site.run("restore", rc=2, args=strings(restore_host="h1", restore_to="/", **words))
        why = taping.failures(done, "Restore")["h1"]
        assert why.startswith(
            "h1: restoring over this host's own / needs restore_allow_root and restore_into_existing: "
        )
        assert "restore_allow_root and restore_into_existing" in why


def test_thousands_of_excludes_and_of_paths(site: Site) -> None:
    """More than a command line or an environment can have."""
    for number in range(30):
        site.fill("h1", **{f"keep{number}": "x"})
    excludes = [f"/no/such/directory/with/a/rather/long/name/{number}" for number in range(4000)] + ["keep7"]
    own: dict[str, dict[str, Any]] = {"h1": {"tape_excludes": excludes}}
    done = site.run("backup", own=own, args=["--limit", "h1,tape1"])
    assert good(done)["h1"] == "good"
    top = site.data("h1")
    paths = [f"{top}/keep{number}" for number in range(30)] + [f"{top}/{number:0200}" for number in range(1000)]
    own = {"all": {"restore_paths": paths, "restore_to": str(site.top / "many"), "restore_host": "h1"}}
    done = site.run("restore", rc=2, own=own, args=["-e", json.dumps({"restore_target": "h1"})])
    result = taping.result(done, "Restore")
    assert len(result.get("missing", ())) == 1001, result["msg"]
    assert len(list((site.top / "many" / str(top)[1:]).iterdir())) == 29


def restore_one(site: Site, host: str, number: int, rc: int = 0, **more: str) -> playbook.Done:
    """Of one file, to a directory of its own."""
    to = str(site.top / f"{host}-{number}")
    words = strings(restore_host=host, restore_paths=str(site.data(host) / "a"), restore_to=to, **more)
    return site.run("restore", rc=rc, args=words)


def test_reading_ends_with_the_last_requested_file(site: Site) -> None:
    """The rest of the tape may even be gone; what was requested may not."""
    own: dict[str, dict[str, Any]] = {"h2": {"tape_filter": {"write": "gzip -1", "read": "gzip -d"}}}
    for host in ("h1", "h2"):
        site.fill(host, a="first", z=os.urandom(16 << 20).hex())  # the rest is more than links and pipes hold
    site.run("backup", own=own)
    restores = site.catalog / "restores.json"
    for host in ("h1", "h2"):
        path = site.data(host) / "a"
        (archive,) = [each for each in site.archives() if each["host"] == host]
        tape_file = site.tape() / f"{archive['file']:06}"
        data = tape_file.read_bytes()

        with open(tape_file, "r+b") as tape:
            tape.truncate(len(data) * 3 // 4)
        assert taping.failures(restore_one(site, host, 1, rc=2), "Restore") != {}
        done = restore_one(site, host, 2, tape_early_exit="yes")
        result = taping.result(done, "Restore")
        (read,) = result["archives"]
        assert (result["verified"], result["files"], read["compared"], read["requested"]) == (False, 1, False, 1)
        assert result["msg"].endswith(
            ", not verified: reading ended with the last requested file, so no checksum was compared (tape_early_exit)"
        )
        assert result["msg"] in done.stdout
        assert taping.table(done, "RESTORE")[2][-1].endswith("read up to the last requested file, not verified")
        assert (site.top / f"{host}-2" / str(path)[1:]).read_text() == "first"
        assert not restores.exists(), "the catalog records no restore that was not verified"
        tape_file.write_bytes(data[:1024])
        failed = taping.failures(restore_one(site, host, 3, rc=2, tape_early_exit="yes"), "Restore")
        assert failed != {}
        tape_file.write_bytes(data)
        result = taping.result(restore_one(site, host, 4), "Restore")
        assert (result["verified"], result["archives"][0]["compared"]) == (True, True)
        assert restores.exists()
        restores.unlink()
    done = site.run("restore", rc=2, args=strings(restore_host="h1", tape_early_exit="yes"))
    why = "tape_early_exit is for restore_paths: a restore of everything needs all of each archive"
    assert taping.failures(done, "Restore") == {"h1": why}
