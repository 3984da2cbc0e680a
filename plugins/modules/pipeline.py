#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/pipeline.py, and the options are checked
# against PIPELINE_SPEC in plugins/plugin_utils/_pipeline_options.py by tests/unit/test_pipeline_documentation.py.

DOCUMENTATION = r"""
module: pipeline
short_description: Join commands on any hosts to a chain with direct TCP connections
version_added: 1.0.0
description:
  - Runs a chain of commands on any hosts of the inventory. Each reads the output of the one before it, as if a shell
    ran C(first | second | third) across these hosts.
  - Most tasks need only O(stages), and in each stage C(host), C(cmd) or C(path), and C(become).
  - It works as M(plumbing.socketpipe.pipe) does, which joins two hosts. Ansible's connections only start the commands.
    The data goes over one TCP connection, called a I(link), from each host straight to the next.
    The socket itself is the standard output of the one command and the standard input of the next one.
    The controller carries no data, unless a stage runs there.
  - B(When it starts.)
    No command starts before all links of the chain are made. If one cannot be made, no file is opened anywhere.
    Each command but the first then starts when its first byte, or a proper end of file, has arrived.
  - B(What ok is worth.)
    The task is ok only if every command exited with an accepted status, every stream was read to its end,
    as many bytes were read as were written, and all hosts confirm it.
    If a command or a host dies, no command after it in the chain sees an end of file, however far down it is.
    They get a read error (connection reset), and the task fails even if they ignore it.
    RV(cause) then names what failed first on all hosts, not what failed as a consequence.
  - B(Branches.)
    The chain can fork at its end into branches, which all get the same data. A program
    of this collection beside the stage before the fork copies the data to them. The slowest living branch holds up the
    others. A branch that missed a byte never sees an end of file, and neither does any branch after a failure
    before the fork. If a branch breaks, the others go on without it, or are aborted, as C(branches_required) says.
    All branches see their end of file at the same time, after the last byte has left for each of them.
    If one of them fails after that, the others cannot be undone.
  - B(What is not protected.)
    Without O(encryption) the data crosses the network in clear. Nobody else can connect in any case, as with
    M(plumbing.socketpipe.pipe).
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
        and the task's host keeps the result, as for M(plumbing.socketpipe.pipe). It does so even if it runs no stage.
      - The task's host needs a connection to each other host, on the same ports as for links, in whichever direction.
        If neither can dial the other, nothing is started.
      - A stage on the controller lives as long as the controller.
      - With O(encryption), the reports of other hosts to the task's host are encrypted, too.
      - It is not possible with O(preflight).
      - To stop such a run, use O(plumbing.socketpipe.pipe#module:cancel) in a task for the same host and user.
  become:
    support: full
    details:
      - The task's C(become) applies to the stages on the task's host that do not set C(become) themselves.
        Other hosts become another user if their stage or their C(ansible_become) says so.
  check_mode:
    support: full
    details:
      - Checks the options and the hosts and reports what would run. It starts nothing and touches no host.
  connection:
    support: full
    details:
      - Works with any connection that runs commands on a Linux host, see M(plumbing.socketpipe.pipe).
  delegation:
    support: full
    details:
      - With C(delegate_to), the delegated host takes the place of the task's host.
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
  stages:
    description:
      - The chain, two stages or more, in the order of the data. Its last item can be a fork, see below.
      - "Each is a mapping with exactly one of C(cmd), C(argv), C(shell), C(script) and C(path), and any of the settings
        below. A string stands for C(cmd) and a list of words for C(argv), both on the task's host."
      - "C(cmd) (a string), C(argv) (a list of words), C(shell) (a string), C(script) (a string) - The command, in the
        forms of O(plumbing.socketpipe.pipe#module:remote)."
      - "C(path) (a path) - In the first stage, a regular file to read. The stage fails if the file changes while it is
        read. In the last stage, a file to write, as M(plumbing.socketpipe.transfer) does it. The data goes into a
        temporary file in the same directory, with mode 0600. At the end of file it is written to the disk and renamed.
        If anything in the chain fails before that, the old file stays and the temporary one is removed. The new file
        has the owner, group and mode of the old one if the user may set them. A file that did not exist has the mode
        that the C(umask) allows, as with C(>) in a shell. C(~) is expanded. Of the settings below, C(host), C(name),
        C(become), C(become_user), C(creates) and C(removes) can be used with it."
      - "C(host) (a string, by default the task's host) - The host to run the stage on: a host of the inventory with its
        own variables, or V(localhost), which is the controller."
      - "C(name) (a string, by default its place, such as V(stages[1])) - Its name in results and messages. No two
        stages have the same name."
      - "C(become) (a boolean) - Whether to become another user for this stage. If not set, the task's C(become) applies
        on the task's host, and C(ansible_become) on others. V(false) also overrides these."
      - "C(become_user) (a string) - That user. If not set, C(ansible_become_user) of the host, or else root."
      - "C(chdir) (a path) - The directory to run the command in. It must exist."
      - "C(environment) (a mapping) - Variables to add to its environment. On the task's host they override the task's
        C(environment), which does not apply to other hosts."
      - "C(executable) (a string, by default the Python that runs the end) - The program that runs a C(script)."
      - "C(ok_rc) (a list of integers, by default V([0])) - Exit statuses that mean success."
      - "C(early_exit) (a boolean, by default V(false)) - Whether the command may exit, with an accepted status, before
        it has read all its input, as C(head) does. The commands before it may then fail as a consequence."
      - "C(creates) (a path) - If this exists on the host of the stage, the whole task is skipped."
      - "C(removes) (a path) - If this does not exist on the host of the stage, the whole task is skipped."
      - Neighbours in the chain that run on one host as one user are joined by a socket pair, all others by a link, even
        if it is two users of one host. A chain may come back to a host. All stages of one host and user belong to one
        end, so that the host is logged in to once.
      - "A fork is a mapping with C(branches) and C(branches_required) in the place of the last stage."
      - "C(branches) (a list of lists) - Two branches or more. Each is a list of one stage or more, as above, on any
        hosts. A branch cannot fork again. All get the output of the stage before the fork, copied by a program named
        V(fan-out) on the host of that stage. The last stage of each can be a C(path)."
      - "C(branches_required) (V(all), the default, or a number) - How many branches must succeed. If so many are not
        left, the others are aborted, and the task fails. Otherwise the task is ok, with a warning for each branch that
        failed, and RV(branches) tells them apart. All links must be made at the start, however many are required."
      - A stage with C(early_exit) lets its branch end early, which is no failure. If it fails instead, the others are
        not aborted for that. The task counts it as failed at its end.
    type: list
    elements: raw
    required: true
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
      - A branch stalls only while data waits for it, not while another branch holds all. It is dropped like any branch
        that breaks. The stages before the fork may stall for five seconds more, so that they do not fail with it.
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
      - Whether and how the data is encrypted between two hosts, so that nobody there can read it, or change it
        unnoticed. A stream that was changed or cut on the way fails the task.
      - V(none) sends the data in clear.
      - V(required) encrypts, in the best way that both hosts of a link have. At present that is V(relay).
      - V(kernel) has the kernels encrypt (kernel TLS), so that no byte passes through another process. It
        needs Linux 5.1 or later with the kernel module C(tls) on all hosts, which the role C(kernel_tls) loads. A
        command that reads can take a stream that was cut on the way for a complete one, though the task fails. See the
        guide on encryption.
      - V(relay) puts a process on each host between the command and the network. It speaks TLS 1.2 or later with
        certificates that are made for this run only. It needs Python's C(ssl) module with OpenSSL 1.0.2 or later on
        all hosts, and takes CPU time. See the guide on encryption.
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
      - They are shown while the task runs, for the links of a stage that runs on the controller. If there is none, the
        host with the most links is asked for its figures by a short second login, over a connection of its own, when a
        line is due.
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
      - The number of bytes that the stream should have, such as V(12500M). Progress lines then have a percentage and
        the time left at the average rate so far.
      - It is compared with the bytes on the first link between two hosts. Give the compressed size if a stage
        compresses on the way there.
      - It is only shown. A stream of another size is no failure.
    type: str
    version_added: 1.0.0
  expect:
    description:
      - A command whose output says that number, in place of O(expect_bytes). It runs on the host of the source before
        the run, in at most a minute, in one of the forms of a command of O(stages), without a host.
      - The number is the first word of digits in the last line that has one. So C(zfs send -nP), C(du -sb),
        C(blockdev --getsize64), C(stat -c %s) and C(wc -c) can be used as they are.
      - If it fails or says no number, a warning tells why, and the run goes on without a percentage.
    type: raw
    version_added: 1.0.0
  preflight:
    description:
      - Whether to check only the network and the encryption. All ends start, and the two of each link listen, dial each
        other and prove themselves. The commands are looked up but not run.
      - RV(preflight) lists each address and port, in each direction, with the outcome.
        The task fails if the two hosts of a link cannot connect in either direction.
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
notes:
  - All hosts need Linux and Python 3.6 or later, but no other software, not even Ansible. Nothing is left there.
  - Variables in the inventory say where a host can be dialled, as for M(plumbing.socketpipe.pipe).
    C(socketpipe_address) has its addresses or names, C(socketpipe_ports) the ports on which it may listen, and
    C(socketpipe_listen=false) says that others cannot dial it. By default both hosts of a link listen and dial each
    other.
  - The task runs once for each host of the play, as every task does. If all stages have a C(host), set C(run_once), or
    make a play of one host. With C(serial) in the play, C(run_once) means once for each batch. To run the task only in
    the first one, use a condition as in the examples.
  - Templates are those of the task's host. Use C(hostvars) for variables of others.
  - An unreachable host fails the task with RV(cause.kind=unreachable), also the task's own host. Ansible does not
    regard it as unreachable and keeps it in the play. So C(rescue), C(ignore_errors) and the next task with C(run_once)
    work as after any other failure.
  - A stage on the task's host with a C(become) or C(become_user) that differs from the task's has a login of its own,
    with the host's variables. Keywords of the task, such as C(remote_user), do not apply to it.
  - With O(encryption=kernel), a command that reads can take a stream that was cut on the way for a complete one, though
    the task fails. So can a C(path) that is written. See the guide on encryption.
  - "A branch holds the others up to what the buffers of its connection take, a few MiB. A tape drive that pauses for
    minutes makes a pause for all. Copying costs CPU time on one host, which sends the data once for each branch."
  - Three descriptors of the controller and a login are needed for each end. Many ends are started one after the other,
    and O(connect_timeout) counts from the last start.
  - Nothing outlives the task. If the task is interrupted, ansible-playbook is killed, or the connection to a host is
    lost, the ends stop all commands on their hosts and abort their links.
  - A task that fails after its commands have started is reported as changed.
  - The notes of M(plumbing.socketpipe.pipe) about commands apply here, too.
seealso:
  - module: plumbing.socketpipe.pipe
  - module: plumbing.socketpipe.transfer
"""

