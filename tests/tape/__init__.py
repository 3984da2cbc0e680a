# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: the plumbing.socketpipe contributors
"""The tape role on the kernel's own drivers.

Modules: cable (SCSI into the guest) <- medium, drive, changer (the devices) <- library (all of them) <- guest (the
machine they are plugged into); init (what runs in there).
"""
