# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a source leaves in the background, with the link open, so that it is hard to find.

    python holder.py KIND FILE MARK

KIND: "thread": its main thread has ended, another one lives on; "generations": it forks, and its parent exits, all the
time.  FILE: after a second it writes the last LEFT bytes of it, and ends; "-": it never does.
"""

import ctypes
import os
import sys
import threading
import time

LEFT = 1000  # bytes that source.py leaves to us


def until(moment: float) -> None:
    while time.monotonic() < moment:
        if os.fork():
            os._exit(0)


def finish(moment: float, name: str) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
    with open(name, "rb") as file:
        data = file.read()[-LEFT:]
    while data:
        data = data[os.write(1, data) :]
    os._exit(0)


def main() -> None:
    kind, name = sys.argv[1:3]
    moment = time.monotonic() + (900 if name == "-" else 1)
    if kind == "generations":
        until(moment)
        finish(moment, name)
    threading.Thread(target=finish, args=(moment, name)).start()
    ctypes.CDLL(None).pthread_exit(None)


main()
