# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records between the controller and an end: its plan, its samples and its report.

They are for type checkers; this module is never shipped to an end.  Times are seconds, sizes are bytes.

An end reports kinds and data.  Each kind has a class with its fields, and a sentence in _run.sentences.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, NotRequired, TypedDict, Union

    # -- what a relay writes to its end

    class RelayWords(TypedDict, total=False):
        """The agreed TLS parameters, and the reason of a failure."""

        cipher: str
        version: str  # of TLS
        # "gone": the other end gave up before the start
        # "": an error of its own, or a consequence of a neighbour's failure
        kind: Literal["cut on the way", "changed on the way", "no tls", "gone", ""]
        where: str  # as in OnTheWay; missing if there is no kind
        error: str
        back: str  # the message that came against the direction of the data, in hexadecimal

    # -- the plan, which an end reads

    class FanSpec(TypedDict):
        """Of a fan-out, which goes on without outputs that break."""

        required: int  # outputs that must not fail; 0 for a stage that has another purpose than to pass data on
        leaving: "list[int]"  # descriptors of outputs whose readers may stop early, which is no failure

    class Afterwards(TypedDict):
        """To run a program again at the end of a failed run in which it was started (see afterwards)."""

        words: "list[str]"  # of its command line, in place of those in argv
        limit: float  # seconds until it is killed

    class Command(TypedDict):
        """One command, as a front-end describes it."""

        name: str
        argv: "list[str]"
        ok_rc: "list[int]"  # exit statuses that mean success
        early_exit: bool  # it may stop before the end of its input
        environment: "dict[str, str]"  # added to the end's own
        chdir: NotRequired[str]
        creates: NotRequired[str]  # a path or pattern; the run is skipped if it exists
        removes: NotRequired[str]  # a path or pattern; the run is skipped unless it exists
        launcher: NotRequired[
            "list[str | None]"
        ]  # the command that runs ``program``; None stands for the end's own Python
        program: NotRequired[str]  # base64
        keep: NotRequired[int]  # bytes of standard output in the report
        blocks: NotRequired[bool]  # it needs whole blocks and does not poll; by default this depends on argv
        inherit: NotRequired["dict[str, int]"]  # {its descriptor: the end's}
        tells: NotRequired[bool]  # it says on standard error what it waits for, see _tape/common/now.py
        after: NotRequired[str]  # the stage on its host that must have settled well before it starts (see later)
        fan: NotRequired["FanSpec"]
        afterwards: NotRequired["Afterwards"]
        own_session: NotRequired[bool]
        others: NotRequired[bool]  # whether it inherits all inherited descriptors of the end

    class StageSpec(Command):
        """One command of a plan, on its end."""

        end: str
        fds: "dict[str, str]"  # {its descriptor: the link there}
        padding: int  # bytes of NUL that it may leave unread

    class Encryption(TypedDict):
        """One side of an encrypted link; the texts are PEM."""

        certificate: str
        key: str
        peer: str  # the certificate of the other side
        step: NotRequired[int]  # for tests, see relay
        budget: NotRequired[int]
        back: NotRequired[int]  # bytes of a message against the direction of the data, before them

    class LinkSpec(TypedDict):
        """One end's side of a link, or both sides of a link within it."""

        id: str
        index: int  # its position in the plan, the same for both ends
        secret: str  # 32 bytes in hexadecimal; "" if the end must make it
        side: str  # W writes, R reads; "local" for both
        end: str  # the end at the other side
        full_reads: int  # bytes of a whole read; 0 for ordinary reads
        polled: bool  # the reader may poll before it reads
        rate_limit: int  # bytes a second; 0 for none
        congestion_control: str  # its name; "" for that of the kernel
        stall_timeout: int  # seconds without a byte; 0 for no limit
        dead_peer: int  # seconds without a packet; 0 for no limit
        encryption: "Encryption | None"
        branch: bool  # whether it is in a branch of a plan that forks: then no byte needs to move while none waits
        barrier: bool  # whether "ready" and "go" are exchanged on it (see barrier)
        control: bool  # a control connection, which joins no stages (see detach)
        address: NotRequired[str]  # of the connection, with the port
        peer: NotRequired[str]

    class Place(TypedDict):
        """Addresses of an end."""

        addresses: "list[str]"
        ssh_client: bool  # whether to dial also the source address of the dialling end's login

    class Target(Place):
        """Addresses and ports of an end."""

        ports: "list[int]"

    class EndPlan(TypedDict):
        """The plan of one end."""

        run: str  # 16 bytes in hexadecimal
        end: str
        listen: bool
        ports: "list[int]"  # it listens on the first free one
        links: "list[LinkSpec]"
        dial: "dict[str, Target]"  # by the names of the other ends
        stages: "list[StageSpec]"
        connect_timeout: float
        kernel_tls: str  # links to other ends: "must" be encrypted by the kernel, "may" be, or "" are not
        preflight: bool
        heartbeat: float  # seconds between newlines that keep the login alive
        sample: float  # seconds between samples; 0 for none
        patience: "dict[str, float]"
        detach: bool  # whether the run outlives the logins that start its ends (see detach)
        job: NotRequired["dict[str, object]"]  # at home: see _run.records.Job
        answers: NotRequired[bool]  # whether others may ask it how far it is (see status)

    # -- what an end writes

    class Process(TypedDict):
        pid: int  # 0 for one that /proc does not list
        name: str  # of its command; "" if hidden from the end

    # why an end refuses to begin

    class NoDirectory(TypedDict):
        kind: Literal["no directory"]
        path: str

    class NotExecutable(TypedDict):
        kind: Literal["not executable"]
        path: str

    class NotFound(TypedDict):
        kind: Literal["not found"]
        name: str
        path: str  # PATH; "" if it was not searched

    class WrongPlatform(TypedDict):
        kind: Literal["platform"]
        platform: str

    class ForeignProc(TypedDict):
        """/proc belongs to another PID namespace."""

        kind: Literal["foreign proc"]

    class NoFork(TypedDict):
        kind: Literal["no fork"]
        error: str

    class NoKernelTls(TypedDict):
        """Why TLS in the kernel does not work; "not loaded outside" in a container."""

        kind: Literal[
            "no module",
            "modules disabled",
            "module failed",
            "not loaded",
            "not loaded outside",
            "no cipher",
            "old kernel",
            "untried",
            "broken",
        ]
        release: str  # of the kernel
        error: str

    class NoEncryption(TypedDict):
        """Links must be encrypted by the kernel, but it cannot."""

        kind: Literal["no kernel tls"]
        problem: NoKernelTls

    class NoCommonCipher(TypedDict):
        kind: Literal["no common cipher"]

    class OldPython(TypedDict):
        """Reported by the loader, like the next one."""

        kind: Literal["old python"]
        version: str

    class IncompletePython(TypedDict):
        kind: Literal["incomplete python"]
        python: str
        error: str

    class NoTls(TypedDict):
        """Links must be encrypted, but this Python has no usable TLS."""

        kind: Literal["no tls"]
        error: str

    class NoLoopback(TypedDict):
        """Whole blocks on an encrypted link need a connection within the host, which failed."""

        kind: Literal["no loopback"]
        error: str

    class NoCongestionControl(TypedDict):
        """The kernel does not have it, or not for this user."""

        kind: Literal["no congestion control"]
        name: str
        errno: int
        error: str
        others: str  # those that it has for this user; "" if it does not tell

    class NoJob(TypedDict):
        """The file of a job that is to outlive its controller cannot be made."""

        kind: Literal["no job"]
        path: str
        error: str

    class NotDetached(TypedDict):
        """Another end of such a job has not detached."""

        kind: Literal["not detached"]
        end: str

    class ControlNotEncrypted(TypedDict):
        """The control connection of such a job cannot be encrypted."""

        kind: Literal["control not encrypted"]
        end: str  # the other one
        problem: "OnTheWay"

    Unusable = Union[NoDirectory, NotExecutable, NotFound]
    Refusal = Union[
        Unusable,
        WrongPlatform,
        ForeignProc,
        NoFork,
        NoEncryption,
        NoCommonCipher,
        NoTls,
        NoLoopback,
        NoCongestionControl,
        NoJob,
        NotDetached,
        ControlNotEncrypted,
        OldPython,
        IncompletePython,
    ]

    class Skipped(TypedDict):
        """The run is skipped because of ``creates`` or ``removes`` of a stage."""

        stage: str
        path: str
        exists: bool

    # how an end was stopped

    class Signalled(TypedDict):
        kind: Literal["signal"]
        signal: str  # its name, because numbers differ between architectures

    class ControllerLost(TypedDict):
        kind: Literal["controller"]

    class HomeLost(TypedDict):
        """The control connection was lost, or home has asked to stop."""

        kind: Literal["home"]

    class GuardKilled(TypedDict):
        kind: Literal["guard"]

    class Exited(TypedDict):
        kind: Literal["exit"]
        status: int

    class Unknown(TypedDict):
        kind: Literal["unknown"]

    class OwnError(TypedDict):
        """An internal error of this program."""

        kind: Literal["error"]
        error: str

    Stop = Union[Signalled, ControllerLost, HomeLost, GuardKilled]
    Death = Union[Signalled, Exited, Unknown, OwnError]

    # problems of a stage

    class NotStarted(TypedDict):
        kind: Literal["not started"]
        step: str  # fork, chdir or run; "" before them
        name: str  # of the directory or the program
        errno: int  # 0 if there is none
        error: str

    class Failed(TypedDict):
        """Its exit status is not in ok_rc, or a signal killed it."""

        kind: Literal["failed"]
        signal: str  # its name; "" if there was none

    class StoppedReading(TypedDict):
        kind: Literal["stopped reading"]
        consumed: "int | None"  # None if the kernel does not count
        unread: int

    class Held(TypedDict):
        """A process that it left running has, or may have, its link open."""

        kind: Literal["held"]
        processes: "list[Process]"  # [] if they come and go too fast to be examined
        sure: bool  # whether they certainly have it open

    class NotKilled(TypedDict):
        kind: Literal["not killed"]
        pid: int

    StageProblem = Union[NotStarted, Failed, StoppedReading, Held, NotKilled]

    # why an end broke a link although both stages were running

    class Silent(TypedDict):
        """No byte has moved, or the other host has not responded."""

        kind: Literal["stalled", "dead peer"]
        seconds: int

    class Cancelled(TypedDict):
        """The end was told to stop."""

        kind: Literal["cancelled"]

    class OnTheWay(TypedDict):
        """The encrypted stream was changed or cut between the hosts, or they have no common TLS."""

        kind: Literal["cut on the way", "changed on the way", "no tls"]
        where: str  # start, handshake, time, certificate, stream, end or record
        error: str  # the text of OpenSSL; for time, the seconds

    class RelayFailed(TypedDict):
        kind: Literal["relay"]
        name: str  # seal or open
        signal: str  # that killed it; "" if none did
        error: str

    class KeyUsedUp(TypedDict):
        kind: Literal["key used up"]
        cipher: str

    class NotWritten(TypedDict):
        """A fan-out has not written everything to it."""

        kind: Literal["not written"]
        bytes: int  # that it has written
        error: str  # "" if it has not said

    SideProblem = Union[Silent, Cancelled, OnTheWay, KeyUsedUp, RelayFailed, NotWritten]

    # warnings, without a failure

    class ShortReads(TypedDict):
        kind: Literal["full reads"]
        granted: int
        asked: int

    class SmallPackets(TypedDict):
        """Large packets get lost on the path of a connection."""

        kind: Literal["small packets"]
        address: str
        peer: str
        segment: int

    class NotUndone(TypedDict):
        """A stage of a failed run could not undo what it had begun."""

        kind: Literal["afterwards"]
        stage: str
        error: str

    EndWarning = Union[ShortReads, SmallPackets, NotUndone]

    class StageReport(TypedDict):
        """The last state of a stage.  Times count from the moment at which all links were made."""

        name: str
        rc: "int | None"  # -n for a death by signal n
        signal: "int | None"
        elapsed: "float | None"
        started_at: "float | None"
        ended_at: "float | None"
        cpu: "float | None"
        problem: "StageProblem | None"
        blame: "list[str]"  # links that were broken before it failed
        stderr: "str | None"  # the last part; None if it went elsewhere
        stdout: str  # the first part
        stdout_truncated: bool

    class Waited(TypedDict):
        """Seconds that a writer was waiting or busy."""

        receiver: "float | None"
        buffer: "float | None"
        busy: "float | None"

    class Encrypted(TypedDict):
        """How a link was encrypted."""

        how: str  # kernel or relay
        cipher: str
        records: "int | None"  # sealed, or opened and found authentic

    class SideReport(TypedDict):
        """One side of a link; None for figures that this kernel, or a link within a host, lacks."""

        id: str
        side: str  # W or R
        state: str  # of link
        problem: "SideProblem | None"
        bytes: "int | None"  # acknowledged, or received
        unread: "int | None"
        padding: int
        ended: bool  # the end of file has arrived
        encryption: "Encrypted | None"
        elapsed: float
        ended_at: "float | None"
        rtt: "float | None"
        retransmits: "int | None"
        waited: Waited
        address: str
        peer: str

    # a link at one time: its id, seconds since its start, bytes, round-trip time, retransmits, and seconds that it has
    # waited for the receiver
    LinkPoint = list[Union[str, float, int, None]]

    # the outcome of an attempt to dial, or of a handshake
    Outcome = Literal[
        "connected",
        "ok",  # of a preflight
        "not tried",
        "timed out",
        "refused",
        "reset",
        "no route",
        "no family",
        "forbidden",
        "unknown name",
        "no zone",
        "no interface",
        "error",  # detail: the kernel's text
        "silent",  # detail: seconds
        "large packets",
        "too many",
        "not taken",
        "cut off",
        "wordless",
        "out of turn",
        "no hello",
        "other run",
        "other link",
        "same side",
        "made",
        "wrong proof",  # detail: which
        "wrong filling",
    ]

    class Dialled(TypedDict):
        """The last attempt at one address and port."""

        end: str
        address: str
        port: int
        met: bool  # something answered there
        outcome: Outcome
        detail: str

    class Taken(TypedDict):
        """A port on which an end could not listen."""

        port: int
        error: str  # the kernel's; "" if no family of addresses works

    class ConnectReport(TypedDict):
        """How an end tried to reach the others."""

        listening: "list[int]"
        taken: "list[Taken]"
        dialled: "list[Dialled]"
        dials: bool  # whether it had addresses to dial
        strangers: int  # callers that did not prove themselves
        large: int  # connections on which large packets got lost

    class Capabilities(TypedDict):
        """What a host has for encrypted links."""

        ciphers: "list[str]"  # of its kernel's TLS
        no_kernel_tls: "NoKernelTls | None"
        ssl: str  # the version of OpenSSL of its Python; "" if there is none
        no_relay: str  # why no relay can run there

    class Report(TypedDict, total=False):
        """The report of an end: why there are no links, or their outcomes."""

        end: str
        python: str
        refused: Refusal
        stage: str  # the stage whose command cannot be run
        skipped: Skipped
        not_connected: "list[str]"  # the links that were not made
        detached: bool  # the run goes on without this login
        results_file: str  # at home, where the result will be
        preflight: bool
        connect: ConnectReport
        encryption: Capabilities  # of a preflight
        stages: "list[StageReport]"
        links: "list[SideReport]"
        points: "list[list[LinkPoint]]"  # of the links that are written to here; the last one is their end
        cancelled: "Stop | None"
        died: Death  # its guard reports in its place
        warnings: "list[EndWarning]"
        killed: "list[Process]"
        left: "list[Process]"  # processes that live on

    class Sample(TypedDict):
        """Figures during the run."""

        sample: "list[SideReport]"
        at: float  # seconds since all links were made
        told: "dict[str, str]"  # {stage: what it waits for or does now}, of those that tell
