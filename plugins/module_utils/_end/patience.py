# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long an end waits for what: the one place for these times, and what a plan may say of them.

No user can set them.  Tests, in which an end must lose its patience, make it lose it sooner.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    pass


class Patience:
    """Times in seconds."""

    def __init__(self, told: "dict[str, float] | None" = None):
        self.handshake = 5.0  # for a connection to prove itself
        self.dial = 3.0  # for one attempt to connect: the first SYN and its repetition after 1 s
        self.fill = 3.0  # for large packets to arrive, their repetitions counted; if they have not, they never do
        self.stuck = 0.5  # after that, large packets that have not arrived are the likely cause of what else goes wrong
        self.tls = 30.0  # for the relays of an encrypted link to complete their handshake
        self.reset = 5.0  # for a stage whose link is broken to notice it, before SIGTERM
        self.term = 5.0  # from SIGTERM to SIGKILL
        self.kill = 10.0  # from SIGKILL to giving up on a process
        self.hold = 5.0  # for what a stage has left running to let go of its link
        self.drain = 8.0  # for the rest of a stream whose reader has stopped; more than its writer may be held
        self.tick = 1.0  # between looks at the counters
        self.gone = 5.0  # the guard's, for processes that it has killed to be gone
        self.stop = 0.0  # the guard's, for an end that is to stop; 0: a little more than the end may need
        self.__dict__.update(told or {})
        # it may have to deal with a stage that ignores it, and with what that has left running
        self.stop = self.stop or self.term + self.kill + self.term + 2.0


def checked(told: "dict[str, float]") -> "dict[str, float]":
    """What an end may be told of them; raises ValueError for all else."""
    names = sorted(vars(Patience()))
    for name, seconds in told.items():
        if name not in names:
            raise ValueError("patience: there is no %r: there are %s" % (name, ", ".join(names)))
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
            raise ValueError("patience: %s must be a number of seconds, not %r" % (name, seconds))
    return dict(told)
