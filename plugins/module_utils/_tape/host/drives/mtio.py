# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ioctls of st, the kernel's driver of tape drives: st(4), linux/mtio.h, drivers/scsi/st.c.

Structures have the sizes and the alignment of the machine ("@"), as the compiler gives them to the kernel.
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
        file: int  # -1: not known
        block: int  # -1: not known
        at_end: bool  # of the data
        empty: bool  # no tape; neither this nor loaded: it is getting one ready

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
    """A descriptor of the device, and whether it may write; the only one that there is: others get EBUSY.

    It does not wait for a tape, nor mind a write-protected one, as O_NONBLOCK has it; the status says what is there.
    """
    flags = os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd, writes = os.open(path, os.O_RDWR | flags), True
    except OSError as exc:
        if exc.errno != errno.EACCES:
            raise
        fd, writes = os.open(path, os.O_RDONLY | flags), False
    # it is in the open file: whoever gets this descriptor as its standard output would have it, too
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
    return fd, writes


def do(fd: int, operation: int, count: int = 1) -> None:
    """One of the operations of struct mtop; raises OSError."""
    fcntl.ioctl(fd, MTIOCTOP, MTOP.pack(operation, count))


def status(fd: int) -> "Status":
    """What the driver believes: it does not ask the drive, and does not hear of everything; raises OSError."""
    values = MTGET.unpack(fcntl.ioctl(fd, MTIOCGET, bytes(MTGET.size)))
    bits, file, block = values[3], values[5], values[6]
    loaded = bool(bits & ONLINE) and not bits & DR_OPEN
    return Status(loaded, bool(bits & WR_PROT), file, block, bool(bits & EOD), bool(bits & DR_OPEN))


def position(fd: int) -> int:
    """The number of the block where the tape stands, file marks counted, as the drive says; raises OSError."""
    block: int = MTPOS.unpack(fcntl.ioctl(fd, MTIOCPOS, bytes(MTPOS.size)))[0]
    return block
