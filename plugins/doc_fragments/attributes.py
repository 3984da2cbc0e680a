# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The descriptions of attributes, shared by all modules.  Each module documents its own level of support.

This documentation fragment is private to the collection and may change at any time.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: the standard one, and one for each group of attributes."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description:
      - Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
      - This assumes that the system controlled/queried by the module has not changed in a relevant way.
  platform:
    description:
      - Target OS/families that can be operated against.
      - The hosts need Python 3.6 or later.
"""

    CONN = r"""
options: {}
attributes:
  become:
    description: Is usable alongside C(become) keywords.
  connection:
    description: Uses the target's configured connection information to execute code on it.
  delegation:
    description: Can be used in conjunction with C(delegate_to) and related keywords.
"""

    FACTS = r"""
options: {}
attributes:
  facts:
    description: Action returns an C(ansible_facts) dictionary that will update existing host facts.
"""

    FLOW = r"""
options: {}
attributes:
  action:
    description:
      - Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
  async:
    description: Supports being used with the C(async) keyword.
"""

    ACTIONGROUP_ALL = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/plumbing.socketpipe.all) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - plumbing.socketpipe.all
"""

    ACTIONGROUP_TAPE = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/plumbing.socketpipe.tape) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - plumbing.socketpipe.tape
"""
