# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metrics of the tape host, as Prometheus' own client reads them."""

from __future__ import annotations

import json
import math
import os
import re
import textwrap
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.common.units import parse_time
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host import main, session, settings
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog import history, metrics
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.catalog.catalog import Catalog
from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.commands import finish
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

parser = pytest.importorskip("prometheus_client.parser", reason="prometheus_client is not installed")
promql = pytest.importorskip("promql_parser", reason="promql_parser is not installed")

Maker = Callable[..., TapeHost]
Values = dict[tuple[str, ...], float]
NAME = "tape.prom"
STATES = ("empty", "append", "full", "expired", "retired", "damaged")


def read(host: TapeHost) -> Values:
    """{(name without the prefix, values of its labels in their order): value}."""
    return parsed((host.folder / NAME).read_text(encoding="utf-8"))


def parsed(text: str) -> Values:
    found: Values = {}
    for family in parser.text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name.removeprefix(metrics.PREFIX)
            kind, told = metrics.METRICS[name]
            assert (family.type, family.documentation) == (kind, told)
            key = (name, *sample.labels.values())
            assert key not in found
            found[key] = sample.value
    return found


def of(values: Values, name: str) -> dict[tuple[str, ...], float]:
    return {key[1:]: value for key, value in values.items() if key[0] == name}


def measured(tape_host: Maker, *args: Any, **more: Any) -> TapeHost:
    host = tape_host(*args, lease=0, **more)
    host.settings["metrics_file"] = str(host.folder / NAME)
    return host


def note_run(host: TapeHost, run: str, *tried: Any, name: str = "all", expire_last: bool = False) -> None:
    history.note_run(Catalog(str(host.catalog_dir)), run, name, list(tried), expire_last)


def test_a_name_says_what_it_counts() -> None:
    for name, (kind, told) in metrics.METRICS.items():
        assert name.endswith("_total") == (kind == metrics.COUNTER)
        assert "timestamp" not in name or name.endswith("_timestamp_seconds")
        assert told.endswith(".") and "\n" not in told and "\\" not in told


def test_before_the_first_backup(tape_host: Maker) -> None:
    host = measured(tape_host, labelled=False)
    host.ok("label", "--label", "W1")
    values = read(host)
    assert {key for key, value in of(values, "tapes").items() if value} == {("empty",)}
    assert of(values, "tape_full") == {("W1",): 0}
    assert of(values, "tape_expiry_timestamp_seconds") == of(values, "last_success_timestamp_seconds") == {}
    device = str(host.tapes[0])
    assert of(values, "drive_last_alert_timestamp_seconds") == {(device, each): 0 for each in metrics.SEVERITIES}


def test_the_last_good_archive(tape_host: Maker) -> None:
    """It is the newest one, and a later failure does not hide it."""
    host = measured(tape_host)
    host.backup("20260101T000000Z", "h1")
    last = host.backup("20260102T000000Z", "h1", level=1, base="20260101T000000Z")
    host.sink("20260103T000000Z", "h1")  # which does not report
    host.ok("finish", "--run", "20260103T000000Z")
    values, key = read(host), ("h1", "all")
    assert of(values, "last_success_timestamp_seconds") == {key: parse_time(host.tape()["archives"][1]["time"])}
    assert of(values, "last_success_size_bytes") == {key: last["bytes"]}
    assert of(values, "last_success_duration_seconds") == {key: last["elapsed"]}
    assert of(values, "last_success_level") == {key: 1} and of(values, "last_success_incomplete") == {key: 0}
    assert of(values, "last_attempt_success") == {key: 0}
    assert of(values, "last_verify_timestamp_seconds") == of(values, "last_drill_timestamp_seconds") == {key: 0}
    assert of(values, "last_verify_success") == of(values, "last_drill_success") == {}, "never is no failure"


def test_a_host_that_never_had_a_good_archive(tape_host: Maker) -> None:
    """Nothing of it is on a tape; its age is that of 1970."""
    host = measured(tape_host)
    host.backup("R1", "h1")
    note_run(host, "R1", {"host": "h1", "sets": {"all": True}}, {"host": "new1", "sets": {}})
    note_run(host, "R2", {"host": "new1", "sets": {"all": False}})
    host.ok("finish", "--run", "R2")
    values, new = read(host), ("new1", "all")
    assert of(values, "last_success_timestamp_seconds")[new] == 0
    assert of(values, "attempts_total") == {("h1", "all"): 1, new: 2}
    assert of(values, "failures_total") == {("h1", "all"): 0, new: 2}
    assert of(values, "last_attempt_success") == {("h1", "all"): 1, new: 0}
    assert time.time() - of(values, "last_attempt_timestamp_seconds")[new] < 3600
    assert set(of(values, "last_success_size_bytes")) == {("h1", "all")}


