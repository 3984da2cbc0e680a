# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put before the program of an end: hold it when its connections are made and are no links yet.

The other end may already have its link by then, and this one has split off no guard.  HOLD is where the run's
files begin.
"""

import os
import sys
import time


def hold(frame, event, arg):  # type: ignore[no-untyped-def]  # it goes onto a command line
    if event == "call" and frame.f_code.co_name == "tcp_side":
        sys.setprofile(None)
        base = os.environ["HOLD"]
        open(base + ".at", "w").close()
        while not os.path.exists(base + ".go"):
            time.sleep(0.05)


sys.setprofile(hold)
