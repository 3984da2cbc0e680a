# Copyright: the plumbing.socketpipe contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that the tape modules share.  Each has the name of the variable of the role that it comes from.

This documentation fragment is private to the collection and may change at any time.
"""

from __future__ import annotations


class ModuleDocFragment:
    """Fragments: the tape host and its catalog, and one for each further group of options."""

    DOCUMENTATION = r"""
options:
  tape_host:
    description:
      - The host with the drives. Without it, the only host of the inventory that has the variable C(tape_devices).
      - It need not be the task's host, and is reached by its own connection. It may be V(localhost), the controller.
    type: str
    default: ""
  tape_host_variables:
    description:
      - Variables of the tape host where the inventory does not have it, such as C(ansible_host) and C(tape_devices).
    type: dict
    default: {}
  tape_become:
    description:
      - Whether to become root on the tape host, and on hosts that keep a copy of the catalog.
      - A host that has C(ansible_become) among its variables becomes root without this.
    type: bool
    default: false
  tape_catalog_dir:
    description:
      - The directory of the catalog on the tape host.
      - The tape host's variable of this name comes first.
    type: str
    default: /var/lib/socketpipe/tape
  tape_devices:
    description:
      - The drives of the tape host, devices that do not rewind when they are closed, such as those in
        C(/dev/tape/by-id) that end in C(-nst). A directory is a virtual tape.
      - The tape host's variable of this name comes first.
    type: list
    elements: str
    default: []
  tape_changer:
    description:
      - The device of a tape changer whose drives these are, in the order of O(tape_devices). C(mtx) drives it.
      - The tape host's variable of this name comes first.
    type: str
    default: ""
  tape_barcodes:
    description:
      - The barcodes of the tapes of the changer that backups may use, in the order in which they are used. Quote those
        that are digits only.
      - The tape host's variable of this name comes first.
    type: list
    elements: raw
    default: []
  tape_next_command:
    description:
      - A command on the tape host that puts another tape into a drive, where there is no changer. C(/bin/sh) runs it
        with C(TAPE_DEVICE), C(TAPE_LABEL) and C(TAPE_REASON) in its environment.
      - The tape host's variable of this name comes first.
    type: str
    default: ""
  tape_encryption:
    description:
      - Encryption by the drive, which C(stenc) sets. C(key_file) is the file of the key on the tape host.
      - The tape host's variable of this name comes first.
    type: dict
    default: {}
  tape_wait:
    description:
      - How long to wait for a drive, or for a tape that a person has to bring, such as V(1h).
    type: str
    default: 1h
  tape_ports:
    description:
      - Ports on which the two hosts may listen, as O(plumbing.socketpipe.pipe#module:ports).
    type: list
    elements: str
    default: []
  tape_listen:
    description:
      - Which of the two hosts listens for the other, where V(peer) is the tape host and V(remote) the task's host,
        as O(plumbing.socketpipe.pipe#module:listen).
    type: str
    choices: [auto, peer, remote]
    default: auto
  tape_address:
    description:
      - Addresses to dial instead of the detected ones, as O(plumbing.socketpipe.pipe#module:address).
    type: list
    elements: str
    default: []
  tape_connect_timeout:
    description:
      - Seconds in which a connection between two hosts must be made.
    type: int
    default: 30
"""

    STREAM = r"""
options:
  tape_rate_limit:
    description:
      - The most bytes a second of one archive, such as V(50M).
    type: str
    default: ""
  tape_stall_timeout:
    description:
      - Seconds without a byte after which an archive has failed, V(0) for never. Waiting for a drive or a tape counts.
    type: int
    default: 0
"""

    COPIES = r"""
options:
  tape_catalog_hosts:
    description:
      - Hosts that get a copy of the catalog, in C(CATALOG-of-TAPEHOST), a link to the newest of the last ten.
        A copy that fails is one of RV(notes).
    type: list
    elements: str
    default: []
  tape_accept_catalog:
    description:
      - Whether O(tape_catalog_hosts) take a catalog that knows fewer tapes or good archives than their last copy.
    type: bool
    default: false
"""

    SET = r"""
options:
  tape_set:
    description:
      - A short name of what is backed up. The archives of a set are based on those of the same set.
    type: str
    default: all
"""

    EXPIRY = r"""
options:
  tape_expire_last:
    description:
      - Whether the last good archive of a host in each set, with what it is based on, expires like any other.
        Otherwise its tape is not begun afresh before the host has a newer one.
    type: bool
    default: false
"""

    REUSE = r"""
options:
  tape_reuse:
    description:
      - When a tape is begun afresh.
      - V(expired) - by the next backup, when all that is on it is past its retention, and so is what depends on it.
      - V(scratch) - when C(tape_overwrite) of M(plumbing.socketpipe.tape_label) says so.
      - V(never) - not even then.
    type: str
    choices: [never, scratch, expired]
    default: scratch
  tape_block_size:
    description:
      - The size of the blocks on the tape, a multiple of 512 bytes, at most V(4M).
    type: str
    default: 256K
  tape_compression:
    description:
      - Whether the drive compresses. Without it, the drive stays as it is.
      - The tape host's variable of this name comes first.
    type: bool
"""

    WRITING = r"""
options:
  tape_capacity:
    description:
      - What a tape holds, such as V(2.4T). Without it nobody can tell beforehand whether archives fit.
      - The tape host's variable of this name comes first.
    type: str
    default: ""
  tape_labels:
    description:
      - Patterns of the tapes that may be written to.
    type: list
    elements: str
    default: ["*"]
  tape_retention:
    description:
      - How long the archives are kept, in days or more, such as V(28d), V(4w), V(6mo) or V(1y).
    type: str
    default: 28d
  tape_accept_new_machine:
    description:
      - Whether a host may have another machine-id than its last good archive is of, as after a new installation.
        Otherwise it is refused before anything is read.
    type: bool
    default: false
  tape_lease:
    description:
      - How long a tape belongs to a run after its last archive, so that no other run writes in between.
    type: str
    default: 1h
  tape_steal:
    description:
      - Whether to take a tape that belongs to another run, such as one whose job was killed.
    type: bool
    default: false
"""
