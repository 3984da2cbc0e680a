# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sink that says how its input came to its end. Run as `python probe.py PATH MARK [FLAG...]` by anatomy.probe.

Flags: "stubborn" ignores SIGTERM, "deaf" also what a terminal sends; "pause=N" stops reading for N seconds after the
first byte, "work=N" works for N seconds after the last.
"""

import errno
import hashlib
import json
import os
import signal
import sys
import time


def main() -> int:
    path, flags = sys.argv[1], dict(word.partition("=")[::2] for word in sys.argv[3:])
    deaf = [signal.SIGINT, signal.SIGHUP, signal.SIGQUIT] if "deaf" in flags else []
    for number in [signal.SIGTERM, *deaf] if flags.keys() & {"stubborn", "deaf"} else []:
        signal.signal(number, signal.SIG_IGN)
    count, digest = 0, hashlib.sha256()

    def say(end: str) -> None:
        with open(path + ".new", "w") as out:
            json.dump({"bytes": count, "sha256": digest.hexdigest(), "end": end}, out)
        os.rename(path + ".new", path)

    while True:
        try:
            chunk = os.read(0, 65536)
        except OSError as exc:
            say(errno.errorcode.get(exc.errno or 0, str(exc)))
            return 3
        if not chunk:
            say("eof")
            time.sleep(float(flags.get("work", 0)))
            return 0
        if not count:
            count += len(chunk)
            digest.update(chunk)
            say("")
            time.sleep(float(flags.get("pause", 0)))
        else:
            count += len(chunk)
            digest.update(chunk)


sys.exit(main())
