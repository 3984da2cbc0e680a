#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_restore.py, and the options are checked
# against RESTORE in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_restore
short_description: Restore files of a host from tape
version_added: 0.1.0
description:
  - Extracts the last full archive of O(restore_host) and the increments to it, one after the other, on the task's host.
  - An archive whose SHA-256 is not the catalog's fails the task, and so does a path that no archive has.
author:
  - the plumbing.socketpipe contributors (!UNKNOWN)
extends_documentation_fragment:
  - plumbing.socketpipe.attributes
  - plumbing.socketpipe.attributes.actiongroup_tape
  - plumbing.socketpipe.attributes.conn
  - plumbing.socketpipe.attributes.facts
  - plumbing.socketpipe.attributes.flow
  - plumbing.socketpipe.tape
  - plumbing.socketpipe.tape.set
  - plumbing.socketpipe.tape.stream
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
      - Says which tapes it takes.
  connection:
    support: full
  delegation:
    support: full
    details:
      - With C(delegate_to), the files go to the host that is named there.
  diff_mode:
    support: none
  facts:
    support: none
  idempotent:
    support: none
    details:
      - Extracts the archives each time.
  platform:
    platforms: linux
    support: full
options:
  restore_host:
    description:
      - The host whose files are restored. It need not be there any more.
    type: str
    required: true
  restore_as_of:
    description:
      - Restore what was there at this time, in UTC, such as V(2026-11-23 01:46), or V(2026-11-23), its end.
    type: str
    default: ""
  restore_paths:
    description:
      - Restore only these, as they were named on their host.
    type: list
    elements: str
    default: []
  restore_to:
    description:
      - The directory to restore to, a new one unless O(restore_into_existing) is set. Without it,
        C(/var/tmp/restore-HOST-RUN-RANDOM).
      - In a directory that everybody may write to, it must not be there already, unless root or the user who restores
        has made it.
    type: str
    default: ""
  restore_into_existing:
    description:
      - Whether there may be something in it. Files of the archives replace those of the same name, and all others stay,
        unless O(restore_delete) is set.
    type: bool
    default: false
  restore_delete:
    description:
      - Whether to remove, below the directories that are restored, what was not there at the time of the last archive.
        Without it, only what this restore itself has brought from an earlier archive is removed, when a later one says
        that it was deleted.
    type: bool
    default: false
  restore_allow_root:
    description:
      - Whether it may be V(/), which needs O(restore_into_existing) as well.
    type: bool
    default: false
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_info
  - module: plumbing.socketpipe.tape_verify
"""

EXAMPLES = r"""
- name: Restore a file to another host
  plumbing.socketpipe.tape_restore:
    tape_host: tape1
    restore_host: db1
    restore_paths: [/etc/fstab]
    restore_to: /srv/restored
  become: true
"""

RETURN = r"""
to:
  description: The directory that it was restored to.
  returned: success
  type: str
  sample: /srv/restored
tapes:
  description: The tapes that it takes.
  returned: success
  type: list
  elements: str
  sample: [WEEK01]
archives:
  description: The archives that it takes.
  returned: success
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
    host_time:
      description: The host's own time then.
      type: str
    block_size:
      description: The size of its blocks.
      type: int
    sha256:
      description: Its checksum.
      type: str
    verified:
      description: When it was verified, and whether it was good then.
      type: dict
files:
  description: How many files were extracted.
  returned: success
  type: int
  sample: 230
missing:
  description: Those of O(restore_paths) that no archive has. If there are any, the task has failed.
  returned: success
  type: list
  elements: str
  sample: []
removed:
  description: How many files were removed, and some of their names.
  returned: success
  type: dict
  contains:
    count:
      description: How many.
      type: int
      sample: 0
    names:
      description: Some of their names.
      type: list
      elements: str
      sample: []
errors:
  description: Some of what could not be restored as it was. If there is any, the task has failed.
  returned: success
  type: list
  elements: str
  sample: []
tar_warnings:
  description: The warnings of C(tar).
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
