# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The answers of the tape programs to the modules, for type checkers only: never shipped.

Sizes are bytes, durations are seconds, rates are bytes a second; a time is a text, UTC (2025-11-26T23:20:35Z).
A run is the name of a backup, and a file is the number of a tape file, from 1.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NotRequired, TypedDict

    # -- archives, tapes and drives

    class Verified(TypedDict):
        """The last verification of an archive."""

        time: str
        ok: bool

    class Archive(TypedDict):
        """One archive of the catalog."""

        host: str
        set: str
        run: str
        time: str
        level: int
        base: "str | None"  # the run that an increment is based on
        tape: str
        file: int
        bytes: "int | None"  # None until it is written
        state: str
        verified: "Verified | None"
        keep_until: str

    class Retired(TypedDict):
        """Since when a tape counts no more, and why."""

        time: str
        reason: str

    class Marked(TypedDict):
        """The answer of mark: what a retired tape takes with it."""

        label: str
        changed: bool
        archives: int  # that can no longer be restored
        increments: int  # of these, those on other tapes
        hosts: "list[str]"  # of which nothing else is left
        warnings: "list[str]"

    class Tape(TypedDict):
        """One tape of the catalog."""

        label: str
        barcode: str
        archives: int  # the number, as the next two
        good: int
        failed: int
        bytes: int
        full: bool
        expired: bool
        first: "str | None"  # time of its first archive
        last: "str | None"
        keep_until: "str | None"
        run: "str | None"  # the run that has reserved it
        last_of: NotRequired["list[str]"]  # hosts whose last good archive it has
        retired: "Retired | None"
        location: str  # "" if unknown
        percent: NotRequired["int | None"]  # how full it is; None if its capacity is not known
        expires: NotRequired["str | None"]  # with the increments that depend on it; None if it has no archive

    class Drive(TypedDict):
        """A drive and its tape."""

        device: str
        label: "str | None"  # of the tape, None if it has none or cannot be read
        message: str  # why there is no label, or why the tape is not in the catalog; "" if it is

    class DriveOfPlan(Drive):
        state: str  # yours, append, empty, expired, unfit, leased or unknown
        free: "int | None"
        file: "int | None"  # the next one

    class Labelled(TypedDict):
        label: str
        id: str
        barcode: str
        block_size: int
        labelled: str
        warnings: NotRequired["list[str]"]

    class HostKnown(Archive):
        """The newest good archive of a host and set, and when it was last tested."""

        age: int  # seconds
        late: bool  # past tape_max_age
        last_verified: "Verified | None"  # the newest verification of its archives
        last_restored: "Verified | None"
        last_drilled: "Verified | None"

    class HostWithout(TypedDict):
        """A host and set whose archives are all not good."""

        host: str
        set: str

    class Run(TypedDict):
        """A run in the catalog."""

        run: str
        set: str
        time: str
        good: int  # the number of hosts, as the next one
        failed: int
        bytes: int
        tapes: "list[str]"
        keep_until: "str | None"

    class Wanted(TypedDict):
        """A tape that a backup would use."""

        label: str
        state: str  # append, empty, expired or leased
        location: str

    class Info(TypedDict, total=False):
        """The requested parts of tape_info."""

        drives: "list[Drive]"
        tapes: "list[Tape]"
        next: "str | None"  # the tape for the next backup
        wanted: "list[Wanted]"  # the tapes for backups, in order of use
        runs: "list[Run]"  # newest first
        archives: "list[Archive]"
        hosts: "list[HostKnown]"
        without: "list[HostWithout]"
        warnings: "list[str]"

    class Rebuilt(TypedDict):
        """A tape whose entries were added to the catalog."""

        label: str
        archives: int
        added: int

    class Inventory(TypedDict):
        drives: "list[Drive]"
        tapes: "list[Tape]"
        rebuilt: "list[Rebuilt]"
        warnings: "list[str]"

    class FoundFile(TypedDict):
        """An archive that contains a file."""

        path: str
        host: str
        set: str
        run: str
        time: str
        level: int
        tape: str
        file: int

    class Found(TypedDict):
        found: "list[FoundFile]"
        more: bool  # whether there are more than listed
        unread: "list[str]"  # archives whose list of files cannot be read
        warnings: "list[str]"

    # -- a backup

    class HostPlanned(TypedDict):
        """The plan of the tape host for one host."""

        skip: bool  # it has a good archive of this run
        written: bool  # an earlier job has written its archive, and has not seen that
        level: int
        bytes: "int | None"  # expected
        base: "str | None"
        base_sha256: "str | None"  # before filters
        keep: "list[str]"  # runs whose state the host must keep
        elapsed: "float | None"  # last time
        ahead: int  # seconds by which its clock was ahead when the base was made
        room: "int | None"  # of a tape, for one archive
        problem: str
        machine_id: "str | None"

    class Based(TypedDict):
        """The plan for one source of a host."""

        planned: HostPlanned
        warnings: "list[str]"

    class Planned(TypedDict):
        """The tape host's answer."""

        run: str
        hosts: "dict[str, HostPlanned]"
        order: "list[str]"  # the longest first
        drives: "list[DriveOfPlan]"
        tapes: "int | None"  # the number of tapes needed
        fits: str
        warnings: "list[str]"

    class Noted(TypedDict):
        """Remarks of tar and the archiver on an archive."""

        incomplete: NotRequired[bool]
        level_problem: str  # why it does not have the planned level
        base_problem: NotRequired[str]  # why it could not be restored
        warnings: "list[str]"  # the first of tar
        warning_count: int
        other_file_systems: "list[str]"  # the first that were not archived
        mounted: NotRequired[int]  # how many there are

    class Estimate(Noted):
        bytes: int
        level: int

    class Sunk(TypedDict):
        """An archive on a tape, which is good once it is committed."""

        waited: float  # seconds for a drive
        device: str  # the drive

    class Stored(TypedDict):
        """A report on the tape host."""

        path: str
        removed: "list[str]"  # the names of older ones

    class Committed(Noted):
        """A good archive."""

        level: int
        base: "str | None"
        time: str
        bytes: int
        sha256: str
        elapsed: float
        rate: "float | None"
        tape: str
        file: int
        files: int
        left_out: "dict[str, int]"  # files and directories by rule

    class OnTape(TypedDict):
        """An archive and its place."""

        host: str
        set: str
        level: int
        tape: str
        file: int
        bytes: "int | None"

    class FinishedArchive(OnTape):
        state: str
        elapsed: "float | None"
        rate: "float | None"
        problem: "str | None"
        warning_count: "int | None"
        incomplete: "bool | None"

    class LastGood(TypedDict):
        """The newest good archive of a host and set."""

        host: str
        set: str
        time: str
        age: int  # seconds
        late: str  # a warning that it is older than tape_max_age, or ""

    class Finished(TypedDict):
        run: str
        tapes: "list[str]"
        full: "dict[str, int | None]"  # percent of each tape
        archives: "list[FinishedArchive]"
        last: "list[LastGood]"
        warnings: "list[str]"

    # -- reading archives again

    class Read(OnTape):
        """One archive of verify; one that is not good has a problem."""

        run: str
        elapsed: NotRequired[float]
        problem: NotRequired[str]

    class Checked(TypedDict):
        """The answer of verify."""

        verified: "list[Read]"
        failed: "list[Read]"
        not_verified: "list[Read]"
        warnings: "list[str]"

    class Filter(TypedDict):
        """A program that an archive passed through on its host; see common.filters."""

        kind: str
        write: NotRequired["list[str]"]
        read: NotRequired["list[str]"]
        encrypts: NotRequired[bool]
        recipients: NotRequired["list[str]"]

    class Source(TypedDict):
        """A command whose output is the archive."""

        name: str
        restore: "list[str]"

    class Clear(TypedDict):
        """An archive before its filters."""

        bytes: int
        sha256: str

    class ChainArchive(TypedDict):
        """One of the archives that a restore reads, in this order."""

        run: str
        host: str
        set: str
        time: str
        host_time: "str | None"
        level: int
        tape: str
        file: int
        block_size: int
        bytes: "int | None"
        sha256: "str | None"
        verified: "Verified | None"
        incomplete: "bool | None"
        filters: "list[Filter] | None"
        unfiltered: "Clear | None"  # None without filters
        files: "int | None"  # names in its list
        source: "Source | None"  # of the output of a command
        requested: "int | None"  # entries of the requested paths, if it is to be read only up to the last of them

    class Chain(TypedDict):
        archives: "list[ChainArchive]"
        tapes: "list[str]"
        places: "dict[str, str]"  # where they lie, if that is known
        skipped: int  # archives before these that need not be read for the requested paths
        warnings: "list[str]"

    class Extracted(TypedDict):
        """What the archiver did with one archive."""

        files: int
        deleted: int
        deleted_names: "list[str]"  # the first
        missing: "list[str]"  # paths that are not in it
        gone: "list[str]"  # paths that are in an earlier archive, and were removed since
        warnings: "list[str]"
        errors: "list[str]"  # the first
        error_count: int
        again: bool  # the same archive must be read once more
        whole: bool  # it was read to its end, and its checksum compared
        compared: NotRequired[int]  # files, in a drill, as the next ones
        differences: NotRequired["list[str]"]  # the first
        difference_count: NotRequired[int]
        absent: NotRequired[int]  # files of earlier archives that are not there any more

    class Awaited(TypedDict):
        """The answer of awaits."""

        text: str

    class Drill(TypedDict):
        """The host for the next drill."""

        host: str
        last: "Verified | None"
