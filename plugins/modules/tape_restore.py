#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_restore.py, and the options are checked
# against RESTORE in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_restore
short_description: Restore files of a host from tape
version_added: 1.0.0
description:
  - Extracts the last full archive of O(restore_host) and its increments, one after the other, on the task's host.
  - Fails if the SHA-256 of an archive differs from the catalog's, or if no archive has a requested path.
author:
  - the plumbing.socketpipe contributors (!UNKNOWN)
extends_documentation_fragment:
  - plumbing.socketpipe.attributes
  - plumbing.socketpipe.attributes.actiongroup_tape
  - plumbing.socketpipe.attributes.conn
  - plumbing.socketpipe.attributes.facts
  - plumbing.socketpipe.attributes.flow
  - plumbing.socketpipe.tape
  - plumbing.socketpipe.tape.lines
  - plumbing.socketpipe.tape.packing
  - plumbing.socketpipe.tape.set
  - plumbing.socketpipe.tape.metrics
  - plumbing.socketpipe.tape.stream
attributes:
  action:
    support: full
  async:
    support: partial
    details:
      - The restore goes on without the controller, through all of its archives, one after the other. The task's host
        keeps the result. RV(verified) and the other fields are as without C(async).
      - Not with O(restore_drill). The catalog does not record such a restore, as RV(notes) says.
      - The data of a requested file may be in an archive under another name of it only. Without C(async) the archive is
        then read again. With it, the task fails, and names the other name to request.
      - Only the first tape is asked for on the screen. For the others, use O(tape_changer), O(tape_next_command) or
        several drives.
  become:
    support: full
    details:
      - C(become) applies to the task's host. Use O(tape_become) for the tape host.
  check_mode:
    support: full
    details:
      - Lists the tapes that the restore needs.
  connection:
    support: full
  delegation:
    support: full
    details:
      - With C(delegate_to), restores to the delegated host.
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
  tape_sources:
    description:
      - As for M(plumbing.socketpipe.tape_backup). C(restore) of the source that O(restore_source) names restores the
        output of a command. Commands of the catalog are not trusted.
    type: list
    elements: raw
    default: []
  restore_source:
    description:
      - Restore the archive of this source, one of C(tape_sources) of M(plumbing.socketpipe.tape_backup).
    type: str
    default: ""
  tape_filter:
    description:
      - As for M(plumbing.socketpipe.tape_backup). A restore runs the commands that the catalog names. Those of C(gzip),
        C(zstd), C(xz) and other programs that only unpack always run. Any other must be in C(read) here, because a
        catalog may come from anywhere.
    type: raw
    default: []
  tape_recipients:
    description:
      - Not used. A restore needs O(restore_identity).
    type: list
    elements: str
    default: []
  restore_identity:
    description:
      - The file with a secret key of C(age), on the task's host, for archives written with C(tape_recipients).
    type: str
    default: ""
  restore_host:
    description:
      - The host whose files to restore. It need not exist any more. Required unless O(restore_drill) is set.
    type: str
    default: ""
  restore_drill:
    description:
      - Whether this is a drill. Everything is restored to a new directory, compared with the archives and the catalog,
        and removed. RV(drill) has the result, and the catalog records the date. Fails if anything differs.
      - Without O(restore_host), the host whose last good drill is the longest ago is chosen.
    type: bool
    default: false
  restore_as_of:
    description:
      - Restore the files as of this time in UTC, such as V(2026-11-23 01:46), or as of the end of a day, such as
        V(2026-11-23). If empty, the newest.
    type: str
    default: ""
  restore_paths:
    description:
      - Restore only these paths, as they were on their host. If empty, restore everything.
    type: list
    elements: str
    default: []
  restore_to:
    description:
      - The directory to restore to. It must be new or empty, unless O(restore_into_existing) is set. If not given,
        C(/var/tmp/restore-HOST-RUN-RANDOM).
      - Inside a world-writable directory, it must not exist yet, unless root or the restoring user owns it.
    type: str
    default: ""
  restore_into_existing:
    description:
      - Whether O(restore_to) may contain files. Files from the archives replace files of the same name. All others
        stay, unless O(restore_delete) is set.
    type: bool
    default: false
  restore_delete:
    description:
      - Whether to delete files, below the restored directories, that did not exist at the time of the last archive.
      - Otherwise only files that this restore extracted from an earlier archive are deleted, if a later archive records
        their deletion.
    type: bool
    default: false
  restore_allow_root:
    description:
      - Whether O(restore_to) may be V(/), which needs O(restore_into_existing) as well.
    type: bool
    default: false
  tape_numeric_owner:
    description:
      - Whether files get the numbers of their owners and groups, as the archive has them. V(false) gives them to the
        user and the group of the task's host that have the same names. If there is none of a name, the number is used.
      - A drill always compares numbers.
    type: bool
    default: true
  tape_early_exit:
    description:
      - Whether to stop reading each archive after the last of O(restore_paths) in it, as its list of files in the
        catalog shows it. Its checksum cannot be compared then. RV(verified) is false, and the catalog does not record
        the restore.
      - Each requested file must have arrived as a whole, or the task fails.
      - Needs O(restore_paths), and cannot be combined with O(restore_delete).
      - An archive whose names are not in the catalog (C(tape_recipients)) is read to its end. So is one that has the
        data of a requested file under another name.
    type: bool
    default: false
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_info
  - module: plumbing.socketpipe.tape_verify
