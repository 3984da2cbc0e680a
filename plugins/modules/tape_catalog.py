#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_catalog.py, and the options are checked
# against CATALOG in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_catalog
short_description: Copy, import or rebuild the catalog of tapes
version_added: 1.0.0
description:
  - The catalog is on the tape host. This module copies it to other hosts, imports such a copy, or rebuilds it from the
    tapes.
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
  - plumbing.socketpipe.tape.metrics
attributes:
  action:
    support: full
  async:
    support: none
  become:
    support: none
    details:
      - C(become) is ignored. Use O(tape_become) for the tape host.
  check_mode:
    support: full
    details:
      - Does nothing.
  connection:
    support: full
  delegation:
    support: none
    details:
      - Always works on the tape host, whatever the task's host, so use C(run_once).
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
      - V(copy) - copy it to O(tape_catalog_hosts).
      - V(import) - import it from O(tape_catalog_from). The tape host must not have a catalog.
      - V(rebuild) - rebuild it from the tapes in the drives, then copy it to O(tape_catalog_hosts). The last file of
        each run on a tape is a copy of the catalog.
    type: str
    choices: [copy, import, rebuild]
    required: true
  tape_catalog_from:
    description:
      - The host to import the copy from.
    type: str
    default: ""
  tape_copy_of:
    description:
      - The tape host that the copy came from, if a new tape host replaces it. V(TAPEHOST.TIME) selects an older copy.
    type: str
    default: ""
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_info
"""

EXAMPLES = r"""
- name: Import the catalog from a copy
  plumbing.socketpipe.tape_catalog:
    mode: import
    tape_host: tape1
    tape_catalog_from: db1
  run_once: true

- name: Rebuild the catalog from the tapes in the drives
  plumbing.socketpipe.tape_catalog:
    mode: rebuild
    tape_host: tape1
  run_once: true
"""

RETURN = r"""
rebuilt:
  description: The number of archives on each tape, and how many of them were added to the catalog.
  returned: success
  type: list
  elements: dict
  sample: [{label: WEEK01, archives: 3, added: 1}]
notes:
  description: Warnings for the operator, such as a failed copy of the catalog.
  returned: success
  type: list
  elements: str
  sample: []
censored:
  description: With C(no_log). M(plumbing.socketpipe.report) then leaves out messages and commands.
  returned: with C(no_log)
  type: str
  sample: "no_log: true"
kind:
  description:
    - Why the task failed, for use in a playbook. RV(ignore:msg) has the message for people.
    - V(settings) - an option is missing or invalid.
    - V(unreachable) - a host is unreachable.
    - V(not connected) - the two hosts could not connect to each other.
    - V(busy) - another job or program uses the drive or the tape.
    - V(no tape) - no drive has a writable tape.
    - V(absent) - the tape is in no drive.
    - V(full) - the tape was full before the end of the archive.
    - V(too large) - the archive does not fit on a tape.
    - V(not found) - it is not in the catalog.
    - V(confirm) - data would be lost, and no option allows that.
    - V(other machine) - the machine-id of the host differs from that of its last archive.
    - V(damaged) - the data read differs from the data written.
    - V(unreadable) - the drive could not read or write the tape at this position.
    - V(loading) - the drive is still getting its tape ready.
    - V(no tool) - a program is not installed.
    - V(answer) - the program on a host gave an invalid answer.
    - V(newer) - a later version of the collection has written the tape or the catalog.
    - V(lost) - the play lost the host before its archive was started.
    - V(failed) - any other error, see RV(ignore:msg).
    - Or one of the kinds of RV(plumbing.socketpipe.pipe#module:cause.kind).
  returned: on failure
  type: str
  sample: busy
"""
