#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_plan.py, and the options are checked
# against PLAN in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_plan
short_description: Plan a run of tape backups
version_added: 1.0.0
description:
  - Checks the drives and their tapes, and chooses the level and the base of each host's archive. It writes nothing to a
    tape and does not start C(tar) on any host.
  - Pass its result as O(plumbing.socketpipe.tape_backup#module:plan) to M(plumbing.socketpipe.tape_backup) and
    M(plumbing.socketpipe.tape_finish).
  - Fails under a strategy that ignores C(run_once), such as C(free).
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
  - plumbing.socketpipe.tape.notify
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
      - Does not reserve a name for the run.
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
    details:
      - A run that was planned but not started leaves nothing on a tape.
  platform:
    platforms: linux
    support: full
options:
  hosts:
    description:
      - The hosts to back up, by name, or each as a mapping with C(host), C(tape_level), C(tape_set), C(tape_host) and
        C(tape_paths). C(tape_level) defaults to 0.
      - A tape host with empty C(tape_paths) is skipped.
    type: list
    elements: raw
    required: true
  pattern:
    description:
      - The pattern that selected the hosts. The task fails if no host matches it.
    type: str
    default: ""
  tape_resume:
    description:
      - The name of an unfinished run to resume. Its good archives are not written again.
    type: str
    default: ""
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_backup
  - module: plumbing.socketpipe.tape_finish
"""

EXAMPLES = r"""
- name: Plan the run
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
resumed:
  description: Whether O(tape_resume) names it.
  returned: success
  type: bool
  sample: false
began:
  description: When it was planned, in seconds since the epoch.
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
  description: For each host its level, base, last archive, and in C(problem) what prevents a backup.
  returned: success
  type: dict
  sample:
    db1: {level: 0, base: null, keep: [], bytes: 1048576, elapsed: 0.5, room: null, problem: ""}
order:
  description: The hosts in the order to back them up. Those that took longest last time come first.
  returned: success
  type: list
  elements: str
  sample: [db1]
drives:
  description: The tape in each drive, and whether it can be written.
  returned: success
  type: list
  elements: dict
  sample: [{device: /dev/nst0, label: WEEK01, state: append, free: null, message: "", file: 3}]
writers:
  description: The number of hosts to back up at once, for C(throttle).
  returned: success
  type: int
  sample: 1
tapes:
  description: The number of tapes that the archives need, null if unknown.
  returned: success
  type: int
  sample: 1
fits:
  description: A message that says whether the archives fit.
  returned: success
  type: str
  sample: "3 archives, 12.0 GiB: fits on the tape"
notes:
  description: Warnings for the operator, such as a level that became 0.
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
