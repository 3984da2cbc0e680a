#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_finish.py, and the options are checked
# against FINISH in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_finish
short_description: Finish a run of tape backups
version_added: 0.1.0
description:
  - Appends a copy of the catalog to each tape of the run, frees the tapes for others, and copies the catalog to
    O(tape_catalog_hosts).
  - Prints a table of all hosts, which is shown whatever the callback is told to leave out, with the command that tries
    again what failed. Values of extra variables that look like secrets are left out of it.
  - Sets the statistic C(tape_backup), an artifact for the next job of a workflow of AWX.
  - It never fails because of what happens on another host. What goes wrong is one of RV(notes).
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
  - plumbing.socketpipe.tape.set
  - plumbing.socketpipe.tape.writing
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
      - Says whether the estimated archives fit.
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
      - Appends the catalog each time.
  platform:
    platforms: linux
    support: full
options:
  plan:
    description:
      - What M(plumbing.socketpipe.tape_plan) has returned.
    type: dict
    required: true
  results:
    description:
      - What M(plumbing.socketpipe.tape_backup) has returned on each host. What is of another run, or no result, is
        ignored. A host of the plan without a result has failed.
    type: list
    elements: raw
    required: true
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_plan
  - module: plumbing.socketpipe.tape_backup
"""

EXAMPLES = r"""
- name: Finish
  plumbing.socketpipe.tape_finish:
    plan: "{{ planned }}"
    results: "{{ ansible_play_hosts_all | map('extract', hostvars) | map(attribute='archive', default={}) }}"
    tape_catalog_hosts: [db1]
  run_once: true
  register: finished
"""

RETURN = r"""
summary:
  description: Of the run. The statistic C(tape_backup) has the same, and RV(hosts), RV(resume) and the warnings.
  returned: success
  type: dict
  contains:
    run:
      description: Its name.
      type: str
    good:
      description: How many hosts have a good archive.
      type: int
    failed:
      description: How many have none.
      type: int
    bytes:
      description: The size of all archives.
      type: int
    tapes:
      description: The tapes that they are on.
      type: list
      elements: str
    elapsed:
      description: Seconds since the plan.
      type: int
hosts:
  description: Of each host whether it is well, C(ok), why not, C(msg), and the figures of its archive.
  returned: success
  type: dict
  sample:
    db1:
      {ok: true, msg: ok, state: good, level: 0, bytes: 1048576, elapsed: 0.5, rate: 2097152, tape: WEEK01, file: 1,
       kind: null, note: ""}
resume:
  description: The command that tries again what failed, empty if nothing did.
  returned: success
  type: str
  sample: ""
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
