#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_catalog.py, and the options are checked
# against CATALOG in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_catalog
short_description: Copy, import or rebuild the catalog of tapes
version_added: 0.1.0
description:
  - The catalog is on the tape host. This copies it to other hosts, imports such a copy, or reads it from the tapes.
author:
  - the plumbing.socketpipe contributors (!UNKNOWN)
extends_documentation_fragment:
  - plumbing.socketpipe.attributes
  - plumbing.socketpipe.attributes.actiongroup_tape
  - plumbing.socketpipe.attributes.conn
  - plumbing.socketpipe.attributes.facts
  - plumbing.socketpipe.attributes.flow
  - plumbing.socketpipe.tape
  - plumbing.socketpipe.tape.copies
attributes:
  action:
    support: full
  async:
    support: none
  become:
    support: none
    details:
      - C(become) is not used. For the tape host there is O(tape_become).
  check_mode:
    support: full
    details:
      - Does nothing.
  connection:
    support: full
  delegation:
    support: none
    details:
      - The work is done on the tape host, whichever host the task is for, so use C(run_once).
  diff_mode:
    support: none
  facts:
    support: none
  idempotent:
    support: none
    details:
      - Copies, imports or rebuilds each time.
  platform:
    platforms: linux
    support: full
options:
  mode:
    description:
      - V(copy) - to O(tape_catalog_hosts).
      - V(import) - from O(tape_catalog_from), to a tape host that has no catalog.
      - V(rebuild) - from the tapes in the drives, each of which has a copy of the catalog as the last file of each run,
        and then copy it.
    type: str
    choices: [copy, import, rebuild]
    required: true
  tape_catalog_from:
    description:
      - The host whose copy is imported.
    type: str
    default: ""
  tape_copy_of:
    description:
      - The tape host that the copy is of, where another one takes its place.
    type: str
    default: ""
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_info
"""

EXAMPLES = r"""
- name: Bring the catalog back
  plumbing.socketpipe.tape_catalog:
    mode: import
    tape_host: tape1
    tape_catalog_from: db1
  run_once: true

- name: Read the tapes in the drives
  plumbing.socketpipe.tape_catalog:
    mode: rebuild
    tape_host: tape1
  run_once: true
"""

RETURN = r"""
rebuilt:
  description: How many archives each tape has, and how many of them the catalog did not know.
  returned: success
  type: list
  elements: dict
  sample: [{label: WEEK01, archives: 3, added: 1}]
notes:
  description: What a person should know, such as a copy of the catalog that failed.
  returned: success
  type: list
  elements: str
  sample: []
kind:
  description:
    - Why the task failed, for whoever decides what to do next. The sentence for people is RV(ignore:msg).
    - V(settings) - the options cannot be meant.
    - V(unreachable) - a host could not be reached.
    - V(not connected) - the two hosts could not reach each other.
    - V(busy) - somebody else has the drive or the tape.
    - V(no tape) - no drive has a tape that may be written.
    - V(absent) - the tape is in no drive.
    - V(full) - the tape was full before the archive's end.
    - V(too large) - the archive fits on no tape.
    - V(not found) - the catalog does not have it.
    - V(confirm) - something would be lost, and nobody has said that it may.
    - V(machine) - the host is another machine than its last archive is of.
    - V(damaged) - it is not what was written.
    - V(lost) - the play lost the host before its archive was begun.
    - V(failed) - RV(ignore:msg) says why.
    - Or one of the kinds of RV(plumbing.socketpipe.pipe#module:cause.kind).
  returned: on failure
  type: str
  sample: busy
"""
