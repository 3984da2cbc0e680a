# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source: writes a file, stops at a byte until it may go on, and ends as it is told.

    python source.py FILE STOP AT GO END MARK

STOP is a number of bytes, negative for nowhere; there it makes the file AT and waits for the file GO.
END: "0", "1" an exit status; "9" kills itself; "close" closes its output, works on for a second, and ends well;
"leave" leaves the last LEFT bytes to holder.py.
"""

import os
import signal
import sys
import time

PIECE = 64 * 1024
LEFT = 1000


def write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def main() -> int:
    name, stop, at, go, end = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
    with open(name, "rb") as file:
        data = file.read()
    if end == "leave":
        data, end = data[:-LEFT], "0"
    first = data if stop < 0 else data[:stop]
    for start in range(0, len(first), PIECE):
        write(first[start : start + PIECE])
    if stop >= 0:
        open(at, "w").close()
        while not os.path.exists(go):
            time.sleep(0.05)
        if end in ("0", "close"):
            write(data[stop:])
    if end == "close":
        os.close(1)
        time.sleep(1)
        return 0
    if end == "9":
        os.kill(os.getpid(), signal.SIGKILL)
    return int(end)


sys.exit(main())
