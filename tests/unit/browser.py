# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A page in headless Chromium: its document, the messages of its console, and what it asked for."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
QUIET = [  # of what the browser does by itself; nothing gets out, because no name has an address
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"),
]
LONG = 300  # seconds after which something is wrong with the browser
OF_THE_BROWSER = "not an origin"  # who asks, of requests that are not a page's


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the browser has made of a page."""

    document: str
    console: list[str]
    requests: list[str]


def chromium(*words: str | Path) -> subprocess.CompletedProcess[str]:
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=LONG, check=True)


def show(page: Path) -> Shown:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "net.json"
        done = chromium(f"--log-net-log={log}", "--dump-dom", page.as_uri())
        events = json.loads(log.read_text(encoding="utf-8"))["events"]
    asked = [event["params"] for event in events if "url" in event.get("params", {})]
    requests = [each["url"] for each in asked if each.get("initiator", OF_THE_BROWSER) != OF_THE_BROWSER]
    return Shown(done.stdout, re.findall(r":CONSOLE[:(]\d+\)?\] (.*)", done.stderr), requests)
