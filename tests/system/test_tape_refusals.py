# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role tape refuses, and what it says: before any host's tar starts, and with nothing written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.hosts import Fleet

from . import playbook, taping
from .taping import Site

ENTRY = "plumbing.socketpipe.tape"


FLEET = taping.HOSTS


@pytest.fixture
def site(fleet: Fleet) -> Site:
    return taping.make_site(fleet)


def said(done: playbook.Done) -> str:
    """The message of the task that says why."""
    (text,) = [each.result["msg"] for each in done.outcomes if each.status == "failed"]
    return str(text)


def entry(name: str, **variables: Any) -> dict[str, Any]:
    """One entry point of the role in a play that goes on when it fails."""
    role = {"ansible.builtin.include_role": {"name": ENTRY, "tasks_from": name}, "vars": variables}
    return {"block": [role], "rescue": [{"name": f"after {name}", "ansible.builtin.debug": {"msg": "refused"}}]}


def test_what_has_nothing_to_do(site: Site) -> None:
    """Nobody's drive, nobody's archive, no name, nothing chosen: each with a sentence, and all in one play."""
    tasks = [
        {"block": [{"ansible.builtin.include_role": {"name": ENTRY}}], "rescue": [{"ansible.builtin.meta": "noop"}]},
        entry("backup", tape_host="localhost"),
        entry("backup", tape_paths=[f"{site.data('h1')}"], tape_set="another", tape_reuse="now"),
        entry("restore"),
        entry("restore", restore_host="h7"),
        entry("verify"),
        entry("tape_find", tape_path="/etc/fstab"),
        entry("tape_find"),
        entry("tape_label"),
        entry("tape_label", tape_label=17506),
        *(
            {
                "block": [{"plumbing.socketpipe.tape_info": {"tape_link_encryption": encryption}}],
                "module_defaults": {"group/plumbing.socketpipe.tape": {"tape_link_encryption": "required"}},
                "rescue": [{"ansible.builtin.meta": "noop"}],
            }
            for encryption in ("{{ omit }}", None, "")
        ),
    ]
    done = playbook.run(site.fleet, tasks, hosts="h1", inventory=site.variables())
    messages = [each.result["msg"] for each in done.outcomes if each.status == "failed"]
    assert messages == [
        "the role plumbing.socketpipe.tape needs an entry point, so that no tape is written by accident: set "
        "tasks_from to one of backup, verify, restore, tape_label, tape_retire, tape_location, tape_list, "
        "tape_drill, tape_inventory, tape_find",
        "localhost has no drives: set tape_devices in its variables: devices such as /dev/nst0, or a directory as a "
        "virtual tape",
        "Validation of arguments failed:\nvalue of tape_reuse must be one of: never, scratch, expired, got: now",
        "restore_host is required; to restore to another host, set restore_target as well",
        f"tape1: there is no good archive of h7 (set all): the catalog {site.catalog} has archives of: no host",
        "no archive in the catalog matches, so nothing was verified: check the catalog with tape_inventory",
        "no good archive has /etc/fstab: check tape_paths, or try a pattern: -e 'path=*/fstab'",
        "path is required: set it with -e path=/etc/motd, or set tape_path",
        "tape_label is empty: give the tape a name, such as WEEK01",
        "tape_label: 17506 is a number, which may have lost zeros: put it in quotes, or, if it comes from a survey of "
        "AWX, use a name with a letter",
        "tape_link_encryption: omit also removes the value of module_defaults; leave the option out, or give it a "
        "value",
        "tape_link_encryption: the value is empty; set it to none to send the data in clear",
        "tape_link_encryption: the value is empty; set it to none to send the data in clear",
    ]


@pytest.mark.parametrize(
    ("name", "variables", "why"),
    [
        ("backup", {"tape_hosts": "h7"}, "no host of the inventory matches tape_hosts: h7"),
        ("restore", {"restore_host": "h7"}, "no host of the inventory matches restore_target or restore_host: h7"),
        (
            "restore",
            {"restore_host": "h1", "restore_target": "h7"},
            "no host of the inventory matches restore_target or restore_host: h7",
        ),
    ],
)
def test_a_name_that_no_host_has(site: Site, name: str, variables: dict[str, str], why: str) -> None:
    """Ansible itself would end with success."""
    done = site.run(name, rc=2, **variables)
    assert [each.result["msg"] for each in done.outcomes if each.status == "failed"] == [why]


