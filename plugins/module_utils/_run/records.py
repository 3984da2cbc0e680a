# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of the controller's side of a run: parts of a plan, outcomes, causes and results.

They are for type checkers only, like the records of an end.  Times are seconds, sizes are bytes.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, Mapping, NotRequired, TypedDict, Union

    from .._end.records import Encrypted, Place, Report, StageSpec, Waited

    # -- a plan

    class Options(TypedDict, total=False):
        """Settings for all links and ends of a plan; a missing one has its default."""

        ports: "list[int]"  # [] for any
        connect_timeout: float
        stall_timeout: int  # 0 for none
        dead_peer: int  # 0 for none
        rate_limit: int  # bytes a second; 0 for none
        congestion_control: str  # its name; "" for that of the kernel
        full_reads: "bool | None"  # None: for commands that need them
        kernel_tls: str  # see _end.records.EndPlan
        preflight: bool
        sessions: "dict[str, int]"  # step and budget of relays, for tests: see _end.relay
        patience: "dict[str, float]"  # see _end.patience

    class EndSpec(TypedDict):
        """One end and its stages."""

        listen: bool
        ports: "list[int]"  # it listens on the first free one
        stages: "list[StageSpec]"
        sample: float  # seconds between samples; 0 for none
        connect_timeout: float

    class Certificate(TypedDict):
        """Of one run; the texts are PEM."""

        certificate: str
        key: str

    class Joint(TypedDict):
        """A link between two stages of the plan."""

        id: str
        source: str  # the stage that writes
        destination: str  # the stage that reads
        index: int
        secret: str  # 32 bytes in hexadecimal
        writer: str  # the end of the source
        reader: str  # the end of the destination
        certificates: NotRequired["dict[str, Certificate]"]  # by side, W and R, if it is to be encrypted

    class Branch(TypedDict):
        """One of several chains that get the same data."""

        name: str  # of its last stage
        end: str  # of its last stage
        stages: "list[str]"

    class Account(TypedDict):
        """A plan without its secrets."""

        run: str
        options: Options
        ends: "dict[str, EndSpec]"
        links: "list[Joint]"
        dial: "list[tuple[tuple[str, str], Place]]"
        expected: "int | None"  # bytes on the first link between two ends
        branches: "list[Branch]"
        branches_required: int

    class Job(TypedDict):
        """A run that outlives its controller, as the end at home is told."""

        directory: str  # of its file; ~ and ~USER stand for home directories
        hosts: "dict[str, str]"  # by end
        peer: str  # as in the result; "" for none there
        advice: "Advice | None"
        writes: "dict[str, str]"  # the files that stages write, {stage: path}
        fact: str  # the name of the fact; "" for none
        no_log: bool
        limit: float  # seconds, after which it is stopped
        transfer: NotRequired["TransferJob"]
        chain: NotRequired["ChainJob"]
        tape: NotRequired["AnyTapeJob"]
        plan: NotRequired[Account]

    class JobProgress(TypedDict):
        """How far a job is; numbers, and no words of its commands."""

        bytes: int
        elapsed: "float | None"
        rate: int  # bytes a second
        expected: "int | None"  # the size of the whole
        percent: "int | None"
        left: "float | None"  # seconds
        slow: str

    class Asked(TypedDict):
        """The end that a program asks how far it is."""

        run: str
        end: str

    class TransferJob(TypedDict):
        """What home needs for the result of a transfer."""

        command: str  # of the sink: receive, receive-tree
        path: str  # the destination
        current: "Mapping[str, object] | None"  # the old file
        diff: bool  # whether the result has one
        result: "Mapping[str, object]"  # that of a success, as far as it is known before

    class CopyTold(TypedDict):
        """One of many hosts that get a file."""

        name: str
        do: str  # what it needs: nothing, settle, move; "" if it cannot have the file
        path: str  # the destination
        current: "Mapping[str, object] | None"  # the old file
        after: "Mapping[str, object] | None"  # the file as it is now
        changed: bool
        backup: str
        failure: "list[Union[str, bool]] | None"  # the fields of a Failure

    class ChainJob(TypedDict):
        """What home needs for the result of a transfer to many hosts."""

        hosts: "dict[str, CopyTold]"  # by end, in the order of the task
        source: "Mapping[str, object]"  # fields of the result
        diff: bool  # whether the result has them

    class TapeJob(TypedDict):
        """What home needs for the result of an archive on tape."""

        does: Literal["archive"]
        tape_end: str
        sink: str  # the stage that writes it there
        link: int  # the number of the link between the two hosts
        limit_name: str  # the option that limits its rate
        result: "Mapping[str, object]"  # as far as it is known before

    class RestoreAsked(TypedDict):
        """What the task has asked for, as far as messages say it."""

        host: str  # whose files are restored
        as_of: str
        paths: "list[str]"
        to: str
        target: str  # the host to which they are restored

    class RestoreJob(TypedDict):
        """What home needs for the result of a restore from tape."""

        does: Literal["restore"]
        stages: "list[str]"  # those that restore the archives, in order
        links: "list[int]"  # of each archive, the number of the link between the two hosts
        limit_name: str  # the option that limits their rate
        asked: "RestoreAsked | None"  # None if a command of the user reads the archive
        result: "Mapping[str, object]"  # as far as it is known before

    class VerifyJob(TypedDict):
        """What home needs for the result of verifying archives on tape."""

        does: Literal["verify"]
        tape_end: str
        stage: str
        copies: bool  # whether other hosts have copies of the catalog

    AnyTapeJob = Union[TapeJob, RestoreJob, VerifyJob]

    class JobTask(TypedDict):
        """What a task does with a job: leaves a result, asks for it, removes it, asks how far it is, or stops it."""

        directory: str
        run: str
        result: NotRequired["Mapping[str, object]"]
        look: NotRequired[bool]
        take: NotRequired[bool]
        forget: NotRequired[bool]

    class JobAnswer(TypedDict, total=False):
        path: str  # of the file
        error: str  # why it cannot be written
        exists: bool  # whether there is a file
        found: int  # processes of the job
        left: int  # those that could not be stopped
        finished: bool  # it has a result, or is gone
        progress: object  # as in the file
        state: object  # all that is in the file

    class Labels(TypedDict):
        """The plan of the program that kills leftover processes."""

        labels: "list[str]"  # in the command lines of those processes

    # -- outcomes

    class Outcome(TypedDict):
        """The outcome of launching one end."""

        report: "Report | None"
        error: str  # why there is none
        kind: str  # of that error
        cancelled: bool  # by the controller, because another end failed
        lost: NotRequired[bool]  # it may have run, but there is no report

    class Cause(TypedDict):
        """The first failure."""

        kind: str
        host: str
        msg: str
        stage: NotRequired[str]
        link: NotRequired[str]
        rc: NotRequired["int | None"]

    class Flow(TypedDict):
        """Figures of a link over a period of time."""

        waited: Waited
        elapsed: float
        moved: int  # bytes
        limit: NotRequired[int]  # bytes a second; 0 for none
        limit_name: NotRequired[str]  # the option that sets it
        writer: str
        reader: str

    class Advice(TypedDict):
        """What a front-end has messages suggest, with the names of its own options."""

        failed: NotRequired[str]  # with places for the name of a stage and the exit statuses to accept
        early_exit: NotRequired[str]
        timeout: str  # the option that sets the time to connect
        stalled: NotRequired[str]  # the option that sets that time
        not_connected: str

    # -- results

    class CopyResult(TypedDict):
        """One of many hosts that get a file."""

        ok: bool
        changed: bool
        cause: "Cause | None"
        backup_file: "str | None"

    class StageResult(TypedDict):
        name: str
        host: str
        argv: "list[str]"
        rc: "int | None"
        signal: "int | None"
        elapsed: "float | None"
        cpu: "float | None"
        stderr: str
        stdout: NotRequired[str]  # of a last stage
        stdout_truncated: NotRequired[bool]

    # of a link: seconds since its start, bytes, round-trip time, retransmits, seconds of waiting for the receiver
    Point = list[Union[float, int, None]]

    class LinkResult(TypedDict):
        source: str
        destination: str
        source_host: str
        destination_host: str
        source_address: str
        destination_address: str
        bytes: "int | None"
        unread: "int | None"
        padding: "int | None"
        elapsed: "float | None"
        rate: "int | None"  # bytes a second
        rtt: "float | None"
        retransmits: "int | None"
        waited: Waited
        slow: str  # a few words
        encryption: "Encrypted | None"
        samples: "list[Point]"

    # an address and port dialled by a preflight; ``from`` is a keyword
    Tried = TypedDict("Tried", {"from": str, "to": str, "address": str, "port": int, "ok": bool, "outcome": str})

    class NoKernel(TypedDict):
        """Why kernel TLS does not work on a host: a kind of _end.records.NoKernelTls, and a sentence."""

        kind: str
        msg: str

    class Refused(TypedDict):
        """The host that would refuse to run, and why, in words."""

        host: str
        msg: str

    class HostForecast(TypedDict):
        """What a host has for encrypted links."""

        host: str
        python: str
        ssl: "str | None"  # the version of OpenSSL
        kernel_tls: bool
        ciphers: "list[str]"
        problem: "NoKernel | None"

    class Forecast(TypedDict):
        """What links would be encrypted with, as a preflight finds."""

        how: "str | None"  # kernel or relay
        cipher: "str | None"  # of the kernels
        refused: "Refused | None"
        hosts: "list[HostForecast]"

    class BranchResult(TypedDict):
        name: str
        host: str
        ok: "bool | None"  # None if nothing was to run
        cause: "Cause | None"

    class Summary(TypedDict):
        """The fact."""

        run: "str | None"
        time: str  # UTC, ISO 8601
        ok: bool
        bytes: "int | None"
        elapsed: "float | None"
        peer: NotRequired[str]
        rc: "dict[str, int | None]"  # by the names of the stages

    class Result(TypedDict):
        """The result of a task."""

        changed: bool
        stages: "list[StageResult]"
        links: "list[LinkResult]"
        bytes: "int | None"  # of the last link that counts them; of several, the most
        elapsed: "float | None"
        cause: "Cause | None"
        run: "str | None"
        strangers: int
        left_running: "list[str]"
        branches: NotRequired["list[BranchResult]"]  # of a plan that forks
        msg: NotRequired[str]
        peer: NotRequired[str]
        failed: NotRequired[bool]
        skipped: NotRequired[bool]
        preflight: NotRequired["list[Tried]"]
        encryption: NotRequired[Forecast]
        ansible_facts: NotRequired["dict[str, Summary]"]
        _ansible_no_log: NotRequired[bool]
        censored: NotRequired[str]  # with no_log, also in the registered result, which lacks the former
