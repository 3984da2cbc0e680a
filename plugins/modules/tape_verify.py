#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_verify.py, and the options are checked
# against VERIFY in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_verify
short_description: Read archives on tape again
version_added: 0.1.0
description:
  - Reads each archive from its tape, and compares its length and its SHA-256 with what its host has reported. C(tar)
    must be able to list it. The catalog keeps the result.
  - Prints a table. Fails if an archive is not what was written, or if there is none to read.
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
      - Reads nothing.
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
      - Only archives on the tape of this label.
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
- name: Verify what is on a tape
  plumbing.socketpipe.tape_verify:
    tape_host: tape1
    tape_of_tape: WEEK01
  run_once: true
"""

RETURN = r"""
verified:
  description: The archives that are as they were written.
  returned: success, or an archive is not
  type: list
  elements: dict
  sample: [{run: 20261125T232035Z, host: db1, set: all, level: 0, tape: WEEK01, file: 1, bytes: 1048576, elapsed: 0.5}]
damaged:
  description: The archives that are not. If there are any, the task has failed.
  returned: success, or an archive is not as it was written
  type: list
  elements: dict
  sample: []
not_verified:
  description: The archives whose tape is in no drive, and which were not read.
  returned: success, or an archive is not as it was written
  type: list
  elements: dict
  sample: []
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