def test_a_tape_that_is_not_ours(site: Site) -> None:
    """A blank one, somebody else's, and what it takes to label that."""
    done = site.run("backup", rc=2)
    assert said(done) == (
        f"tape1: no drive has a writable tape: drive {site.tape()}: its tape is blank: label it with "
        "tape_label. Nothing has been written, and no host's tar was started."
    )
    (site.tape() / "000000").write_bytes(b"AMANDA: TAPESTART DATE 20260101 TAPE DAILY7\n".ljust(32768, b"\0"))
    before = site.everything()
    text = said(site.run("backup", rc=2))
    assert (
        "its tape holds a tape of Amanda (fingerprint " in text and "nothing is written to it unless tape_label" in text
    )
    text = said(site.run("tape_label", rc=2, tape_label="WEEK01"))
    assert f"tape1: the tape in {site.tape()} holds a tape of Amanda: to overwrite it, set tape_overwrite=" in text
    assert site.everything() == before
    fingerprint = text.rpartition("=")[2].strip()
    done = site.run("tape_label", tape_label="WEEK01", tape_overwrite=fingerprint)
    assert taping.table(done, "LABEL")[0][0].startswith("LABEL labelled WEEK01, in blocks of 256.0 KiB, at ")
    assert site.archives() == []


def test_a_tape_that_cannot_be_written(site: Site) -> None:
    """Another job's, a full one, one too small for what is known to come, and one with its tab slid."""
    site.label()
    lease = site.catalog / "leases" / "WEEK01.json"
    lease.parent.mkdir(exist_ok=True)
    lease.write_text(json.dumps({"run": "20260101T000000Z", "until": 4e9}), encoding="ascii")
    before = site.everything()
    text = said(site.run("backup", rc=2))
    assert "its tape WEEK01 belongs to run 20260101T000000Z until " in text and "(tape_steal overrides this)" in text
    lease.unlink()
    text = said(site.run("backup", rc=2, own={"all": {"tape_labels": ["MONTH*"]}}))
    assert "its tape WEEK01 is not one of tape_labels (MONTH*)" in text
    # both are known to be too large before anything starts, and are refused, host by host
    done = site.run("backup", rc=2, own={"tape1": {"tape_capacity": "260K"}}, tape_estimate=True)
    why = taping.failures(done, "Fail if there is no good archive")
    sizes = "which does not fit on one tape (tape_capacity): split tape_paths into several tape_set"
    assert set(why) == {"h1", "h2"} and all(sizes in text for text in why.values())
    assert site.everything() == before


def test_hosts_that_say_how_they_are_dialled(site: Site) -> None:
    """In their own variables, as for pipe: nobody has this address, and the other host is not to be dialled."""
    site.label()
    site.run("backup", args=["--limit", "h1,tape1"], own={"tape1": {"socketpipe_listen": "{{ not true }}"}})
    own: dict[str, dict[str, Any]] = {
        "h1": {"socketpipe_listen": False},
        "tape1": {"socketpipe_address": "10.203.0.250", "socketpipe_ports": "{{ said }}", "said": 22222},
    }
    done = site.run("backup", rc=2, args=["--limit", "h1,tape1"], own=own, tape_connect_timeout=2)
    (text,) = taping.failures(done, "Fail if there is no good archive").values()
    assert "h1 did not listen" in text and "dialled tape1 at 10.203.0.250 port 22222 (" in text, text
    own["tape1"] = {"socketpipe_listen": "never"}
    done = site.run("backup", rc=2, own=own)
    assert said(done) == "tape1: socketpipe_listen: 'never' is neither true nor false"


def test_hosts_that_do_not_belong_together(site: Site) -> None:
    done = site.run("backup", rc=2, own={"h2": {"tape_set": "databases"}})
    assert taping.failures(done, "Plan") == {
        "h1": "the hosts of a run must have the same tape_host and tape_set (tape_host tape1, tape_set all; "
        "tape_host tape1, tape_set databases): back them up in separate runs, with --limit"
    }
    done = site.run("backup", rc=2, own={"h2": {"tape_devices": [str(site.tape("B"))]}})
    assert taping.failures(done, "Plan") == {
        "h1": "several hosts have tape_devices (h2, tape1): set tape_host to one of them"
    }
