#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/pipe.py, and the options are checked
# against PIPE_SPEC in plugins/plugin_utils/_task_options.py by tests/unit/test_documentation.py.

DOCUMENTATION = r"""
module: pipe
short_description: Join commands on two hosts with direct TCP connections
version_added: 1.0.0
description:
  - Runs O(remote) on the task's host, and O(input), O(output) or both on its I(peer), which is the controller or any
    other host of the inventory.
    O(remote) reads the output of O(input), and O(output) reads the output of O(remote), as if a shell ran
    C(input | remote | output) across two hosts.
  - Most tasks need only O(remote), O(input) or O(output), O(peer) and O(peer_become).
  - Ansible's connection only starts the commands.
    The data goes over a separate TCP connection, straight from one host to the other.
    The socket itself is the standard output of the one process and the standard input of the other.
    No byte is copied or encoded on the way, and none is stored in memory or on a disk.
    With a O(peer) other than the controller, the controller carries no data at all.
  - B(How it works.)
    The module checks the options and starts a small supervisor, called an I(end), on both hosts through Ansible's
    connection. The end needs Python and installs nothing.
    Each end looks up its commands, and tests C(creates) and C(removes).
    The ends then connect to each other (see O(listen)) and prove with a secret that they belong together.
    When every connection, called a I(link), is made, the first command (the I(source)) starts.
    Each of the others, up to the last (the I(sink)), starts when its first byte, or a proper end of file, has arrived.
    So a source that dies at once never opens the tape and never truncates last week's file.
    When all commands have ended, both ends report, and the controller compares the reports.
  - B(What ok is worth.)
    The task is ok only if every command exited with an accepted status, every stream was read to its end,
    as many bytes were read as were written, and both ends confirm it.
    If a command or a host dies, the commands after it never see an end of file.
    They get a read error (connection reset), and the task fails even if they ignore it.
    RV(cause) then names what failed first, not what failed as a consequence.
    The last command may already have written data. That data is not a complete backup.
  - B(What is not protected.)
    Without O(encryption) the data crosses the network in clear.
    An attacker who can listen between the two hosts can read it, and one who can forge packets there can change it.
    Nobody else can connect in any case. Each link has a fresh 32-byte secret, which reaches both ends through Ansible's
    connection only. Each side proves to the other that it has the secret before any command starts.
    Other connections are refused, and counted in RV(strangers).
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
    support: full
    details:
      - Without C(async), nothing outlives the task. With it, the run goes on if the playbook or the controller dies,
        and the task's host keeps the result, in the directory that the C(async_dir) option of the shell plugin names.
        Ansible polls it, or M(ansible.builtin.async_status) reads it later, also from another playbook.
      - C(async) is a limit in seconds. A run that takes longer is stopped, and fails.
      - A side on the controller lives as long as the controller.
      - With O(encryption), the reports of the other host to the task's host are encrypted, too.
      - It is not possible with O(preflight).
      - To stop such a run, use O(cancel).
  become:
    support: full
    details:
      - C(become) applies to the task's host. Use O(peer_become) and O(peer_become_user) for the peer.
  check_mode:
    support: full
    details:
      - Checks the options and the hosts and reports what would run. It starts nothing and touches no host.
        It therefore does not test C(creates) and C(removes).
  connection:
    support: full
    details:
      - Works with any connection that runs commands on a Linux host.
        If the connection or the C(become) method cannot pass data on standard input, the end is sent through Ansible's
        temporary directory. This also applies to logins with a terminal (C(ssh -tt), C(RequestTTY force)) and to
        C(become) methods that need one (sudo's C(requiretty), C(machinectl)).
  delegation:
    support: full
    details:
      - With C(delegate_to), O(remote) runs on the delegated host.
  diff_mode:
    support: none
  facts:
    support: partial
    details:
      - None, unless O(fact) asks for one, with the summary of a successful run.
  idempotent:
    support: none
    details:
      - Runs its commands each time, unless C(creates) or C(removes) skips the task.
  platform:
    platforms: linux
    support: full
options:
  remote:
    description:
      - The command on the task's host, in one of four forms.
      - "B(A string) is split into words as a shell would split it, with quotes and backslashes, but no shell runs.
        Variables, C(~), wildcards, C(|) and C(>) have no special meaning. For example V(dd of=/dev/nst0 obs=32k)."
      - "B(A list of strings) is used as it is, one word each.
        For example V([tar, --create, --file=-, /srv/my files])."
      - "B(A mapping) has exactly one of C(cmd) (a string as above), C(argv) (a list of words), C(shell) (a string
        for C(/bin/sh -c)) and C(script), and any of the settings below."
      - "C(script) (a string) is the name of a program on the controller, where M(ansible.builtin.script) would find it,
        and its arguments, split like C(cmd). It is sent to the command's host and runs from memory, so that it is never
        in a file there. Up to 4 MiB. A vault is decrypted."
      - "A C(script) may be a directory with a C(__main__.py), a Python program of several files, as
        C(python DIRECTORY) runs it. It is sent as a zip archive, without hidden files, C(__pycache__) and C(*.pyc).
        The program reads its own files with C(pkgutil.get_data), because C(open) cannot read an archive. The
        C(executable) gets the archive, so it must be another Python, such as V(python3.9 -I)."
      - "B(A list of mappings) is a chain of commands on this host. Each reads the output of the one before it.
        Unlike in a pipeline in C(shell), the exit status of each command is checked."
      - "A mapping has these settings."
      - "C(executable) (a string, by default the Python that runs the end) - The program that runs a C(script), such as
        V(/bin/sh) or V(perl -w). It gets the script as V(/proc/self/fd/3)."
      - "C(chdir) (a path) - The directory to run the command in. It must exist."
      - "C(environment) (a mapping) - Variables to add to its environment. They override the task's C(environment)."
      - "C(ok_rc) (a list of integers, by default V([0])) - Exit statuses that mean success.
        Any other status fails the task. A negative number means a death by that signal.
        For GNU tar, which exits with 1 if a file changed while it was being read, often V([0, 1])."
      - "C(early_exit) (a boolean, by default V(false)) - Whether the command may exit, with an accepted status, before
        it has read all its input, as C(head) does. The commands before it may then fail as a consequence.
        Without this, a command that leaves data unread fails the task. Only NUL bytes may be left, because GNU tar
        does not read the padding at the end of an archive. The limit is 1 MiB for C(tar), C(bsdtar), C(star), C(cpio)
        and C(pax) (the largest record of a tape), 10 KiB for other programs (the usual record), and 0 for C(dd)."
      - "C(creates) (a path) - If this exists on the command's host, the whole task is skipped.
        A relative path is looked up in C(chdir). Wildcards are allowed. C(~) has no special meaning."
      - "C(removes) (a path) - If this does not exist on the command's host, the whole task is skipped."
      - Required, unless O(cancel) is set.
    type: raw
  input:
    description:
      - The command on the peer that writes to O(remote), in the same forms as O(remote).
      - At least one of O(input) and O(output) is required.
        Without O(input), O(remote) is the source and reads C(/dev/null).
    type: raw
  output:
    description:
      - The command on the peer that reads the output of O(remote), in the same forms as O(remote).
      - At least one of O(input) and O(output) is required.
        Without O(output), O(remote) is the last command, and its standard output is returned in C(stdout) of
        RV(stages).
    type: raw
  peer:
    description:
      - The host on which O(input) and O(output) run. V(localhost) is the controller.
      - Any other name is a host of the inventory.
        It is reached with its own variables (address, port, user, key, interpreter, become method), at the same time
        as the task's host. The task's C(become), C(environment) and C(delegate_to) do not apply to it.
        It may be the task's own host.
    type: str
    default: localhost
  peer_become:
    description:
      - Whether to become another user on the peer. Its variables, such as C(ansible_become_method), apply.
        Keywords of the task, such as C(become_method), do not.
      - A typed password (C(--ask-pass), C(--ask-become-pass)) is also used for the peer, unless the task's host has its
        own password in its variables. The peer gets no other settings of the task's host.
      - A peer with C(ansible_become) in its variables becomes another user without this.
    type: bool
    default: false
  peer_become_user:
    description:
      - The user to become on the peer. If not set, C(ansible_become_user) of the peer, or else root.
    type: str
  listen:
    description:
      - Which of the two hosts listens for the other.
      - V(auto) - both listen and both dial. The first connection on which both prove themselves is used.
        So it is enough if one host can reach the other, for example through a firewall, or out of a container.
        A host with C(socketpipe_listen=false) in its variables only dials.
      - V(peer) - the peer listens, the task's host dials. This is what the original socketpipe does.
      - V(remote) - the task's host listens, the peer dials.
      - Each end that listens opens one port, on all its addresses, and closes it as soon as its links are made.
    type: str
    choices:
      - auto
      - peer
      - remote
    default: auto
  address:
    description:
      - Addresses or names to dial instead of the auto-detected ones. All are tried.
      - They are addresses of the peer, as seen from the task's host.
        With O(listen=remote) they are addresses of the task's host, as seen from the peer.
        The zone of a link-local address (V(fe80::1%eth0)) is an interface of the host that dials.
      - If not set, a host is dialled at the addresses in its variable C(socketpipe_address).
      - Without that, a host of the inventory is dialled at all addresses to which the controller resolves its
        C(ansible_host). The controller is dialled at the address that its routing table gives towards the other host,
        and at the source address of the ssh login.
        A wrong address does no harm, because another program there cannot prove itself.
      - Set this if the two hosts reach each other at addresses that the controller does not use,
        such as those of a storage network, or if ssh reaches a host through a bastion or an alias.
    type: list
    elements: str
  ports:
    description:
      - The TCP ports on which an end may listen. Give ports (V(5000)), ranges (V(5000-5010)), or several of them
        (V(5000,6000-6010), or a list).
      - Open them in the firewall, in at least one direction. One port is enough for a task, however many links it has.
        Concurrent tasks on the same hosts need one each.
      - Up to 16 of these ports are chosen at random for each end, which uses the first free one.
      - If not set, each host uses the ports in its variable C(socketpipe_ports), or else ports from 20000 to 32767.
    type: list
    elements: str
  connect_timeout:
    description:
      - Seconds to wait until all links are made.
        After that, the error lists who listened where, what was dialled, and how each attempt failed.
    type: int
    default: 30
  stall_timeout:
    description:
      - Seconds without a byte moving on a link after which the task fails. Set to V(0) to disable.
      - A tape change, a slow C(find) or a source that waits for its data counts, too.
    type: int
    default: 0
  dead_peer:
    description:
      - Seconds without any response from the other host's kernel after which the task fails. It must be at least V(6).
        Set to V(0) to disable.
      - A live host responds even if its command neither reads nor writes, however long.
    type: int
    default: 120
  rate_limit:
    description:
      - The maximum rate of each link in bytes a second, a number with an optional binary suffix, such as V(500K),
        V(10M) or V(1.5G). The kernel enforces it. If not set, there is no limit.
    type: str
  congestion_control:
    description:
      - The congestion control of TCP for each link, such as V(cubic), V(bbr) or V(reno). It counts for the host that
        sends. If its kernel does not have it, or not for the user of the stage, the task fails before anything starts.
      - If not set, the kernel decides (C(sysctl net.ipv4.tcp_congestion_control)), because this is the choice of the
        administrator, and depends on the line. Within a site V(cubic) and V(reno) need less processor time than V(bbr).
    type: str
  full_reads:
    description:
      - Whether a read from the network waits until all requested bytes (at most 1 MiB) or the end of the stream have
        arrived. A socket otherwise returns the bytes that have arrived so far, and C(dd bs=32k) would write short
        blocks to the tape.
      - If not set, C(dd) gets whole blocks, even inside a wrapper or a shell, and every other command reads data as it
        arrives. Commands that answer each other, and live streams such as C(tail -f), are not delayed.
      - V(true) is for other programs that turn a short read into a short block. Reads of 128 KiB and more are also
        faster on networks above 1 GB/s. Small reads return within 0.25 seconds. Do not use it with programs that
        call C(poll) or C(select) before they read, because they may wait for 1 MiB.
      - V(false) is for a C(dd) that must read data as it arrives.
      - It has no effect between two commands on one host. Reads there can be short, as from any pipe,
        so use C(dd obs=32k) or C(dd iflag=fullblock).
    type: bool
  encryption:
    description:
      - Whether and how the data is encrypted between the two hosts, so that nobody there can read it, or change it
        unnoticed. A stream that was changed or cut on the way fails the task.
      - V(none) sends the data in clear.
      - V(required) encrypts, in the best way that both hosts have. At present that is V(relay).
      - V(kernel) has the kernels of both hosts encrypt (kernel TLS), so that no byte passes through another process. It
        needs Linux 5.1 or later with the kernel module C(tls) on both hosts, which the role C(kernel_tls) loads. A
        command that reads can take a stream that was cut on the way for a complete one, though the task fails. See the
        guide on encryption.
      - V(relay) puts a process on each host between the command and the network. It speaks TLS 1.2 or later with
        certificates that are made for this run only. It needs Python's C(ssl) module with OpenSSL 1.0.2 or later on
        both hosts, and takes CPU time. See the guide on encryption.
      - If a host cannot encrypt, the task fails before any command starts. It never sends the data in clear instead.
      - A link between two commands on one host is not encrypted, nor is the data on its way to or from the command.
    type: str
    choices: [none, required, kernel, relay]
    default: none
    version_added: 1.0.0
  progress:
    description:
      - Seconds until the first progress line. It shows the bytes and the rate of each link, and the slow side.
        More lines follow after one, two, five and then every ten minutes, and whenever the stream stalls or resumes.
        Set to V(0) to disable progress lines.
      - They are shown while the task runs. If no command runs on the controller, one of the hosts is asked for the
        figures by a short second login, over a connection of its own, when a line is due. A task with C(async) and
        C(poll) reads the file of the job in this way.
    type: int
    default: 30
  progress_quiet:
    description:
      - Seconds without a progress line of any host, after which a task shows one although none is due, so that a timer
        that ends silent jobs does not end this one (C(idle_timeout) of ansible-runner). All hosts of a play share one
        such timer, so many hosts show no more lines than one does.
      - The line tells if there are no figures yet. Set to V(0) to have no such lines. With O(progress=0) there are
        none.
    type: int
    default: 60
    version_added: 1.0.0
  expect_bytes:
    description:
      - The number of bytes that the stream should have, such as V(12500M). Progress lines, and RV(progress) of a run
        with C(async), then have a percentage and the time left at the average rate so far.
      - It is compared with the bytes on the first link between two hosts. Give the compressed size if a command
        compresses on the way there.
      - It is only shown. A stream of another size is no failure.
    type: str
    version_added: 1.0.0
  expect:
    description:
      - A command whose output says that number, in place of O(expect_bytes). It runs on the host of the source before
        the run, in at most a minute, in one of the forms of O(remote), without a list of mappings.
      - The number is the first word of digits in the last line that has one. So C(zfs send -nP), C(du -sb),
        C(blockdev --getsize64), C(stat -c %s) and C(wc -c) can be used as they are.
      - If it fails or says no number, a warning tells why, and the run goes on without a percentage.
    type: raw
    version_added: 1.0.0
  preflight:
    description:
      - Whether to check only the network and the encryption. Both ends start, listen, dial each other and prove
        themselves. The commands are looked up but not run.
      - RV(preflight) lists each address and port, in each direction, with the outcome.
        The task fails if none worked.
      - RV(encryption) tells how the data would be encrypted with O(encryption), and for each host whether kernel TLS
        works there and, if not, why not and what to type. The task fails if O(encryption) is not possible.
      - With O(ports), up to 16 of them are tried. Otherwise two ports of each host are tried.
    type: bool
    default: false
  fact:
    description:
      - The name of a fact for the summary of a successful run, or V(true) for C(socketpipe).
        By default no fact is set.
      - The fact has no command, no output and no environment, because facts may be cached on a disk.
        A failure does not change it.
        The registered result (C(ansible_failed_result) in a C(rescue)) is authoritative.
    type: raw
    default: false
  cancel:
    description:
      - Stops a run that an earlier task has started with C(async). The value is its RV(ansible_job_id).
      - The task must have the same host, C(become) user and C(async_dir). It runs no command, so leave out O(remote),
        O(input) and O(output). It waits until all commands of the run have ended.
      - The run fails, and so does a task that polls for it.
    type: str
    version_added: 1.0.0
notes:
  - Both hosts need Linux and Python 3.6 or later, but no other software, not even Ansible. Nothing is left there.
  - Each link is one TCP connection, and carries data one way.
    Commands that follow each other on one host are joined by a socket pair, to which the same rules apply.
  - The standard input or output of a command is a socket in blocking mode. Its standard error is a pipe, and the last
    64 KiB are returned. The source reads C(/dev/null). The last command writes to a pipe, and the first 64 KiB are
    returned. A command inherits no other descriptor, has no terminal, and runs in its own session.
  - A command runs with the environment of the login on its host. For O(remote) the task's C(environment) is added.
    The command is looked up in C(PATH) of that environment before any command starts.
  - 'In C(shell: tar ... | zstd), C(zstd) sees a proper end of file if C(tar) dies, and the status of the pipeline
    is that of C(zstd). Use a list of mappings instead, or a shell with C(pipefail). The module warns about this.'
  - Some programs treat a read error as the end of their input and exit with 0, among them C(dd conv=noerror), C(while
    read) in C(sh), and C(perl) and C(node) unless the script checks for errors. The task fails all the same. But such a
    program may already have acted on the end of file, for example by renaming a finished file into place.
  - A background process that a command leaves behind and that still holds a link fails the task after five seconds,
    because it might still write. So does one that this user cannot inspect, such as one under C(sudo).
    After a success, a process that holds no link is left alone and listed in RV(left_running). After a failure, all
    processes that were started are ended.
  - Nothing outlives the task. If the task is interrupted, ansible-playbook is killed, or the connection to a host is
    lost, the ends stop all commands on their hosts and abort their links.
  - A task that fails after its commands have started is reported as changed.
  - Three variables of the inventory describe how a host can be dialled, for all tasks that do not say otherwise.
    They apply to the task's host and to the peer, to each its own. C(socketpipe_address) has its addresses or names,
    C(socketpipe_ports) the ports on which it may listen, and C(socketpipe_listen=false) says that others cannot dial
    it. O(address), O(ports), O(listen=peer) and O(listen=remote) take precedence.
  - A new run, by C(until) or C(retries) for example, makes new links with new secrets.
seealso:
  - module: plumbing.socketpipe.transfer
  - module: ansible.builtin.command
  - module: ansible.builtin.copy
  - module: ansible.builtin.fetch
  - name: socketpipe
    description: The original by Diomidis Spinellis, on whose idea and manual page this is built.
    link: https://github.com/dspinellis/socketpipe
"""

