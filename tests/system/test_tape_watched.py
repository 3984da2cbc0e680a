# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who watches backups: metrics on the tape host, and the command that gets the result of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from . import taping
from .taping import Site

SHOP = {"name": "shop", "cmd": "echo all of it"}


FLEET = taping.HOSTS


def metric(path: Path, name: str) -> dict[str, float]:
    """{host and set, or another label: value} of the file; which parsers take it is in tests/unit."""
    lines = re.findall(rf"^socketpipe_tape_{name}{{(.*)}} (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {" ".join(re.findall(r'"([^"]*)"', labels)): float(value) for labels, value in lines}


def written_by(folder: Path) -> list[str]:
    """A command that keeps what it gets."""
    words = 'cat >"$0/$TAPE_RESULT.json"; printf "%s|%s" "$TAPE_RUN" "$TAPE_SUMMARY" >"$0/words"'
    return ["sh", "-c", words, str(folder)]


def test_metrics_of_a_fleet(site: Site) -> None:
    """One host fails before tar, one has a source; then a verification and a drill change the file."""
    path = site.top / "tape.prom"
    own: dict[str, Any] = {
        "tape1": {"tape_metrics_file": str(path)},
        "h1": {"tape_sources": [SHOP]},
        "h2": {"tape_paths": ["/no/such/place"]},
    }
    done = site.run("backup", rc=2, own=own)
    assert taping.statistic(done)["warnings"] == []
    assert [row[6] for row in taping.table(done, "HOST") if row[0].startswith("h1")] == [
        "WEEK01",
        "WEEK01:1",
        "WEEK01:2",
    ]
    assert path.stat().st_mode & 0o777 == 0o644
    assert metric(path, "last_attempt_success") == {"h1 all": 1, "h1 all.shop": 1, "h2 all": 0}
    assert metric(path, "failures_total") == {"h1 all": 0, "h1 all.shop": 0, "h2 all": 1}
    last = metric(path, "last_success_timestamp_seconds")
    assert last["h2 all"] == 0 < last["h1 all"] <= last["h1 all.shop"]
    assert metric(path, "last_success_size_bytes")["h1 all"] == site.archives()[0]["bytes"]
    assert metric(path, "last_verify_success") == {} and metric(path, "tapes")["append"] == 1
    # h2 is down; that is an attempt, too
    own["h2"] = {"ansible_port": 9}
    site.run("backup", rc=2, own=own)
    assert metric(path, "attempts_total") == {"h1 all": 2, "h1 all.shop": 2, "h2 all": 2}
    assert metric(path, "failures_total")["h2 all"] == 2
    site.run("verify", own=own)
    assert set(metric(path, "last_verify_success").values()) == {1}
    own["h2"] = {}
    site.run("tape_drill", own=own, restore_target="h2", restore_to=str(site.top / "drill"))
    assert metric(path, "last_drill_success") == {"h1 all": 1}
    # a directory that is not there is a warning of each playbook, and harms nothing
    own["tape1"]["tape_metrics_file"] = "/no/such/place/tape.prom"
    others: list[tuple[str, dict[str, Any]]] = [
        ("backup", {}),
        ("verify", {}),
        ("restore", {"restore_host": "h1", "restore_to": str(site.top / "restored"), "tape_hosts": "h2"}),
        ("tape_location", {"tape_label": "WEEK01", "tape_location": "shelf"}),
    ]
    for name, more in others:
        done = site.run(name, own=own, **more)
        assert "Warning metrics were not written: /no/such/place: No such file or directory: create it" in done.stdout


def test_notification_of_a_run(site: Site) -> None:
    """The command gets the statistic, whatever the result; it runs where ansible-playbook runs."""
    folder = site.top / "notified"
    folder.mkdir(exist_ok=True)
    own: dict[str, Any] = {"h2": {"tape_paths": ["/no/such/place"]}}
    own["all"] = {"tape_notify_command": written_by(folder)}
    done = site.run("backup", rc=2, own=own)
    told = json.loads((folder / "failure.json").read_text(encoding="ascii"))
    assert told == taping.statistic(done) and told["hosts"]["h2"]["kind"]
    (head,) = [line for line in done.stdout.splitlines() if line.startswith("BACKUP ")]
    assert (folder / "words").read_text(encoding="utf-8") == f"{told['run']}|{' '.join(head.split())}"
    assert sorted(path.name for path in folder.iterdir()) == ["failure.json", "words"]
    # not for this result, and not in check mode
    own["all"]["tape_notify_on"] = ["failure"]
    del own["h2"]
    site.run("backup", own=own)
    site.run("backup", own=own, args=["--check"])
    assert not (folder / "success.json").exists()
    # its failure is a warning; the archives are good
    own["all"] = {"tape_notify_command": ["sh", "-c", "echo no relay >&2; exit 75"]}
    done = site.run("backup", own=own)
    warning = "tape_notify_command (sh) on the controller failed with exit status 75: no relay"
    assert taping.statistic(done)["warnings"] == [warning] and f"Warning {warning}" in done.stdout


def test_notification_of_a_run_that_cannot_be_planned(site: Site) -> None:
    """Nobody else would notice that the tape host is down, or that a setting is wrong."""
    folder = site.top / "notified"
    folder.mkdir(exist_ok=True)
    own: dict[str, Any] = {"all": {"tape_notify_command": written_by(folder)}, "tape1": {"ansible_port": 9}}
    done = site.run("backup", rc=2, own=own)
    told = json.loads((folder / "failure.json").read_text(encoding="ascii"))
    why = taping.result(done, "Plan")["msg"]
    assert (told["good"], told["failed"]) == (0, 3) and set(told["hosts"]) == {"h1", "h2", "tape1"}
    assert {host["kind"] for host in told["hosts"].values()} == {"unreachable"}
    assert {host["note"] for host in told["hosts"].values()} == {why}
    assert (folder / "words").read_text(encoding="utf-8").startswith("|BACKUP not started: ")
    # what would fail at the end is found at the beginning
    for name, value, problem in (
        ("tape_notify_command", "mail ops | logger", "no shell runs '|': give a list such as"),
        ("tape_metrics_file", "/tmp/metrics", "/tmp/metrics: its name must end in .prom"),
    ):
        done = site.run("backup", rc=2, own={"all": {name: value}})
        assert f"{name}: {problem}" in taping.result(done, "Plan")["msg"]
    assert site.archives() == []
