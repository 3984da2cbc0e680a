#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/transfer.py, and the options are checked
# against TRANSFER_SPEC in plugins/plugin_utils/_transfer_options.py by tests/unit/test_transfer_documentation.py.

DOCUMENTATION = r"""
module: transfer
short_description: Copy a file of any size, or a directory, from one host to another over a direct TCP connection
version_added: 1.0.0
description:
  - Copies one file between the task's host and its I(peer), which is the controller or any other host of the inventory.
    The data goes straight from one host to the other, as with M(plumbing.socketpipe.pipe).
    Memory use is constant on all hosts, whatever the size of the file, also with C(become).
  - Most tasks need only O(src), O(dest), O(peer), O(direction) and O(mode).
  - B(Comparing.) First, both hosts examine their files. If they are the same (see O(checksum)), no data is sent. Only
    O(owner), O(group) and O(mode) are changed if they differ.
    Obstacles are reported now, before any data is sent. These include a missing source or directory, a device, a
    read-only file system, missing permissions, and too little room. Check mode ends here.
  - B(Copying.) The new file is written beside O(dest), with a temporary name and mode 0600. It gets its owner, group,
    mode, SELinux context and time of modification, is written to the disk, and is then renamed to O(dest).
    So a reader of O(dest) sees the old file or the complete new one, never a part.
  - If anything fails, the old file stays, and the temporary file is removed unless O(resume) is set. A stream that
    ends early is never taken for the file. The new file is renamed only if the stream ended properly, contained the
    announced size, and the source did not change while it was read.
  - Holes of a sparse file are neither sent nor written.
  - B(Directories.) If O(src) is a directory, everything in it is copied as a tar archive, in place. New files replace
    old ones one by one, nothing is deleted, and nothing is compared, so the task is always changed. If it fails in the
    middle, O(dest) has some of the new files. For more, see M(ansible.posix.synchronize).
  - B(To many hosts.) With O(hosts), the file goes from the peer to the first of these hosts, from there to the second,
    and so on. Each host receives it once and sends it once, so copying to forty hosts takes little longer than to one.
author:
  - The plumbing.socketpipe contributors (!UNKNOWN)
extends_documentation_fragment:
  - plumbing.socketpipe.attributes
  - plumbing.socketpipe.attributes.conn
  - plumbing.socketpipe.attributes.facts
  - plumbing.socketpipe.attributes.flow
  - plumbing.socketpipe.attributes.actiongroup_all
attributes:
  action:
    support: full
  async:
    support: partial
    details:
      - Without C(async), nothing outlives the task. With it, the copy goes on if the playbook or the controller dies,
        and the task's host keeps the result, as for M(plumbing.socketpipe.pipe). Both hosts are examined before, by the
        task itself.
      - If nothing is to be copied, the job is finished already.
      - A side on the controller lives as long as the controller.
      - With O(encryption), the reports of the other host to the task's host are encrypted, too.
      - With O(hosts), the task's host keeps the result of all of them, and must be able to connect with each, in either
        direction. It need not be one of them. If it is one of them, or the peer, it listens on two ports of O(ports).
        Owners, groups and modes on hosts that have the file already are changed before the copy starts, by the task
        itself.
      - To stop such a copy, use O(plumbing.socketpipe.pipe#module:cancel) in a task for the same host and user. The old
        file stays.
  become:
    support: full
    details:
      - C(become) applies to the task's host. Use O(peer_become) and O(peer_become_user) for the peer.
      - With O(hosts), C(become), C(become_user), C(become_method) and C(environment) of the task apply to each of these
        hosts, as they would if it were the task's host. The variables of a host, such as C(ansible_become), take
        precedence. Other keywords of the task, such as C(remote_user) and C(become_flags), do not apply to them.
  check_mode:
    support: full
    details:
      - Both hosts examine their files. No data is sent, and nothing is changed.
  connection:
    support: full
    details:
      - Works with any connection that runs commands on a Linux host. See M(plumbing.socketpipe.pipe).
  delegation:
    support: full
    details:
      - C(delegate_to) replaces the task's host, not the peer. In M(ansible.posix.synchronize) it replaces the other
        side.
      - With O(hosts), C(delegate_to) has no effect, except that with C(async) that host keeps the result.
  diff_mode:
    support: full
    details:
      - Shows size, time, owner, group and mode of a file, not the content. Shows nothing for a directory.
  facts:
    support: none
  idempotent:
    support: partial
    details:
      - A directory is always copied.
  platform:
    platforms: linux
    support: full
options:
  src:
    description:
      - The file or directory to copy, on the peer or, with O(direction=pull), on the task's host.
      - With a C(/) at the end, the content of a directory goes to O(dest). Without it, the directory itself is copied
        into O(dest), under its own name. This is as in rsync.
      - It must be a regular file, a directory, or a symbolic link to one of them. A relative path is relative to the
        login directory or, on the controller, to the directory of the playbook. C(~) is the home directory of the user
        that reads it.
    type: str
    required: true
  dest:
    description:
      - The file to create or replace, on the task's host or, with O(direction=pull), on the peer. If O(src) is a
        directory, the directory to copy it to. It is created if its parent directory exists.
      - If it is a directory, or ends with C(/), the file gets the name of O(src) in that directory, which must exist.
        If it is a symbolic link, the file that it points to is replaced. Links of other users in a directory where
        everybody may write, such as C(/tmp), are refused.
    type: str
    required: true
  hosts:
    description:
      - The hosts of the inventory that get the file, in place of the task's host. Use it in a task with C(run_once).
        O(dest) and all other options are the same for each host. Their templates are those of the task's host.
      - All these hosts examine O(dest) at the same time. Those that have the file already are left out.
        Those that cannot be reached, or that cannot have it, for example because there is no room, are left out as
        failed. The file is sent along a chain of the others, in the order given.
      - If a host dies while the file is sent, those behind it do not get the file, and those before it do. A host that
        only cannot write or validate the file passes it on. Run the task again to send the file to those that lack it.
        Each host has the old or the complete new file at any time.
      - The task fails if any host fails. RV(hosts) has the result of each. It never counts as unreachable, so the
        play goes on if you ignore the failure or handle it with C(rescue).
      - The slowest host and the slowest connection of the chain determine the rate.
      - Only with O(direction=push). The peer cannot be one of them.
    type: list
    elements: str
  direction:
    description:
      - V(push) - from the peer to the task's host, as M(ansible.builtin.copy) does.
      - V(pull) - from the task's host to the peer, as M(ansible.builtin.fetch) does. Unlike there, O(dest) is the
        complete path, so include C(inventory_hostname) in it if several hosts run the task.
    type: str
    choices: [push, pull]
    default: push
  owner:
    description:
      - The name or number of the user that owns the new file. If not set, the old file's owner or, for a new file, the
        user that writes it.
      - A file that would have to change its owner is moved again, unless it belongs to the user that writes it.
        Its old owner may have written something else into it.
    type: str
  group:
    description:
      - The name or number of the group. If not set, like O(owner).
    type: str
  mode:
    description:
      - The permissions, as a quoted octal number such as V('0640'), or V(preserve) for those of O(src).
      - If not set, the old file's mode or, for a new file, that of O(src) less the umask. If the owner or group becomes
        another, the new file is neither setuid nor setgid. If the old group cannot be kept, its permissions are not
        either.
    type: raw
  checksum:
    description:
      - Whether to compare files of the same size by their SHA-256. The source is then read once more, and an old file
        of the same size is read, too.
      - Otherwise, files are the same if they have the same size and the same time of modification.
    type: bool
    default: false
  force:
    description:
      - Whether to replace a file that differs. With V(false), an existing O(dest) is not changed at all, and the task
        is ok.
    type: bool
    default: true
  backup:
    description:
      - Whether to keep the old file, as RV(backup_file), under its name with the date and time added. It is kept as a
        hard link, not as a copy, so the file system must support hard links.
    type: bool
    default: false
  validate:
    description:
      - A command that checks the new file before it replaces the old one, such as V(qemu-img check %s). It must contain
        C(%s), which is replaced by the temporary name. It runs on the host of O(dest), without a shell. If it fails,
        the old file stays. What it leaves running in its process group is killed.
    type: str
  resume:
    description:
      - Whether to keep what has arrived if the copy is interrupted, and to send only the rest in the next run.
      - The partial file stays beside O(dest), with mode 0600 and a name that begins with a dot and ends with
        C(.socketpipe). The next run uses it if the source still has the same size, time of modification and inode, and
        if its checksum is that of the same bytes of the source. Both hosts read that part once more, at about two
        seconds for 3 GiB. If the checksums differ, everything is sent again, with a warning.
      - A partial file is not used if it belongs to another user, or if others could have opened it.
      - There is one partial file for O(dest) at most. Any run that copies a file to O(dest) removes that of another
        state of the source. So does a run without O(resume). A run that finds nothing to copy leaves it.
      - It cannot be used with O(hosts).
      - A complete file that fails afterwards, for example O(validate), is removed all the same.
    type: bool
    default: false
  peer:
    description:
      - The other host. V(localhost) is the controller. See O(plumbing.socketpipe.pipe#module:peer).
    type: str
    default: localhost
  peer_become:
    description:
      - Whether to become another user on the peer. See O(plumbing.socketpipe.pipe#module:peer_become).
    type: bool
    default: false
  peer_become_user:
    description:
      - The user to become on the peer. See O(plumbing.socketpipe.pipe#module:peer_become_user).
    type: str
  listen:
    description:
      - Which of the two hosts listens for the other. V(peer) is the peer, V(remote) is the task's host, in both
        directions of the file. See O(plumbing.socketpipe.pipe#module:listen).
      - With O(hosts), V(remote) is the first host of the chain. This option is then for the connection between the
        peer and that host. For those between the hosts, use C(socketpipe_listen).
    type: str
    choices: [auto, peer, remote]
    default: auto
  address:
    description:
      - Addresses to dial instead of the auto-detected ones. See O(plumbing.socketpipe.pipe#module:address).
      - With O(hosts), these are addresses of the peer. For the hosts, use C(socketpipe_address).
    type: list
    elements: str
  ports:
    description:
      - The TCP ports on which an end may listen. See O(plumbing.socketpipe.pipe#module:ports).
    type: list
    elements: str
  connect_timeout:
    description:
      - Seconds to wait until the hosts are connected.
    type: int
    default: 30
  stall_timeout:
    description:
      - Seconds without a byte moving after which the task fails. Set to V(0) to disable.
      - With O(hosts), it must be longer than O(validate) takes on the slowest host.
    type: int
    default: 0
  dead_peer:
    description:
      - Seconds without any response from the other host's kernel after which the task fails. It must be at least V(6).
        Set to V(0) to disable.
    type: int
    default: 120
  rate_limit:
    description:
      - The maximum rate in bytes a second, such as V(50M). See O(plumbing.socketpipe.pipe#module:rate_limit).
    type: str
  congestion_control:
    description:
      - The congestion control of TCP, such as V(cubic). See O(plumbing.socketpipe.pipe#module:congestion_control).
    type: str
  encryption:
    description:
      - Whether and how the data is encrypted between the two hosts. See O(plumbing.socketpipe.pipe#module:encryption).
    type: str
    choices: [none, required, kernel, relay]
    default: none
  progress:
    description:
      - Seconds until the first progress line. Set to V(0) to disable progress lines.
        See O(plumbing.socketpipe.pipe#module:progress). Those of a file have a percentage and the time left.
    type: int
    default: 30
  progress_quiet:
    description:
      - Seconds without a progress line of any host, after which there is one.
        See O(plumbing.socketpipe.pipe#module:progress_quiet).
    type: int
    default: 60
    version_added: 1.0.0
notes:
  - Both hosts need Linux and Python 3.6 or later, but no other software, not even Ansible.
  - A directory is archived and extracted by GNU tar 1.26 or later or, on a host that has no such program, by Python's
    C(tarfile). Both can be used together. With GNU tar on both hosts, extended attributes, access control lists and
    SELinux contexts are copied if both programs support them, and holes of sparse files are neither sent nor written.
    C(tarfile) copies none of these.
  - In a directory, files keep their modes and times and, if root extracts them, their owners and groups. These go by
    name, or by number if there is no such user or group. An existing O(dest) keeps its own owner, group and mode.
    Hard links within the directory stay hard links, symbolic links are copied as such, and sockets are left out.
    Other file systems that are mounted in it are included.
  - A symbolic link at the destination in the place of a directory or file is replaced, not followed.
  - A file in a directory that changes while it is read makes the task fail.
  - For a directory, O(owner), O(group), O(mode) other than V(preserve), O(checksum), O(force), O(backup), O(validate),
    O(resume) and O(hosts) are refused. Use M(ansible.builtin.file) afterwards to change attributes. Room is not
    checked beforehand. Two transfers to one directory are not kept apart.
  - Hard links to an old file, its access control lists and its extended attributes do not carry over to the new file.
    Nor do those of O(src).
  - The inventory variables C(socketpipe_address), C(socketpipe_ports) and C(socketpipe_listen) apply as for
    M(plumbing.socketpipe.pipe).
  - To test the network and the encryption between the two hosts, use O(plumbing.socketpipe.pipe#module:preflight).
  - Defaults in C(group/plumbing.socketpipe.all) apply to M(plumbing.socketpipe.pipe) and
    M(plumbing.socketpipe.pipeline) as well. Set only options there that all of them have that you use.
  - While the file is written, both the old and the new one need room.
  - Two transfers to one O(dest) do not mix. The second one fails.
  - If a host dies in the middle, its temporary file stays, with a name that begins with a dot and ends with
    C(.socketpipe). The next transfer to the same O(dest) removes it or, with O(resume), continues it.
  - If the report is lost after the new file has replaced the old one, the task fails although the new file is complete.
    The message says so. A second run then finds nothing to do.
seealso:
  - module: plumbing.socketpipe.pipe
  - module: ansible.builtin.copy
  - module: ansible.builtin.fetch
  - module: ansible.posix.synchronize
"""

