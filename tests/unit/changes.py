# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of what is shipped, for tests of something else than what is shipped."""

from __future__ import annotations

from collections.abc import Iterable

Change = tuple[str, str, str]  # (module, old text, new text)


def changed(sources: dict[str, str], changes: Iterable[Change]) -> dict[str, str]:
    """{package.module: its source} with these changes; each must apply exactly once."""
    found = dict(sources)
    whole = {name.rpartition(".")[2]: name for name in sources}
    for module, old, new in changes:
        name = whole[module]
        if found[name].count(old) != 1:
            raise LookupError("%r is %d times in %s.py" % (old, found[name].count(old), module))
        found[name] = found[name].replace(old, new)
    return found
