# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The next tape: from a changer, or by a command of the site."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from catalog import Catalog
    from settings import Settings


def change(settings: "Settings", catalog: "Catalog", wanted: str, who: "dict[str, Any]") -> bool:
    """Get a tape that may do into an idle drive; False if there is no way to."""
    return False
