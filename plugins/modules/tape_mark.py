#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_mark.py, and the options are checked
# against MARK in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_mark
short_description: Retire a tape, or record where it lies
version_added: 1.0.0
description:
  - Records in the catalog that a tape is lost or worn out, that it is there again, or where it lies. Needs no drive.
  - The archives of a retired tape count no more. They are neither restored nor verified, and nothing is written to the
    tape. The next increment of a host that would be based on one of them becomes a level 0, with a warning. A restore
    that needs one names the tape, and the newest state that is left.
  - The entries of a retired tape stay in the catalog.
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
    support: full
  platform:
    platforms: linux
    support: full
options:
  tape_label:
    description:
      - The label of the tape.
    type: str
    required: true
  tape_reason:
    description:
      - Why the tape is retired, in a few words. If empty, it is not retired.
    type: str
    default: ""
  tape_found:
    description:
      - Whether a retired tape is there again. Its archives count again.
    type: bool
    default: false
  tape_location:
    description:
      - Where the tape lies while it is in no drive, in one word such as V(vault). Restores and backups that wait for
        the tape name it. If empty, the recorded one stays.
    type: str
    default: ""
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_info
"""

EXAMPLES = r"""
- name: Retire a lost tape
  plumbing.socketpipe.tape_mark:
    tape_host: tape1
    tape_label: WEEK01
    tape_reason: water damage
  run_once: true

- name: Record that a tape was taken away
  plumbing.socketpipe.tape_mark:
    tape_host: tape1
    tape_label: WEEK02
    tape_location: vault
  run_once: true
"""

RETURN = r"""
label:
  description: The label.
  returned: success
  type: str
  sample: WEEK01
archives:
  description: The number of archives that cannot be restored any more.
  returned: success
  type: int
  sample: 8
increments:
  description: Of these, the number of increments on other tapes.
  returned: success
  type: int
  sample: 2
hosts:
  description: The hosts of which no other archive can be restored. Back them up now.
  returned: success
  type: list
  elements: str
  sample: [db1]
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
