#!/usr/bin/python
# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Documentation only: the code is plugins/action/pipe.py, and the options are checked
# against PIPE_SPEC in plugins/plugin_utils/_task_options.py by tests/unit/test_documentation.py.

DOCUMENTATION = r"""
module: pipe
short_description: Join commands on two hosts with direct TCP connections
version_added: 0.1.0
description:
  - Runs O(remote) on the task's host, and O(input), O(output) or both on its I(peer), which is the controller or any
    other host of the inventory.
    What O(input) writes to its standard output is what O(remote) reads from its standard input, and what O(remote)
    writes is what O(output) reads, as if a shell had run C(input | remote | output) across two hosts.
  - Ansible's connection only starts the commands.
    The data goes over a TCP connection of its own, straight from one host to the other, and nothing stands in its way.
    The socket itself is the standard output of the one process and the standard input of the other,
    so that no byte is copied, encoded or encrypted on its path, and none is kept in memory or on a disk.
    With a O(peer) other than the controller, the controller carries no data at all.
  - This is what happens.
    The options are checked, and a small supervisor, called an I(end), is started on both hosts through Ansible's
    connection. It needs Python and installs nothing.
    Each end looks up its commands, and tests what C(creates) and C(removes) name.
    The ends then look for each other (see O(listen)) and prove with a secret that they belong together.
    When every connection, called a I(link), is made, the first command (the I(source)) starts.
    Each of the others, up to the last (the I(sink)), starts when its first byte has arrived, or a proper end of file,
    so that a source that dies at once never opens the tape and never truncates last week's file.
    When all have ended, both ends report and the controller compares what they say.
  - B(What ok is worth.)
    The task is ok only when every command exited with an accepted status, every stream was read to its end,
    as many bytes were read as were written, and both ends say so.
    A command that dies, or a host that does, never looks like an end of file to the commands after it.
    They get a read error (connection reset), and the task fails even if they overlook it.
    RV(cause) then says what failed first, not what failed because of it.
    What has been written by the last command up to that moment is there, and is not a backup.
  - B(What is not protected.)
    The data crosses the network in clear.
    Whoever can listen between the two hosts can read it, and whoever can forge packets there can change it,
    so use it only on networks you trust, or encrypt in a command of your own.
    Nobody else can connect, though. Each link has a fresh 32-byte secret, which reaches both ends through Ansible's
    connection only, and each side proves to the other that it has it before any command starts.
    Others are turned away, and counted in RV(strangers).
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
    support: none
    details:
      - An end stops everything when the connection that started it is gone, so that nothing outlives its task.
        An asynchronous task has no such connection.
      - To run many at once raise C(forks) or use the C(free) strategy, to limit a long one use the task's C(timeout).
  become:
    support: full
    details:
      - C(become) applies to the task's host. For the peer there are O(peer_become) and O(peer_become_user).
  check_mode:
    support: full
    details:
      - Checks the options and the hosts and says what would run, but starts nothing and touches no host.
        C(creates) and C(removes) are therefore not looked at.
  connection:
    support: full
    details:
      - Any connection that runs commands on a Linux host will do.
        Where the connection, or the C(become) method, cannot pass data on standard input, the end is sent through
        Ansible's own temporary directory. So it is where a terminal stands between (C(ssh -tt), C(RequestTTY force)),
        and where one is asked for (sudo's C(requiretty), C(machinectl)).
  delegation:
    support: full
    details:
      - With C(delegate_to), O(remote) runs on the host that is named there.
  diff_mode:
    support: none
  facts:
    support: full
    details:
      - One fact, with the summary of a successful run. See O(fact).
  idempotent:
    support: none
    details:
      - Runs its commands each time, unless C(creates) or C(removes) says that there is nothing to do.
  platform:
    platforms: linux
    support: full
options:
  remote:
    description:
      - The command on the task's host, in one of four forms.
      - "B(A string) is split into words as a shell would split it, with quotes and backslashes, but no shell is run.
        Variables, C(~), wildcards, C(|) and C(>) mean nothing in it. For example V(dd of=/dev/nst0 obs=32k)."
      - "B(A list of strings) is taken as it is, one word each.
        For example V([tar, --create, --file=-, /srv/my files])."
      - "B(A mapping) has exactly one of C(cmd) (a string as above), C(argv) (a list of words), C(shell) (a string
        that is given to C(/bin/sh -c)) and C(script), and any of the settings below."
      - "C(script) (a string) is the name of a program on the controller, where M(ansible.builtin.script) would find it,
        and its arguments, split like C(cmd). It travels to the command's host with everything else and is run from
        memory, so that it is in no file there. Up to 4 MiB. A vault is decrypted."
      - "A C(script) may be a directory with a C(__main__.py) in it, that is a Python program of several files, as
        C(python DIRECTORY) runs it. It travels as a zip archive, without hidden files, C(__pycache__) and C(*.pyc).
        The program has files of its own from C(pkgutil.get_data), since C(open) does not look into an archive. An
        C(executable) is given the archive, so it can only be another Python, such as V(python3.9 -I)."
      - "B(A list of mappings) is that many commands on this host, one after the other, each reading what the one
        before it writes.
        Unlike the commands of a pipeline in C(shell), each has its own exit status, and each is held to it."
      - "The settings of a command in a mapping are these."
      - "C(executable) (a string, by default the Python that the end runs with) - What runs a C(script), such as
        V(/bin/sh) or V(perl -w). It is given the script as V(/proc/self/fd/3)."
      - "C(chdir) (a path) - The directory to run it in. It must be there."
      - "C(environment) (a mapping) - Variables that are added to its environment. They win over the task's
        C(environment)."
      - "C(ok_rc) (a list of integers, by default V([0])) - Exit statuses that are success.
        Anything else fails the task. Minus a signal's number stands for a death by that signal.
        With GNU tar, which exits with 1 when a file changed while it was being read, often V([0, 1])."
      - "C(early_exit) (a boolean, by default V(false)) - It may exit, with an accepted status, before it has read its
        input to the end, as C(head) does.
        What then happens to the commands before it is a consequence, and not held against them.
        Without this, a command that leaves data unread fails the task. Only NUL bytes may be left, for GNU tar
        does not read the padding at the end of an archive: 1 MiB by C(tar), C(bsdtar), C(star), C(cpio) and C(pax), the
        largest record of a tape, 10 KiB by other programs, the usual one, and none by C(dd)."
      - "C(creates) (a path) - When this exists on the command's host, the whole task is skipped.
        A relative path is looked up in C(chdir). It may be a pattern with wildcards. C(~) means nothing in it."
      - "C(removes) (a path) - When this does not exist on the command's host, the whole task is skipped."
    type: raw
    required: true
  input:
    description:
      - The command on the peer whose output O(remote) reads, in the same forms as O(remote).
      - At least one of O(input) and O(output) is required.
        Without O(input), O(remote) is the source and reads C(/dev/null).
    type: raw
  output:
    description:
      - The command on the peer that reads what O(remote) writes, in the same forms as O(remote).
      - At least one of O(input) and O(output) is required.
        Without O(output), O(remote) is the last command, and what it writes to its standard output is in the result,
        in C(stdout) of RV(stages).
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
      - Whether to become another user on the peer. Its variables, such as C(ansible_become_method), say how.
        Keywords of the task, such as C(become_method), do not.
      - A password that was typed (C(--ask-pass), C(--ask-become-pass)) is used for the peer, too, unless the task's
        host has one of its own in its variables. Nothing else that belongs to the task's host is told to the peer.
      - A peer whose variables have C(ansible_become) set becomes another user without this.
    type: bool
    default: false
  peer_become_user:
    description:
      - The user to become on the peer. If not set, C(ansible_become_user) of the peer, or else root.
    type: str
  listen:
    description:
      - Which of the two hosts waits for the other to connect.
      - V(auto) - both listen and both dial, and the first connection on which both prove themselves is taken.
        So it is enough that either host can reach the other, through a firewall for example, or out of a container.
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
      - Addresses or names to dial instead of those that are found by themselves. All are tried.
      - They are addresses of the peer, as the task's host sees it.
        With O(listen=remote) they are addresses of the task's host, as the peer sees it.
        The zone of a link-local address (V(fe80::1%eth0)) is an interface of the host that dials.
      - If not set, a host of the inventory is dialled at all addresses of its C(ansible_host) as the controller
        resolves it, and the controller at the address that its routing table shows towards the other host,
        and at the one from which the other host sees the ssh login.
        A wrong address does no harm, for whoever answers there cannot prove itself.
      - Set this when the two hosts know each other by addresses that the controller does not use,
        such as those of a storage network, or when ssh reaches a host through a bastion or an alias.
    type: list
    elements: str
  ports:
    description:
      - The TCP ports on which an end may listen. Ports (V(5000)), ranges (V(5000-5010)), or several of them
        (V(5000,6000-6010), or as a list).
      - Open them in the firewall, in at least one direction. One port is enough for a task, however many links it has.
        Tasks that run at once on the same hosts need one each.
      - Up to 16 ports are picked from it at random for each end, which takes the first that is free.
      - If not set, ports from 20000 to 32767 are used.
    type: list
    elements: str
  connect_timeout:
    description:
      - Seconds in which all links must be made.
        The error at the end of it lists who listened where, what was dialled and how that failed.
    type: int
    default: 30
  stall_timeout:
    description:
      - Seconds without a single byte moving on a link after which the task fails. V(0) is never.
      - A tape change, a slow C(find) or a source that waits for its data is such a pause, too.
    type: int
    default: 0
  dead_peer:
    description:
      - Seconds without any sign of life from the other host's kernel after which the task fails. V(0) is never,
        and less than V(6) is not possible.
      - A host that lives answers even when its command reads or writes nothing, however long.
    type: int
    default: 120
  rate_limit:
    description:
      - The most bytes a second that each link may carry, as a number with an optional binary suffix, such as V(500K),
        V(10M) or V(1.5G). The kernel keeps to it. If not set, there is no limit.
    type: str
  full_reads:
    description:
      - Whether a command that reads from the network waits until as many bytes have come as it asked for (1 MiB at
        most), or the end. A socket otherwise returns the bytes that have come so far, and C(dd bs=32k) would write
        short blocks to the tape.
      - If not set, C(dd) gets whole blocks, also where a wrapper or a shell runs it, and every other command reads each
        piece as it comes. Commands that answer each other, and live streams such as the output of C(tail -f), flow.
      - V(true) is for other programs that take a short read for a short block. Reads of 128 KiB and more are then
        faster, too, where the network is faster than 1 GB/s. A program that asks for little gets it within 0.25
        seconds. Not for programs that call C(poll) or C(select) before they read, which may wait for 1 MiB.
      - V(false) is for a C(dd) that must see each piece as it comes.
      - Between two commands on one host it has no effect. Reads there can be short, as from any pipe,
        so use C(dd obs=32k) or C(dd iflag=fullblock).
    type: bool
  progress:
    description:
      - Seconds after which a first line says how much has gone through each link, how fast, and who is slow.
        More follow after one, two, five and then every ten minutes, and at once when the stream stalls or resumes.
        V(0) is no lines.
      - They are shown while the task runs, if O(peer) is the controller. For two hosts of the inventory there are none.
    type: int
    default: 30
  preflight:
    description:
      - Only check the network. Both ends are started, listen, dial each other and prove themselves. No command is run,
        but the commands are looked up.
      - RV(preflight) says which address and port worked in which direction, which did not, and how it failed.
        The task fails when none did.
      - With O(ports), up to 16 of them are tried, else two ports of each host.
    type: bool
    default: false
  fact:
    description:
      - The name of the fact that holds the summary of a successful run. V(false) is no fact.
      - The fact holds no command, no output and no environment, as facts may be cached on a disk.
        After a failure it is not touched.
        The registered result (C(ansible_failed_result) in a C(rescue)) is the authority.
    type: raw
    default: socketpipe
notes:
  - Both hosts need Linux and Python 3.6 or later. Nothing else, and nothing of Ansible, has to be installed there, and
    nothing is left there.
  - Each link is one TCP connection, and carries data one way.
    Commands that follow each other on one host are joined by a socket pair, to which the same rules apply.
  - A command finds a socket, in blocking mode, as its standard input or output. Its standard error is a pipe, the last
    64 KiB of which are kept. The source reads C(/dev/null). The last command writes to a pipe, the first 64 KiB
    of which are kept. It inherits no other descriptor, has no terminal, and runs in a session of its own.
  - A command runs with the environment that the connection gives it on its host.
    For O(remote) the task's C(environment) is added.
    It is looked up in C(PATH) as that stands there, before any command is started.
  - 'In C(shell: tar ... | zstd) a C(tar) that dies is a proper end of file to C(zstd), and the status of the pipeline
    is that of C(zstd). Give a list of mappings instead, or use a shell with C(pipefail). A warning says so.'
  - Some programs take a read error for the end of their input and exit with 0, among them C(dd conv=noerror), C(while
    read) in C(sh), and C(perl) and C(node) unless the script looks. The task fails all the same, but what they do on an
    end of file, such as renaming a finished file into place, they have then done.
  - A process that a command leaves behind in the background and that still holds a link fails the task after five
    seconds, as it might still write. So does one that this user may not look at, such as one under C(sudo).
    One that holds no link is left alone after a success, and named in
    RV(left_running). After a failure everything that was started is ended.
  - Nothing outlives the task. When the task is interrupted, or ansible-playbook is killed, or the connection to a host
    is lost, the ends stop all commands on their hosts and break their links.
  - A task that fails after its commands have started is reported as changed.
  - A new run, by C(until) or C(retries) for example, makes new links with new secrets.
seealso:
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

- name: Back up the controller to its own tape drive, but let the host compress
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
      - cmd: zstd -c # were tar to die, zstd would not see an end of file
    output: dd of=/backup/home.tar.zst bs=1M
    peer: tapehost

- name: Copy a directory to the peer, and leave some of the network to others
  plumbing.socketpipe.pipe:
    remote: tar cf - -C /srv/data .
    output:
      cmd: tar xf -
      chdir: /backup
    peer: tapehost
    rate_limit: 50M

- name: Look at the first lines of what is on the tape, and leave the rest unread
  plumbing.socketpipe.pipe:
    input: dd if=/dev/nst0 ibs=32k
    remote:
      - cmd: tar tf -
      - cmd: head -n 5
        early_exit: true
    peer: tapehost
  register: listing

- name: Compute the checksum of what the controller has, on the host
  plumbing.socketpipe.pipe:
    input: cat /srv/disk.img
    remote: sha256sum
  register: checksum

- name: Show it
  ansible.builtin.debug:
    msg: "{{ checksum.stages[-1].stdout | split | first }}"

- name: Change a dump on its way with a program that is kept beside the playbook and is in no file on the host
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

- name: Set what is the same for the whole site once
  module_defaults:
    group/plumbing.socketpipe.all:
      ports: 5000-5010
      listen: peer
      peer: tapehost
  block:
    - name: Back up the configuration, unless that has been done
      plumbing.socketpipe.pipe:
        remote: tar cf - /etc
        output:
          cmd: dd of=/backup/etc.tar
          creates: /backup/etc.tar

- name: Back up, and say what failed first if that fails
  block:
    - name: Back up the database
      plumbing.socketpipe.pipe:
        remote: tar cf - /var/lib/db
        output: dd of=/backup/db.tar
  rescue:
    - name: Say what failed first
      ansible.builtin.debug:
        msg: "{{ ansible_failed_result.cause.msg | default(ansible_failed_result.msg) }}"
"""

