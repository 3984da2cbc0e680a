# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""source, the first stage of a restore, and verify: both read archives from a tape."""

import contextlib
import os
import sys
import tempfile
import time
from subprocess import DEVNULL, PIPE

from ...common.now import tell
from ...common.problem import NO_TOOL, Problem
from ...common.process import Children
from ...common.units import now_iso, say_duration, say_size
from ..catalog import catalog as catalogs
from ..catalog import records
from ..drives import encryption, writer
from ..reserve import requests, scan, volume

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import IO, Any

    from ... import answers
    from ..catalog.catalog import Catalog
    from ..catalog.records import Archive
    from ..reserve.reservation import Reservation
    from ..session import Session

UNREPORTED = (
    "tape %(tape)s, file %(file)d: its host has not reported its checksum, and it is no plain archive of tar, so only "
    "a restore by hand can tell whether it is complete"
)
AFTER = ("Error is not recoverable: exiting now", "Exiting with failure status due to previous errors")  # tar's
END_OF_ARCHIVE = 1024  # bytes: an archive ends with two blocks of zeros


def source(session: "Session", args: "argparse.Namespace") -> None:
    """Copy an archive to standard output; raises Problem unless all of it was copied."""
    tape = session.catalog.known(args.tape, session.catalog.tape(args.tape))
    archive = catalogs.entry_of(tape, args.file)
    with reserved(session, args.tape, archive, "reading the archive") as held:
        copied = read(held, archive, 1)
    check(args.tape, archive, copied)


@contextlib.contextmanager
def reserved(session: "Session", label: str, archive: "Archive", what: str) -> "Iterator[Reservation]":
    """Wait for a drive with this tape, reserve it and enable decryption."""
    request = requests.ReadRequest(label, what)
    with scan.reserve_for(session.of(archive["run"], archive["host"]), request) as held, decrypting(held):
        yield held


@contextlib.contextmanager
def decrypting(held: "Reservation") -> "Iterator[None]":
    """Give the drive the key for reading; afterwards it encrypts nothing for others; raises Problem."""
    if held.drive.kind == "drive":
        encryption.encryption(held.drive.path, held.settings.encryption, writing=False)
    try:
        yield
    finally:
        with contextlib.suppress(Problem):  # the data is still good, and the next writer repeats this
            volume.set_encryption(held, False)


def read(held: "Reservation", archive: "Archive", stdout: int) -> "writer.Copied":
    """Copy a tape file with the block size with which it was written."""
    held.drive.prepare(None)
    with held.drive.input(archive["file"]) as stdin:
        copied = writer.run(writer.read_command(archive["block_size"]), held.locks, stdin, stdout)
    if not copied.ok:
        held.drive.located = False
    return copied


def check(label: str, archive: "Archive", copied: "writer.Copied") -> None:
    """Raises Problem unless the whole file was read; a read at the end of data returns nothing, without an error."""
    where = "tape %s, file %d" % (label, archive["file"])
    if not copied.ok:
        raise Problem("%s cannot be read: %s" % (where, copied.message), "clean the drive, or try another one")
    if not copied.bytes:
        raise Problem("%s: there is no data" % where, "is this the right tape, or was it overwritten elsewhere?")
    if archive["bytes"] not in (None, copied.bytes):
        raise Problem("%s has %d bytes, but %d were written" % (where, copied.bytes, archive["bytes"]), "it is damaged")


def verify(session: "Session", args: "argparse.Namespace") -> "answers.Checked":
    """Read archives, tape by tape, and compare them with the catalog.

    Each archive is verified, failed, or not verified because its tape is not in a drive.
    """
    found = {"verified": [], "failed": [], "not_verified": []}  # type: dict[str, list[answers.Read]]
    absent: "dict[str, str]" = {}  # {tape that did not appear: the problem}
    wanted = [
        archive
        for archive in session.catalog.archives()
        if archive["state"] in (records.GOOD, records.WRITTEN)
        and args.run in ("", archive["run"])
        and args.tape in ("", archive["tape"])
        and args.host in ("", archive["host"])
    ]
    warnings = session.catalog.warnings()
    there = scan.loaded(session) if wanted else set()
    progress = Progress(wanted)
    for archive in sorted(wanted, key=lambda each: (each["tape"] not in there, each["tape"], each["file"])):
        entry: "Any" = {key: archive[key] for key in ("run", "host", "set", "level", "tape", "file", "bytes")}
        outcome, more = verified(session, archive, absent, progress)
        entry.update(more)
        found[outcome].append(entry)
    return {
        "verified": found["verified"],
        "failed": found["failed"],
        "not_verified": found["not_verified"],
        "warnings": warnings,
    }


class Progress:
    """How much of the archives to verify has been read."""

    def __init__(self, wanted: "list[Archive]"):
        self.began = time.monotonic()
        self.total = sum(archive["bytes"] or 0 for archive in wanted)
        self.archives = len(wanted)
        self.count = self.bytes = 0  # those that have been read

    def tell(self, archive: "Archive") -> None:
        """Tell that this one is read now."""
        text = "verifying tape %s, file %d: " % (archive["tape"], archive["file"])
        text += "%d of %d archives were read before, %s" % (self.count, self.archives, say_size(self.bytes))
        if self.bytes:
            left = (time.monotonic() - self.began) * (self.total - self.bytes) / self.bytes
            percent = 100 * self.bytes // self.total
            text += " of %s (%d %%), %s left" % (say_size(self.total), percent, say_duration(left))
        tell(text)
        self.count += 1
        self.bytes += archive["bytes"] or 0


