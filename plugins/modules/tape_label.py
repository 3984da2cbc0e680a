#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_label.py, and the options are checked
# against LABEL in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_label
short_description: Label a tape
version_added: 0.1.0
description:
  - Writes a label to the tape in a drive. Only a tape with a label, which the catalog knows, is ever written to by a
    backup.
  - A tape that has something on it is refused, with what it is, and with the word that says that it may be lost.
author:
  - the plumbing.socketpipe contributors (!UNKNOWN)
extends_documentation_fragment:
  - plumbing.socketpipe.attributes
  - plumbing.socketpipe.attributes.actiongroup_tape
  - plumbing.socketpipe.attributes.conn
  - plumbing.socketpipe.attributes.facts
  - plumbing.socketpipe.attributes.flow
  - plumbing.socketpipe.tape
  - plumbing.socketpipe.tape.expiry
  - plumbing.socketpipe.tape.copies
  - plumbing.socketpipe.tape.reuse
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
    support: partial
    details:
      - Does not look at the tape.
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
      - Labels the tape each time.
  platform:
    platforms: linux
    support: full
options:
  tape_label:
    description:
      - The name that the tape gets, of letters, digits, V(-), V(_) and V(.), at most 64.
    type: str
    required: true
  tape_device:
    description:
      - The drive with the tape, where there are several.
    type: str
    default: ""
  tape_barcode:
    description:
      - The tape's barcode, by which a changer finds it.
    type: str
    default: ""
  tape_overwrite:
    description:
      - Says that what is on the tape may be lost. It is its barcode, or the fingerprint that the refusal names.
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
  description: What tells it from another tape of this name.
  returned: success
  type: str
  sample: 0123456789abcdef
barcode:
  description: The barcode.
  returned: success
  type: str
  sample: ""
block_size:
  description: The size of its blocks.
  returned: success
  type: int
  sample: 262144
labelled:
  description: When, in UTC.
  returned: success
  type: str
  sample: "2026-11-25T23:20:35Z"
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
