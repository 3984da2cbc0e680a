# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that the tape modules share.  Each has the name of the role's variable.

This documentation fragment is private to the collection and may change at any time.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: the tape host and its catalog, and one for each further group of options."""

    DOCUMENTATION = r"""
options:
  tape_host:
    description:
      - The host with the drives. If empty, the only host of the inventory with the variable C(tape_devices). If no host
        has it, the controller.
      - It need not be the task's host. Ansible connects to it with its own variables. It may be V(localhost), the
        controller.
    type: str
    default: ""
  tape_host_variables:
    description:
      - Variables for a tape host that is not in the inventory, such as C(ansible_host) and C(tape_devices).
    type: dict
    default: {}
  tape_become:
    description:
      - Whether to become root on the tape host, and on hosts that get a copy of the catalog.
      - A host with C(ansible_become) in its variables becomes root without this.
    type: bool
    default: false
  tape_catalog_dir:
    description:
      - The directory of the catalog on the tape host.
      - A variable of this name on the tape host takes precedence.
    type: str
    default: /var/lib/socketpipe/tape
  tape_devices:
    description:
      - The drives of the tape host. Use no-rewind devices, such as those in C(/dev/tape/by-id) that end in C(-nst).
        A directory is a virtual tape.
      - >-
        V({serial: HU1234567A}) is the drive with this serial number, whatever its device. Quote a number of digits.
      - A variable of this name on the tape host takes precedence.
    type: list
    elements: raw
    default: []
  tape_changer:
    description:
      - The device of the tape changer, which is controlled with C(mtx). If it does not report the serial numbers of its
        drives, O(tape_devices) must list them in the changer's order.
      - A variable of this name on the tape host takes precedence.
    type: str
    default: ""
  tape_barcodes:
    description:
      - The barcodes of the tapes in the changer that backups may use, in order of use. Quote barcodes that have only
        digits.
      - A variable of this name on the tape host takes precedence.
    type: list
    elements: raw
    default: []
  tape_next_command:
    description:
      - A command on the tape host that loads another tape, for use without a changer. C(/bin/sh) runs it, with
        C(TAPE_DEVICE), C(TAPE_LABEL) and C(TAPE_REASON) in its environment. C(TAPE_WANTED) has the labels of all tapes
        that would do, the best first. C(TAPE_BARCODE) and C(TAPE_LOCATION) belong to the first.
      - A variable of this name on the tape host takes precedence.
    type: str
    default: ""
  tape_encryption:
    description:
      - Settings for encryption by the drive, made with C(stenc). C(key_file) is the key file on the tape host.
      - A variable of this name on the tape host takes precedence.
    type: dict
    default: {}
  tape_wait:
    description:
      - How long to wait for a free drive, or for somebody to load a tape, such as V(1h).
    type: str
    default: 1h
  tape_ports:
    description:
      - Ports on which the two hosts may listen. See O(plumbing.socketpipe.pipe#module:ports).
        If not set, each host uses those in its variable C(socketpipe_ports).
    type: list
    elements: str
    default: []
  tape_listen:
    description:
      - Which of the two hosts listens. V(peer) is the tape host, and V(remote) is the task's host. See
        O(plumbing.socketpipe.pipe#module:listen). With V(auto), a host with C(socketpipe_listen=false) in its variables
        only dials.
    type: str
    choices: [auto, peer, remote]
    default: auto
  tape_address:
    description:
      - Addresses to dial instead of the auto-detected ones. See O(plumbing.socketpipe.pipe#module:address).
        If not set, each host is dialled at those in its variable C(socketpipe_address), if it has it.
    type: list
    elements: str
    default: []
  tape_connect_timeout:
    description:
      - Seconds to wait for the connection between two hosts.
    type: int
    default: 30
  tape_link_encryption:
    description:
      - Whether archives and copies of the catalog are encrypted on their way between two hosts.
        See O(plumbing.socketpipe.pipe#module:encryption). What is on the tape is not affected.
    type: str
    choices: [none, required, kernel, relay]
    default: none
"""

    STREAM = r"""
options:
  tape_rate_limit:
    description:
      - The maximum rate of one archive in bytes a second, such as V(50M).
    type: str
    default: ""
  tape_stall_timeout:
    description:
      - Seconds without data after which an archive fails. Set to V(0) to disable. Waiting for a drive or a tape counts.
    type: int
    default: 0
"""

    LINES = r"""
options:
  tape_progress_quiet:
    description:
      - Seconds without a progress line of any host, after which there is one, so that a timer that ends silent jobs
        does not end this one. See O(plumbing.socketpipe.pipe#module:progress_quiet). Set to V(0) to have no such lines.
      - A line has the bytes and the rate, percentage and time left if the size is known, and what a host waits for,
        such as a drive.
    type: int
    default: 60
"""

    COPIES = r"""
options:
  tape_catalog_hosts:
    description:
      - Hosts that get a copy of the catalog. C(CATALOG-of-TAPEHOST) is a link to the newest of the last ten copies.
        A failed copy is reported in RV(notes).
    type: list
    elements: str
    default: []
  tape_accept_catalog:
    description:
      - Whether O(tape_catalog_hosts) accept a catalog that lacks tapes or good archives of their last copy.
    type: bool
    default: false
"""

    METRICS = r"""
options:
  tape_metrics_file:
    description:
      - A file on the tape host that gets the state of the catalog as metrics for Prometheus. It is meant for the
        textfile collector of C(node_exporter), so its name must end in C(.prom). The directory must exist.
      - The file is replaced atomically, with mode C(0644), after the catalog has changed. A failure is reported in
        RV(notes).
      - A variable of this name on the tape host takes precedence.
    type: str
    default: ""
"""

    NOTIFY = r"""
options:
  tape_notify_command:
    description:
      - A command that runs on the controller when a run ends, or when it could not be planned. It gets the statistic
        C(tape_backup) as JSON on its standard input. If it fails, that is a warning, and the run is no worse for it.
      - A list of words, or a string that is split into words. No shell runs it. Besides the environment of
        C(ansible-playbook), it has C(TAPE_RESULT) (V(success) or V(failure)), C(TAPE_RUN) and C(TAPE_SUMMARY), one line
        for people.
      - It does not run in check mode.
    type: raw
    default: []
  tape_notify_on:
    description:
      - The results for which O(tape_notify_command) runs. A run with a host without a good archive is a V(failure).
    type: list
    elements: str
    choices: [success, failure]
    default: [success, failure]
  tape_notify_timeout:
    description:
      - Seconds after which O(tape_notify_command) is ended.
    type: int
    default: 30
"""

    PACKING = r"""
options:
  tape_filter:
    description:
      - A program on the host of the archive that packs it before it crosses the network. It is a mapping with C(write),
        the command, and C(read), the command that undoes it. A list is a chain, in the order in which they write.
      - No shell runs them. Each reads its standard input and writes its standard output, and its exit status must be 0.
        The catalog records them.
      - C(encrypts=true) tells that the program encrypts. The names of files then stay on the host as well.
    type: raw
    default: []
  tape_recipients:
    description:
      - Public keys for which C(age) encrypts each archive on its host, after O(tape_filter).
      - Neither the network nor the tape host nor the tape sees the data, and the names of files stay on the host.
    type: list
    elements: str
    default: []
"""

    SET = r"""
options:
  tape_set:
    description:
      - A short name for a set of files. Increments are based only on archives of the same set.
    type: str
    default: all
"""

    EXPIRY = r"""
options:
  tape_expire_last:
    description:
      - Whether the last good archive of a host in each set, with its base, may expire like any other.
        Otherwise its tape is not overwritten until the host has a newer good archive.
    type: bool
    default: false
  tape_accept_clock:
    description:
      - Whether to believe the tape host's clock although it is more than a day ahead of the controller's, or far ahead
        of the last backup. Otherwise nothing expires then. Set it for one run if the clock is right.
    type: bool
    default: false
"""

    WRITABLE = r"""
options:
  tape_reuse:
    description:
      - When a labelled tape may be overwritten from its beginning.
      - V(expired) - by the next backup, when all archives on it, and all increments that depend on them, have expired.
      - V(scratch) - only with C(tape_overwrite) of M(plumbing.socketpipe.tape_label).
      - V(never) - never.
    type: str
    choices: [never, scratch, expired]
    default: scratch
  tape_capacity:
    description:
      - The capacity of a tape, such as V(2.4T). It is needed to check in advance whether the archives fit.
      - A variable of this name on the tape host takes precedence.
    type: str
    default: ""
  tape_labels:
    description:
      - Label patterns of the tapes that backups may write to.
    type: list
    elements: str
    default: ["*"]
"""

    REUSE = r"""
options:
  tape_reuse:
    description:
      - When a labelled tape may be overwritten from its beginning.
      - V(expired) - by the next backup, when all archives on it, and all increments that depend on them, have expired.
      - V(scratch) - only with C(tape_overwrite) of M(plumbing.socketpipe.tape_label).
      - V(never) - never.
    type: str
    choices: [never, scratch, expired]
    default: scratch
  tape_block_size:
    description:
      - The block size on tape, a multiple of 512 bytes, at most V(4M).
    type: str
    default: 256K
  tape_compression:
    description:
      - Whether the drive compresses data. If not set, the drive's own setting stays.
      - A variable of this name on the tape host takes precedence.
    type: bool
"""

    WRITING = r"""
options:
  tape_capacity:
    description:
      - The capacity of a tape, such as V(2.4T). It is needed to check in advance whether the archives fit.
      - A variable of this name on the tape host takes precedence.
    type: str
    default: ""
  tape_labels:
    description:
      - Label patterns of the tapes that backups may write to.
    type: list
    elements: str
    default: ["*"]
  tape_retention:
    description:
      - How long to keep the archives, in days or more, such as V(28d), V(4w), V(6mo) or V(1y).
    type: str
    default: 28d
  tape_accept_new_machine:
    description:
      - Whether to accept a host whose machine-id differs from that of its last good archive, for example after a
        reinstallation. Otherwise the host is refused before any file is read.
    type: bool
    default: false
  tape_lease:
    description:
      - How long a tape stays reserved for a run after the run's last archive.
    type: str
    default: 1h
  tape_steal:
    description:
      - Whether to take a tape that is reserved for another run, for example after its job was killed.
    type: bool
    default: false
"""
