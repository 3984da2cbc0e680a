# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time limits of an end, all in one place.  Users cannot set them.  Tests shorten them."""


class Patience:
    """Times in seconds."""

    def __init__(self, told: "dict[str, float] | None" = None):
        self.handshake = 5.0  # for a connection to prove itself
        self.dial = 3.0  # for one attempt to connect: the first SYN and its repetition after 1 s
        self.fill = 3.0  # for large packets to arrive, with retransmissions; later they never arrive
        self.stuck = 0.5  # after this, missing large packets are the likely cause of other failures
        self.tls = 30.0  # for the relays of an encrypted link to complete their handshake
        self.reset = 5.0  # for a stage to notice its broken link, before SIGTERM
        self.term = 5.0  # from SIGTERM to SIGKILL
        self.kill = 10.0  # from SIGKILL to giving up on a process
        self.hold = 5.0  # for processes left by a stage to close its link
        self.drain = 8.0  # for the rest of a stream whose reader has stopped; longer than ``hold`` of its writer
        self.tick = 1.0  # between checks of the counters
        self.gone = 5.0  # of the guard, for killed processes to disappear
        self.stop = 0.0  # of the guard, for an end to stop; 0: a little more than the limits of the end
        self.__dict__.update(told or {})
        # the end may have to kill a stage, and then processes left by it
        self.stop = self.stop or self.term + self.kill + self.term + 2.0
