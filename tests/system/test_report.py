# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports over ssh: of pipes on the controller, and of the role tape on the tape host."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from tests.hosts import Fleet

from . import playbook, taping
from .playbook import pipe
from .taping import Site

EVIL = "<script>alert(1)</script>"
REPORT = "plumbing.socketpipe.report"


FLEET = taping.HOSTS


def rows(path: Path) -> list[list[str]]:
    """The cells of all rows of a report."""
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text and text.endswith("</html>\n")
    found = [re.findall("<td.*?</td>", row) for row in re.findall("<tr.*?</tr>", text)]
    return [[html.unescape(re.sub("<.*?>", "", cell)) for cell in row] for row in found if row]


def test_pipes_of_a_fleet(fleet: Fleet, work: Path) -> None:
    """One host fails, with a script on its standard error. What has no_log is not there, and check mode writes none."""
    path = work / "report.html"
    dies = {"shell": f"if test $HOST = h2; then echo '{EVIL}' >&2; exit 3; fi; exec cat >&2"}
    tasks = [
        {**pipe(input="echo hello", remote=dies, progress=0), "register": "said", "ignore_errors": True},
        {**pipe(input="echo s3cret", remote="cat"), "register": "hidden", "no_log": True},
        {**pipe(input="echo {{ item }}", remote="cat"), "register": "looped", "loop": ["one", "two"]},
        {REPORT: {"registered": ["said", "hidden", "looped"], "dest": str(path)}, "run_once": True},
        {REPORT: {"registered": ["said", "hidden", "looped"], "dest": str(path)}, "run_once": True},
    ]
    keywords = {"environment": {"HOST": "{{ inventory_hostname }}"}}
    checked = playbook.run(fleet, tasks, args=["--check"], hosts="h1,h2", play=keywords)
    assert checked.of("task 4").result["changed"] and not path.exists()
    done = playbook.run(fleet, tasks, hosts="h1,h2", play=keywords)
    first, second = done.of("task 4").result, done.of("task 5").result
    assert (first["changed"], second["changed"], first["dest"]) == (True, False, str(path))
    assert first["msg"] == f"report on 2 hosts, 1 failed: {path}" and path.stat().st_mode & 0o777 == 0o600
    assert [(row[0], row[1]) for row in rows(path)] == [
        *(("h1", "ok"), ("h1", "ok"), ("h1", "ok"), ("h1", "ok")),
        *(("h2", "failed"), ("h2", "ok"), ("h2", "ok"), ("h2", "ok")),
    ]
    text = path.read_text(encoding="utf-8")
    assert html.escape(EVIL, quote=False) in text and "s3cret" not in text and "no_log hides the details" in text
    assert re.search(r"ansible-playbook -i \S+ \S+\.yml --limit h2<", text)


def test_a_report_of_each_backup(site: Site) -> None:
    """On the tape host, with the hosts that failed and the catalog; without it the backup is as good."""
    folder = site.top / "reports"
    own = {"h1": {"tape_paths": [f"/no/{EVIL}"]}}
    given: dict[str, Any] = {"tape_report_dir": str(folder), "tape_report_keep": 1, "tape_capacity": "100M"}
    checked = site.run("backup", own=own, rc=2, args=["--check"], **given)
    assert taping.result(checked, "Write the report")["changed"] and not folder.exists()
    site.run("backup", own=own, rc=2, **given)
    (run,) = {archive["run"] for archive in site.archives()}
    path = folder / f"report-{run}.html"
    assert {each.name for each in folder.iterdir()} == {path.name, "latest.html"}
    assert path.stat().st_mode & 0o777 == 0o600
    text, found = path.read_text(encoding="utf-8"), rows(path)
    assert [row[:2] for row in found if row[1] in ("good", "failed", "left out")] == [
        ["h1", "failed"],
        ["h2", "good"],
        ["tape1", "left out"],
    ]
    assert re.search(rf"-e tape_resume={run} --limit h1<", text) and html.escape(EVIL, quote=False) in text
    assert f"h2 on {site.tape()}: " in text, "the drive"
    assert [row[2] for row in found if row[0] == "WEEK01"] == ["1 % full1 %"]

    # the next one replaces it
    taping.next_second()
    done = site.run("backup", **given)
    assert taping.result(done, "Write the report")["removed"] == [path.name]
    assert [row[:2] for row in rows(folder / "latest.html")][:2] == [["h1", "good"], ["h2", "good"]]

    # a report that cannot be written is a failed task, and no host fails
    done = site.run("backup", tape_report_dir="/proc/no")
    assert "/proc/no" in taping.result(done, "Write the report")["msg"]
    assert sorted(site.states()[-2:]) == [("h1", 0, "good"), ("h2", 0, "good")]
