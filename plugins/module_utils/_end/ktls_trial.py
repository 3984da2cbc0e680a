# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests whether TLS in the kernel works here, by a real trial over loopback instead of a version number.

ENOENT from the kernel has three different meanings, so the reason is determined separately.
"""

import errno
import os

from . import ktls
from .keys import CIPHERS, bits, both
from .loopback import pair

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from .keys import Cipher
    from .records import NoKernelTls

PATIENCE = 5.0  # seconds for a few bytes over loopback
CAP_NET_ADMIN = 12  # linux/capability.h: with it, the kernel loads modules on demand
ALL_IDS = ["0", "0", "4294967295"]  # /proc/self/uid_map outside of user namespaces


def trial() -> "tuple[int, NoKernelTls | None]":
    """(capabilities for the handshake, None), or (0, the reason if there are none)."""
    works: "list[Cipher]" = []
    found: "list[tuple[str, OSError]]" = []
    for cipher in CIPHERS:
        try:
            sides = pair(PATIENCE)
        except OSError as exc:
            return 0, no_tls("untried", exc.strerror or str(exc))
        problem = attempt(cipher, sides)
        if problem is None:
            works.append(cipher)
        else:
            found.append(problem)
    return bits(works), None if works else reason(*found[-1])


def attempt(cipher: "Cipher", sides: "tuple[socket.socket, socket.socket]") -> "tuple[str, OSError] | None":
    """Send a word in both directions with this cipher; None if it worked, otherwise (failed step, error).

    Closes both sides of the connection.
    """
    try:
        for sock in sides:
            sock.settimeout(PATIENCE)
        agreed = os.urandom(32)
        for step in ("attach", "arm", "send", "count"):
            try:
                for index, sock in enumerate(sides):
                    if step == "attach":
                        ktls.attach(sock)
                    elif step == "arm":
                        ktls.put_keys(sock, cipher, *both(agreed, cipher, writer=index == 0))
                    elif step == "send":
                        exchange(sock, sides[1 - index])
                    else:
                        count(sock, sides[1 - index], cipher)
            except OSError as exc:
                return step, exc
        return None
    finally:
        for sock in sides:
            sock.close()


def exchange(one: "socket.socket", other: "socket.socket") -> None:
    word = os.urandom(16)
    one.sendall(word)
    if other.recv(len(word)) != word:
        raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))


def count(one: "socket.socket", other: "socket.socket", cipher: "Cipher") -> None:
    """Check the record counters, without which a cut stream would look complete."""
    if (ktls.records(one, ktls.TLS_TX, cipher), ktls.records(other, ktls.TLS_RX, cipher)) != (1, 1):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


# -- why not


def reason(step: str, exc: OSError) -> "NoKernelTls":
    """The reason for an error of the kernel at this step."""
    if step == "attach" and exc.errno == errno.ENOENT:
        return missing()
    if step == "arm" and exc.errno == errno.ENOENT:
        return no_tls("no cipher")
    if step != "send" and exc.errno in (errno.ENOPROTOOPT, errno.EINVAL, errno.EOPNOTSUPP):
        return no_tls("old kernel")
    return no_tls("broken", exc.strerror or str(exc))


def no_tls(kind: "Any", error: str = "") -> "NoKernelTls":
    return {"kind": kind, "release": os.uname().release, "error": error}


def missing() -> "NoKernelTls":
    """The reason why the kernel has not loaded the module."""
    there = on_disk(os.uname().release)
    if there is False:
        return no_tls("no module")
    if content("/proc/sys/kernel/modules_disabled").strip() == "1":
        return no_tls("modules disabled")
    if may_load():
        return no_tls("module failed")
    return no_tls("not loaded" if there else "not loaded outside")


def on_disk(release: str) -> "bool | None":
    """Whether the module is installed for this kernel; None if modules are not visible, as in a container."""
    for folder in ("/lib/modules", "/usr/lib/modules"):
        listed = content("%s/%s/modules.dep" % (folder, release))
        if listed:
            return "/tls.ko" in listed
    return None


def may_load() -> bool:
    """Whether the kernel would load modules for this process: CAP_NET_ADMIN outside of user namespaces."""
    for line in content("/proc/self/status").splitlines():
        name, _colon, value = line.partition(":")
        if name == "CapEff" and not int(value, 16) >> CAP_NET_ADMIN & 1:
            return False
    return content("/proc/self/uid_map").split() == ALL_IDS


def content(path: str) -> str:
    try:
        with open(path, "rb") as source:
            return source.read().decode("ascii", "replace")
    except OSError:
        return ""