def test_verifications_and_drills(tape_host: Maker) -> None:
    host = measured(tape_host)
    host.backup("R1", "h1")
    host.backup("R1", "h2")
    host.ok("verify")
    assert of(read(host), "last_verify_success") == {("h1", "all"): 1, ("h2", "all"): 1}
    host.ok("restored", "--host", "h1")
    host.ok("restored", "--host", "h2", "--kind", "drilled", "--failed")
    values = read(host)
    assert [key for key, value in of(values, "last_restore_timestamp_seconds").items() if value] == [("h1", "all")]
    assert of(values, "last_drill_success") == {("h2", "all"): 0}
    (host.folder / "A" / "000001").write_bytes(b"x")
    host.ok("verify", "--host", "h1")
    values = read(host)
    assert of(values, "last_verify_success") == {("h1", "all"): 0, ("h2", "all"): 1}
    assert of(values, "damaged_archives") == {("h1", "all"): 1, ("h2", "all"): 0}


def test_states_of_tapes(tape_host: Maker) -> None:
    """Each tape counts once."""
    host = measured(tape_host, 4)
    for label, run in (("A", "R1"), ("B", "R2"), ("C", "R3")):
        host.backup(run, "h1", on=label)
    host.edit("A", lambda tape: tape["archives"][0].update(keep_until=time.time() - 1))
    host.edit("B", lambda tape: tape.update(full=True))
    host.ok("mark", "--label", "D", "--location", "shelf", accept_clock=True)
    values = read(host)
    assert {key[0]: value for key, value in of(values, "tapes").items()} == dict(zip(STATES, (1, 1, 1, 1, 0, 0)))
    assert of(values, "tape_full") == {("A",): 0, ("B",): 1, ("C",): 0, ("D",): 0}
    assert of(values, "tape_used_bytes")["B",] > of(values, "tape_used_bytes")["D",]
    expiry = of(values, "tape_expiry_timestamp_seconds")
    assert set(expiry) == {("A",), ("B",), ("C",)}
    assert expiry["A",] < time.time() < expiry["B",]
    assert [math.isinf(expiry[each,]) for each in "ABC"] == [False, False, True]
    host.ok("mark", "--label", "C", "--reason", "fire")
    (host.catalog_dir / "tapes" / "D.json").write_text("{")
    note_run(host, "R4", expire_last=True)
    host.ok("finish", "--run", "R4", accept_clock=True)
    values = read(host)
    assert {key[0] for key, value in of(values, "tapes").items() if value} == {"append", "full", "retired", "damaged"}
    assert not math.isinf(of(values, "tape_expiry_timestamp_seconds")["B",]), "tape_expire_last"


def test_alerts_of_drives(tape_host: Maker) -> None:
    host = measured(tape_host)
    alerts = [
        {"flag": 20, "name": "cleaning required", "severity": "critical"},
        {"flag": 3, "name": "hard error", "severity": "warning"},
    ]
    for each in (alerts, alerts[:1], []):
        history.note_alerts(Catalog(str(host.catalog_dir)), "/dev/nst0", each)
    host.ok("finish", "--run", "R1")
    values = read(host)
    assert of(values, "drive_alerts_total") == {
        ("/dev/nst0", "3", "hard error", "warning"): 1,
        ("/dev/nst0", "20", "cleaning required", "critical"): 2,
    }
    last = of(values, "drive_last_alert_timestamp_seconds")
    assert time.time() - last["/dev/nst0", "critical"] < 3600 and last["/dev/nst0", "information"] == 0