EXAMPLES = r"""
---
- name: Dump a database on one host, compress it on another, and store it on a third
  plumbing.socketpipe.pipeline:
    stages:
      - {host: db1, cmd: pg_dump --format=custom --compress=0 shop, become: true, become_user: postgres}
      - {host: fast1, cmd: zstd -T0 -9}
      - {host: backup2, path: /srv/dumps/shop.zst}
  run_once: true # not once for each host of the play

- name: Write a dump to tape and to disk at the same time; one of the two is enough
  plumbing.socketpipe.pipeline:
    stages:
      - {host: db1, cmd: pg_dump --format=custom shop, become: true, become_user: postgres}
      - {host: fast1, cmd: zstd -T0 -9}
      - branches:
          - [{host: tape1, name: tape, cmd: dd of=/dev/nst0 obs=256k, become: true}]
          - [{host: backup2, name: disk, path: /srv/dumps/shop.zst}]
        branches_required: 1
  run_once: true
  register: dumped

- name: Show the branch that failed
  ansible.builtin.debug:
    msg: "{{ item.name }} on {{ item.host }}: {{ item.cause.msg }}"
  loop: "{{ dumped.branches | rejectattr('ok') }}"
  run_once: true

- name: Archive each host of the play, one after the other
  plumbing.socketpipe.pipeline:
    stages:
      - argv: [tar, --create, --file=-, /home] # without a host, on the task's
        ok_rc: [0, 1] # 1: a file changed while tar was reading it
      - {host: fast1, cmd: zstd -T0}
      - {host: backup2, path: "/srv/homes/{{ inventory_hostname }}.tar.zst"}
  become: true # applies to the task's host only
  throttle: 1

- name: Have another host compress, and store the result here
  plumbing.socketpipe.pipeline:
    stages:
      - {name: read, path: /var/lib/images/gold.img}
      - {name: compress, host: fast1, cmd: zstd -T0}
      - {name: store, path: /var/lib/images/gold.img.zst} # the same host: one login, two links

- name: Restore a database as its user, from a file that only root may read
  plumbing.socketpipe.pipeline:
    stages:
      - {host: backup2, path: /srv/dumps/shop.dump, become: true}
      - {host: db2, cmd: pg_restore --clean --dbname=shop, become: true, become_user: postgres}
    rate_limit: 50M
    encryption: required
  run_once: true

- name: Use a directory that only the other host knows
  plumbing.socketpipe.pipeline:
    stages:
      - {host: db1, cmd: "tar cf - -C {{ hostvars['db1'].data_directory }} ."}
      - {host: db2, cmd: tar xf -, chdir: "{{ hostvars['db2'].data_directory }}"}
  run_once: true

- name: Start a long copy that goes on if this playbook ends
  plumbing.socketpipe.pipeline:
    stages:
      - { host: db1, cmd: pg_basebackup -D - -F tar -X none }
      - { host: store, path: /backup/db1.tar }
  async: 36000
  poll: 0
  run_once: true
  register: copy

- name: Wait for it
  ansible.builtin.async_status:
    jid: "{{ copy.ansible_job_id }}"
  run_once: true
  register: copy_result
  until: copy_result is finished
  retries: 1000
  delay: 30

- name: Check the network before the night of the backup
  plumbing.socketpipe.pipeline:
    stages:
      - {host: db1, cmd: tar cf - /home}
      - {host: fast1, cmd: zstd -T0}
      - {host: tapehost, cmd: dd of=/dev/nst0 obs=256k}
    preflight: true
  run_once: true

- name: Dump once, even if the play has serial
  plumbing.socketpipe.pipeline:
    stages:
      - {host: db1, cmd: pg_dump --format=custom shop}
      - {host: backup2, path: /srv/dumps/shop.dump}
  when: inventory_hostname == ansible_play_hosts_all[0]

- name: Dump the database, and go on even if a host is unreachable
  plumbing.socketpipe.pipeline:
    stages:
      - {host: db1, name: dump, cmd: pg_dump --format=custom shop}
      - {host: backup2, name: store, path: /srv/dumps/shop.dump}
  run_once: true
  register: dumped
  failed_when: false

- name: Show what failed first
  ansible.builtin.debug:
    msg: "{{ dumped.cause.kind }} on {{ dumped.cause.host }}: {{ dumped.cause.msg }}"
  run_once: true
  when: dumped.cause is not none
"""