EXAMPLES = r"""
---
- name: Copy an image from the host that has it, without the controller in between
  plumbing.socketpipe.transfer:
    src: /var/lib/libvirt/images/gold.qcow2
    dest: /var/lib/libvirt/images/gold.qcow2
    peer: image1
    peer_become: true
    owner: libvirt-qemu
    mode: "0640"
    validate: qemu-img check %s
  become: true

- name: Fetch a large file that only root can read
  plumbing.socketpipe.transfer:
    src: /var/lib/mysql-backup/full.xb
    dest: /srv/backups/{{ inventory_hostname }}.xb
    direction: pull
  become: true

- name: Copy a file from the controller over a network that others can read
  plumbing.socketpipe.transfer:
    src: /srv/releases/app.tar.zst
    dest: /opt/app/ # gets the name app.tar.zst
    encryption: required
    rate_limit: 50M

- name: Put the dump of the database on the backup host, and keep the previous one
  plumbing.socketpipe.transfer:
    src: /srv/dumps/shop.dump
    dest: /srv/dumps/shop.dump
    direction: pull
    peer: backup2
    backup: true
    checksum: true

- name: Copy an image from the host that has it to all hosts that need it
  plumbing.socketpipe.transfer:
    src: /var/lib/libvirt/images/gold.qcow2
    dest: /var/lib/libvirt/images/gold.qcow2
    peer: image1
    peer_become: true
    hosts: "{{ groups['hypervisors'] }}"
  become: true
  run_once: true

- name: Copy the content of a directory to a new server
  plumbing.socketpipe.transfer:
    src: /srv/www/ # with the slash: its content
    dest: /srv/www
    peer: oldserver
    peer_become: true
  become: true

- name: Fetch an image over a slow line, and try again if the line breaks
  plumbing.socketpipe.transfer:
    src: /srv/images/disk.raw
    dest: /srv/images/{{ inventory_hostname }}.raw
    direction: pull
    resume: true
    stall_timeout: 60
  register: image
  until: image is succeeded
  retries: 5

# delegate_to replaces the task's host: the file goes from the peer, here the host itself, to fileserver

- name: Copy each host's log to the file server
  plumbing.socketpipe.transfer:
    src: /var/log/app.log
    dest: /srv/logs/{{ inventory_hostname }}.log
    peer: "{{ inventory_hostname }}"
  delegate_to: fileserver
"""

