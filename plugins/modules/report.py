#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/report.py, and the options are checked
# against REPORT in plugins/plugin_utils/_tape_spec.py by tests/unit/test_tape_documentation.py.

DOCUMENTATION = r"""
module: report
short_description: Write a report of a run as one HTML file
version_added: 1.0.0
description:
  - Writes one HTML file from the results of tasks of this collection. It has a row for each host, and, as far as the
    results have them, the failures with their causes and the command to go on, a picture of who talked to whom, the
    drives over time, the rates over time, the last good archive of each host, and the tapes with how full they are and
    when they expire.
  - The file needs nothing else. It has no script and loads nothing, and its content security policy refuses both. Texts
    of hosts are escaped. It can be read on wide and narrow screens, light and dark, and printed.
  - The file is replaced atomically. It names hosts and quotes error messages, so only its owner may read it unless
    O(mode) says otherwise.
  - Messages, notes and commands of tasks with C(no_log) are left out. If the task of the report itself has C(no_log),
    those of all tasks are left out. Ansible does not record C(no_log) in the results of other modules, so set it there
    if you report on such results.
author:
  - the plumbing.socketpipe contributors (!UNKNOWN)
extends_documentation_fragment:
  - plumbing.socketpipe.attributes
  - plumbing.socketpipe.attributes.actiongroup_tape
  - plumbing.socketpipe.attributes.conn
  - plumbing.socketpipe.attributes.facts
  - plumbing.socketpipe.attributes.flow
  - plumbing.socketpipe.tape
attributes:
  action:
    support: full
  async:
    support: none
  become:
    support: none
    details:
      - C(become) is ignored. The user that runs ansible-playbook writes O(dest). Use O(tape_become) for the tape host.
  check_mode:
    support: full
  connection:
    support: full
    details:
      - Only for O(tape_report_dir).
  delegation:
    support: none
    details:
      - Always works on the controller and, with O(tape_report_dir), on the tape host, so use C(run_once).
  diff_mode:
    support: none
  facts:
    support: none
  idempotent:
    support: partial
    details:
      - A file at O(dest) in which only the time of the report would change is left alone. The ages of archives change
        with the time, and a file in O(tape_report_dir) is always written.
  platform:
    platforms: linux
    support: full
options:
  results:
    description:
      - The registered results to report on, of M(plumbing.socketpipe.pipe), M(plumbing.socketpipe.pipeline),
        M(plumbing.socketpipe.transfer), M(plumbing.socketpipe.tape_finish), M(plumbing.socketpipe.tape_backup),
        M(plumbing.socketpipe.tape_verify), M(plumbing.socketpipe.tape_restore) and M(plumbing.socketpipe.tape_info), in
        any order. A result of a loop counts as the results in it.
      - O(results) or O(registered) is required.
      - The results of M(plumbing.socketpipe.tape_backup) add the drives and the rates over time to that of
        M(plumbing.socketpipe.tape_finish), and that of M(plumbing.socketpipe.tape_info) adds the catalog.
      - Other results are left out, and their number is in RV(notes). Those that failed or were skipped are reported.
    type: list
    elements: raw
    default: []
  registered:
    description:
      - Names of registered variables. The results are those of all hosts of the play, with the names of the hosts. A
        host that has none of these variables counts as failed, because the play has lost it before.
    type: list
    elements: str
    default: []
  title:
    description:
      - The title of the report. If empty, it depends on the results, such as V(Tape backup).
    type: str
    default: ""
  dest:
    description:
      - The file to write on the controller. Its directory must exist. O(dest) or O(tape_report_dir) is required.
    type: str
    default: ""
  mode:
    description:
      - The permissions of each file. With V(0644), a web server can show it.
    type: str
    choices: ["0600", "0640", "0644"]
    default: "0600"
  tape_report_dir:
    description:
      - A directory on the tape host for a file C(report-RUN.html), created when needed. C(latest.html) is a link to the
        newest.
    type: str
    default: ""
  tape_report_keep:
    description:
      - How many reports to keep in O(tape_report_dir). Older ones are removed. V(0) keeps all.
    type: int
    default: 30
seealso:
  - ref: Reports <ansible_collections.plumbing.socketpipe.docsite.reports>
    description: What a report shows, with pictures.
  - module: plumbing.socketpipe.tape_info
"""

EXAMPLES = r"""
- name: Copy a database to each replica
  plumbing.socketpipe.pipe:
    input: pg_dump shop
    remote: psql --quiet --single-transaction --set=ON_ERROR_STOP=1 --file=- shop
    peer: db1
  register: copied
  ignore_errors: true

- name: Report on all replicas
  plumbing.socketpipe.report:
    registered: [copied]
    dest: /srv/reports/replicas.html
    title: Replicas of the shop
  run_once: true

- name: Read the catalog
  plumbing.socketpipe.tape_info:
    tape_host: tape1
    gather: [tapes, hosts]
    tape_max_age: 2d
  run_once: true
  register: known

- name: Report on the catalog, for a web server on the tape host
  plumbing.socketpipe.report:
    results: ["{{ known }}"]
    tape_host: tape1
    tape_report_dir: /var/www/html/backup
    tape_report_keep: 10
    mode: "0644"
  run_once: true
"""

RETURN = r"""
dest:
  description: The absolute path of the file on the controller, null without O(dest).
  returned: success
  type: str
  sample: /srv/reports/replicas.html
report_file:
  description: The path of the file on the tape host, null without O(tape_report_dir).
  returned: success
  type: str
  sample: /var/www/html/backup/report-20261126T155354Z.html
removed:
  description: The names of the older reports that were removed there.
  returned: success
  type: list
  elements: str
  sample: [report-20261116T155312Z.html]
notes:
  description: Warnings for the operator, such as results that are not reported.
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