"""

EXAMPLES = r"""
- name: Restore the files of the host whose last drill is the longest ago, compare them, and remove them
  plumbing.socketpipe.tape_restore:
    tape_host: tape1
    restore_drill: true
  become: true

- name: Restore everything, even if this job ends before
  plumbing.socketpipe.tape_restore:
    tape_host: tape1
    restore_host: db1
    restore_to: /srv/restored
  become: true
  async: 36000
  poll: 30

- name: Restore a file to another host
  plumbing.socketpipe.tape_restore:
    tape_host: tape1
    restore_host: db1
    restore_paths: [/etc/fstab]
    restore_to: /srv/restored
  become: true
"""

RETURN = r"""
drill:
  description: The result of a drill.
  returned: with O(restore_drill), if everything was read
  type: dict
  sample: {host: db1, ok: true, compared: 1203, difference_count: 0, differences: [], elapsed: 61.2}
  contains:
    host:
      description: The host that was restored.
      type: str
    ok:
      description: Whether nothing differs.
      type: bool
    compared:
      description: The number of files compared, in all archives together.
      type: int
    difference_count:
      description: The number of differences.
      type: int
    differences:
      description: The first of them.
      type: list
      elements: str
    elapsed:
      description: Its duration in seconds.
      type: float
to:
  description:
    - The directory with the restored files. A drill removes it. Empty if the archive is the output of a command
      (O(restore_source)).
  returned: success
  type: str
  sample: /srv/restored
tapes:
  description: The tapes that the restore needs.
  returned: success
  type: list
  elements: str
  sample: [WEEK01]
archives:
  description: The archives that the restore needs.
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
    host_time:
      description: The time by the host's own clock.
      type: str
    block_size:
      description: Its block size in bytes.
      type: int
    sha256:
      description: Its SHA-256.
      type: str
    filters:
      description: The programs that it passed through on its host. Null if there were none.
      type: list
      elements: dict
    source:
      description: The name and the restore command of an archive that is the output of a command. Null for files.
      type: dict
    unfiltered:
      description: Its C(bytes) and C(sha256) before them. Null if there were none.
      type: dict
    verified:
      description: The time and the result of its last verification.
      type: dict
    compared:
      description: Whether its checksum was compared. See RV(verified).
      type: bool
    requested:
      description:
        - With O(tape_early_exit), the number of its entries that were requested. Null if it is read to its end.
      type: int
    encryption:
      description:
        - How it was encrypted on its way from the tape host (O(tape_link_encryption)), as
          RV(plumbing.socketpipe.pipe#module:links[].encryption). Null if it was not encrypted, and in check mode.
      type: dict
verified:
  description: Whether the checksum of each archive was compared with the catalog. False only with O(tape_early_exit).
  returned: success, not in check mode or for a drill
  type: bool
  sample: true
files:
  description: The number of files extracted. 0 for the output of a command.
  returned: success, not in check mode or for a drill
  type: int
  sample: 230
missing:
  description: The O(restore_paths) that no archive has. If there are any, the task fails.
  returned: when files were restored
  type: list
  elements: str
  sample: []
removed:
  description: The files that were deleted.
  returned: when files were restored
  type: dict
  contains:
    count:
      description: The number of files.
      type: int
      sample: 0
    names:
      description: Some of their names.
      type: list
      elements: str
      sample: []
errors:
  description: Some of the files that could not be restored as they were. If there are any, the task fails.
  returned: when files were restored
  type: list
  elements: str
  sample: []
tar_warnings:
  description: The warnings of C(tar).
  returned: when files were restored
  type: list
  elements: str
  sample: []
notes:
  description: A warning if the restore was not recorded in the catalog.
  returned: success, not in check mode
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
