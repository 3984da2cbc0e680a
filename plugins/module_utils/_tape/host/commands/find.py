# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""find: lists the archives that contain a file."""

import itertools
import zlib

from ..catalog import lists, records

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ... import answers
    from ..session import Session

FOUND_MOST = 200  # results of a search; more would be too long to read


def find(session: "Session", args: "argparse.Namespace") -> "answers.Found":
    """The archives that contain a path or match a shell pattern, newest first."""
    catalog = session.catalog
    wanted = args.path.strip("/").encode("utf-8", "surrogateescape")
    found: "list[Any]" = []
    more = False
    unread = []
    for archive in reversed(catalog.archives(args.host)):
        if archive["state"] != records.GOOD:
            continue
        if archive.get("source"):
            continue
        if archive.get("unlisted"):
            unread.append("%s of run %s (it is encrypted)" % (archive["host"], archive["run"]))
            continue
        try:
            matches = lists.search(catalog, archive, wanted)
            names_of_it = list(itertools.islice(matches, FOUND_MOST + 1 - len(found)))
        except (OSError, EOFError, zlib.error):
            unread.append("%s of run %s" % (archive["host"], archive["run"]))
            continue
        entry: "Any" = {key: archive[key] for key in ("host", "set", "run", "time", "level", "tape", "file")}
        more = len(found) + len(names_of_it) > FOUND_MOST
        found += [
            dict(entry, path="/" + name.decode("utf-8", "backslashreplace"))
            for name in names_of_it[: FOUND_MOST - len(found)]
        ]
        if more:
            break
    return {"found": found, "more": more, "unread": unread, "warnings": catalog.warnings()}
