#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_info.py, and the options are checked
# against INFO in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_info
short_description: Show drives, tapes and archives, and find files
version_added: 1.0.0
description:
  - Returns the tape in each drive, the tapes, runs and archives in the catalog, the last good archive of each host,
    when each archive expires, when each host was last verified and restored, and the tapes for the next backups.
  - With O(tape_path), returns the archives that have this path, newest first. This needs no tape.
  - Changes nothing.
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
  - plumbing.socketpipe.tape.writable
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
      - Changes nothing.
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
      - Changes nothing.
  platform:
    platforms: linux
    support: full
options:
  gather:
    description:
      - The information to return.
    type: list
    elements: str
    choices: [drives, tapes, runs, archives, hosts]
    default: [drives, tapes, runs, archives, hosts]
  tape_path:
    description:
      - A path to find, or a shell pattern. Fails if no good archive has it.
    type: str
    default: ""
  tape_of_host:
    description:
      - Only archives of this host.
    type: str
    default: ""
  tape_of_run:
    description:
      - Only archives of this run. Does not limit RV(hosts).
    type: str
    default: ""
  tape_of_tape:
    description:
      - Only archives on the tape with this label. Does not limit RV(hosts).
    type: str
    default: ""
  tape_max_age:
    description:
      - The greatest age of the last good archive of a host, such as V(2d). An older one is C(late) in RV(hosts), with a
        warning in RV(notes). If empty, there is no limit.
    type: str
    default: ""
  expect:
    description:
      - Whether each host of the play with C(tape_paths) in its variables must have a good archive. RV(missing) has
        those that have none.
    type: bool
    default: false
  statistic:
    description:
      - Whether to set the statistic C(tape_list) for the next job of a workflow. It has C(hosts), C(missing), C(wanted)
        and C(warnings).
    type: bool
    default: false
  show:
    description:
      - Whether to print tables. Archives are listed only with O(tape_of_host), O(tape_of_run) or O(tape_of_tape).
    type: bool
    default: false
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_catalog
  - module: plumbing.socketpipe.tape_verify
"""

EXAMPLES = r"""
- name: Get the last good archive of each host
  plumbing.socketpipe.tape_info:
    tape_host: tape1
    gather: [hosts]
  run_once: true
  register: backups

- name: Check the age of the backups
  plumbing.socketpipe.tape_info:
    tape_host: tape1
    gather: [hosts]
    tape_max_age: 2d
    expect: true
  run_once: true
  register: backups
  failed_when: backups.missing or backups.hosts | selectattr('late') | list

- name: Find a file
  plumbing.socketpipe.tape_info:
    tape_host: tape1
    tape_path: /etc/fstab
    show: true
  run_once: true
"""

RETURN = r"""
drives:
  description: The tape in each drive, or why it could not be determined.
  returned: success, if O(gather) has it
  type: list
  elements: dict
  sample: [{device: /dev/nst0, label: WEEK01, message: ""}]
tapes:
  description: The tapes in the catalog.
  returned: success, if O(gather) has it
  type: list
  elements: dict
  sample:
    - {label: WEEK01, barcode: "", archives: 2, good: 2, failed: 0, bytes: 532480, full: false, percent: 1,
       expired: false, first: "2026-11-25T23:20:40Z", last: "2026-11-25T23:20:41Z", keep_until: "2026-12-23T23:20:41Z",
       run: null, retired: null, location: vault, expires: "2026-12-30T23:20:41Z", last_of: [db1]}
  contains:
    label:
      description: Its label.
      type: str
    barcode:
      description: Its barcode, empty if it has none.
      type: str
    archives:
      description: The number of its archives.
      type: int
    good:
      description: The number of its good archives.
      type: int
    failed:
      description: The number of its failed archives.
      type: int
    bytes:
      description: The size of its data.
      type: int
    full:
      description: Whether it is full.
      type: bool
    percent:
      description: How full it is, in percent. Null if its capacity is not known (O(tape_capacity)).
      type: int
    expired:
      description: Whether all its archives, and all increments that depend on them, have expired.
      type: bool
    first:
      description: The time of its first archive.
      type: str
    last:
      description: The time of its last archive.
      type: str
    keep_until:
      description: When the last of its own archives expires, in UTC.
      type: str
    expires:
      description: The same, with the increments on other tapes that depend on its archives.
      type: str
    last_of:
      description:
        - Hosts whose last good archive, or its base, is on the tape. It does not expire before they have a newer one.
      type: list
      elements: str
    run:
      description: The run that has reserved it.
      type: str
    retired:
      description: When and why it was retired (C(time), C(reason)), null if it was not.
      type: dict
    location:
      description: Where it lies while it is in no drive, empty if unknown.
      type: str
