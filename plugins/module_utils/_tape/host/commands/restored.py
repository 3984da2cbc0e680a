# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""restored: records in the catalog that a host was restored; drill: the host to restore for a drill."""

from ...common.problem import NOT_FOUND, Problem
from ..catalog import increments, records, restores

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..catalog.records import Archive
    from ..session import Session


def restored(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """Raises Problem."""
    restores.note(session.catalog, args.host, session.settings.set, args.kind, not args.failed)
    return {}


def drill(session: "Session", _args: "argparse.Namespace") -> "answers.Drill":
    """The host whose last good drill is the longest ago, of those that can be restored; raises Problem."""
    catalog, name = session.catalog, session.settings.set
    groups: "dict[str, list[Archive]]" = {}
    for archive in catalog.archives():
        if archive["set"] == name and archive["state"] in (records.GOOD, records.LOST):
            groups.setdefault(archive["host"], []).append(archive)
    hosts = [host for host, archives in groups.items() if increments.complete(archives)]
    if not hosts:
        what = "no host has an archive of set %s that can be restored" % name
        raise Problem(what, "; ".join(catalog.warnings()) or "back up first", kind=NOT_FOUND)
    known = restores.load(catalog)
    last = {host: known.get((host, name), {}).get(restores.DRILLED) for host in hosts}
    # a failed drill is no reason to leave a host alone
    times = {host: drilled["time"] if drilled and drilled["ok"] else "" for host, drilled in last.items()}
    host = min(hosts, key=lambda each: (times[each], each))
    return {"host": host, "last": last[host]}
