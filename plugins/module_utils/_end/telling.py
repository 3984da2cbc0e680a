# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage that is a program of this collection, which says what it waits for; it is shipped only for such a stage."""

from .stage import Stage

NOW = "now: "  # begins such a line on its standard error, as in _tape/common/now.py


class Telling(Stage):
    """Samples have what it has said last."""

    @property
    def doing(self) -> str:  # type: ignore[override]  # nobody sets it
        said = self.stderr.data.decode("utf-8", "replace") if self.stderr else ""
        return next((line[len(NOW) :] for line in reversed(said.splitlines()) if line.startswith(NOW)), "")
