# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data that tape actions pass on, for type checkers only; the answers of the programs are in _tape.answers.

Sizes are bytes, durations are seconds, rates are bytes a second; a time is a text, UTC (2025-11-26T23:20:35Z).
A run is the name of a backup, and a file is the number of a tape file, from 1.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NotRequired, TypedDict

    from ..module_utils._end.records import Encrypted
    from ..module_utils._tape.answers import ChainArchive, DriveOfPlan

    TaskResult = dict[str, Any]  # the result for Ansible, documented in RETURN of each module

    class HostAsked(TypedDict):
        """A host in the options of tape_plan."""

        host: str
        tape_host: str
        tape_set: str | None
        tape_level: int
        tape_paths: list[str] | None
        tape_sources: list[Any] | None

    class HostOfPlan(TypedDict):
        """The same for tape_backup; a host that is left out has only the first four."""

        out: bool  # it is left out: the tape host itself, without tape_paths
        skip: bool
        level: int | None
        bytes: int | None
        base: NotRequired[str | None]
        base_sha256: NotRequired[str | None]
        keep: NotRequired[list[str]]
        elapsed: NotRequired[float | None]
        ahead: NotRequired[int]
        room: NotRequired[int | None]
        problem: NotRequired[str]
        machine_id: NotRequired[str | None]
        sources: NotRequired[bool]  # whether it has any
        written: NotRequired[bool]

    class Plan(TypedDict):
        """The result of tape_plan, and the option of tape_backup and tape_finish."""

        run: str
        resumed: NotRequired[bool]  # an earlier job has begun it
        hosts: dict[str, HostOfPlan]
        order: list[str]
        drives: list[DriveOfPlan]
        tapes: int | None
        fits: str
        notes: list[str]
        writers: int  # hosts that can write at once
        tape_host: str
        tape_set: str
        began: float  # seconds since 1970

    class Written(TypedDict):
        """An archive on tape, which is good once it is committed."""

        slow: str
        samples: list[list[Any]]  # points of _run.records
        device: str | None  # the drive; None if that is not known
        encryption: Encrypted | None  # on its way
        waited: float | None  # seconds for a drive; None if that is not known

    class Last(TypedDict):
        """The newest good archive of a host and set."""

        time: str
        age: int  # seconds
        late: bool  # past tape_max_age

    class Row(TypedDict):
        """One host in the table of a backup, and in its statistic."""

        ok: bool
        state: str
        msg: str
        note: str
        level: int | None
        bytes: int | None
        elapsed: float | None
        rate: float | None
        tape: str | None
        file: int | None
        encryption: Encrypted | None  # on its way; None if it was not encrypted, or if that is not known
        kind: str | None  # of a failure
        left_out: dict[str, int] | None  # files and directories by rule; None if that is not known
        last_good: Last | None  # the oldest of those of its sources; None if there is none, or if that is not known
        sources: NotRequired[list[TaskResult]]

    class Totals(TypedDict):
        run: str
        good: int
        failed: int
        bytes: int
        tapes: list[str]
        elapsed: int
        encryption: dict[str, int] | None  # the number of archives by way; None if none was to be encrypted

    class Findings(TypedDict):
        """What the comparison of a drill found."""

        compared: int  # files
        differences: list[str]  # the first
        difference_count: int

    class ReadArchive(ChainArchive):
        """One of them in the result of a restore."""

        encryption: Encrypted | None  # on its way; None if it was not encrypted, or not read yet
        compared: bool  # whether its checksum was compared; False with tape_early_exit, and if it was not read
