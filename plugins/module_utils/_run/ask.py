# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of its own that asks an end on the same host how far it is (see _end.status), for progress lines."""

import socket
import sys

from .._end.status import is_ours, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Asked

PATIENCE = 5.0  # seconds for an end that is about to end


def main(told: "Asked") -> int:
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(PATIENCE)
        try:
            end.connect(name_of(told["run"], told["end"]))
            while is_ours(end):
                chunk = end.recv(65536)
                answer += chunk
                if not chunk:
                    break
        except OSError as exc:
            sys.stderr.write("%s\n" % (exc.strerror or exc))
    sys.stdout.write("\n%s\n" % answer.decode("ascii", "replace"))
    return 0
