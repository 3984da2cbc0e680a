# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records between the controller and an end: its plan, its samples and its report.

For type checkers: no end loads this module, and none is sent it.  Times are seconds, sizes are bytes.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict

    # -- the plan, which an end reads

    class Command(TypedDict):
        """One command, as a front-end describes it."""

        name: str
        argv: "list[str]"
        ok_rc: "list[int]"  # exit statuses that are no failure
        early_exit: bool  # it may stop before the end of its input
        environment: "dict[str, str]"  # on top of the end's own
        chdir: NotRequired[str]
        creates: NotRequired[str]  # a path or pattern: if it exists, nothing is run
        removes: NotRequired[str]  # a path or pattern: unless it exists, nothing is run
        launcher: NotRequired["list[str | None]"]  # runs ``program``; None is the end's own Python
        program: NotRequired[str]  # base64
        keep: NotRequired[int]  # bytes of standard output in the report
        blocks: NotRequired[bool]  # it wants whole blocks, and does not poll; by default that is told from argv
        inherit: NotRequired["dict[str, int]"]  # {its descriptor: the end's}
        own_session: NotRequired[bool]
        others: NotRequired[bool]  # it inherits all descriptors that the end has inherited

    class StageSpec(Command):
        """One command of a plan, on its end."""

        end: str
        fds: "dict[str, str]"  # {its descriptor: the link there}
        padding: int  # bytes of NUL that it may leave unread

    class LinkSpec(TypedDict):
        """One end's side of a link, or both sides of a link within it."""

        id: str
        index: int  # in the plan: the same for both ends
        secret: str  # 32 bytes in hexadecimal; "" where the end is to make it
        side: str  # W writes, R reads; "local" for both
        end: str  # at the other side
        full_reads: int  # bytes of a whole read; 0 for reads as they come
        polled: bool  # the reader may poll before it reads
        rate_limit: int  # bytes a second; 0 for none
        stall_timeout: int  # seconds without a byte; 0 for ever
        dead_peer: int  # seconds without a packet; 0 for ever
        address: NotRequired[str]  # of the connection that was made, with the port
        peer: NotRequired[str]

    class Place(TypedDict):
        """Where an end can be dialled."""

        addresses: "list[str]"
        ssh_client: bool  # also where the dialling end's own login came from

    class Target(Place):
        """Where and at which ports."""

        ports: "list[int]"

    class EndPlan(TypedDict):
        """The plan of one end."""

        run: str  # 16 bytes in hexadecimal
        end: str
        listen: bool
        ports: "list[int]"  # it listens on the first that is free
        links: "list[LinkSpec]"
        dial: "dict[str, Target]"  # by the names of the other ends
        stages: "list[StageSpec]"
        connect_timeout: float
        preflight: bool
        heartbeat: float  # seconds between newlines that keep the login alive
        sample: float  # seconds between samples; 0 for none
        patience: "dict[str, float]"

    # -- what an end writes

    class Problem(TypedDict):
        kind: str
        text: str

    class StageReport(TypedDict):
        """The last state of a stage.  Times count from the moment when all links were made."""

        name: str
        state: NotRequired[str]
        rc: "int | None"  # minus the number of the signal that ended it
        signal: "int | None"
        elapsed: "float | None"
        started_at: "float | None"
        ended_at: "float | None"
        cpu: "float | None"
        problem: "Problem | None"
        blame: "list[str]"  # links that were broken before it had a problem
        stderr: "str | None"  # the last part; None if it went elsewhere
        stdout: str  # the first part
        stdout_truncated: bool

    class Waited(TypedDict):
        """Seconds that a writer has waited, or was at work."""

        receiver: "float | None"
        buffer: "float | None"
        busy: "float | None"

    class SideReport(TypedDict):
        """One side of a link; None for figures that this kernel, or a link within a host, does not have."""

        id: str
        side: str  # W or R
        state: str  # of link
        problem: str
        local: NotRequired[bool]
        bytes: "int | None"  # acknowledged, or received
        unread: "int | None"
        padding: int
        elapsed: float
        ended_at: "float | None"
        rtt: "float | None"
        retransmits: "int | None"
        rate: NotRequired["int | None"]  # bytes a second
        waited: Waited
        address: str
        peer: str

    class Dialled(TypedDict):
        """The last attempt at one address and port."""

        end: str
        address: str
        port: int
        outcome: str

    class ConnectReport(TypedDict):
        """How an end has looked for the others."""

        listening: "list[int]"
        taken: "list[str]"
        dialled: "list[Dialled]"
        dials: bool  # it was told where to dial
        strangers: int  # callers that did not prove themselves
        large: int  # connections on which large packets got lost

    class Report(TypedDict, total=False):
        """The last word of an end; why there are no links, or what they have come to."""

        end: str
        python: str
        refused: str
        stage: str  # that is refused
        skipped: str
        not_connected: str
        preflight: bool
        connect: ConnectReport
        stages: "list[StageReport]"
        links: "list[SideReport]"
        cancelled: str
        died: str  # its guard reports in its place
        warnings: "list[str]"
        killed: "list[str]"
        left: "list[str]"  # processes that live on

    class Sample(TypedDict):
        """Figures while it runs."""

        sample: "list[SideReport]"
        at: float  # seconds since all links were made
