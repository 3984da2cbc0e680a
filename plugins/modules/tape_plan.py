#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_plan.py, and the options are checked
# against PLAN in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_plan
short_description: Plan a run of tape backups
version_added: 0.1.0
description:
  - Looks at the drives and at what is in them, chooses the level and the base of each host's archive, and says whether
    it can work. Nothing is written to a tape, and no host's C(tar) is started.
  - What it returns is the O(plumbing.socketpipe.tape_backup#module:plan) of M(plumbing.socketpipe.tape_backup) and of
    M(plumbing.socketpipe.tape_finish).
  - Fails under a strategy that runs a task of C(run_once) for each host, such as C(free).
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
      - The run gets no name of its own.
  connection:
    support: full
  delegation:
    support: none
    details:
      - The work is done on the tape host, whichever host the task is for, so use C(run_once).
  diff_mode:
    support: none
  facts:
    support: full
  idempotent:
    support: full
    details:
      - A run that was planned, and not begun, leaves nothing on a tape.
  platform:
    platforms: linux
    support: full
options:
  hosts:
    description:
      - The hosts to back up, by name, or each as a mapping with C(host), C(tape_level), C(tape_set), C(tape_host) and
        C(tape_paths). Without C(tape_level) it is level 0.
      - A tape host whose C(tape_paths) is empty is left out.
    type: list
    elements: raw
    required: true
  pattern:
    description:
      - The pattern that the hosts were chosen by. One that no host matches fails the task.
    type: str
    default: ""
  tape_resume:
    description:
      - A run that did not get to its end. What it has good archives of is not written again.
    type: str
    default: ""
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_backup
  - module: plumbing.socketpipe.tape_finish
"""

EXAMPLES = r"""
- name: Plan
  plumbing.socketpipe.tape_plan:
    hosts: "{{ ansible_play_batch }}"
    tape_host: tape1
  run_once: true
  register: planned

- name: Plan an increment of one host
  plumbing.socketpipe.tape_plan:
    hosts:
      - host: db1
        tape_level: 1
  run_once: true
  register: increment
"""

RETURN = r"""
run:
  description: The name of the run.
  returned: success
  type: str
  sample: 20261125T232035Z
began:
  description: When it was planned, in seconds since 1970.
  returned: success
  type: float
  sample: 1795648835.1
tape_host:
  description: The tape host.
  returned: success
  type: str
  sample: tape1
tape_set:
  description: The set.
  returned: success
  type: str
  sample: all
hosts:
  description: Of each host its level, its base, what its last archive was like, and why it cannot be backed up, if so.
  returned: success
  type: dict
  sample:
    db1: {level: 0, base: null, keep: [], bytes: 1048576, elapsed: 0.5, room: null, problem: ""}
order:
  description: The hosts in the order in which they should be backed up, those that took longest last time first.
  returned: success
  type: list
  elements: str
  sample: [db1]
drives:
  description: What is in each drive, and whether it may be written.
  returned: success
  type: list
  elements: dict
  sample: [{device: /dev/nst0, label: WEEK01, state: append, free: null, message: "", file: 3}]
writers:
  description: How many hosts can be backed up at once, for C(throttle).
  returned: success
  type: int
  sample: 1
tapes:
  description: How many tapes the archives need, null if that is not known.
  returned: success
  type: int
  sample: 1
fits:
  description: A sentence that says so.
  returned: success
  type: str
  sample: "3 archives, 12.0 GiB: fits on the tape"
ansible_facts:
  description: The fact C(socketpipe_order) is RV(order), for the C(hosts) of a next play.
  returned: success
  type: dict
  contains:
    socketpipe_order:
      description: The hosts in the order of the plan.
      returned: success
      type: list
      elements: str
      sample: [db1]
notes:
  description: What a person should know, such as a level that became 0.
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
