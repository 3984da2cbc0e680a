# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The congestion control of TCP on the links that an end writes, if the plan names one (tcp(7), TCP_CONGESTION)."""

import errno

from .lean import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import LinkSpec, Refusal

LIST = "/proc/sys/net/ipv4/tcp_%s_congestion_control"


def control(sock: "socket.socket", name: str) -> None:
    """Set that of a socket; raises OSError if the kernel does not have it, or not for this user."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode("ascii"))


def missing(links: "list[LinkSpec]") -> "Refusal | None":
    """Why this kernel does not give it to the links that this end writes; None if it does."""
    for name in {link["congestion_control"] for link in links if link["side"] == "W"} - {""}:
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                sock = socket.socket(family, socket.SOCK_STREAM)
            except OSError:
                continue  # a kernel without this family
            try:
                control(sock, name)
                break
            except OSError as exc:
                others = read_line(LIST % ("allowed" if exc.errno == errno.EPERM else "available"))
                error = exc.strerror or str(exc)
                return {
                    "kind": "no congestion control",
                    "name": name,
                    "errno": exc.errno or 0,
                    "error": error,
                    "others": others,
                }
            finally:
                sock.close()
    return None


def read_line(path: str) -> str:
    """The first line of a file of the kernel; "" if it hides it."""
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""
