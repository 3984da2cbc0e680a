# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""awx_specs.py MODULE…: prints the options of modules of awx.awx as JSON, as each gives them to Ansible when it runs.

For the Python of requirements/community.txt.  No module gets further than that.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from ansible_collections.awx.awx.plugins.module_utils import controller_api  # in that environment

KEYS = ("type", "elements", "choices", "required", "aliases", "options")
LIMITS = ("mutually_exclusive", "required_if", "required_together", "required_one_of", "required_by")


class Told(Exception):
    """The module has said its options."""


def tell(_self: Any, argument_spec: dict[str, Any], **given: Any) -> None:
    """In place of the constructor of a module."""
    spec = {**controller_api.ControllerModule.AUTH_ARGSPEC, **argument_spec}
    options = {name: {key: option[key] for key in KEYS if key in option} for name, option in spec.items()}
    raise Told({"argument_spec": options, **{key: given[key] for key in LIMITS if given.get(key)}})


def main() -> int:
    controller_api.ControllerAPIModule.__init__ = tell
    found = {}
    for name in sys.argv[1:]:
        try:
            importlib.import_module(f"ansible_collections.awx.awx.plugins.modules.{name}").main()
        except Told as exc:
            (found[name],) = exc.args
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
