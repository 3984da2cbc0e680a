# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drives of this host as one pool: whose turn it is, which of them will do, and what to do when none does."""

import contextlib
import fnmatch
import os
import sys
import time

import catalog as catalogs
import changing
import files
import label as labels
import media
from problem import Problem
from units import iso, say_duration, say_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from catalog import Catalog, Tape
    from media import Medium
    from settings import Settings

    Judge = Callable[["Holding"], "tuple[int, str]"]

LEASED, APPENDED, EMPTY, EXPIRED, UNFIT = range(5)  # how well a tape will do; the best first
BUSY = 9  # it may do later: somebody else's lease
PATIENCE = 2.0  # seconds between two looks at drives that will not do


class Holding:
    """A drive that we have locked, and the tape in it."""

    def __init__(self, drive: "Medium", lock: "files.Lock", index: int):
        self.drive = drive
        self.lock = lock
        self.index = index  # in tape_devices, and in the changer
        self.label: "dict[str, Any]" = {}
        self.tape: "Tape | None" = None
        self.at = 0  # the tape file at which we have left it, 0: not known

    def release(self) -> None:
        self.lock.release()


def identify(holding: "Holding", catalog: "Catalog", run: str = "") -> str:
    """Read the label of the tape, and look it up; returns why it is none of ours ("" if it is); raises Problem.

    Between two archives of a ``run`` the tape is where the first has left it, and is not rewound.
    """
    drive = holding.drive
    status = drive.status()
    if not status.loaded:
        return "there is no tape in it"
    label = recall(catalog, holding, status, run) if run else None
    if label is None:
        block = drive.first_block()
        if not block:
            return "its tape is blank: label it with tape_label"
        label = labels.parse(block)
        if label is None:
            what = "its tape holds %s (fingerprint %s)" % (labels.describe(block), labels.fingerprint(block))
            return what + "; it is never written unless tape_label is told to"
    holding.label = label
    holding.tape = catalog.tape(label["label"])
    if holding.tape is None:
        return "its tape %s is not in the catalog %s: tape_inventory with tape_rebuild reads it in" % (
            label["label"],
            catalog.folder,
        )
    known = (holding.tape["id"], (holding.tape.get("relabelling") or {}).get("id"))
    if label["id"] not in known:
        what = "its tape is labelled %s, but is not the %s of the catalog (labelled %s, there %s)"
        return what % (label["label"], label["label"], label["labelled"], holding.tape["labelled"])
    return ""


def for_writing(settings: "Settings", catalog: "Catalog", run: str, expect: int) -> "Judge":
    """Judges whether an archive of ``expect`` bytes (0: not known) may go on the tape that is in a drive."""
    keep = catalogs.needed(catalog.archives())

    def judge(holding: "Holding") -> "tuple[int, str]":
        stranger = identify(holding, catalog, run)
        tape = holding.tape
        if stranger or tape is None:
            return UNFIT, stranger
        name = "its tape %s " % tape["label"]
        if holding.drive.status().protected:
            return UNFIT, name + "is write-protected"
        if not any(fnmatch.fnmatchcase(tape["label"], pattern) for pattern in settings.labels):
            return UNFIT, name + "is not one of tape_labels (%s)" % ", ".join(settings.labels)
        lease = read_lease(catalog, tape["label"])
        if lease and lease["run"] != run and not settings.steal:
            return BUSY, name + "belongs to run %s until %s (tape_steal breaks that)" % (
                lease["run"],
                iso(lease["until"]),
            )
        if "relabelling" in tape:
            return EXPIRED, ""
        if settings.reuse == "expired" and catalogs.is_expired(tape, keep):
            return EXPIRED, "" if fits(settings, 0, expect) else name + "is too small"
        if tape["full"]:
            return UNFIT, name + "is full"
        if not fits(settings, used(tape), expect):
            return UNFIT, name + "has less than %s left" % say_size(expect)
        if lease and lease["run"] == run:
            return LEASED, ""
        return (APPENDED if tape["archives"] else EMPTY), ""

    return judge


def for_reading(catalog: "Catalog", wanted: str) -> "Judge":
    """Judges whether the tape of this label is in a drive."""

    def judge(holding: "Holding") -> "tuple[int, str]":
        stranger = identify(holding, catalog)
        if holding.tape and not stranger and holding.tape["label"] == wanted:
            return LEASED, ""
        return UNFIT, stranger or "its tape is %s, not %s" % (holding.label["label"], wanted)

    return judge


def used(tape: "Tape") -> int:
    return sum(archive["bytes"] or 0 for archive in tape["archives"]) + labels.LABEL_BLOCK


def fits(settings: "Settings", taken: int, expect: int) -> bool:
    return not settings.capacity or taken + expect <= settings.capacity


@contextlib.contextmanager
def take(
    settings: "Settings", catalog: "Catalog", judge: "Judge", who: "dict[str, Any]", wanted: str = ""
) -> "Iterator[Holding]":
    """Wait for our turn and for a drive that will do, and hold it; raises Problem when none ever will.

    ``who``: for whom, as others will read it. ``wanted``: the label that is to be read; else one that may be written.
    """
    ticket = files.Ticket(catalog.queue, "read-" + wanted if wanted else "write", str(who["run"]))
    try:
        holding = wait(settings, catalog, judge, who, wanted, ticket)
    finally:
        ticket.drop()
    try:
        yield holding
    finally:
        holding.release()