EXAMPLES = r"""
---
# The three examples of the manual page of the original. The play runs on the host with the tape drive.

- name: Back up the controller to the tape drive of the host
  plumbing.socketpipe.pipe:
    input: tar cf - /home
    remote: dd of=/dev/nst0 obs=32k

- name: Restore one user's files to the controller from that tape
  plumbing.socketpipe.pipe:
    remote: dd if=/dev/nst0 ibs=32k
    output: tar xpf - -C / home/luser

- name: Back up the controller to its own tape drive, compressed on the host
  plumbing.socketpipe.pipe:
    input: tar cf - /home
    remote: bzip2 -c
    output: dd of=/dev/nst0 obs=32k

# A fleet, straight to the tape host. The controller carries no data.

- name: Back up each host to the tape host, one after the other
  plumbing.socketpipe.pipe:
    remote:
      argv: [tar, --create, --one-file-system, --file=-, /home]
      ok_rc: [0, 1] # 1: a file changed while tar was reading it
    output: dd of=/dev/nst0 obs=256k
    peer: tapehost
    peer_become: true
  become: true
  throttle: 1 # one drive, one writer

- name: Compress before the data goes over the network
  plumbing.socketpipe.pipe:
    remote:
      - cmd: tar cf - .
        chdir: /home
      - cmd: zstd -c # if tar dies, zstd does not see an end of file
    output: dd of=/backup/home.tar.zst bs=1M
    peer: tapehost

- name: Copy a directory to the peer at a limited rate
  plumbing.socketpipe.pipe:
    remote: tar cf - -C /srv/data .
    output:
      cmd: tar xf -
      chdir: /backup
    peer: tapehost
    rate_limit: 50M

- name: List the first files on the tape, and leave the rest unread
  plumbing.socketpipe.pipe:
    input: dd if=/dev/nst0 ibs=32k
    remote:
      - cmd: tar tf -
      - cmd: head -n 5
        early_exit: true
    peer: tapehost
  register: listing

- name: Compute the checksum of a file of the controller on the host
  plumbing.socketpipe.pipe:
    input: cat /srv/disk.img
    remote: sha256sum
  register: checksum

- name: Show the checksum
  ansible.builtin.debug:
    msg: "{{ checksum.stages[-1].stdout | split | first }}"

- name: Anonymise a dump in transit with a program from the controller
  plumbing.socketpipe.pipe:
    input: cat /srv/shop.sql
    remote:
      - script: anonymise --level 2 # a directory: files/anonymise/__main__.py, and the modules that it imports
      - cmd: psql --quiet shop

- name: Check the firewalls before the night of the backup
  plumbing.socketpipe.pipe:
    remote: tar cf - /home
    output: dd of=/dev/nst0 obs=32k
    peer: tapehost
    ports: 5000-5010
    preflight: true

- name: Start a long backup that goes on if this playbook ends
  plumbing.socketpipe.pipe:
    remote: tar cf - /srv
    output: dd of=/backup/srv.tar
    peer: tapehost
  async: 36000
  poll: 0
  register: backup

- name: Wait for it
  ansible.builtin.async_status:
    jid: "{{ backup.ansible_job_id }}"
  register: backup_result
  until: backup_result is finished
  retries: 1000
  delay: 30

- name: Set options once for all tasks of a play or block, here those that pipe and transfer both have
  module_defaults:
    group/plumbing.socketpipe.all:
      ports: 5000-5010
      listen: peer
      peer: tapehost
      encryption: required
  block:
    - name: Back up the configuration, unless the archive exists
      plumbing.socketpipe.pipe:
        remote: tar cf - /etc
        output:
          cmd: dd of=/backup/etc.tar
          creates: /backup/etc.tar

- name: Back up, and show the cause of a failure
  block:
    - name: Back up the database
      plumbing.socketpipe.pipe:
        remote: tar cf - /var/lib/db
        output: dd of=/backup/db.tar
  rescue:
    - name: Show what failed first
      ansible.builtin.debug:
        msg: "{{ ansible_failed_result.cause.msg | default(ansible_failed_result.msg) }}"
"""