@pytest.mark.parametrize("text", ['a"b', "a\\nb", "a\nb", '\\"', "ü", "{}", "a,b=c"])
def test_a_label_can_have_any_text(text: str) -> None:
    name = next(iter(metrics.METRICS))
    written = metrics.text({name: [({"host": text, "set": "all"}, 1.5)]})
    assert parsed(written) == {(name, text, "all"): 1.5}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.0, "1"),
        (1790000000.0, "1790000000"),
        (0.25, "0.25"),
        (2**53, "9007199254740992"),
        (math.inf, "+Inf"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert metrics.number(value) == text


# -- when and how it is written


CALLS: dict[str, list[str]] = {
    "finish": ["--run", "R1"],
    "label": ["--label", "W1"],
    "inventory": [],
    "verify": [],
    "mark": ["--label", "A", "--location", "shelf"],
    "restored": ["--host", "h1"],
}


@pytest.mark.parametrize("name", CALLS)
def test_after_each_change(name: str, tape_host: Maker) -> None:
    host = measured(tape_host, labelled=name != "label")
    host.ok(name, *CALLS[name])
    assert read(host)


def test_after_nothing_else(tape_host: Maker) -> None:
    assert set(main.CHANGES) - set(CALLS) == {"import"}, "test_tape_catalog has it"
    host = measured(tape_host)
    host.backup("R1", "h1")
    host.ok("info")
    host.ok("mark", "--label", "A", "--location", "shelf", "--dry")
    host.fails("mark", "--label", "X", "--location", "shelf")
    assert not (host.folder / NAME).exists()


def test_everybody_may_read_it_and_nobody_sees_a_part(tape_host: Maker) -> None:
    """A link in its place is replaced, not followed."""
    host = measured(tape_host)
    other = host.folder / "other"
    other.write_text("mine")
    (host.folder / NAME).symlink_to(other)
    before = sorted(path.name for path in host.folder.iterdir())
    assert host.run("finish", "--run", "R1", before=lambda: os.umask(0o077)).status == 0
    found = (host.folder / NAME).lstat()
    assert oct(found.st_mode) == "0o100644" and other.read_text() == "mine"
    assert sorted(path.name for path in host.folder.iterdir()) == before


def test_a_failure_is_a_warning(tape_host: Maker) -> None:
    """The label is on the tape all the same, and nothing is left."""
    host = measured(tape_host, 2, labelled=False)
    missing = host.folder / "none" / NAME
    device = ["--device", str(host.tapes[0])]
    told = host.ok("label", "--label", "W1", *device, metrics_file=str(missing))
    assert told["label"] == "W1" and not missing.parent.exists()
    assert told["warnings"] == [
        f"metrics were not written: {missing.parent}: No such file or directory: "
        "create it, or set tape_metrics_file to a file of node_exporter's --collector.textfile.directory"
    ]
    folder = host.folder / NAME
    folder.mkdir()
    told = host.ok("finish", "--run", "R1")
    assert told["warnings"] == [
        f"metrics were not written: {folder}: Is a directory: check the directory and tape_metrics_file, "
        "or set tape_become"
    ]
    assert not [path for path in host.folder.iterdir() if path.name.endswith(".part")]


def test_names_that_node_exporter_does_not_read(tape_host: Maker) -> None:
    host = tape_host()
    assert host.fails("info", metrics_file="/run/tape.txt") == (
        "tape_metrics_file: /run/tape.txt: its name must end in .prom: node_exporter reads no other"
    )
    assert host.fails("info", metrics_file="tape.prom") == (
        "tape_metrics_file: 'tape.prom' is not a path: it must begin with /"
    )


# -- the history


def known(host: TapeHost) -> Any:
    return history.load(Catalog(str(host.catalog_dir)))["hosts"]


def test_sources_are_sets_of_their_own(tape_host: Maker) -> None:
    """A host that fails before any of them fails for all that it had; for one without any, for the set of the run."""
    host = tape_host()
    note_run(host, "R1", {"host": "h1", "sets": {"all.shop": True, "all.wiki": False, "allmost": True}})
    note_run(host, "R2", {"host": "h1", "sets": {}}, {"host": "h2", "sets": {}})
    assert {name: (each["count"], each["failed"]) for name, each in known(host)["h1"].items()} == {
        "all.shop": (2, 1),
        "all.wiki": (2, 2),
        "allmost": (1, 0),
    }
    assert set(known(host)["h2"]) == {"all"}


def test_an_archive_on_tape_is_no_failure(tape_host: Maker) -> None:
    """The controller may have lost the answer."""
    host = measured(tape_host)
    host.backup("R1", "h1")
    tried = {"tried": [{"host": "h1", "sets": {"all": False}}, {"host": "h2", "sets": {"all": False}}]}
    told = settings.Settings(host.settings)
    done = finish.finish(session.Session(told), Namespace(run="R1", input=tried))
    assert done["warnings"] == []
    assert {name: sets["all"]["failed"] for name, sets in known(host).items()} == {"h1": 0, "h2": 1}


def test_a_run_that_cannot_be_counted(tape_host: Maker) -> None:
    host = tape_host()
    path = host.catalog_dir / history.NAME
    path.mkdir()
    tried = {"tried": [{"host": "h1", "sets": {}}]}
    done = finish.finish(session.Session(settings.Settings(host.settings)), Namespace(run="R1", input=tried))
    assert done["warnings"] == [f"{path}: Is a directory, so metrics do not count this run"]


def test_a_host_that_is_gone(tape_host: Maker) -> None:
    """It is forgotten a year after its last attempt, but not while the catalog has archives of it."""
    host = tape_host()
    host.backup("R1", "h1")
    note_run(host, "R1", *({"host": name, "sets": {}} for name in ("h1", "h2", "h3")))
    path = host.catalog_dir / history.NAME
    content = json.loads(path.read_text())
    for name in ("h1", "h2"):
        content["hosts"][name]["all"]["time"] = "2020-01-01T00:00:00Z"
    path.write_text(json.dumps(content))
    note_run(host, "R2")
    assert set(known(host)) == {"h1", "h3"}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 2}',
        '{"format": 1, "hosts": {}, "drives": {}}',
        '{"format": 1, "hosts": {"h1": {"all": {"time": "soon", "ok": true, "count": 1, "failed": 0}}}, '
        '"drives": {}, "expire_last": false}',
        '{"format": 1, "hosts": {}, "drives": {"d": {"1": {"time": "2020-01-01", "count": 1, "name": 1, '
        '"severity": "critical"}}}, "expire_last": false}',
    ],
)
def test_a_damaged_history_begins_again(content: str, tape_host: Maker) -> None:
    host = measured(tape_host)
    path: Path = host.catalog_dir / history.NAME
    path.write_text(content)
    host.ok("finish", "--run", "R1")
    assert of(read(host), "attempts_total") == {}
    note_run(host, "R2", {"host": "h1", "sets": {"all": True}})
    assert known(host)["h1"]["all"]["count"] == 1


