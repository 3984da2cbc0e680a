#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_label.py, and the options are checked
# against LABEL in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_label
short_description: Label a tape
version_added: 1.0.0
description:
  - Writes a label to the tape in a drive. Backups only write to labelled tapes in the catalog.
  - Refuses a tape with data. The message names the contents, and prints the value of O(tape_overwrite) that would
    overwrite them.
author:
  - the plumbing.socketpipe contributors (!UNKNOWN)
extends_documentation_fragment:
  - plumbing.socketpipe.attributes
  - plumbing.socketpipe.attributes.actiongroup_tape
  - plumbing.socketpipe.attributes.conn
  - plumbing.socketpipe.attributes.facts
  - plumbing.socketpipe.attributes.flow
  - plumbing.socketpipe.tape
  - plumbing.socketpipe.tape.packing
  - plumbing.socketpipe.tape.expiry
  - plumbing.socketpipe.tape.copies
  - plumbing.socketpipe.tape.metrics
  - plumbing.socketpipe.tape.reuse
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
    support: partial
    details:
      - Does not check the tape.
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
      - Labels the tape each time.
  platform:
    platforms: linux
    support: full
options:
  tape_filter:
    description:
      - As for M(plumbing.socketpipe.tape_backup). The label of the tape gets the commands that undo it, for people who
        read the tape without this collection.
    type: raw
    default: []
  tape_label:
    description:
      - The name for the tape, at most 64 characters of letters, digits, V(-), V(_) and V(.).
    type: str
    required: true
  tape_device:
    description:
      - The drive that has the tape. Required if there are several drives.
    type: str
    default: ""
  tape_barcode:
    description:
      - The barcode of the tape. A changer finds the tape by it.
    type: str
    default: ""
  tape_overwrite:
    description:
      - Confirms that the data on the tape may be overwritten. Give the barcode of the tape, or the fingerprint that the
        refusal printed.
    type: str
    default: ""
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_info
"""

EXAMPLES = r"""
- name: Label a tape
  plumbing.socketpipe.tape_label:
    tape_host: tape1
    tape_label: WEEK01
  run_once: true
"""

RETURN = r"""
label:
  description: The label.
  returned: success
  type: str
  sample: WEEK01
id:
  description: A random identifier, to distinguish tapes of the same name.
  returned: success
  type: str
  sample: 0123456789abcdef
barcode:
  description: The barcode.
  returned: success
  type: str
  sample: ""
block_size:
  description: Its block size in bytes.
  returned: success
  type: int
  sample: 262144
labelled:
  description: When it was labelled, in UTC.
  returned: success
  type: str
  sample: "2026-11-25T23:20:35Z"
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
