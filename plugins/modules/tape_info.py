#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_info.py, and the options are checked
# against INFO in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_info
short_description: Show drives, tapes, archives, and who has a file
version_added: 0.1.0
description:
  - What is in each drive, what the catalog knows of each tape and of each archive, the last good archive of each host,
    when each archive expires, and which tape a backup would want next.
  - With O(tape_path), the archives that have that path, the newest first. No tape is needed for it.
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
      - C(become) is not used. For the tape host there is O(tape_become).
  check_mode:
    support: full
    details:
      - Changes nothing.
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
    support: full
    details:
      - Changes nothing.
  platform:
    platforms: linux
    support: full
options:
  gather:
    description:
      - What to look at.
    type: list
    elements: str
    choices: [drives, tapes, archives, hosts]
    default: [drives, tapes, archives, hosts]
  tape_path:
    description:
      - A path to look for, or a pattern of the shell. Fails if no good archive has it.
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
- name: Look at the last good archive of each host
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
  description: What is in each drive, or why that cannot be told.
  returned: success, if O(gather) has it
  type: list
  elements: dict
  sample: [{device: /dev/nst0, label: WEEK01, message: ""}]
tapes:
  description: What the catalog knows of each tape.
  returned: success, if O(gather) has it
  type: list
  elements: dict
  sample:
    - {label: WEEK01, barcode: "", archives: 2, good: 2, failed: 0, bytes: 532480, full: false, expired: false,
       first: "2026-11-25T23:20:40Z", last: "2026-11-25T23:20:41Z", keep_until: "2026-12-23T23:20:41Z", run: null}
next:
  description: The tape that a backup would want next, null if none will do.
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
      description: When it was begun, in UTC.
      type: str
    level:
      description: Its level, 0 is everything.
      type: int
    tape:
      description: The label of its tape.
      type: str
    file:
      description: The tape file that it is, counted from 0, the label.
      type: int
    bytes:
      description: Its size.
      type: int
    base:
      description: The run that it is an increment to.
      type: str
    state:
      description: V(good), V(failed), V(writing), or V(written) if its host has not reported.
      type: str
    verified:
      description: When it was verified, and whether it was good then.
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
  description: The archives that have O(tape_path), with the C(path) that was found in each.
  returned: success, if O(tape_path) is given
  type: list
  elements: dict
  sample:
    - {path: /etc/fstab, host: db1, set: all, run: 20261125T232035Z, time: "2026-11-25T23:20:40Z", level: 0,
       tape: WEEK01, file: 1}
more:
  description: Whether there are more than these.
  returned: success, if O(tape_path) is given
  type: bool
  sample: false
unread:
  description: The archives whose list of files could not be read.
  returned: success, if O(tape_path) is given
  type: list
  elements: str
  sample: []
notes:
  description: What a person should know, such as a file of the catalog that is damaged.
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
