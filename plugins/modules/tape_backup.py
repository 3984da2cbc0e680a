#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/tape_backup.py, and the options are checked
# against BACKUP in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: tape_backup
short_description: Put the archive of a host on tape
version_added: 1.0.0
description:
  - Runs C(tar) on the task's host. The archive goes straight to the tape host over one TCP connection and is written to
    tape there. It counts as good only after the host has reported its length and checksum, which is part of this task.
  - Most tasks need only O(plan), O(tape_paths), O(tape_host), O(tape_devices) and O(tape_become). The playbook
    C(plumbing.socketpipe.backup) has all tasks of a backup.
  - If the tape fills up, the archive is written again on the next tape.
  - If the host is unreachable, the task fails with RV(kind=unreachable), and the host stays in the play. Set
    C(failed_when=false) to continue with the other hosts. M(plumbing.socketpipe.tape_finish) then reports each result.
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
  - plumbing.socketpipe.tape.expiry
  - plumbing.socketpipe.tape.reuse
  - plumbing.socketpipe.tape.set
  - plumbing.socketpipe.tape.stream
  - plumbing.socketpipe.tape.writing
attributes:
  action:
    support: full
  async:
    support: partial
    details:
      - The archive is written to its end without the controller. The result is then RV(state=written), and another task
        with this module must commit it, whose M(plumbing.socketpipe.tape_plan) has
        O(plumbing.socketpipe.tape_plan#module:tape_resume).
      - Not with O(tape_sources). A tape that fills up ends the archive.
  become:
    support: full
    details:
      - C(become) applies to the task's host. Use O(tape_become) for the tape host.
  check_mode:
    support: full
    details:
      - Estimates the size of the archive. Reads no file and writes nothing.
  connection:
    support: full
  delegation:
    support: full
    details:
      - With C(delegate_to), backs up the files of the delegated host.
  diff_mode:
    support: none
  facts:
    support: none
  idempotent:
    support: none
    details:
      - Writes an archive each time, unless the plan's run already has a good one.
  platform:
    platforms: linux
    support: full
options:
  tape_sources:
    description:
      - More archives of the host, each a mapping with C(name) and either C(cmd), a command whose output is the archive,
        or C(paths). One that fails does not stop the others.
      - C(cmd) runs without a shell, as C(become_user) if given. C(restore) is the command that reads its output again,
        as the same user.
      - C(before) and C(after) are commands around the archive, each for at most C(hook_timeout) seconds. If one fails,
        there is no archive. C(before) runs when a drive has a tape for the archive. C(after) also runs if the archive
        fails or the job is killed. If it fails then, or could not run, it runs at the next backup of this source.
      - C(level) and C(retention) are used instead of those of the host. A command always has level 0.
    type: list
    elements: raw
    default: []
  plan:
    description:
      - The result of M(plumbing.socketpipe.tape_plan).
    type: dict
    required: true
  tape_paths:
    description:
      - The directories and files to back up.
    type: list
    elements: str
    default: []
  tape_excludes:
    description:
      - Patterns of C(tar) for files to leave out. A pattern that begins with V(/) matches the whole path. Any other
        matches the last parts of the path. V(*) and V(?) also match a V(/).
    type: list
    elements: str
    default: []
  tape_exclude_files:
    description:
      - Files on the host with more such patterns, one a line. There are no comments. Each file must exist. It is read
        at each backup.
    type: list
    elements: str
    default: []
  tape_exclude_caches:
    description:
      - Whether to leave out the contents of directories that programs have marked as a cache, with a file
        C(CACHEDIR.TAG) that begins with the signature of the Cache Directory Tagging Specification. The directory and
        that file are archived.
    type: bool
    default: false
  tape_exclude_tag:
    description:
      - Names of files that mark a directory in the same way, whatever is in the file, such as V(.nobackup). The
        contents of a directory with such a file are left out. The directory and that file are archived.
    type: list
    elements: str
    default: []
  tape_one_file_system:
    description:
      - Whether to stay on the file systems of O(tape_paths).
    type: bool
    default: true
  tape_keep_incomplete:
    description:
      - Whether to keep an archive if C(tar) could not read every file. Such an archive can be restored, but no later
        level is based on it.
    type: bool
    default: false
  tape_state_dir:
    description:
      - The directory on the host for the incremental state of C(tar), with a separate state for each tape host.
    type: str
    default: /var/lib/socketpipe/tape-state
  tape_buffer:
    description:
      - The size of a buffer in front of the drive, such as V(2G). It uses C(mbuffer).
      - The tape host's variable of this name comes first.
    type: str
    default: ""
  tape_reclaim:
    description:
      - Whether to overwrite a failed archive at the end of the tape.
    type: bool
    default: false
  tape_estimate:
    description:
      - Whether to estimate the size first, and fail before writing if the archive does not fit.
    type: bool
    default: false
  tape_retries:
    description:
      - How often to write the archive again, on the next tape, if its tape fills up.
    type: int
    default: 1
  tape_detach:
    description:
      - Whether the archive is written to its end if the task is killed meanwhile. Otherwise it ends with the task.
      - It is then V(written), and becomes V(good) by this module in another job, whose M(plumbing.socketpipe.tape_plan)
        has O(plumbing.socketpipe.tape_plan#module:tape_resume). If it is still being written, that job waits for it.
    type: bool
    default: false
seealso:
  - ref: Tape backups of a fleet <ansible_collections.plumbing.socketpipe.docsite.tape>
    description: From the first label to the restore drill.
  - module: plumbing.socketpipe.tape_plan
  - module: plumbing.socketpipe.tape_finish
"""

EXAMPLES = r"""
- name: Back up the databases
  hosts: databases
  become: true
  strategy: ansible.builtin.linear
  tasks:
    - name: Plan the run
      plumbing.socketpipe.tape_plan:
        hosts: "{{ ansible_play_batch }}"
        tape_host: tape1
      run_once: true
      register: planned

    - name: Back up each host
      plumbing.socketpipe.tape_backup:
        plan: "{{ planned }}"
        tape_paths: [/etc, /var/lib/postgresql]
      throttle: "{{ planned.writers }}"
      failed_when: false
      register: archive

    - name: Finish the run
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
sources:
  description:
    - The result of each archive of a host with O(tape_sources), as for a host, with its C(name). V(paths) is that of
      O(tape_paths).
  returned: if the host has O(tape_sources)
  type: list
  elements: dict
  sample: [{name: shop-db, ok: true, state: good, level: 0, tape: WEEK01, file: 3}]
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
    - V(good) - wrote a good archive, or committed the one that an earlier job has written.
    - V(written) - with C(async). The archive is on tape, but not good before it is committed.
    - V(started) - with C(async), while it is being written.
    - V(good before) - the run already had a good archive.
    - V(left out) - the tape host has no O(tape_paths).
    - V(estimated) - check mode.
    - V(failed) - there is no good archive.
  returned: always
  type: str
  sample: good
level:
  description: The level of the archive.
  returned: success
  type: int
  sample: 0
base:
  description: The run of its base, null for level 0.
  returned: success, if it is RV(state=good)
  type: str
  sample: null
time:
  description: When it was started, in UTC.
  returned: success, if it is RV(state=good)
  type: str
  sample: "2026-11-25T23:20:40Z"
bytes:
  description: Its size, or the estimated size.
  returned: success
  type: int
  sample: 1048576
sha256:
  description: Its SHA-256.
  returned: success, if it is RV(state=good)
  type: str
  sample: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
elapsed:
  description: Seconds it took to write the archive to tape.
  returned: success, if it is RV(state=good) or RV(state=written)
  type: float
  sample: 0.5
rate:
  description: The rate in bytes a second.
  returned: success, if it is RV(state=good)
  type: int
  sample: 2097152
waited:
  description: Seconds spent waiting for a drive. Null if that is not known.
  returned: success, if it is RV(state=good) or RV(state=written)
  type: float
  sample: 0.1
total:
  description: Seconds in total.
  returned: success, if it is RV(state=good)
  type: float
  sample: 3.2
attempts:
  description: The number of attempts. 0 if an earlier job has written the archive.
  returned: success, if it is RV(state=good)
  type: int
  sample: 1
tape:
  description: The label of its tape.
  returned: success, if it is RV(state=good)
  type: str
  sample: WEEK01
file:
  description: Its tape file number.
  returned: success, if it is RV(state=good)
  type: int
  sample: 1
files:
  description: The number of files in it.
  returned: success, if it is RV(state=good)
  type: int
  sample: 230
left_out:
  description:
    - How many files and directories each rule left out, by the option and the pattern. A directory counts as one,
      because nobody looked at its contents. For O(tape_exclude_caches) and O(tape_exclude_tag), the number of marked
      directories.
    - Of more than 50 rules, those that left out the most. If the names of files stay on the host
      (O(tape_recipients)), the number for each option.
  returned: success, if it is RV(state=good)
  type: dict
  sample: {"tape_excludes: *.tmp": 12, "tape_exclude_caches": 3, "tape_exclude_tag: .nobackup": 0}
incomplete:
  description: Whether some files could not be read (O(tape_keep_incomplete)).
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: bool
  sample: false
level_problem:
  description: Why the level differs from the planned one. Empty if it does not.
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: str
  sample: ""
base_problem:
  description: Why this archive could not be restored, such as a base that is not in the catalog. Empty if it could.
  returned: success, if it is RV(state=good)
  type: str
  sample: ""
tar_warnings:
  description: The first warnings of C(tar).
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: list
  elements: str
  sample: []
warning_count:
  description: The number of warnings of C(tar).
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: int
  sample: 0
other_file_systems:
  description: Some of the file systems mounted below the paths, which are not in the archive.
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: list
  elements: str
  sample: []
mounted:
  description: The number of these file systems.
  returned: success, if it is RV(state=good) or RV(state=estimated)
  type: int
  sample: 0
slow:
  description: The side that slowed down the transfer. Empty if none did.
  returned: success, if it is RV(state=good)
  type: str
  sample: ""
samples:
  description:
    - The figures of its way to the tape host over time, as RV(plumbing.socketpipe.pipe#module:links[].samples).
  returned: success, if it is RV(state=good)
  type: list
  elements: list
  sample: [[1.001, 981376, 0.000212, 0, 0.83]]
device:
  description: The drive that wrote it.
  returned: success, if it is RV(state=good)
  type: str
  sample: /dev/nst0
encryption:
  description:
    - How the archive was encrypted on its way to the tape host (O(tape_link_encryption)), as
      RV(plumbing.socketpipe.pipe#module:links[].encryption). Null if it was not encrypted.
    - Encryption by the drive (O(tape_encryption)) is another matter.
  returned: success, if it is RV(state=good)
  type: dict
  sample: {how: relay, cipher: TLS_AES_256_GCM_SHA384, records: 64}
note:
  description: The message for a table with a row for each host, so without the name of this host.
  returned: on failure
  type: str
  sample: "/srv/www: no such directory"
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
