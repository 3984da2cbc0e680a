#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_verify.py, and the options are checked
# against VERIFY in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_verify
short_description: Verify archives on tape
version_added: 1.0.0
description:
  - Reads each archive from its tape, and compares its length and its SHA-256 with those that its host reported. C(tar)
    must be able to list it. The catalog records the result.
  - Prints a table. Fails if an archive is damaged, if its tape is in no drive, or if there is no archive to read.
author:
  - the plumbing.socketpipe contributors (!UNKNOWN)
extends_documentation_fragment:
  - plumbing.socketpipe.attributes
  - plumbing.socketpipe.attributes.actiongroup_tape
  - plumbing.socketpipe.attributes.conn
  - plumbing.socketpipe.attributes.facts
  - plumbing.socketpipe.attributes.flow
  - plumbing.socketpipe.tape
  - plumbing.socketpipe.tape.lines
  - plumbing.socketpipe.tape.copies
  - plumbing.socketpipe.tape.metrics
attributes:
  action:
    support: full
  async:
    support: full
    details:
      - The verification goes on without the controller. The task's host keeps the result, and has a connection to the
        tape host.
      - The catalog is not copied to O(tape_catalog_hosts), as RV(notes) says.
  become:
    support: none
    details:
      - C(become) is ignored. Use O(tape_become) for the tape host.
  check_mode:
    support: full
    details:
      - Reads nothing.
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
      - Reads the archives each time.
  platform:
    platforms: linux
    support: full
options:
  tape_of_run:
    description:
      - Only archives of this run.
    type: str
    default: ""
  tape_of_tape:
    description:
      - Only archives on the tape with this label.
    type: str
    default: ""
  tape_of_host:
    description:
      - Only archives of this host.
    type: str
    default: ""
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_restore
"""

EXAMPLES = r"""
- name: Verify all archives on a tape
  plumbing.socketpipe.tape_verify:
    tape_host: tape1
    tape_of_tape: WEEK01
  run_once: true
"""

RETURN = r"""
verified:
  description: The good archives.
  returned: success, or an archive is damaged or not read
  type: list
  elements: dict
  sample: [{run: 20261125T232035Z, host: db1, set: all, level: 0, tape: WEEK01, file: 1, bytes: 1048576, elapsed: 0.5}]
damaged:
  description: The damaged archives. If there are any, the task fails.
  returned: success, or an archive is damaged or not read
  type: list
  elements: dict
  sample: []
not_verified:
  description: The archives that were not read because their tape is in no drive.
  returned: success, or an archive is damaged or not read
  type: list
  elements: dict
  sample: []
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
