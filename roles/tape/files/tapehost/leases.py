# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lease keeps a tape for a run while none of its archives is being written."""

import contextlib
import os
import time

import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from catalog import Catalog
    from settings import Settings


def path(catalog: "Catalog", label: str) -> str:
    return os.path.join(catalog.folder, "leases", label + ".json")


def read(catalog: "Catalog", label: str) -> "dict[str, Any] | None":
    """Whose tape it is: {run, until}; None if it is nobody's."""
    lease = load(catalog, label)
    return lease if lease and lease["until"] > time.time() else None


def load(catalog: "Catalog", label: str) -> "dict[str, Any] | None":
    """What is written, if it can be read: it is not worth a failure."""
    try:
        return dict(files.read_json(path(catalog, label)) or {}) or None
    except ValueError:
        return None


def has_any(catalog: "Catalog", run: str) -> bool:
    held = (read(catalog, tape["label"]) for tape in catalog.tapes())
    return any(lease and lease["run"] == run for lease in held)


def renew(settings: "Settings", catalog: "Catalog", label: str, run: str) -> None:
    files.write_json(path(catalog, label), {"run": run, "until": time.time() + settings.lease})


def drop(catalog: "Catalog", label: str, run: str) -> None:
    """If it is this run's."""
    lease = load(catalog, label)
    if lease and lease["run"] == run:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path(catalog, label))
