#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_backup.py, and the options are checked
# against BACKUP in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_backup
short_description: Put the archive of a host on tape
version_added: 0.1.0
description:
  - C(tar) on the task's host writes an archive, which goes straight to the tape host over one TCP connection and is
    written to tape there. It counts when the host has reported what was in it, which is part of this task.
  - When the tape turns out to be full, the archive is written again on the next one.
  - A host that cannot be reached is a failure of the kind V(unreachable), and stays in the play. With
    C(failed_when=false) the other hosts go on, and M(plumbing.socketpipe.tape_finish) tells them apart.
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
  - plumbing.socketpipe.tape.stream
  - plumbing.socketpipe.tape.writing
attributes:
  action:
    support: full
  async:
    support: none
  become:
    support: full
    details:
      - C(become) applies to the task's host. For the tape host there is O(tape_become).
  check_mode:
    support: full
    details:
      - Estimates the archive. No file is read, and nothing is written.
  connection:
    support: full
  delegation:
    support: full
    details:
      - With C(delegate_to), the files are those of the host that is named there.
  diff_mode:
    support: none
  facts:
    support: none
  idempotent:
    support: none
    details:
      - Writes an archive each time, unless the run of the plan has a good one.
  platform:
    platforms: linux
    support: full
options:
  plan:
    description:
      - What M(plumbing.socketpipe.tape_plan) has returned.
    type: dict
    required: true
  tape_paths:
    description:
      - What of the host is backed up, directories and files.
    type: list
    elements: str
    default: []
  tape_excludes:
    description:
      - What is not, patterns of C(tar). One that begins with V(/) is of the whole path, any other of its last parts.
    type: list
    elements: str
    default: []
  tape_one_file_system:
    description:
      - Whether to stay on the file systems that O(tape_paths) are on.
    type: bool
    default: true
  tape_keep_incomplete:
    description:
      - Whether to keep an archive although C(tar) could not read all of it. It has what could be read, and can be
        restored. No later level is based on it.
    type: bool
    default: false
  tape_state_dir:
    description:
      - The directory on the host in which C(tar) keeps what it knows for the next level, for each tape host by itself.
    type: str
    default: /var/lib/socketpipe/tape-state
  tape_buffer:
    description:
      - A buffer before the drive, such as V(2G), with C(mbuffer).
      - The tape host's variable of this name comes first.
    type: str
    default: ""
  tape_reclaim:
    description:
      - Whether the archive overwrites a failed one at the end of a tape.
    type: bool
    default: false
  tape_estimate:
    description:
      - Whether to estimate the archive first, so that one that does not fit is not begun.
    type: bool
    default: false
  tape_retries:
    description:
      - How often the archive is written again, on the next tape, when its tape turns out to be full.
    type: int
    default: 1
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_plan
  - module: plumbing.socketpipe.tape_finish
"""

EXAMPLES = r"""
- name: Put the databases on tape
  hosts: databases
  become: true
  strategy: ansible.builtin.linear
  tasks:
    - name: Plan
      plumbing.socketpipe.tape_plan:
        hosts: "{{ ansible_play_batch }}"
        tape_host: tape1
      run_once: true
      register: planned

    - name: Back up
      plumbing.socketpipe.tape_backup:
        plan: "{{ planned }}"
        tape_paths: [/etc, /var/lib/postgresql]
      throttle: "{{ planned.writers }}"
      failed_when: false
      register: archive

    - name: Finish
      plumbing.socketpipe.tape_finish:
        plan: "{{ planned }}"
        results: "{{ ansible_play_hosts_all | map('extract', hostvars) | map(attribute='archive', default={}) }}"
      run_once: true
      register: finished

    - name: Fail if there is no good archive
      ansible.builtin.fail:
        msg: "{{ finished.hosts[inventory_hostname].msg }}"
      when: not finished.hosts[inventory_hostname].ok
"""

RETURN = r"""
host:
  description: The host.
  returned: always
  type: str
  sample: db1
run:
  description: The run.
  returned: always
  type: str
  sample: 20261125T232035Z
state:
  description:
    - V(good) - there is a good archive now, V(good before) - there was one of this run already, V(left out) - the tape
      host without O(tape_paths), V(estimated) - check mode, V(failed) - there is none.
  returned: always
  type: str
  sample: good
level:
  description: The level of the archive.
  returned: success
  type: int
  sample: 0
base:
  description: The run that it is an increment to.
  returned: success, if it is RV(state=good)
  type: str
  sample: null
time:
  description: When the host began it, in UTC.
  returned: success, if it is RV(state=good)
  type: str
  sample: "2026-11-25T23:20:40Z"
bytes:
  description: Its size, or the estimate.
  returned: success
  type: int
  sample: 1048576
sha256:
  description: Its checksum.
  returned: success, if it is RV(state=good)
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
elapsed:
  description: Seconds that the tape took for it.
  returned: success, if it is RV(state=good)
  type: float
  sample: 0.5
rate:
  description: Bytes a second.
  returned: success, if it is RV(state=good)
  type: int
  sample: 2097152
waited:
  description: Seconds that it waited for a drive.
  returned: success, if it is RV(state=good)
  type: float
  sample: 0.1
total:
  description: Seconds that all of it took.
  returned: success, if it is RV(state=good)
  type: float
  sample: 3.2
attempts:
  description: How often it was begun.
  returned: success, if it is RV(state=good)
  type: int
  sample: 1
tape:
  description: The label of its tape.
  returned: success, if it is RV(state=good)
  type: str
  sample: WEEK01
file:
  description: The tape file that it is.
  returned: success, if it is RV(state=good)
  type: int
  sample: 1
files:
  description: How many files it has.
  returned: success, if it is RV(state=good)
  type: int
  sample: 230
incomplete:
  description: Whether not all could be read (O(tape_keep_incomplete)).
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: bool
  sample: false
level_problem:
  description: Why it has another level than was planned, empty if it has not.
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: str
  sample: ""
tar_warnings:
  description: The first of the warnings of C(tar).
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: list
  elements: str
  sample: []
warning_count:
  description: How many there were.
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: int
  sample: 0
other_file_systems:
  description: Some of what is mounted below the paths, and therefore not in the archive.
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: list
  elements: str
  sample: []
mounted:
  description: How many of those there are.
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: int
  sample: 0
slow:
  description: Which side the connection has waited for, empty if for none.
  returned: success, if it is RV(state=good)
  type: str
  sample: ""
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
