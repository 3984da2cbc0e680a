# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fan-out: copies its standard input to several outputs.  It is sent as a program of its own, and as a stage only.

Everywhere else data goes from the socket of one command to that of the next.  Here it passes through this program, and
so it is the one place where bytes pass through code of this collection.  (splice(2) and tee(2) are no faster.)

Each argument is the descriptor of an output and the name of its reader.  All outputs get each piece of data before the
next one is read, so the slowest holds the others.  An output that breaks is dropped: its descriptor is closed, and the
others go on.  The end (see fan) decides whether enough are left, and no output ends before the end commits it.

At the end it reports to standard output, one line for each descriptor: the bytes read or written, and the error.
"""

import errno
import os
import select
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterable

CHUNK = 1 << 20
INPUT, REPORT, CONTROL = 0, 1, 4  # CONTROL: the end names broken outputs
GONE = select.POLLERR | select.POLLHUP


class Output:
    def __init__(self, word: str):
        number, _equals, self.name = word.partition("=")
        self.fd, self.written, self.error = int(number), 0, ""
        try:
            self.sock = socket.socket(fileno=self.fd)
        except OSError as exc:  # it broke before the start
            self.error = exc.strerror or str(exc)

    def write(self, data: memoryview) -> int:
        """Write what fits; raises OSError."""
        try:
            count = self.sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        self.written += count
        return count

    def drop(self, error: str) -> None:
        self.error = error
        self.sock.close()
        sys.stderr.write("%s: %s after %d bytes\n" % (self.name, error, self.written))

    def problem(self) -> str:
        """Why poll(2) reports that it is broken."""
        return os.strerror(self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or errno.EPIPE)


class EndLost(Exception):
    """The end has died; everything here ends soon."""


class FanOut:
    def __init__(self, outputs: "list[Output]"):
        self.outputs = outputs
        self.source = socket.socket(fileno=INPUT)
        self.total = 0

    def alive(self) -> "list[Output]":
        return [output for output in self.outputs if not output.error]

    def run(self) -> bool:
        """Copy to the end of the input; returns whether any output is left.  Raises OSError if the input breaks."""
        buffer = memoryview(bytearray(CHUNK))
        while self.alive():
            size = self.read(buffer)
            if not size:
                return bool(self.alive())
            self.total += size
            self.write(buffer[:size])
        return False

    def read(self, buffer: memoryview) -> int:
        """Read what is there; 0 at the end of the input, or if no output is left while none comes."""
        while self.alive():
            if INPUT in self.wait(True, ()):
                try:
                    return self.source.recv_into(buffer, 0, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    pass
        return 0

    def write(self, data: memoryview) -> None:
        """Write all of it to each output."""
        left = dict.fromkeys(self.alive(), data)
        while left:
            for output, rest in list(left.items()):
                try:
                    left[output] = rest[output.write(rest) :]
                except OSError as exc:
                    output.drop(exc.strerror or str(exc))
                if output.error or not left[output]:
                    del left[output]
            if left:
                self.wait(False, left)
                left = {output: rest for output, rest in left.items() if not output.error}

    def wait(self, reading: bool, full: "Iterable[Output]") -> "set[int]":
        """Wait for input, or for room in an output; drops broken outputs; returns the descriptors with an event."""
        poller = select.poll()
        poller.register(CONTROL, select.POLLIN)
        if reading:
            poller.register(INPUT, select.POLLIN)
        outputs = {output.fd: output for output in self.alive()}
        for output in outputs.values():
            poller.register(output.fd, select.POLLOUT if output in full else 0)
        found = dict(poller.poll())
        if CONTROL in found:
            for fd in self.told():
                if fd in outputs and not outputs[fd].error:
                    outputs[fd].drop(outputs[fd].problem())
        for fd, event in found.items():
            if fd in outputs and event & GONE and not outputs[fd].error:
                outputs[fd].drop(outputs[fd].problem())
        return set(found)

    def told(self) -> "list[int]":
        said = os.read(CONTROL, CHUNK)
        if not said:
            raise EndLost
        return [int(word) for word in said.split()]

    def report(self) -> None:
        lines = ["%d %d \n" % (INPUT, self.total)]
        lines += ["%d %d %s\n" % (output.fd, output.written, output.error) for output in self.outputs]
        os.write(REPORT, "".join(lines).encode("utf-8", "replace"))


def main(words: "list[str]") -> int:
    fan = FanOut([Output(word) for word in words])
    try:
        enough = fan.run()
    except EndLost:
        return 1
    except OSError as exc:
        sys.stderr.write("the input broke after %d bytes: %s\n" % (fan.total, exc.strerror or exc))
        return 1
    fan.report()
    if not enough:
        sys.stderr.write("no output is left after %d bytes\n" % fan.total)
    return 0 if enough else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