next:
  description: The tape for the next backup, null if no tape is suitable.
  returned: success, if O(gather) has V(tapes)
  type: str
  sample: WEEK01
wanted:
  description:
    - The tapes that the next backups would use, in this order, whether they are in a drive or not. C(state) is
      V(append), V(empty), V(expired) or V(leased), for a tape that the run has reserved.
  returned: success, if O(gather) has V(tapes)
  type: list
  elements: dict
  sample: [{label: WEEK01, state: append, location: ""}, {label: WEEK02, state: empty, location: vault}]
runs:
  description:
    - The runs, newest first. C(good) and C(failed) are numbers of hosts. A host that was retried with success is good.
  returned: success, if O(gather) has it
  type: list
  elements: dict
  sample:
    - {run: 20261125T232035Z, set: all, time: "2026-11-25T23:20:40Z", good: 2, failed: 0, bytes: 524288,
       tapes: [WEEK01], keep_until: "2026-12-23T23:20:41Z"}
archives:
  description: The archives, oldest first.
  returned: success, if O(gather) has it
  type: list
  elements: dict
  contains:
    host:
      description: The host.
      type: str
    run:
      description: The run that wrote it.
      type: str
    set:
      description: Its set.
      type: str
    time:
      description: When it was started, in UTC.
      type: str
    level:
      description: Its level. 0 is a full archive.
      type: int
    tape:
      description: The label of its tape.
      type: str
    file:
      description: Its tape file number. The label is file 0.
      type: int
    bytes:
      description: Its size.
      type: int
    base:
      description: The run of its base, if it is an increment.
      type: str
    state:
      description:
        - V(good), V(failed), V(writing), V(written) if its host has not reported yet, or V(lost) on a retired tape.
      type: str
    verified:
      description: The time and the result of its last verification.
      type: dict
    keep_until:
      description: When it expires, in UTC.
      type: str
hosts:
  description: The last good archive of each host and set, as in RV(archives), with the following.
  returned: success, if O(gather) has it
  type: list
  elements: dict
  sample:
    - {host: db1, set: all, time: "2026-11-25T23:20:40Z", level: 0, tape: WEEK01, file: 1, age: 86400, late: false,
       last_verified: {time: "2026-11-26T01:00:00Z", ok: true}, last_restored: null, last_drilled: null}
  contains:
    age:
      description: Its age in seconds, by the clock of the tape host.
      type: int
    late:
      description: Whether it is older than O(tape_max_age).
      type: bool
    last_verified:
      description:
        - The time and the result of the newest verification of an archive of this host and set, null if there is none.
      type: dict
    last_restored:
      description: The time of the last successful restore of this host and set, null if there is none.
      type: dict
    last_drilled:
      description: The time and the result of its last restore drill, null if there is none.
      type: dict
without:
  description: The hosts and sets in the catalog that have no good archive.
  returned: success, if O(gather) has V(hosts)
  type: list
  elements: dict
  sample: [{host: web2, set: all}]
missing:
  description: The hosts without any good archive, whether they are in the catalog or only expected (O(expect)).
  returned: success, if O(gather) has V(hosts)
  type: list
  elements: str
  sample: [web2]
found:
  description: The archives that have O(tape_path), with the matching C(path) in each.
  returned: success, if O(tape_path) is given
  type: list
  elements: dict
  sample:
    - {path: /etc/fstab, host: db1, set: all, run: 20261125T232035Z, time: "2026-11-25T23:20:40Z", level: 0,
       tape: WEEK01, file: 1}
more:
  description: Whether there are more matches.
  returned: success, if O(tape_path) is given
  type: bool
  sample: false
unread:
  description: The archives whose file list could not be read.
  returned: success, if O(tape_path) is given
  type: list
  elements: str
  sample: []
notes:
  description: Warnings for the operator, such as a damaged catalog file.
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
