# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stage whose turn comes after another one on its host, as of a chain that follows another in the same run.

It starts once the other has settled well.  If that has failed, it never starts, and its links break.  Meanwhile no byte
moves on its links, and that is no stall.
"""

import time

from .stage import Stage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .link import Side
    from .records import StageSpec


class Later(Stage):
    """A stage and the one that it waits for."""

    def __init__(self, spec: "StageSpec", sides: "dict[tuple[str, bool], Side]", others: "list[Stage]"):
        super().__init__(spec, sides)
        (self.other,) = [stage for stage in others if stage.name == spec["after"]]
        # and the link itself, if a relay is in between
        links = [stage.relay.link for stage in others if stage.relay]
        ids = {side.id for side in self.fds.values()}
        self.resting = [*self.fds.values(), *(link for link in links if link.id in ids)]
        for side in self.resting:
            side.rests = True

    @property
    def waits(self) -> bool:  # type: ignore[override]  # nobody sets it
        return not self.other.settled

    def fails_with_a_link(self) -> bool:
        return self.other.settled and not self.may_follow() or super().fails_with_a_link()

    def may_follow(self) -> bool:
        """Whether the other one has settled well.

        A source that failed because its reader has left may be followed: if the reader was not allowed to leave, its
        own end breaks the links of the next chain.
        """
        other = self.other
        well = other.accepted() and not other.problem and not other.blame
        return well or bool(other.pid and other.blame and not other.ins)

    def start(self) -> None:
        for side in self.resting:
            side.rests = False
            side.pulse.moved_at = time.monotonic()
        super().start()