def wait(
    settings: "Settings", catalog: "Catalog", judge: "Judge", who: "dict[str, Any]", wanted: str, ticket: "files.Ticket"
) -> "Holding":
    """The waiting of take()."""
    until = time.monotonic() + settings.wait
    said, pause = "", files.PAUSE
    while True:
        reasons, busy = ["others have been waiting for longer"], True
        # whoever waits for a tape that is leased to us must not hold us up
        if ticket.first(of_run=not wanted and has_lease(catalog, ticket.run)):
            holding, reasons, busy = look(settings, catalog, judge, who)
            if holding:
                return holding
            if not busy:
                if changing.change(settings, catalog, wanted, who):
                    continue
                if not wanted:
                    raise Problem("no drive has a tape that may be written", "; ".join(reasons))
            pause = PATIENCE if not busy else files.PAUSE
        text = "; ".join(reasons)
        if time.monotonic() >= until:
            what = "tape %s is in no drive" % wanted if wanted else "no drive became free"
            raise Problem("%s within %s" % (what, say_duration(settings.wait)), text, busy=True)
        if text != said:
            sys.stderr.write("waiting for %s: %s\n" % ("tape " + wanted if wanted else "a drive", text))
            sys.stderr.flush()
            said = text
        time.sleep(pause)


def look(
    settings: "Settings", catalog: "Catalog", judge: "Judge", who: "dict[str, Any]"
) -> "tuple[Holding | None, list[str], bool]":
    """The best drive that will do (locked), or why each will not, and whether one of them may do later."""
    found, reasons, busy = [], [], False
    if not settings.devices:
        raise Problem(
            "this host has no drives", "set tape_devices in its variables: devices such as /dev/nst0, or a directory"
        )
    for index, path in enumerate(settings.devices):
        try:
            drive = media.open_drive(path)
            lock = files.Lock(os.path.join(catalog.locks, drive.key))
            if not lock.take(who):
                busy = True
                reasons.append("drive %s is in use for %s" % (path, say_holder(lock.holder())))
                continue
        except Problem as exc:
            reasons.append(str(exc))
            continue
        holding = Holding(drive, lock, index)
        try:
            rank, reason = judge(holding)
        except Problem as exc:
            rank, reason = UNFIT, str(exc)
        except BaseException:
            holding.release()
            raise
        if reason:
            busy = busy or rank == BUSY
            reasons.append("drive %s: %s" % (path, reason))
            holding.release()
        else:
            found.append((rank, index, holding))
    found.sort(key=lambda each: each[:2])
    for _rank, _index, holding in found[1:]:
        holding.release()
    return (found[0][2] if found else None), reasons, busy


def say_holder(holder: "dict[str, Any]") -> str:
    if not holder:
        return "somebody who has not said so yet"
    return "%(what)s of %(host)s in run %(run)s, since %(since)s (process %(pid)s)" % holder


# where a run has left a tape: a drive would need minutes to read the label again for each archive


def place_path(catalog: "Catalog", drive: "Medium") -> str:
    return os.path.join(catalog.folder, "places", drive.key + ".json")


def leave_at(catalog: "Catalog", holding: "Holding", run: str, number: int) -> None:
    """Remember that we have just written what is before this tape file."""
    if holding.drive.kind == "drive":
        place = {"boot": boot(), "run": run, "label": holding.label, "file": number}
        files.write_json(place_path(catalog, holding.drive), place)


def forget_place(catalog: "Catalog", holding: "Holding") -> None:
    holding.at = 0
    with contextlib.suppress(FileNotFoundError):
        os.unlink(place_path(catalog, holding.drive))


def recall(catalog: "Catalog", holding: "Holding", status: "Any", run: str) -> "dict[str, Any] | None":
    """The label of a tape that stands where this run has left it: st(4) forgets the place when a tape is changed."""
    place = files.read_json(place_path(catalog, holding.drive))
    if not place or (place["boot"], place["run"], place["file"], 0) != (boot(), run, status.file, status.block):
        return None
    holding.at = place["file"]
    return dict(place["label"])


def boot() -> str:
    """What changes with each start of this machine (random(4))."""
    with open("/proc/sys/kernel/random/boot_id") as source:
        return source.read().strip()


# a lease keeps a tape for a run while none of its archives is being written


def lease_path(catalog: "Catalog", label: str) -> str:
    return os.path.join(catalog.folder, "leases", label + ".json")


def read_lease(catalog: "Catalog", label: str) -> "dict[str, Any] | None":
    """Whose tape it is, None if it is nobody's."""
    lease = files.read_json(lease_path(catalog, label))
    return lease if lease and lease["until"] > time.time() else None


def has_lease(catalog: "Catalog", run: str) -> bool:
    leases = (read_lease(catalog, tape["label"]) for tape in catalog.tapes())
    return any(lease and lease["run"] == run for lease in leases)


def renew_lease(settings: "Settings", catalog: "Catalog", label: str, run: str) -> None:
    files.write_json(lease_path(catalog, label), {"run": run, "until": time.time() + settings.lease})


def drop_lease(catalog: "Catalog", label: str, run: str) -> None:
    lease = files.read_json(lease_path(catalog, label))
    if lease and lease["run"] == run:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(lease_path(catalog, label))
