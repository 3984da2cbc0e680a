# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin of pytest: a few tests that fail beside others are tried once more, in a session of their own.

As root, it goes before all others that run: what is red because the machine is busy then turns green.

python -m pytest -p tests.workshop.second_try ...

Where both fail, the session fails. Where the second try passes, the failure is shown in full and counted as "rerun" in
the closing line: such a test is to be mended. There is no second try for more than a few tests, nor for something that
a test has left behind. `make faults` has none: there, every run must be as it must be.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import pytest
from _pytest.terminal import TerminalReporter

MOST = 3  # tests
FIRST = ["nice", "-n", "-15"]  # nearly all of the processors
BEFORE_ITS_END = ("setup", "call")  # an error while a test is torn down: something was left behind


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.exitstatus != pytest.ExitCode.TESTS_FAILED or not isinstance(reporter, TerminalReporter):
        return  # a worker of xdist has no terminal
    red = [*reporter.stats.get("failed", []), *reporter.stats.get("error", [])]
    names = sorted({report.nodeid for report in red})
    if len(names) > MOST or any(getattr(report, "when", "") not in BEFORE_ITS_END for report in red):
        return
    if passes(session, names):
        forgive(reporter, names)
        session.exitstatus = pytest.ExitCode.OK


def passes(session: pytest.Session, names: list[str]) -> bool:
    with tempfile.NamedTemporaryFile("w", prefix="second-try-", encoding="utf-8") as listed:
        listed.write("\n".join(names))
        listed.flush()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"@{listed.name}"]
        command = [*FIRST, *command] if os.geteuid() == 0 else command
        done = subprocess.run(command, cwd=session.config.rootpath, capture_output=True, text=True, check=False)
    print(f"\n\nsecond try of {', '.join(names)}\n{done.stdout}{done.stderr}", flush=True)
    return done.returncode == pytest.ExitCode.OK


def forgive(reporter: TerminalReporter, names: list[str]) -> None:
    """Show what has failed, and count these tests as passed."""
    reporter.summary_errors()
    reporter.summary_failures()
    red = [*reporter.stats.pop("failed", []), *reporter.stats.pop("error", [])]
    first = {report.nodeid: report for report in reversed(red)}
    reporter.stats["rerun"] = list(first.values())
    reporter.stats.setdefault("passed", []).extend(first[name] for name in names)