RETURN = r"""
msg:
  description:
    - V(ok), or one sentence with what failed first, why the task was skipped, what would run, or the result of a
      preflight.
    - The only value if the task's host is unreachable.
  returned: always
  type: str
  sample: "output (dd) on tapehost failed with exit status 1: dd: writing to '/dev/nst0': No space left on device"
cause:
  description:
    - What failed first, not what failed as a consequence. V(none) unless the task failed.
  returned: unless the task's host is unreachable
  type: dict
  contains:
    kind:
      description:
        - V(options) - an option is invalid. Nothing was started.
        - V(failed) - a command ended with a status that is not accepted.
        - V(stopped reading) - a command exited before the end of its input.
        - V(held) - a command exited, but left something running that holds its link.
        - V(not started), V(not killed) - a command could not be run, or not be ended.
        - V(stalled), V(dead peer) - a link was aborted because of O(stall_timeout) or O(dead_peer).
        - V(changed on the way), V(cut on the way) - between the hosts, somebody or something has changed an encrypted
          stream, or has ended it.
        - V(key used up) - an encrypted link has carried as much as one key may encrypt.
        - V(no tls), V(relay) - the TLS of the hosts has nothing in common, or a process that encrypts has failed.
        - V(link), V(stage) - the two sides of a link do not agree, or a command did not finish.
        - V(end) - the end on a host was killed or lost.
        - V(stopped) - a run with C(async) was cancelled, or took too long.
        - V(not connected) - no link within O(connect_timeout).
        - V(refused) - an end cannot do its part, for example because a command does not exist.
        - V(no python), V(no become), V(unreachable), V(launch) - no end could be started on a host.
      returned: always
      type: str
      sample: failed
    stage:
      description: The RV(stages[].name) of the command.
      returned: when it is a command
      type: str
      sample: output
    link:
      description: The commands that the link joins.
      returned: when it is a link
      type: str
      sample: "remote → output"
    host:
      description: The host of the failure. For a link, the host that aborted it, or the host that writes to it.
      returned: always
      type: str
      sample: tapehost
    rc:
      description: The RV(stages[].rc) of the command.
      returned: when it is a command, unless RV(cause.kind) is V(refused)
      type: int
      sample: 1
    msg:
      description: One sentence that a person can act on. The same as RV(msg).
      returned: always
      type: str
      sample: "output (dd) on tapehost failed with exit status 1: dd: writing to '/dev/nst0': No space left on device"
stages:
  description: The commands, from the source to the last.
  returned: unless the task's host is unreachable
  type: list
  elements: dict
  contains:
    name:
      description: The option, with an index if it is a list of mappings.
      returned: always
      type: str
      sample: remote[1]
    host:
      description: The host it ran on. V(localhost) is the controller.
      returned: always
      type: str
      sample: tapehost
    argv:
      description: Its words, truncated after 2048 characters.
      returned: always
      type: list
      elements: str
      sample: [dd, of=/dev/nst0, obs=32k]
    rc:
      description: Its exit status, or the negative signal number if a signal killed it. V(none) if it did not run.
      returned: always
      type: int
      sample: 0
    signal:
      description: The number of the signal that killed it, else V(none).
      returned: always
      type: int
      sample: 9
    elapsed:
      description: Seconds from its start to its exit. V(none) if it did not run.
      returned: always
      type: float
      sample: 341.806
    cpu:
      description:
        - Seconds of user and system CPU time of the command and the children it waited for. V(none) if it did not run.
      returned: always
      type: float
      sample: 12.51
    stderr:
      description:
        - The last part of its standard error, up to 4 KiB, or 64 KiB for the command that caused a failure.
          Non-ASCII bytes count more. More than three commands share the limit of three.
        - Control characters are escaped, such as C(\\x1b), and a carriage return ends a line.
      returned: always
      type: str
      sample: "10240+0 records in\n10240+0 records out\n"
    stdout:
      description:
        - The first part of its standard output, up to 64 KiB, or 4 KiB after a failure. Non-ASCII bytes count more.
      returned: for the last command
      type: str
      sample: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  -\n"
    stdout_truncated:
      description: Whether C(stdout) is incomplete.
      returned: for the last command
      type: bool
      sample: false
links:
  description:
    - The links, one between each two commands, from the source to the last command.
    - A figure is V(none), never zero, if the host's kernel does not count it, if nothing ran, or if the link is between
      two commands on one host.
  returned: unless the task's host is unreachable
  type: list
  elements: dict
  contains:
    source:
      description: The RV(stages[].name) of the command that writes to it.
      returned: always
      type: str
      sample: remote
    destination:
      description: The RV(stages[].name) of the command that reads from it.
      returned: always
      type: str
      sample: output
    source_host:
      description: The host of the command that writes to it.
      returned: always
      type: str
      sample: db1
    destination_host:
      description: The host of the command that reads from it.
      returned: always
      type: str
      sample: tapehost
    source_address:
      description: The writer's address and port. Empty if there was no connection.
      returned: always
      type: str
      sample: 192.0.2.11:43120
    destination_address:
      description: The reader's address and port. Empty if there was no connection.
      returned: always
      type: str
      sample: 192.0.2.5:24103
    bytes:
      description: Bytes sent and acknowledged.
      returned: always
      type: int
      sample: 335544320
    unread:
      description: Bytes that had arrived but were unread when the reader exited.
      returned: always
      type: int
      sample: 0
    padding:
      description: Bytes read and discarded on behalf of a command that exited before the end.
      returned: always
      type: int
      sample: 0
    elapsed:
      description: Seconds from the start of the link to its end.
      returned: always
      type: float
      sample: 341.912
    rate:
      description: Bytes a second over that time.
      returned: always
      type: int
      sample: 981376
    rtt:
      description: The round-trip time in seconds, as estimated by the writer's kernel.
      returned: always
      type: float
      sample: 0.000212
    retransmits:
      description: Retransmitted packets.
      returned: always
      type: int
      sample: 0
    waited:
      description: How the writer's side spent the time, in seconds.
      returned: always
      type: dict
      contains:
        receiver:
          description: The other host's receive window was full, because its command did not read fast enough.
          returned: always
          type: float
          sample: 283.11
        buffer:
          description: The send buffer was too small.
          returned: always
          type: float
          sample: 0.0
        busy:
          description: There was data to send. This includes the other two.
          returned: always
          type: float
          sample: 340.02
    slow:
      description:
        - Which side was slow, in words. Empty if the link lasted less than a second.
      returned: always
      type: str
      sample: output is slow (receive window full 83 % of the time)
    encryption:
      description: How the link was encrypted. V(none) if it was not, or if it broke before.
      returned: always
      type: dict
      contains:
        how:
          description: V(relay) - by a process beside each command. V(kernel) - by the kernels.
          returned: always
          type: str
          sample: relay
        cipher:
          description: The cipher, as OpenSSL names it, or for V(kernel) V(chacha20-poly1305) or V(aes-256-gcm).
          returned: always
          type: str
          sample: TLS_AES_256_GCM_SHA384
        records:
          description: Encrypted TLS records with data.
          returned: always
          type: int
          sample: 20480
    samples:
      description:
        - The figures of the link over time, as its writer's kernel counts them, for a plot. Each is a list of the
          seconds since the start of the link, the RV(links[].bytes) so far, the RV(links[].rtt), the
          RV(links[].retransmits) so far, and the C(receiver) of RV(links[].waited) so far.
        - There are up to 100, about one a second in a short run, and the last one is the end of the link. Many links
          have fewer, and a failed run has at most 20 in all. A host reports those of the first eight links to which it
          writes.
      returned: always
      type: list
      elements: list
      sample: [[1.001, 981376, 0.000212, 0, 0.83], [2.001, 1962752, 0.00021, 0, 1.66]]
bytes:
  description: Bytes on the last counted link. V(none) if no link is counted.
  returned: unless the task's host is unreachable
  type: int
  sample: 335544320
elapsed:
  description: Seconds that the run took, including the start of both ends. V(none) in check mode and for a preflight.
  returned: unless the task's host is unreachable
  type: float
  sample: 342.404
peer:
  description: The host on which O(input) and O(output) ran.
  returned: when the options are accepted
  type: str
  sample: tapehost
run:
  description: The identifier of this run. It is on the command lines of the ends, and not secret.
  returned: unless the task's host is unreachable
  type: str
  sample: 1e2b604d58d918c5ceeac7a6fb3f4345
strangers:
  description:
    - Connections to the ends' ports that sent invalid data, could not prove that they belong to this run, or sent
      nothing for five seconds. Ends of other runs that look for their own peer on the same ports are not counted.
  returned: unless the task's host is unreachable
  type: int
  sample: 0
left_running:
  description:
    - Processes that the commands started and left running, each with host, process ID and name.
      After a success they are left alone. After a failure they are those that the end was not allowed to kill.
      If there are more than ten, the last entry is the number of the others.
  returned: unless the task's host is unreachable
  type: list
  elements: str
  sample: ["db1: 4711 ssh-agent"]
censored:
  description: With C(no_log). M(plumbing.socketpipe.report) then leaves out messages and commands.
  returned: with C(no_log)
  type: str
  sample: "no_log: true"
ansible_job_id:
  description: The identifier of a run that outlives the task, the same as its RV(run).
  returned: with C(async), or with O(cancel)
  type: str
  sample: 5f0c8d0e6a5b4c3d9e8f7a6b5c4d3e2f
results_file:
  description: The file on the task's host in which that run shows its state, and at last its result.
  returned: with C(async), or with O(cancel)
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
      description: The size of the whole, from O(expect_bytes) or O(expect). V(none) if it is unknown.
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
preflight:
  description: Each address and port dialled, with the outcome. Up to 200 attempts, successful ones first.
  returned: with O(preflight=true), when both ends were started
  type: list
  elements: dict
  contains:
    from:
      description: The host that dialled.
      returned: always
      type: str
      sample: db1
    to:
      description: The host that was dialled.
      returned: always
      type: str
      sample: tapehost
    address:
      description: The address that was dialled.
      returned: always
      type: str
      sample: 192.0.2.5
    port:
      description: The port that was dialled.
      returned: always
      type: int
      sample: 5003
    ok:
      description: Whether both sides proved themselves on this connection.
      returned: always
      type: bool
      sample: true
    outcome:
      description:
        - V(ok), or the error, such as V(refused) (nothing listens there, or a firewall rejects), V(timed out) (a
          firewall drops packets, or there is no such host), or V(no route).
      returned: always
      type: str
      sample: ok
encryption:
  description: What a run with this O(encryption) would use, and the capabilities of the hosts.
  returned: with O(preflight=true), when both ends have reported
  type: dict
  contains:
    how:
      description: V(kernel) or V(relay). V(none) if the data would be sent in clear or the run would be refused.
      returned: always
      type: str
      sample: relay
    cipher:
      description: With V(kernel), the cipher that both kernels have.
      returned: always
      type: str
      sample: chacha20-poly1305
    refused:
      description: Why the run would be refused. V(none) if it would not.
      returned: always
      type: dict
      contains:
        host:
          description: The host that would refuse.
          returned: always
          type: str
          sample: db1
        msg:
          description: What it lacks.
          returned: always
          type: str
          sample: >-
            its links are to be encrypted by the kernel: this kernel (6.1.0) has no module tls: install the rest of its
            modules, or another kernel
    hosts:
      description: The capabilities of each host, whatever O(encryption) is.
      returned: always
      type: list
      elements: dict
      contains:
        host:
          description: The host.
          returned: always
          type: str
          sample: db1
        python:
          description: The version of the Python that runs the end.
          returned: always
          type: str
          sample: 3.11.2
        ssl:
          description: The version of the OpenSSL of its C(ssl) module, for relays. V(none) if it has no such module.
          returned: always
          type: str
          sample: OpenSSL 3.0.15 3 Sep 2024
        kernel_tls:
          description: Whether kernel TLS works, as a trial has shown.
          returned: always
          type: bool
          sample: false
        ciphers:
          description: The ciphers of kernel TLS that work, the preferred one first.
          returned: always
          type: list
          elements: str
          sample: []
        problem:
          description: Why kernel TLS does not work. V(none) if it does.
          returned: always
          type: dict
          contains:
            kind:
              description:
                - V(no module) - the kernel was installed without the module C(tls).
                - V(not loaded), V(not loaded outside) - the module is not loaded, on the host or on the host of a
                  container, and the end may not load it.
                - V(module failed), V(modules disabled) - loading it failed, or the kernel loads no more modules.
                - V(no cipher), V(old kernel) - the kernel lacks the ciphers, or TLS 1.3.
                - V(untried), V(broken) - it could not be tried over loopback, or it does not work.
              returned: always
              type: str
              sample: not loaded
            msg:
              description: The reason, and the command to type.
              returned: always
              type: str
              sample: >-
                the kernel module tls is not loaded, and only root may load it. As root on that host: modprobe tls;
                and to load it at each boot: echo tls >/etc/modules-load.d/tls.conf (the role
                plumbing.socketpipe.kernel_tls does both)
ansible_facts:
  description: A summary of the run, under the name in O(fact).
  returned: success, if O(fact) is set, without O(preflight=true) and C(no_log)
  type: dict
  contains:
    socketpipe:
      description: The summary.
      returned: when O(fact=true), else the name given
      type: dict
      contains:
        run:
          description: The same as RV(run).
          returned: always
          type: str
          sample: 1e2b604d58d918c5ceeac7a6fb3f4345
        time:
          description: When the run ended, in UTC.
          returned: always
          type: str
          sample: "2026-11-22T16:12:02Z"
        ok:
          description: V(true), because the fact is set on success only.
          returned: always
          type: bool
          sample: true
        bytes:
          description: The same as RV(bytes).
          returned: always
          type: int
          sample: 335544320
        elapsed:
          description: The same as RV(elapsed).
          returned: always
          type: float
          sample: 342.404
        peer:
          description: The same as RV(peer).
          returned: always
          type: str
          sample: tapehost
        rc:
          description: The exit status of each command, by its RV(stages[].name).
          returned: always
          type: dict
          sample: {"remote": 0, "output": 0}
"""