RETURN = r"""
msg:
  description: V(ok), in check mode what would be done, or the failure in one sentence that a person can act on.
  returned: always
  type: str
  sample: "h1: there is no room in /srv: the file needs 8589934592 bytes, and 1073741824 are free"
changed:
  description:
    - Whether the file was or would be replaced, or its owner, group or mode. After a failure, whether O(dest) may have
      been replaced all the same.
  returned: always
  type: bool
  sample: true
cause:
  description: On failure, what failed. Otherwise V(none).
  returned: always
  type: dict
  contains:
    kind:
      description:
        - V(options), V(settings) - an option is invalid.
        - V(not found), V(not a file), V(not permitted), V(read only), V(no room) - the file or its place cannot be
          used.
        - V(busy) - another transfer to O(dest) is running, O(dest) is in use, for example as a mount point, or another
          program keeps a lock on its directory.
        - V(changed) - the source changed while it was read, or O(dest) or its directory is no longer that of the look.
        - V(replaced) - O(dest) is the new file, but something failed afterwards. The message says what.
        - V(validation), V(no tool) - O(validate) failed, or there is no such program.
        - V(incomplete), V(answer) - the stream or the answer of a host is invalid, or a directory could not be
          extracted completely.
        - V(stopped) - with O(hosts), another host failed, which is RV(cause.host). Or a run with C(async) was
          cancelled, or took too long.
        - Any other kind is one of RV(plumbing.socketpipe.pipe#module:cause.kind).
      returned: always
      type: str
      sample: no room
    host:
      description: The host of the failure.
      returned: always
      type: str
      sample: h1
    msg:
      description: The same as RV(msg). If several of O(hosts) failed, only the failure of the first.
      returned: always
      type: str
      sample: "h1: there is no room in /srv: the file needs 8589934592 bytes, and 1073741824 are free"
src:
  description:
    - The absolute path of the source. After a failure, this and all values below are V(none), except RV(peer) and
      RV(hosts).
  returned: always
  type: str
  sample: /var/lib/libvirt/images/gold.qcow2
dest:
  description: The absolute path of the destination, with links resolved. V(none) with O(hosts).
  returned: always
  type: str
  sample: /var/lib/libvirt/images/gold.qcow2
source_host:
  description: The host that has the source.
  returned: always
  type: str
  sample: image1
destination_host:
  description: The host that has the destination. V(none) with O(hosts).
  returned: always
  type: str
  sample: h1
peer:
  description: Which of the two is the peer. V(none) if the options are invalid.
  returned: always
  type: str
  sample: image1
size:
  description:
    - The size of the destination in bytes. In check mode, this and the values below are those that it would have.
    - With O(hosts), this, RV(mtime) and RV(checksum) are those of the source, and the values from RV(owner) to
      RV(backup_file) are V(none).
  returned: always
  type: int
  sample: 8589934592
mtime:
  description: Its time of modification, in seconds since 1970.
  returned: always
  type: float
  sample: 1764144000.25
checksum:
  description: The SHA-256 of the file, if it was computed.
  returned: always
  type: str
  sample: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
owner:
  description: The name of its owner, or the number if there is no name.
  returned: always
  type: str
  sample: libvirt-qemu
group:
  description: The name of its group, or the number if there is no name.
  returned: always
  type: str
  sample: kvm
uid:
  description: The number of its owner. V(none) in check mode, if it would not change or the file would be new.
  returned: always
  type: int
  sample: 64055
gid:
  description: The number of its group, like RV(uid).
  returned: always
  type: int
  sample: 108
mode:
  description: Its permissions, as an octal number.
  returned: always
  type: str
  sample: "0640"
backup_file:
  description: The name of the old file with O(backup=true), if it was replaced.
  returned: always
  type: str
  sample: /srv/dumps/shop.dump.2026-11-26@02:00:10~
bytes:
  description:
    - Bytes on the link. These are the data without its holes, and 16 bytes for each piece of data and for the end.
      V(none) if no data was sent.
  returned: always
  type: int
  sample: 3221225504
resumed:
  description:
    - Bytes of the file that an earlier run had copied, and that were not sent again. In check mode, the size of the
      partial file, which is not compared with the source. V(none) without O(resume).
  returned: always
  type: int
  sample: 5368709120
archivers:
  description:
    - For a directory, the programs that archive and extract it, of C(source) and C(destination). Otherwise V(none).
      For a directory, RV(size), RV(mtime), RV(checksum), RV(owner), RV(group), RV(uid), RV(gid) and RV(mode) are
      V(none).
  returned: always
  type: dict
  sample: {"source": "GNU tar 1.34", "destination": "tarfile of Python 3.9"}
elapsed:
  description: Seconds that everything took. V(none) in check mode.
  returned: always
  type: float
  sample: 31.402
link:
  description:
    - The link between the two hosts, with the fields of RV(plumbing.socketpipe.pipe#module:links), such as
      C(encryption) and C(samples). V(none) if no data was sent. With O(hosts), it is the link to the first host of the
      chain.
  returned: always
  type: dict
  sample: {"bytes": 3221225504, "rate": 104857600, "rtt": 0.000212, "slow": "", "encryption": null, "samples": []}
run:
  description: The identifier of the run that copied the file. It is on the command lines of the ends, and not secret.
  returned: always
  type: str
  sample: 1e2b604d58d918c5ceeac7a6fb3f4345
hosts:
  description: With O(hosts), the result of each host, by name. Otherwise V(none).
  returned: always
  type: dict
  contains:
    ok:
      description: Whether the host has the file, or would have it in check mode.
      returned: always
      type: bool
      sample: true
    changed:
      description: Like RV(changed), for this host.
      returned: always
      type: bool
      sample: true
    cause:
      description: The failure of this host, with the fields of RV(cause). V(none) if there is none.
      returned: always
      type: dict
      sample: null
    backup_file:
      description: Like RV(backup_file), for this host.
      returned: always
      type: str
      sample: null
  sample:
    web1: {"ok": true, "changed": true, "cause": null, "backup_file": null}
    web2:
      ok: false
      changed: false
      cause:
        kind: no room
        host: web2
        msg: "web2: there is no room in /srv: the file needs 8589934592 bytes, and 1073741824 are free"
      backup_file: null
censored:
  description: With C(no_log). M(plumbing.socketpipe.report) then leaves out messages and commands.
  returned: with C(no_log)
  type: str
  sample: "no_log: true"
ansible_job_id:
  description: The identifier of a run that outlives the task, the same as its RV(run).
  returned: with C(async)
  type: str
  sample: 5f0c8d0e6a5b4c3d9e8f7a6b5c4d3e2f
results_file:
  description: The file on the task's host in which that run shows its state, and at last its result.
  returned: with C(async)
  type: str
  sample: /root/.ansible_async/5f0c8d0e6a5b4c3d9e8f7a6b5c4d3e2f
progress:
  description: How far that run is, about every five seconds.
  returned: by M(ansible.builtin.async_status), while it runs
  type: dict
  contains:
    bytes:
      description: The bytes that have arrived.
      returned: always
      type: int
      sample: 1073741824
    elapsed:
      description: Seconds since the commands could start.
      returned: always
      type: float
      sample: 12.5
    rate:
      description: Bytes a second since the last time.
      returned: always
      type: int
      sample: 85899345
    expected:
      description: The number of bytes to send. V(none) if it is unknown, as for a directory.
      returned: always
      type: int
      sample: 85899345920
    percent:
      description: How much of it has arrived. V(none) if it is unknown.
      returned: always
      type: int
      sample: 1
    left:
      description: Seconds until the rest has arrived at the average rate so far. V(none) if it is unknown.
      returned: always
      type: float
      sample: 987.5
    slow:
      description: Which side is slow, and why. Empty if neither is.
      returned: always
      type: str
      sample: tar is slow (nothing to send 69 % of the time)
"""
