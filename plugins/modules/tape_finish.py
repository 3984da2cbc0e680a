#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_finish.py, and the options are checked
# against FINISH in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_finish
short_description: Finish a run of tape backups
version_added: 1.0.0
description:
  - Appends a copy of the catalog to each tape of the run, releases the tapes, and copies the catalog to
    O(tape_catalog_hosts).
  - Prints a table of all hosts, whatever the callback's display settings, and the command to retry the failed hosts.
    The command omits values of extra variables that look like secrets. With C(no_log), nothing is printed. Of the
    results of tasks with C(no_log), the table, the statistic and the notification have no messages and no notes.
  - Sets the statistic C(tape_backup), in AWX an artifact for the next job of a workflow.
  - Never fails because of an error on another host. Such errors are reported in RV(notes).
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
  - plumbing.socketpipe.tape.metrics
  - plumbing.socketpipe.tape.reuse
  - plumbing.socketpipe.tape.set
  - plumbing.socketpipe.tape.writing
  - plumbing.socketpipe.tape.notify
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
      - Reports whether the estimated archives fit.
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
      - Appends a copy of the catalog each time.
  platform:
    platforms: linux
    support: full
options:
  tape_eject:
    description:
      - Whether to eject the tapes of the run. A changer moves each to its slot, or to O(tape_eject_to). A failure is a
        warning in RV(notes).
    type: bool
    default: false
  tape_eject_to:
    description:
      - Where a changer moves an ejected tape.
      - V(slot) - to its slot.
      - V(mail_slot) - to a free import/export slot, from where a person takes it. If there is none, it goes to its
        slot, with a warning.
    type: str
    choices: [slot, mail_slot]
    default: slot
  tape_max_age:
    description:
      - The greatest age of the last good archive of a host, such as V(2d). An older one is C(late) in C(last_good) of
        RV(hosts), with a warning in RV(notes). If empty, there is no limit.
    type: str
    default: ""
  plan:
    description:
      - The result of M(plumbing.socketpipe.tape_plan).
    type: dict
    required: true
  results:
    description:
      - The results of M(plumbing.socketpipe.tape_backup) on all hosts. Results of another run, and entries that are not
        results, are ignored. A host of the plan without a result counts as failed.
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
- name: Finish the run
  plumbing.socketpipe.tape_finish:
    plan: "{{ planned }}"
    results: "{{ ansible_play_hosts_all | map('extract', hostvars) | map(attribute='archive', default={}) }}"
    tape_catalog_hosts: [db1]
  run_once: true
  register: finished
"""

RETURN = r"""
summary:
  description: The totals of the run. The statistic C(tape_backup) also has RV(hosts), RV(resume) and the warnings.
  returned: success
  type: dict
  contains:
    run:
      description: The name of the run.
      type: str
    good:
      description: The number of hosts with a good archive.
      type: int
    failed:
      description: The number of hosts without one.
      type: int
    bytes:
      description: The total size of the archives.
      type: int
    tapes:
      description: The tapes of these archives.
      type: list
      elements: str
    elapsed:
      description: Seconds since the plan.
      type: int
    encryption:
      description:
        - How many of the archives that this job wrote were encrypted on their way to the tape host, by C(how)
          (C(kernel) or C(relay)), and how many crossed the network in clear (C(none)).
        - Null if none was to be encrypted (O(tape_link_encryption=none)).
      type: dict
      sample: {relay: 12}
hosts:
  description:
    - For each host, C(ok), the reason in C(msg) if it is not, and the figures of its archive.
    - C(encryption) is RV(plumbing.socketpipe.tape_backup#module:encryption). It is null, too, if this job has not
      written the archive, or has lost the host before the result came.
    - C(left_out) is RV(plumbing.socketpipe.tape_backup#module:left_out). It is null in the same cases.
    - C(last_good) is the last good archive of the host, of this run or an earlier one, with its C(time), its C(age) in
      seconds, and whether it is C(late). It is null if there is none. With sources, it is the oldest of theirs, and
      null if one has none.
  returned: success
  type: dict
  sample:
    db1:
      {ok: true, msg: ok, state: good, level: 0, bytes: 1048576, elapsed: 0.5, rate: 2097152, tape: WEEK01, file: 1,
       encryption: null, kind: null, left_out: {"tape_excludes: *.tmp": 12}, note: "",
       last_good: {time: "2026-11-23T01:46:56Z", age: 2, late: false}}
resume:
  description: The command to retry the failed hosts. Empty if none failed.
  returned: success
  type: str
  sample: ""
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
