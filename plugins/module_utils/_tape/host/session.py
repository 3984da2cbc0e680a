# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of the program: settings, catalog, and the host and run that it works for."""

import os

from ..common.units import now_iso
from .catalog.catalog import Catalog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .settings import Settings

NO_RUN = "-"


class Session:
    """The data that every command needs; a reserved drive refers to its session."""

    def __init__(self, settings: "Settings", catalog: "Catalog | None" = None, ahead: "float | None" = None):
        self.settings = settings
        self.ahead = ahead  # seconds by which the clock of this machine is ahead of the controller's
        self.catalog = catalog or Catalog(settings.catalog_dir)
        self.run = NO_RUN
        self.host = os.uname().nodename  # until it works for another host

    def of(self, run: str, host: str) -> "Session":
        """The same session for the run and host of an archive."""
        other = Session(self.settings, self.catalog, self.ahead)
        other.run, other.host = run, host
        return other

    def holder(self, what: str) -> "dict[str, Any]":
        """The holder of a reservation, as shown to other processes."""
        return {"what": what, "host": self.host, "run": self.run, "pid": os.getpid(), "since": now_iso()}