RETURN = r"""
msg:
  description:
    - V(ok), or one sentence that says what failed first, why the task was skipped, what would run, or what a preflight
      found.
    - This is all there is when the task's host is unreachable.
  returned: always
  type: str
  sample: "output (dd) on tapehost failed with exit status 1: dd: writing to '/dev/nst0': No space left on device"
cause:
  description:
    - What failed first, and not what failed because of it. V(none) unless the task failed.
  returned: unless the task's host is unreachable
  type: dict
  contains:
    kind:
      description:
        - V(options) - the task was refused before anything was started.
        - V(failed) - a command ended with a status that is not accepted.
        - V(stopped reading) - a command exited before the end of its input.
        - V(held) - a command exited, but left something running that holds its link.
        - V(not started), V(not killed) - a command could not be run, or not be ended.
        - V(stalled), V(dead peer) - a link was given up because of O(stall_timeout) or O(dead_peer).
        - V(link), V(stage) - the two sides of a link do not agree, or a command did not finish.
        - V(end) - the end of a host was ended or lost.
        - V(not connected) - no link within O(connect_timeout).
        - V(refused) - an end found that it cannot do its part, such as a command that is not there.
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
      description: Where it was. For a link, the host that gave it up, or the one that writes to it.
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
      description: The option, with the position in it if that is a list of mappings.
      returned: always
      type: str
      sample: remote[1]
    host:
      description: Where it ran. V(localhost) is the controller.
      returned: always
      type: str
      sample: tapehost
    argv:
      description: Its words, cut off after 2048 characters.
      returned: always
      type: list
      elements: str
      sample: [dd, of=/dev/nst0, obs=32k]
    rc:
      description: Its exit status, minus the signal's number if a signal ended it. V(none) if it has not run.
      returned: always
      type: int
      sample: 0
    signal:
      description: The number of the signal that ended it, else V(none).
      returned: always
      type: int
      sample: 9
    elapsed:
      description: Seconds from its start to its exit. V(none) if it has not run.
      returned: always
      type: float
      sample: 341.806
    cpu:
      description:
        - Seconds of processor time that it, and the children it waited for, used, in the program and in the kernel.
          V(none) if it has not run.
      returned: always
      type: float
      sample: 12.51
    stderr:
      description:
        - The end of what it wrote to its standard error, up to 4 KiB, or 64 KiB for the command that is the cause of a
          failure. Bytes that are not plain characters count more, and more than three commands share what three have.
        - Control characters are spelled out, such as C(\\x1b), and a carriage return ends a line.
      returned: always
      type: str
      sample: "10240+0 records in\n10240+0 records out\n"
    stdout:
      description:
        - What it wrote to its standard output, up to the first 64 KiB, or 4 KiB after a failure.
          Bytes that are not plain characters count more.
      returned: for the last command
      type: str
      sample: "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  -\n"
    stdout_truncated:
      description: Whether it wrote more than was kept.
      returned: for the last command
      type: bool
      sample: false
links:
  description:
    - The links, from the source to the last command, one between each two commands.
    - A figure that is not there, because the host's kernel does not count it, or nothing has run, or the link is
      between two commands on one host, is V(none) and never zero.
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
      description: Bytes that were sent and acknowledged.
      returned: always
      type: int
      sample: 335544320
    unread:
      description: Bytes that had arrived when the reader was done, and that it did not read.
      returned: always
      type: int
      sample: 0
    padding:
      description: Bytes that were read, and thrown away, in place of a command that had exited before the end.
      returned: always
      type: int
      sample: 0
    elapsed:
      description: Seconds from when the link was made to its end.
      returned: always
      type: float
      sample: 341.912
    rate:
      description: Bytes a second, over that time.
      returned: always
      type: int
      sample: 981376
    rtt:
      description: The round trip time that the writer's kernel has estimated, in seconds.
      returned: always
      type: float
      sample: 0.000212
    retransmits:
      description: Packets that had to be sent again.
      returned: always
      type: int
      sample: 0
    waited:
      description: What the writer's side has spent the time with, in seconds.
      returned: always
      type: dict
      contains:
        receiver:
          description: The other host's receive window was full, as its command did not read fast enough.
          returned: always
          type: float
          sample: 283.11
        buffer:
          description: The send buffer was too small.
          returned: always
          type: float
          sample: 0.0
        busy:
          description: There was something to send. This includes the other two.
          returned: always
          type: float
          sample: 340.02
    slow:
      description:
        - Who was slow, in words, if there was more than a second to judge it by. Else empty.
      returned: always
      type: str
      sample: output is slow (receive window full 83 % of the time)
bytes:
  description: Bytes that went over the last link between the two hosts. V(none) if none is counted.
  returned: unless the task's host is unreachable
  type: int
  sample: 335544320
elapsed:
  description: Seconds that the run took, with starting both ends. V(none) in check mode and for a preflight.
  returned: unless the task's host is unreachable
  type: float
  sample: 342.404
peer:
  description: The host on which O(input) and O(output) ran.
  returned: when the options are accepted
  type: str
  sample: tapehost
run:
  description: The identity of this run. It is on the command line of the ends while they run, and no secret.
  returned: unless the task's host is unreachable
  type: str
  sample: 1e2b604d58d918c5ceeac7a6fb3f4345
strangers:
  description:
    - Connections to the ends' ports that said something else than an end does, could not prove to be of this run,
      or said nothing for five seconds. An end of another run that looks for its own peer on the same ports is none.
  returned: unless the task's host is unreachable
  type: int
  sample: 0
left_running:
  description:
    - Processes that the commands have started and left running, each as C(host, number and name).
      After a success they are let be. After a failure these are the ones that the end was not allowed to kill.
      Of more than ten, the last entry is the number of the others.
  returned: unless the task's host is unreachable
  type: list
  elements: str
  sample: ["db1: 4711 ssh-agent"]
preflight:
  description: What was dialled, and what came of it. Up to 200 attempts, those first that worked.
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
      description: Whether both sides have proved themselves on this connection.
      returned: always
      type: bool
      sample: true
    outcome:
      description:
        - V(ok), or how it failed, such as V(refused) (nothing listens there, or a firewall rejects), V(timed out) (a
          firewall drops, or there is no such host), or V(no route).
      returned: always
      type: str
      sample: ok
ansible_facts:
  description: A summary of the run, under the name that O(fact) gives.
  returned: success, unless O(fact=false), O(preflight=true) or C(no_log) is set
  type: dict
  contains:
    socketpipe:
      description: The summary.
      returned: when O(fact=socketpipe)
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
          description: V(true), as the fact is set on success only.
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
