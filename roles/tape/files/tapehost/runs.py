# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of runs."""

import contextlib
import os
import time

import files
from units import STAMP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from catalog import Catalog

REMEMBERED = 86400  # seconds that a name is kept from being taken twice; the time goes on


def new_run(catalog: "Catalog", dry: bool) -> str:
    """The time; of two jobs that begin in the same second, one has a name that is a second later."""
    folder = os.path.join(catalog.folder, "runs")
    now = time.time()
    if dry:
        return time.strftime(STAMP, time.gmtime(now))
    files.make_folder(folder)
    for old in os.listdir(folder):
        if old < time.strftime(STAMP, time.gmtime(now - REMEMBERED)):
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(folder, old))
    while True:
        name = time.strftime(STAMP, time.gmtime(now))
        try:
            os.mkdir(os.path.join(folder, name))
            return name
        except FileExistsError:
            now += 1
