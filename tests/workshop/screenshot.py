# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of a report in the documentation, made by Chromium: python -m tests.workshop.screenshot

The results are those of the tests of reports.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .pictures import FOLDER
from .venvs import BUILD

SIZE = "1120,1376"


def main() -> int:
    sys.path.insert(0, str(BUILD / "tree"))
    from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._report_page import page
    from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._report_read import read
    from ansible_collections.plumbing.socketpipe.tests.unit import browser, reports

    report = read(("", each) for each in [reports.finished(), *reports.backups(), reports.catalog()])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(page(report.subject, "2026-11-26T16:00:00Z", report), encoding="utf-8")
        browser.chromium(f"--window-size={SIZE}", f"--screenshot={FOLDER / 'report.png'}", path.as_uri())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
