# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what each task came to as a line of JSON, for tests: what a callback sees is what a user sees."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record
type: aggregate
short_description: one JSON line a result, for tests
description: Writes the results to the file that SOCKETPIPE_TEST_RECORD names.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.path = os.environ.get("SOCKETPIPE_TEST_RECORD", os.devnull)
        self.play = ""

    def write(self, event: str, host: Any, task: Any, result: Any, **more: Any) -> None:
        line = {
            "event": event,
            "at": time.monotonic(),
            "play": self.play,
            "task": task.get_name(),
            "host": host.get_name(),
            "result": result,
            **more,
        }
        with open(self.path, "a", encoding="utf-8") as out:
            out.write(json.dumps(line, default=str) + "\n")

    def result(self, event: str, result: Any, **more: Any) -> None:
        self.write(event, result._host, result._task, result._result, **more)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self.play = play.get_name()

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self.write("start", host, task, {})

    def v2_runner_on_ok(self, result: Any) -> None:
        self.result("ok", result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self.result("failed", result, ignored=bool(ignore_errors))

    def v2_runner_on_skipped(self, result: Any) -> None:
        self.result("skipped", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self.result("unreachable", result)

    def v2_runner_retry(self, result: Any) -> None:
        self.result("retry", result)
