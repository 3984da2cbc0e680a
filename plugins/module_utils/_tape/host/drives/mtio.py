# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ioctls of st, the kernel driver for tape drives: st(4), linux/mtio.h, drivers/scsi/st.c.

Structures have the native sizes and alignment ("@"), as in the kernel.
"""

import errno
import fcntl
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Status(NamedTuple):
        loaded: bool
        protected: bool
        file: int  # -1: unknown
        block: int  # -1: unknown
        at_end: bool  # at the end of data
        empty: bool  # no tape; if neither this nor loaded, a tape is being loaded

else:
    from collections import namedtuple

    Status = namedtuple("Status", "loaded protected file block at_end empty")

MTOP = struct.Struct("@hi")  # struct mtop: mt_op, mt_count
MTGET = struct.Struct("@lllllii")  # struct mtget: mt_type, mt_resid, mt_dsreg, mt_gstat, mt_erreg, mt_fileno, mt_blkno
MTPOS = struct.Struct("@l")  # struct mtpos: mt_blkno

# of mt_op
FSF, FSR, WEOF, REW, OFFL, EOM, SETBLK, COMPRESSION = 1, 3, 5, 6, 7, 12, 20, 32
NAMES = {
    FSF: "space forward",
    FSR: "space forward by records",
    WEOF: "write a file mark",
    REW: "rewind",
    OFFL: "eject",
    EOM: "go to the end of the data",
    SETBLK: "set variable blocks",
    COMPRESSION: "set compression",
}

# of mt_gstat: GMT_EOD, GMT_WR_PROT, GMT_ONLINE, GMT_DR_OPEN
EOD, WR_PROT, ONLINE, DR_OPEN = 1 << 27, 1 << 26, 1 << 24, 1 << 18

# asm-generic/ioctl.h; alpha, mips, powerpc and sparc have three bits for the direction, the others two
if os.uname().machine.startswith(("alpha", "mips", "ppc", "powerpc", "sparc")):
    _READ, _WRITE = 2 << 29, 4 << 29
else:
    _READ, _WRITE = 2 << 30, 1 << 30
MTIOCTOP = _WRITE | MTOP.size << 16 | ord("m") << 8 | 1
MTIOCGET = _READ | MTGET.size << 16 | ord("m") << 8 | 2
MTIOCPOS = _READ | MTPOS.size << 16 | ord("m") << 8 | 3


def opened(path: str) -> "tuple[int, bool]":
    """The descriptor of the device, and whether it is writable; others get EBUSY.

    With O_NONBLOCK, open does not wait for a tape and accepts a write-protected one; the status shows its state.
    """
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd, writes = os.open(path, os.O_RDWR | flags), True
    except OSError as exc:
        if exc.errno != errno.EACCES:
            raise
        fd, writes = os.open(path, os.O_RDONLY | flags), False
    # O_NONBLOCK belongs to the open file and would affect programs that inherit it
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
    return fd, writes


def do(fd: int, operation: int, count: int = 1) -> None:
    """One of the operations of struct mtop; raises OSError."""
    fcntl.ioctl(fd, MTIOCTOP, MTOP.pack(operation, count))


def status(fd: int) -> "Status":
    """The status according to the driver, which does not ask the drive and may be outdated; raises OSError."""
    values = MTGET.unpack(fcntl.ioctl(fd, MTIOCGET, bytes(MTGET.size)))
    bits, file, block = values[3], values[5], values[6]
    loaded = bool(bits & ONLINE) and not bits & DR_OPEN
    return Status(loaded, bool(bits & WR_PROT), file, block, bool(bits & EOD), bool(bits & DR_OPEN))


def position(fd: int) -> int:
    """The position reported by the drive: a block number that includes file marks; raises OSError."""
    block: int = MTPOS.unpack(fcntl.ioctl(fd, MTIOCPOS, bytes(MTPOS.size)))[0]
    return block
