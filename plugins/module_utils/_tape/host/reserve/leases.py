# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases: a lease reserves a tape for a run between its archives."""

import contextlib
import os
import time

from ...common import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..catalog.catalog import Catalog
    from ..settings import Settings


def folder(catalog: "Catalog") -> str:
    return os.path.join(catalog.folder, "leases")


def path(catalog: "Catalog", label: str) -> str:
    return os.path.join(folder(catalog), label + ".json")


def read(catalog: "Catalog", label: str) -> "dict[str, Any] | None":
    """The lease of a tape, {run, until}; None if it has none."""
    lease = load(catalog, label)
    return lease if lease and lease["until"] > time.time() else None


def load(catalog: "Catalog", label: str) -> "dict[str, Any] | None":
    """The content of a lease, None if unreadable, which is no failure."""
    try:
        lease = files.read_json(path(catalog, label))
        return {"run": str(lease["run"]), "until": float(lease["until"])}
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def of_run(catalog: "Catalog", run: str) -> "list[str]":
    """The tapes leased to a run."""
    held = {label: read(catalog, label) for label in leased(catalog)}
    return [label for label, lease in held.items() if lease and lease["run"] == run]


def leased(catalog: "Catalog") -> "list[str]":
    """All tapes with a lease, even an expired one."""
    try:
        return sorted(name[: -len(".json")] for name in os.listdir(folder(catalog)) if name.endswith(".json"))
    except FileNotFoundError:
        return []


def renew(settings: "Settings", catalog: "Catalog", label: str, run: str) -> None:
    files.write_json(path(catalog, label), {"run": run, "until": time.time() + settings.lease})


def drop(catalog: "Catalog", run: str) -> None:
    """Release all tapes of a run."""
    for label in leased(catalog):
        lease = load(catalog, label)
        if lease and lease["run"] == run:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path(catalog, label))
