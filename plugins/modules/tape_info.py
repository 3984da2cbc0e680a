#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_info.py, and the options are checked
# against INFO in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_info
short_description: Show drives, tapes and archives, and find files
version_added: 0.1.0
description:
  - Returns the tape in each drive, the tapes and archives in the catalog, the last good archive of each host, when each
    archive expires, and the tape for the next backup.
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
    details:
      - The hosts need Linux and Python 3.6 or later.
options:
  gather:
    description:
      - The information to return.
    type: list
    elements: str
    choices: [drives, tapes, archives, hosts]
    default: [drives, tapes, archives, hosts]
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
  show:
    description:
      - Whether to print a table.
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
    - {label: WEEK01, barcode: "", archives: 2, good: 2, failed: 0, bytes: 532480, full: false, expired: false,
       first: "2026-11-25T23:20:40Z", last: "2026-11-25T23:20:41Z", keep_until: "2026-12-23T23:20:41Z", run: null}
next:
  description: The tape for the next backup, null if no tape is suitable.
  returned: success, if O(gather) has V(tapes)
  type: str
  sample: WEEK01
archives:
  description: All archives.
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
      description: V(good), V(failed), V(writing), or V(written) if its host has not reported yet.
      type: str
    verified:
      description: The time and the result of its last verification.
      type: dict
    keep_until:
      description: When it expires, in UTC.
      type: str
hosts:
  description: The last good archive of each host and set, as in RV(archives).
  returned: success, if O(gather) has it
  type: list
  elements: dict
  sample: [{host: db1, set: all, time: "2026-11-25T23:20:40Z", level: 0, tape: WEEK01, file: 1}]
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
