# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS in the kernel: operations on a socket whose records the kernel encrypts and decrypts.

There is no TLS handshake.  Both sides have proved themselves (see handshake) and set keys on the connection, and the
commands read and write it like any other.  All of this is one kernel interface (linux/tls.h), whose numbers are the
same on every architecture.
"""

import errno

from .kernel import TCP_CLOSE, tcp_info
from .lean import socket, struct
from .transport import FORGED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .keys import Cipher

    Direction = tuple[bytes, bytes]  # key, nonce

TCP_ULP = 31  # linux/tcp.h
SOL_TLS = 282  # linux/socket.h
TLS_TX, TLS_RX, TLS_SET_RECORD_TYPE = 1, 2, 1  # linux/tls.h
TLS_1_3 = 0x0304
HEAD = struct.Struct("=HH")  # struct tls_crypto_info: version, cipher_type
COUNTER = struct.Struct("!Q")  # rec_seq, in the byte order of TLS
ALERT, DATA_RECORD = b"\x15", b"\x17"  # types of records (RFC 8446, 5.1)
INTERNAL_ERROR = b"\x02\x50"  # fatal, 80 (RFC 8446, 6.2)
OVERHEAD = 22  # bytes of a record besides the data: header 5, type 1, tag 16
RECORD = 16384  # bytes of data in a full record

NETLINK_SOCK_DIAG, SOCK_DESTROY = 4, 21  # linux/netlink.h, linux/sock_diag.h
REQUEST_ACK = 5  # NLM_F_REQUEST | NLM_F_ACK
ANY_STATE = 0xFFFFFFFF
NO_COOKIE = b"\xff" * 8  # INET_DIAG_NOCOOKIE, twice


def crypto_info(cipher: "Cipher", keys: "Direction") -> bytes:
    """struct tls12_crypto_info_* of linux/tls.h: head, iv, key, salt, number of the first record."""
    key, nonce = keys
    salt, iv = nonce[: cipher.salt], nonce[cipher.salt :]
    return HEAD.pack(TLS_1_3, cipher.number) + iv + key + salt + COUNTER.pack(0)


def attach(sock: "socket.socket") -> None:
    """Prepare the connection for TLS, without effect yet; raises OSError if the kernel cannot."""
    sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")


def arm(sock: "socket.socket", cipher: "Cipher", sends: "Direction", receives: "Direction") -> None:
    """Send and accept only records from here on; data queued before is sent unchanged."""
    attach(sock)
    put_keys(sock, cipher, sends, receives)


def put_keys(sock: "socket.socket", cipher: "Cipher", sends: "Direction", receives: "Direction") -> None:
    """Set the keys; raises OSError if the kernel lacks the cipher: ENOENT, or EINVAL if it does not know it."""
    sock.setsockopt(SOL_TLS, TLS_TX, crypto_info(cipher, sends))
    sock.setsockopt(SOL_TLS, TLS_RX, crypto_info(cipher, receives))


def records(sock: "socket.socket", way: int, cipher: "Cipher") -> int:
    """The number of records encrypted here (TLS_TX), or decrypted and authenticated here (TLS_RX)."""
    size = HEAD.size + cipher.iv + cipher.key + cipher.salt + COUNTER.size
    info = sock.getsockopt(SOL_TLS, way, size)
    return int(COUNTER.unpack_from(info, len(info) - COUNTER.size)[0])


def alert(sock: "socket.socket") -> bool:
    """Queue a fatal alert, after which every read on the other side fails with EIO; False if the queue is full.

    A reset alone is not enough: a read that waits for more data consumes it and returns the bytes it has, and the next
    read is an end of file (tls_rx_rec_wait).  Nobody else can send an alert, and none can be revoked.
    """
    try:
        sock.sendmsg([INTERNAL_ERROR], [(SOL_TLS, TLS_SET_RECORD_TYPE, ALERT)], socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        pass  # already broken
    return True


# the results of ``peek``: the first item in a receive queue
NOTHING, DATA, END, ALERTED, BROKEN = "nothing", "data", "end", "alert", "broken"


def peek(sock: "socket.socket", most: int = 1) -> "tuple[str, int]":
    """(kind, bytes of data) of the next read, without consuming it.

    Only while no stage reads, because an error reported here is gone for the stage.  poll(2) shows neither an alert nor
    a forged record, and SIOCINQ does not include decrypted but unread data.
    """
    try:
        size = len(sock.recv(most, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return NOTHING, 0
    except OSError as exc:
        if exc.errno == errno.EIO:
            return ALERTED, 0
        # a wrong tag, or an invalid header
        return (FORGED if exc.errno in (errno.EBADMSG, errno.EMSGSIZE, errno.EINVAL) else BROKEN), 0
    return (DATA if size else END), size


def destroy(sock: "socket.socket") -> bool:
    """Reset a connection now, whoever holds it (sock_diag(7), like ``ss -K``); False if not permitted.

    It needs CAP_NET_ADMIN, and a kernel with CONFIG_INET_DIAG_DESTROY.
    """
    if tcp_info(sock)["state"] == TCP_CLOSE:
        return True
    try:
        link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
    except OSError:
        return False
    try:
        link.settimeout(1)
        link.send(diag_request(sock.family, sock.getsockname(), sock.getpeername()))
        link.recv(4096)  # the answer does not matter, only the state does
    except OSError:
        pass
    finally:
        link.close()
    return tcp_info(sock)["state"] == TCP_CLOSE


def diag_request(family: int, own: "tuple[str, int]", peer: "tuple[str, int]") -> bytes:
    """struct nlmsghdr and struct inet_diag_req_v2 (linux/inet_diag.h) for one connection."""
    packed = [socket.inet_pton(family, name[0].partition("%")[0]).ljust(16, b"\0") for name in (own, peer)]
    scope = own[3] if len(own) > 3 else 0
    body = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, ANY_STATE)
    body += struct.pack("!HH", own[1], peer[1]) + packed[0] + packed[1] + struct.pack("=I", scope) + NO_COOKIE
    return struct.pack("=IHHII", 16 + len(body), SOCK_DESTROY, REQUEST_ACK, 1, 0) + body
