# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put before a program, of an end or of transfer: hold it at one place, by a debugger's hook; it is unchanged.

It then makes the file BASE.at, and waits for the file BASE.go.
"""

import os
import sys
import time


def wait(base):  # type: ignore[no-untyped-def]  # it goes onto a command line
    open(base + ".at", "w").close()
    while not os.path.exists(base + ".go"):
        time.sleep(0.05)


def hold_at(base, event, name, byte=-1, times=1):  # type: ignore[no-untyped-def]
    """At a "call" of, or "return" from, a function ("name", "Class.name"), or one that writes beyond this byte."""
    owner, _dot, name = name.rpartition(".")
    left = [times]

    def hold(frame, happened, arg):  # type: ignore[no-untyped-def]
        if happened != event or frame.f_code.co_name != name:
            return
        found = frame.f_locals
        if owner and type(found.get("self")).__name__ != owner:
            return
        if byte < 0 or ("place" in found and found["place"] + len(found["data"]) > byte):
            left[0] -= 1
            if not left[0]:
                sys.setprofile(None)
                wait(base)

    sys.setprofile(hold)


def hold_sending(base, byte):  # type: ignore[no-untyped-def]
    """Before this byte of a file is sent."""
    send = os.sendfile
    held = []  # type: list[int]

    def sendfile(out, fd, at, most):  # type: ignore[no-untyped-def]
        if at >= byte and not held:
            held.append(at)
            wait(base)
        return send(out, fd, at, min(most, byte - at) if at < byte else most)

    os.sendfile = sendfile