RETURN = r"""
msg:
  description:
    - V(ok), or one sentence with what failed first, why the task was skipped, what would run, or the result of a
      preflight.
  returned: always
  type: str
  sample: >-
    store (write) on backup2 failed with exit status 1: /srv/dumps/shop.zst cannot be written: there is no room left
cause:
  description:
    - What failed first, not what failed as a consequence. V(none) unless the task failed.
  returned: always
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
        - V(stopped) - a run with C(async) was cancelled, or took too long.
        - V(not written) - the program that copies to the branches has not written everything to one of them.
        - V(key used up) - an encrypted link has carried as much as one key may encrypt.
        - V(no tls), V(relay) - the TLS of the hosts has nothing in common, or a process that encrypts has failed.
        - V(link), V(stage) - the two sides of a link do not agree, or a command did not finish.
        - V(end) - the end on a host was killed or lost.
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
      sample: store
    link:
      description: The commands that the link joins.
      returned: when it is a link
      type: str
      sample: "compress → store"
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
      sample: >-
        store (write) on backup2 failed with exit status 1: /srv/dumps/shop.zst cannot be written: there is no room left
stages:
  description: The commands, from the source to the last.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Its C(name), or its place in O(stages), such as V(stages[1]).
      returned: always
      type: str
      sample: compress
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
  returned: always
  type: list
  elements: dict
  contains:
    source:
      description: The RV(stages[].name) of the command that writes to it.
      returned: always
      type: str
      sample: compress
    destination:
      description: The RV(stages[].name) of the command that reads from it.
      returned: always
      type: str
      sample: store
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
      sample: store is slow (receive window full 83 % of the time)
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
  returned: always
  type: int
  sample: 335544320
elapsed:
  description: Seconds that the run took, including the start of all ends. V(none) in check mode and for a preflight.
  returned: always
  type: float
  sample: 342.404
branches:
  description: The branches of a chain that forks, in the order of O(stages).
  returned: when the chain forks, unless an option is invalid
  type: list
  elements: dict
  contains:
    name:
      description: The RV(stages[].name) of its last command.
      returned: always
      type: str
      sample: tape
    host:
      description: The host of its last command.
      returned: always
      type: str
      sample: tape1
    ok:
      description:
        - Whether its commands were accepted and got all data. V(none) if nothing was to run.
        - A branch that is ok stays so if another one fails after the end of file, though the task may fail.
      returned: always
      type: bool
      sample: false
    cause:
      description: What failed first in it, or RV(cause) if the branch is a victim of that. V(none) if it is ok.
      returned: always
      type: dict
      sample:
        {kind: failed, stage: tape, host: tape1, rc: 1, msg: "tape (dd) on tape1 failed with exit status 1: dd: writing
          to '/dev/nst0': No space left on device"}
run:
  description: The identifier of this run. It is on the command lines of the ends, and not secret.
  returned: always
  type: str
  sample: 1e2b604d58d918c5ceeac7a6fb3f4345
strangers:
  description:
    - Connections to the ends' ports that sent invalid data, could not prove that they belong to this run, or sent
      nothing for five seconds. Ends of other runs that look for their own peer on the same ports are not counted.
  returned: always
  type: int
  sample: 0
left_running:
  description:
    - Processes that the commands started and left running, each with host, process ID and name.
      After a success they are left alone. After a failure they are those that the end was not allowed to kill.
      If there are more than ten, the last entry is the number of the others.
  returned: always
  type: list
  elements: str
  sample: ["db1: 4711 ssh-agent"]
preflight:
  description: Each address and port dialled, with the outcome. Up to 200 attempts, successful ones first.
  returned: with O(preflight=true), when all ends were started
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
  returned: with O(preflight=true), when all ends have reported
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
        rc:
          description: The exit status of each command, by its RV(stages[].name).
          returned: always
          type: dict
          sample: {"dump": 0, "compress": 0, "store": 0}
"""
