# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""restored: records in the catalog that a host was restored."""

from ..catalog import restores

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..session import Session


def restored(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """Raises Problem."""
    restores.note(session.catalog, args.host, session.settings.set, args.kind, not args.failed)
    return {}
