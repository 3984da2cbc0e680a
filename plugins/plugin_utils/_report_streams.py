# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of pipe, pipeline and transfer in a report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..module_utils._run.words import explanation
from . import _report_records as records
from ._report_records import Report, censored, mapping, mappings, number, text, texts, whole

MOST_STAGES = 40  # in a picture
QUOTED = 2000  # characters of a standard error
REMOTE = "remote"  # the option of pipe for the command on the task's host


def is_stream(result: Mapping[str, Any]) -> bool:
    return isinstance(result.get("stages"), list) and isinstance(result.get("links"), list)


def is_transfer(result: Mapping[str, Any]) -> bool:
    return {"src", "dest", "source_host", "archivers"} <= set(result)


def state_of(result: Mapping[str, Any]) -> str:
    if result.get("unreachable"):
        return "unreachable"
    if result.get("failed"):
        return "failed"
    if result.get("skipped"):
        return "skipped"
    return "ok"


def add_failure(report: Report, host: str, result: Mapping[str, Any], quoted: str = "") -> None:
    cause = mapping(result.get("cause"))
    where = "" if censored(result) else text(cause.get("stage") or cause.get("link"))
    kind = text(cause.get("kind") or result.get("kind") or state_of(result))
    report.failures.append(records.Failure(host, kind, records.message(result), where, quoted))


# -- pipe and pipeline


def read_stream(report: Report, host: str, result: Mapping[str, Any]) -> None:
    """``host``: the name of the task's host, "" if it is not known."""
    failed = mapping(result.get("cause")).get("stage")
    stages = [stage_of(each, failed, censored(result)) for each in mappings(result["stages"])]
    links = mappings(result["links"])
    remote = [stage.host for stage in stages if stage.name.partition("[")[0] == REMOTE]
    known = host or next(iter(remote), "")
    host = known or next((stage.host for stage in stages), "?")
    state = state_of(result)
    ok = state not in ("failed", "unreachable")
    row = records.Row(host, state, ok, size=whole(result.get("bytes")), elapsed=number(result.get("elapsed")))
    row.rate = next((number(link.get("rate")) for link in reversed(links) if link.get("bytes") == row.size), None)
    row.place = " → ".join(dict.fromkeys(stage.host for stage in stages))
    row.note = "; ".join(remarks(result, links))
    report.rows.append(row)
    if not ok:
        report.retry.append(known)
        add_failure(report, host, result, "" if censored(result) else quoted(result))
    ran = any(stage.ok is not None for stage in stages)
    if ran and len(stages) <= MOST_STAGES:
        report.chains.append(records.Chain(host, ok, stages, [link_of(each, ok) for each in links]))
    for link in links:
        ends = [text(link.get(f"{side}_host")) for side in ("source", "destination")]
        curve = records.curve_of(link, " → ".join(ends))
        report.curves += [curve] if curve else []


def stage_of(stage: Mapping[str, Any], failed: Any, hidden: bool) -> records.Stage:
    """``failed``: the name of the stage that failed first; others may have a bad exit status as a consequence."""
    argv, name = texts(stage.get("argv")), text(stage.get("name"))
    program = os.path.basename(argv[0])[:40] if argv and not hidden else ""
    return records.Stage(name, text(stage.get("host")), program, None if stage.get("rc") is None else name != failed)


def link_of(link: Mapping[str, Any], ok: bool) -> records.Link:
    return records.Link(
        source=text(link.get("source")),
        destination=text(link.get("destination")),
        size=whole(link.get("bytes")),
        rate=number(link.get("rate")),
        encrypted=bool(link.get("encryption")),
        ok=ok,
    )


def quoted(result: Mapping[str, Any]) -> str:
    """The end of the standard error of the stage that failed, if it has more than its message."""
    name = mapping(result.get("cause")).get("stage")
    found = [
        text(each.get("stderr"), 2**20) for each in mappings(result["stages"]) if name and each.get("name") == name
    ]
    whole_text = found[0].strip() if found else ""
    return "" if whole_text == explanation(whole_text) else whole_text[-QUOTED:]


def remarks(result: Mapping[str, Any], links: list[Mapping[str, Any]]) -> list[str]:
    if censored(result):
        return ["no_log hides the details"]
    found = [text(result.get("msg"))] if result.get("skipped") else []
    found += [text(link.get("slow")) for link in links if link.get("slow")]
    if number(result.get("strangers")):
        found.append(f"strangers refused: {whole(result['strangers'])}")
    left = texts(result.get("left_running"))
    return found + ([f"left running: {', '.join(left)}"] if left else [])


# -- transfer


def read_transfer(report: Report, host: str, result: Mapping[str, Any]) -> None:
    """A row for the destination, or one for each of many."""
    source, before = text(result.get("source_host")) or "?", len(report.rows)
    link = mapping(result.get("link"))
    figures = {"size": whole(result.get("size")), "elapsed": number(result.get("elapsed"))}
    many = mapping(result.get("hosts"))
    for name, one in many.items():
        row_of_copy(report, text(name), {**mapping(one), "censored": censored(result)}, source, figures)
    if not many:
        name = text(result.get("destination_host")) or host or "?"
        row_of_copy(report, name, result, source, {**figures, "rate": number(link.get("rate"))})
    report.retry += [] if all(row.ok for row in report.rows[before:]) else [host]
    if link and not censored(result):
        curve = records.curve_of(link, f"{source} → {text(link.get('destination_host'))}")
        report.curves += [curve] if curve else []


def row_of_copy(report: Report, host: str, result: Mapping[str, Any], source: str, figures: dict[str, Any]) -> None:
    cause = result.get("cause")
    ok = not result.get("failed") and not cause
    state = ("copied" if result.get("changed") else "unchanged") if ok else "failed"
    note = "" if censored(result) else text(mapping(result.get("link")).get("slow"))
    report.rows.append(records.Row(host, state, ok, place=f"{source} → {host}", note=note, **(figures if ok else {})))
    if not ok:
        told = {"msg": mapping(cause).get("msg"), **result}
        add_failure(report, text(mapping(cause).get("host")) or host, told)
