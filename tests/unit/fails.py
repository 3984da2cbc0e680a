# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a test double does that is told to fail."""

from __future__ import annotations

from typing import NoReturn


def fail(error: BaseException) -> NoReturn:
    raise error
