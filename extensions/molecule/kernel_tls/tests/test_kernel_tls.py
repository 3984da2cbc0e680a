# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""After converge: one host has the module, and loads it at boots; the container is as it was."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from verifying import db1, tapehost, test_no_process_of_ours_is_left

# they are tests and fixtures here, too
__all__ = ["db1", "tapehost", "test_no_process_of_ours_is_left"]

BOOT = "/etc/modules-load.d/socketpipe-tls.conf"


def test_a_host_has_the_module_and_loads_it_at_boots(tapehost: Any) -> None:
    file = tapehost.file(BOOT)
    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    assert file.content_string.splitlines()[-1] == "tls"
    assert tapehost.file("/sys/module/tls").is_directory


def test_a_container_is_as_it_was(db1: Any) -> None:
    assert not db1.file(BOOT).exists and not db1.file("/sys/module/tls").exists