def verified(
    session: "Session", archive: "Archive", absent: "dict[str, str]", progress: Progress
) -> "tuple[str, dict[str, Any]]":
    """The outcome of one archive, and its details."""
    if archive["tape"] in absent:
        return "not_verified", {"problem": absent[archive["tape"]]}
    if not records.is_tar(archive) and archive["sha256"] is None:  # tar cannot list it, and there is nothing to compare
        return "not_verified", {"problem": UNREPORTED % archive}
    began, loaded = time.monotonic(), False
    try:
        with reserved(session, archive["tape"], archive, "verifying the archive") as held:
            loaded = True
            progress.tell(archive)
            found = verify_one(held, archive)
    except Problem as exc:
        if not loaded:
            absent[archive["tape"]] = str(exc)
        if not loaded or exc.kind == NO_TOOL:
            return "not_verified", {"problem": str(exc)}
        note(session.catalog, archive, {})
        return "failed", {"problem": str(exc)}
    note(session.catalog, archive, found)
    return "verified", {"bytes": found["bytes"], "elapsed": round(time.monotonic() - began, 1)}


def note(catalog: "Catalog", archive: "Archive", found: "Any") -> None:
    """Record the result of verifying an archive; details only if it is good."""
    with catalog.change(archive["tape"]) as tape:
        for each in tape["archives"]:
            if (each["file"], each["run"], each["host"]) == (archive["file"], archive["run"], archive["host"]):
                # an archive that was never reported, or that was found on its tape, becomes good
                each.update(found)
                each["verified"] = {"time": now_iso(), "ok": bool(found)}


def verify_one(held: "Reservation", archive: "Archive") -> "dict[str, Any]":
    """Check length and checksum, and that tar can list the whole archive; returns details; raises Problem.

    This host need not have the programs of filters, and must not have their keys: for such an archive the checksum of
    its host is the proof.
    """
    where = "tape %s, file %d" % (archive["tape"], archive["file"])
    with contextlib.ExitStack() as stack:
        tee_in, tee_out = pipe(stack)
        sum_in, sum_out = pipe(stack)
        tar_in, tar_out = pipe(stack)
        end_in, end_out = pipe(stack)
        says = stack.enter_context(tempfile.TemporaryFile())  # unlike a pipe, it never blocks the writer
        start = stack.enter_context(Children()).start
        summer = start(["sha256sum"], stdin=sum_in, stdout=PIPE, stderr=says)
        # tar accepts an archive that ends between two files
        ending = start(["tail", "-c", str(END_OF_ARCHIVE)], stdin=end_in, stdout=PIPE, stderr=says)
        plain = records.is_tar(archive)
        listing = ["tar", "--list", "--file=-", "--ignore-zeros"] if plain else ["cat"]
        tar = start(listing, stdin=tar_in, stdout=DEVNULL, stderr=says)
        branches = (sum_out.fileno(), end_out.fileno())
        command = ["tee"] + ["/proc/self/fd/%d" % fd for fd in branches]
        tee = start(command, stdin=tee_in, stdout=tar_out, stderr=says, pass_fds=branches)
        for fd in (tee_in, sum_in, sum_out, tar_in, tar_out, end_in, end_out):
            fd.close()
        copied = read(held, archive, tee_out.fileno())
        tee_out.close()
        digest = summer.communicate()[0].decode("ascii", "replace").partition(" ")[0]
        whole = ending.communicate()[0] == b"\0" * END_OF_ARCHIVE
        statuses = [child.wait() for child in (tee, summer, tar, ending)]
        says.seek(max(0, says.seek(0, os.SEEK_END) - 4096))
        said = says.read().decode("utf-8", "replace").strip().splitlines() or ["statuses %s" % statuses]
    check(archive["tape"], archive, copied)
    if archive["sha256"] not in (None, digest):
        raise Problem(
            "%s: its SHA-256 is %s, but was %s at the source" % (where, digest, archive["sha256"]), "it is damaged"
        )
    if any(statuses):
        why = [line for line in said if not line.endswith(AFTER)] or said
        hint = "the tape has exactly the data that the source sent" if archive["sha256"] else "it was cut off"
        raise Problem("%s: tar cannot list it: %s" % (where, why[-1]), hint)
    if plain and not whole:
        raise Problem("%s does not end like an archive" % where, "it was cut off")
    sys.stderr.write("verified %s\n" % where)
    return {"state": records.GOOD, "bytes": copied.bytes, "sha256": digest}


def pipe(stack: "contextlib.ExitStack") -> "tuple[IO[bytes], IO[bytes]]":
    """A pipe that the stack closes."""
    ours, theirs = os.pipe()
    return stack.enter_context(open(ours, "rb", 0)), stack.enter_context(open(theirs, "wb", 0))