# -- the guide


GUIDE = Path(__file__).resolve().parents[2] / "docs" / "docsite" / "rst" / "monitoring.rst"


def guide() -> str:
    """Without ``…_level`` for a longer name."""
    text = GUIDE.read_text(encoding="utf-8")
    return text.replace("``…_", f"``{metrics.PREFIX}last_success_")


def test_the_guide_names_each_metric_and_no_other() -> None:
    found = set(re.findall(rf"\b{metrics.PREFIX}([a-z_]+)", guide()))
    assert found == set(metrics.METRICS)


def test_the_guide_names_each_state_and_severity() -> None:
    text = guide().partition("Alert rules")[0]
    for word in (*STATES, *metrics.SEVERITIES):
        assert f"``{word}``" in text


def test_the_rules_of_the_guide_are_rules_of_prometheus() -> None:
    """The parser is that of PromQL; each expression must give something that has a host, a drive or a tape host."""
    (block,) = [
        each for each in re.findall(r"^\.\. code-block:: yaml\n\n((?:    .*\n|\n)+)", guide(), re.M) if "expr:" in each
    ]
    (group,) = yaml.safe_load(textwrap.dedent(block))["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names)) > 5
    for rule in group["rules"]:
        assert set(rule) == {"alert", "expr", "labels", "annotations"}
        parsed_rule = promql.parse(rule["expr"])
        assert parsed_rule.prettify()
        used = set(re.findall(r"\$labels\.([a-z]+)", rule["annotations"]["summary"]))
        assert used and used <= {"host", "set", "instance", "device"}
        assert used - {"instance"} <= set(labels_of(rule["expr"])), rule["alert"]


def labels_of(expression: str) -> set[str]:
    """The labels that the series of an expression have, by its metrics and "by"."""
    kept = re.search(r"\bby \(([a-z, ]+)\)", expression)
    if kept:
        return set(kept[1].split(", "))
    if "_drive_" in expression:
        return {"device", "instance"}
    return {"instance"} if "_tapes" in expression else {"host", "set", "instance"}
