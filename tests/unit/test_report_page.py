# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report: what is in it, that no text of a host becomes markup, and how a browser shows it."""

from __future__ import annotations

import html.parser
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible", reason="ansible-core is not installed")

from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _report_draw as draw
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _report_html
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _report_picture as picture
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _report_records as records
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._report_page import page
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._report_read import read
from ansible_collections.plumbing.socketpipe.tests.unit import browser, reports
from ansible_collections.plumbing.socketpipe.tests.unit.reports import EVIL

MADE = "2026-11-26T16:52:00Z"
PLUGIN_UTILS = Path(__file__).resolve().parents[2] / "plugins" / "plugin_utils"
LOADING = ("src", "href", "srcset", "data", "action", "background", "poster", "style")


class Parsed(html.parser.HTMLParser):
    """The elements of a page, and the texts in them, without those of the head."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text.partition("<body>")[2])
        self.head = text.partition("<body>")[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def backup() -> list[tuple[str, Any]]:
    return [("", each) for each in [reports.finished(), *reports.backups(), reports.catalog()]]


def pipes() -> list[tuple[str, Any]]:
    named: list[tuple[str, Any]] = [(name, reports.pipe(name)) for name in ("db1", "web1")]
    named.append(("web9", reports.broken("web9", "10+0 records in\ndd: writing '/dev/nst0': No space left on device")))
    return [*named, ("", reports.fork())]


def render(given: list[tuple[str, Any]], **options: Any) -> Parsed:
    report = read(given, **options)
    return Parsed(page(report.subject, MADE, report))


# -- contents


def test_the_report_of_a_backup() -> None:
    found = render(backup())
    assert "<title>Tape backup</title>" in found.head
    for words in ("1 failed", "5", "144.0 GiB", "19:01", "118.0 MiB/s", "3 d", "web3", "left out"):
        assert words in found.texts, words
    # the cause once, and the command to go on
    assert found.texts.count("not on this host: /srv/www (set tape_paths)") == 1
    assert any(text.endswith(f"-e tape_resume={reports.RUN} --limit web3") for text in found.texts)
    # what was left out, how old the last good archive is, how full a tape is and when it expires
    assert "not archived (separate file systems): /boot, /srv/cache" in found.texts
    assert "41 % full" in found.text and "100 % full" in found.text and "2026-12-31" in found.texts
    assert found.text.count("late") == 2 and "The next backup needs WEEK01." in found.texts
    assert [text for text in found.texts if text.startswith("nst")] == ["nst0", "nst1"]
    assert "db1 on /dev/nst0: 15:40:00 to 15:50:00 UTC" in found.texts
    assert len([tag for tag, _attributes in found.elements if tag == "polyline"]) == 5


def test_the_report_of_pipes() -> None:
    found = render(pipes())
    assert "<title>Data transfer</title>" in found.head and "Who talked to whom" in found.texts
    assert "dd: writing '/dev/nst0': No space left on device" in found.text
    assert "ansible-playbook plumbing.socketpipe.backup" in found.text, "without a limit: the host of one is not known"
    boxes = [attributes["class"] for tag, attributes in found.elements if tag == "rect"]
    assert boxes.count("box bad") == 1 and len(boxes) == 3 + 1 + 4, "all three go to the same host"
    arrows = [
        attributes["class"] for tag, attributes in found.elements if tag == "polygon" and "head" in str(attributes)
    ]
    assert arrows.count("head bad") == 1 and len(arrows) == 1 + 1 + 1 + 3
    assert "5.0 GiB at 110.0 MiB/s" in found.texts and "encrypted" in found.texts
    assert "bytes" not in found.text, "every size is known"


def test_a_limit_names_the_hosts_that_failed() -> None:
    found = render([*pipes()[:3], ("web8", {"unreachable": True, "msg": "no route"}), ("web7", {"skipped": True})])
    assert "ansible-playbook plumbing.socketpipe.backup --limit web9,web8" in found.texts
    assert "2 failed" in found.texts and "skipped" in found.texts


@pytest.mark.parametrize(("given", "verdict"), [
    ([reports.catalog()], "1 archive too old"),
    ([reports.catalog(hosts=[])], "All good"),
    ([reports.catalog(missing=["web4"])], "1 archive too old"),
    ([{"failed": True, "to": "/x", "archives": [{"host": "db1", "level": 0}], "msg": "no"}], "1 failed"),
    ([{"to": "/x", "archives": [{"host": "db1", "level": 0}], "drill": {"ok": True}}], "All good"),
    ([{"results": [{"failed": True, "msg": "no", "kind": "busy"}, reports.pipe("h1")]}], "1 failed"),
])  # fmt: skip
def test_a_verdict(given: list[Any], verdict: str) -> None:
    assert verdict in render([("", each) for each in given]).texts


def test_archives_that_are_damaged_or_not_read() -> None:
    place = {"run": "R", "set": "all", **reports.archive("db1", 0)}
    bad = {**place, "host": "db1", "problem": "its checksum differs"}
    absent = {**place, "host": "db2", "tape": "WEEK07", "problem": "the tape is in no drive"}
    result = {"verified": [{**place, "host": "web1"}], "damaged": [bad], "not_verified": [absent], "notes": ["careful"]}
    found = render([("", result)])
    for words in ("its checksum differs", "the tape is in no drive", "verified", "damaged", "not read", "careful"):
        assert words in found.texts
    assert "ansible-playbook plumbing.socketpipe.backup -e tape_level=0 --limit db1" in found.texts
    assert "Load WEEK07, and verify again:" in found.texts and "<title>Verification of tapes<" in found.head


def test_copies_to_many_hosts() -> None:
    cause = {"kind": "no room", "host": "web2", "msg": "web2: there is no room in /srv"}
    hosts = {
        "web1": {"ok": True, "changed": True, "cause": None},
        "web2": {"ok": False, "changed": False, "cause": cause},
    }
    first, last = reports.stage("source", "image1", "cat"), reports.stage("destination", "web1", "cat")
    copied: dict[str, Any] = {
        "src": "/a",
        "dest": None,
        "source_host": "image1",
        "archivers": None,
        "size": 1 << 30,
        "hosts": hosts,
    }
    copied.update(failed=True, cause=cause, link=reports.link(first, last, 1 << 30), elapsed=9.0)
    found = render([("image1", copied)])
    assert {"copied", "failed", "image1 → web1", "image1 → web2", "web2: there is no room in /srv"} <= {*found.texts}
    assert "ansible-playbook plumbing.socketpipe.backup --limit image1" in found.texts


def test_the_sources_of_a_host_are_below_it() -> None:
    part = {"name": "shop-db", "ok": True, "state": "good", "level": 0, "tape": "WEEK01", "file": 3, "note": "fine"}
    result = reports.finished()
    result["hosts"]["db1"]["sources"] = [part, {**part, "name": "other", "ok": False, "state": "failed"}]
    found = render([("", result)])
    names = [text for text in found.texts if text.startswith("db1")]
    assert names[:3] == ["db1", "db1: shop-db", "db1: other"]
    assert "5" in found.texts, "they are not counted as hosts"


def test_what_fits_nowhere_is_counted() -> None:
    report = read([("", 7), ("", {}), ("h1", {"changed": False, "stdout": "x"}), ("", reports.pipe("h1"))])
    assert (report.others, len(report.rows)) == (2, 1)


# -- anything may be in a result

ODD: list[Any] = [
    None,
    True,
    -1,
    2**62,
    10**400,
    5e-324,
    float("nan"),
    "",
    "x\ud800\x1b[2J",
    [],
    [None],
    [[]],
    {},
    {"a": None},
]


def mutants(value: Any) -> Any:
    """The same with one part of another type."""
    yield from ODD
    if isinstance(value, dict):
        for name in value:
            yield from ({**value, name: part} for part in mutants(value[name]))
    elif isinstance(value, list) and value:
        yield from ([part, *value[1:]] for part in mutants(value[0]))


@pytest.mark.parametrize(
    "result",
    [reports.finished(), reports.backups()[0], reports.catalog(), reports.broken("h1", "no"), reports.fork()],
    ids=["finished", "backup", "catalog", "broken", "fork"],
)
def test_no_result_stops_a_report(result: dict[str, Any]) -> None:
    for mutant in mutants(result):
        text = page("x", MADE, read([("", mutant)]))
        assert text.endswith("</html>\n") and "\x1b" not in text and "\ud800" not in text


# -- escaping


def evil(value: Any) -> Any:
    """The same with each text made to be markup."""
    if isinstance(value, dict):
        return {evil(key) if key in reports.SIZES else key: evil(each) for key, each in value.items()}
    if isinstance(value, list):
        return [evil(each) for each in value]
    return f"{value}{EVIL}" if isinstance(value, str) else value


def test_no_text_of_a_host_becomes_markup() -> None:
    """Of the same results, with and without: the elements and their attributes are the same."""
    kept = ("state", "time", "name", "source", "destination", "last", "expires", "stage")
    given = [*backup(), *pipes()]

    def with_evil(value: Any) -> Any:
        if isinstance(value, dict):
            return {evil(key) if key in reports.SIZES else key: each if key in kept else with_evil(each)
                    for key, each in value.items()}  # fmt: skip
        return [with_evil(each) for each in value] if isinstance(value, list) else evil(value)

    report = read([(evil(host), with_evil(result)) for host, result in given])
    text = page(EVIL, MADE, report)
    plain, found = render(given), Parsed(text)
    assert "<script" not in text.lower() and text.count("<style") == 1
    assert {tag for tag, _attributes in found.elements} == {tag for tag, _attributes in plain.elements}
    assert found.text.count(EVIL) > 50 and f"<title>{EVIL}" not in text
    allowed = {name for _tag, attributes in plain.elements for name in attributes}
    assert {name for _tag, attributes in found.elements for name in attributes} == allowed


def test_nothing_is_loaded() -> None:
    for given in (backup(), pipes()):
        found = render(given)
        used = {name for _tag, attributes in found.elements for name in attributes}
        assert not used & set(LOADING) and not [name for name in used if name.startswith("on")]
        assert "url(" not in found.head and "@import" not in found.head and "<link" not in found.head
        assert "default-src 'none'; style-src 'sha256-" in found.head


def test_markup_is_written_in_one_module() -> None:
    for path in PLUGIN_UTILS.glob("_report_*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name not in ("_report_html.py", "_report_file.py"):  # the latter finds the time in a report
            assert not re.search(r"[\"'(]</?[a-z!]", text), path.name
    for name in _report_html.RAW:
        with pytest.raises(ValueError, match=name):
            _report_html.tag(name, "x")


# -- no_log


def test_no_log_leaves_out_what_hosts_say() -> None:
    """Of one task, or of all if that of the report has it."""
    secret = "s3cret"
    stages = [{**each, "argv": [secret], "stderr": secret} for each in reports.broken("h1", secret)["stages"]]
    pipe = {**reports.broken("h1", secret), "stages": stages, "censored": "no_log: true"}
    good = {**reports.pipe("h2"), "stages": [{**reports.pipe("h2")["stages"][0], "argv": [secret]}]}
    backup = {"host": "db2", "run": reports.RUN, "state": "good", "slow": secret, "censored": "no_log: true"}
    done = reports.finished()
    done["hosts"]["db2"]["note"] = secret
    for given in ([("", pipe)], [("", {**good, "censored": "x"})], [("", done), ("", backup)]):
        found = render(given)
        assert secret not in found.text and "no_log" in found.text
    assert secret in render([("", {**pipe, "censored": ""})]).text
    part = {"name": "db", "ok": True, "state": "good", "note": secret}
    with_parts = reports.finished(notes=[secret])
    with_parts["hosts"]["db1"]["sources"] = [part]
    archive = {"host": "db1", "level": 0, "tape": "WEEK01", "file": 1}
    first, last = reports.stage("source", "h1", "cat"), reports.stage("destination", "h2", "cat")
    copied = {"src": "/a", "dest": "/b", "source_host": "h1", "archivers": None, "destination_host": "h2"}
    retired = reports.tape("WEEK01", 5, retired={"time": reports.stamp(reports.BEGIN), "reason": secret})
    for result in (
        *(reports.broken("h1", secret), good, {"failed": True, "msg": secret}, reports.finished(note=secret)),
        *(with_parts, reports.finished(notes=[secret]), reports.catalog(notes=[secret])),
        *(reports.catalog(tapes=[retired]), {"to": secret, "archives": [archive]}),
        {"to": "", "archives": [archive], "notes": [secret]},
        {"verified": [archive], "damaged": [], "not_verified": [], "notes": [secret]},
        {**copied, "link": {**reports.link(first, last, 5), "slow": secret}},
    ):
        assert secret in render([("", result)]).text
        assert secret not in render([("", result)], hide=True).text


# -- drawings


def test_the_rate_between_samples() -> None:
    samples: list[Any] = [[1, 100], [2, 50], "x", [2, 300], [4.0, 300], [5, None], [6, 300], [7, 301]]
    curve = records.curve_of({"samples": samples, "slow": ""}, "x")
    assert curve and draw.rates(curve) == [(0, 1, 100), (1, 2, 200), (2, 4, 0), (4, 6, 0), (6, 7, 1)]
    assert records.curve_of({"samples": samples[:-1]}, "x") is None and records.curve_of({}, "x") is None


@pytest.mark.parametrize(("begin", "span", "times"), [
    (0.5, 5.0, [1, 2, 3, 4, 5]),
    (3590, 3600, [3600, 4200, 4800, 5400, 6000, 6600]),
    (0, 10**9, [0, 250_000_000, 500_000_000, 750_000_000, 10**9]),
])  # fmt: skip
def test_times_on_the_axis(begin: float, span: float, times: list[float]) -> None:
    assert draw.ticks(begin, span)[: len(times)] == times and len(draw.ticks(begin, span)) <= 9


def test_stages_of_one_host_share_a_box() -> None:
    first, second, last = (reports.stage(name, host, "x") for name, host in (("a", "h1"), ("b", "h1"), ("c", "h2")))
    links = [reports.link(first, second, 5), reports.link(second, last, 5)]
    (chain,) = read([("h1", reports.stream([first, second, last], links))]).chains
    assert [[stage.name for stage in box] for box in picture.merged(chain)] == [["a", "b"], ["c"]]


def test_hosts_that_share_one_are_in_one_picture() -> None:
    """From many to one, and from one to many; what is alone, or has more hosts, is by itself."""
    given = [("", reports.pipe("h1")), ("", reports.fork()), ("", reports.broken("h2", "no"))]
    for name in ("h3", "h4"):
        first, last = reports.stage("input", "image1", "cat"), reports.stage("remote", name, "dd")
        given.append(("", reports.stream([first, last], [reports.link(first, last, 5)])))
    into, out, alone = picture.gathered(read(given).chains)
    assert [stage.host for stage in into.stages] == ["h1", "h2", "tape1"] and len(into.links) == 2
    assert [link.ok for link in into.links] == [True, False] and [stage.ok for stage in into.stages][-1] is False
    assert [stage.host for stage in out.stages] == ["image1", "h3", "h4"] and len(alone.stages) == 4
    assert picture.places_of(picture.merged(into), into.links) == {
        "first 0": (0, 0),
        "first 1": (0, 1),
        "shared": (1, 0.5),
    }
    assert picture.places_of(picture.merged(out), out.links) == {"last 0": (1, 0), "last 1": (1, 1), "shared": (0, 0.5)}


# -- in a browser


@pytest.mark.parametrize("given", [backup(), pipes()], ids=["backup", "pipes"])
def test_a_browser_shows_it(given: list[tuple[str, Any]], tmp_path: Path) -> None:
    """With a host whose name is a script: no message on the console, no request to anywhere."""
    report = read([*given, (EVIL, reports.broken("h1", EVIL))])
    path = tmp_path / "report.html"
    path.write_text(page("A <report>", MADE, report), encoding="utf-8")
    shown = browser.show(path)
    assert (shown.console, shown.requests) == ([], [])
    assert "<title>A &lt;report&gt;</title>" in shown.document and "alert(1)" in shown.document
    assert "<script" not in shown.document
    rows = len(report.rows) + len(report.known) + len(report.tapes)
    assert shown.document.count("<tr") == rows + sum(map(bool, (report.rows, report.known, report.tapes)))
    names = re.findall('<td class="name" data-label="Host"><span>(.*?)</span>', shown.document)
    assert len(names) == len(report.rows) + len(report.known) and "db1" in names


def test_the_browser_would_tell(tmp_path: Path) -> None:
    """Of a script and of a request."""
    path = tmp_path / "bad.html"
    path.write_text('<img src="http://report.invalid/x"><script>console.error("no")</script>', encoding="utf-8")
    shown = browser.show(path)
    assert len(shown.console) == 1 and '"no"' in shown.console[0]
    assert set(shown.requests) == {"http://report.invalid/x"}


def test_it_can_be_printed(tmp_path: Path) -> None:
    path, pdf = tmp_path / "report.html", tmp_path / "report.pdf"
    path.write_text(page("x", MADE, read(backup())), encoding="utf-8")
    browser.chromium("--no-pdf-header-footer", f"--print-to-pdf={pdf}", path.as_uri())
    assert pdf.read_bytes().startswith(b"%PDF-")
