# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The last restore of each host and set: CATALOG/restores.json.

It is apart from the archives, because it must outlive them: a tape that is overwritten is no reason to forget it.
A damaged file only means that no restore is known.
"""

import os

from ...common import files
from ...common.problem import NEWER, UPGRADE, Problem
from ...common.units import now_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Tuple

    from .catalog import Catalog
    from .records import Verified

    Restores = Dict[Tuple[str, str], Dict[str, Verified]]

NAME = "restores.json"
FORMAT = 1
RESTORED = "restored"  # files were restored
DRILLED = "drilled"  # everything was restored to a scratch directory, and compared
KINDS = (RESTORED, DRILLED)


def path(folder: str) -> str:
    return os.path.join(folder, NAME)


def load(catalog: "Catalog") -> "Restores":
    """{(host, set): {kind: time and result}}; raises Problem for a format of a later version of the collection."""
    try:
        content = files.read_json(path(catalog.folder))
        number = content["format"] if content else FORMAT
        if isinstance(number, int) and number > FORMAT:
            raise newer(path(catalog.folder), number)
        found: "Restores" = {}
        for host, sets in (content["hosts"] if content else {}).items():
            for name, kinds in sets.items():
                found[host, name] = {kind: checked(kinds[kind]) for kind in kinds if kind in KINDS}
        return found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def newer(where: str, number: int) -> "Problem":
    what = "%s has format %d, but this version of the collection reads only formats up to %d" % (where, number, FORMAT)
    return Problem(what, UPGRADE, kind=NEWER)


def checked(entry: "Any") -> "Verified":
    """An entry of the file; raises ValueError, KeyError, TypeError."""
    if not isinstance(entry["time"], str) or not isinstance(entry["ok"], bool):
        raise ValueError
    return {"time": entry["time"], "ok": entry["ok"]}


def note(catalog: "Catalog", host: str, name: str, kind: str, good: bool) -> None:
    """Record a restore of a host and set that ended now; raises Problem."""
    with catalog.lock():
        known = load(catalog)
        known.setdefault((host, name), {})[kind] = {"time": now_iso(), "ok": good}
        hosts: "dict[str, Any]" = {}
        for (each, of_set), kinds in known.items():
            hosts.setdefault(each, {})[of_set] = kinds
        files.write_json(path(catalog.folder), {"format": FORMAT, "hosts": hosts})
