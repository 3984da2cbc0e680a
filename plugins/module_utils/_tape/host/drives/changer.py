# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Loads another tape into a drive, with a changer and mtx(1), or with tape_next_command."""

import contextlib
import fcntl
import os
import re
import time

from ...common import tools
from ...common.now import tell
from ...common.problem import BUSY, FAILED, Problem
from ...common.process import Missing
from ...common.units import say_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, Mapping

    # {"drives": {index: {"full", "barcode", "slot"}}, "slots": {number: {"full", "barcode", "import_export"}}}
    Inventory = Dict[str, Dict[int, Dict[str, Any]]]

MOVE_LIMIT = 900.0  # seconds: for the far side of a large library, after a rewind of 1000 m of tape
BUSY_POLL = 1.0  # seconds: polling interval for a busy changer
NAMED = 24  # barcodes in a sentence

# "Data Transfer Element 0:Full (Storage Element 3 Loaded):VolumeTag = ABC123L6   ", without the number in old
# versions with one drive; "      Storage Element 4 IMPORT/EXPORT:Full :VolumeTag=ABC124L6   "
ELEMENT = re.compile(r"^\s*(Data Transfer|Storage) Element\s*(\d*)\s*(IMPORT/EXPORT)?\s*:\s*(Full|Empty)(.*)$")
LOADED = re.compile(r"Storage Element (\d+) Loaded")
TAG = re.compile(r":\s*VolumeTag\s*=([^:]*)")
NO_TAG = re.compile(r"(UNKNOWN|[^0-9A-Za-z]*)$", re.IGNORECASE)  # for cartridges with an unreadable barcode

# meaning of SCSI additional sense codes (SPC, annex "numeric order codes") for the operator
SENSE = {
    "04/03": "it needs manual intervention: check its panel",
    "04/12": "it is offline: check its panel",
    "30/00": "this drive cannot use this kind of cartridge",
    "3B/0D": "the destination is full: update the inventory of the library (mtx inventory)",
    "3B/0E": "the source is empty: update the inventory of the library (mtx inventory)",
    "3B/11": "a magazine is not accessible: is it fully inserted?",
    "3B/12": "a magazine has been removed",
    "53/00": "the drive could not load or eject the tape",
    "53/02": "the tape is locked in the drive (mt-st unlock)",
    "53/03": "the tape is locked in the drive (mt-st unlock)",
}
SAID = (
    ("ermission denied", "set tape_become, or give this user read and write access"),
    (
        "not an sg device",
        "tape_changer must be the generic device of the changer: lsscsi -g shows it in the line mediumx",
    ),
    ("No such file", "tape_changer must be the generic device of the changer: lsscsi -g shows it in the line mediumx"),
    ("needs offline", "the tape was still threaded in the drive: run mt-st -f DEVICE offline, then try again"),
)


def parse_status(text: str) -> "Inventory":
    """Parse the output of `mtx status`."""
    found = {"drives": {}, "slots": {}}  # type: Inventory
    for line in text.splitlines():
        match = ELEMENT.match(line)
        if not match:
            continue
        kind, number, port, state, rest = match.groups()
        tag = TAG.search(rest)
        barcode = tag.group(1).strip() if tag and state == "Full" else ""
        element = {"full": state == "Full", "barcode": None if NO_TAG.match(barcode) else barcode}
        if kind == "Storage":
            found["slots"][int(number)] = dict(element, import_export=bool(port))
        else:
            home = LOADED.search(rest)
            found["drives"][int(number or 0)] = dict(element, slot=int(home.group(1)) if home else None)
    return found


def parse_sense(text: str) -> "tuple[str, str]":
    """The last sense key in an error message of mtx, and its additional codes, such as "04/01"."""
    key = re.findall(r"Request Sense: Sense Key=(.*)", text)
    code = re.findall(r"Additional Sense Code = (\w+)", text)
    qualifier = re.findall(r"Additional Sense Qualifier = (\w+)", text)
    codes = "%s/%s" % (code[-1], qualifier[-1]) if code and qualifier else ""
    return (key[-1].strip() if key else ""), codes.upper()


def is_cleaner(barcode: "str | None") -> bool:
    """Whether it is a cleaning cartridge; by convention of all vendors their barcodes begin this way."""
    return (barcode or "").upper().startswith("CLN")


class Changer:
    """The changer of this device; every method raises Problem.

    ``locks``: the directory for the lock that prevents concurrent moves by this program; ``wait``: seconds that the
    changer may be busy, with another process or by itself.
    """

    def __init__(self, device: str, locks: str, wait: float = 600.0):
        self.device, self.wait = device, wait
        name = os.path.basename(os.path.realpath(device))  # one lock for all links to it
        self.lock = os.path.join(locks, "changer.%s" % name)

    def inventory(self) -> "Inventory":
        """The contents of its drives and slots."""
        text = self._mtx("status", limit=MOVE_LIMIT)
        found = parse_status(text)
        if not found["drives"]:
            raise Problem(
                "mtx -f %s status lists no drive: %s" % (self.device, tools.last_lines(text, 2) or "no output"),
                "is this the changer? lsscsi -g shows it in the line mediumx",
            )
        return found

    def load(
        self, barcode: str, drive: int, eject: "Callable[[], Any]", wait_ready: "Callable[[], Any] | None" = None
    ) -> "dict[str, Any]":
        """Load the tape with this barcode into a drive, after ``eject``.

        A tape in the drive first goes to its home slot, or to a free one.  ``wait_ready`` is called last, without the
        lock, because threading takes half a minute.  Returns {"barcode", "slot", "moved", "unloaded"}.
        """
        result = {"barcode": barcode, "slot": None, "moved": False, "unloaded": None}  # type: dict[str, Any]
        with self._locked("to load %s" % barcode):
            found = self.inventory()
            there = self._drive(found, drive)
            if not (there["full"] and there["barcode"] == barcode):
                slot = self._slot_of(found, barcode)
                result["unloaded"] = self._unload(found, drive, eject) if there["full"] else None
                self._mtx("load", str(slot), str(drive))
                result.update(slot=slot, moved=True)
                self._check(barcode, drive)
        if wait_ready:
            wait_ready()
        return result

    def unload(self, drive: int, eject: "Callable[[], Any]", to_port: bool = False) -> "dict[str, Any] | None":
        """Unload a drive; returns {"barcode", "slot", "port"} of its tape, None if it was empty.

        ``to_port``: into a free import/export slot, if there is one.
        """
        with self._locked("to unload drive %d" % drive):
            found = self.inventory()
            return self._unload(found, drive, eject, to_port) if self._drive(found, drive)["full"] else None

    def _drive(self, found: "Inventory", drive: int) -> "dict[str, Any]":
        if drive not in found["drives"]:
            numbers = ", ".join(str(number) for number in sorted(found["drives"]))
            raise Problem(
                "changer %s has no drive %d: mtx numbers its drives %s" % (self.device, drive, numbers),
                "tape_devices must name the drives in the changer's order",
            )
        return found["drives"][drive]

    def _slot_of(self, found: "Inventory", barcode: str) -> int:
        if is_cleaner(barcode):
            raise Problem("%s is a cleaning cartridge, not a tape" % barcode, "remove it from tape_barcodes")
        for number, slot in sorted(found["slots"].items()):
            if slot["full"] and slot["barcode"] == barcode:
                return number
        for number, drive in sorted(found["drives"].items()):
            if drive["full"] and drive["barcode"] == barcode:
                raise Problem(
                    "tape %s is in drive %d of changer %s" % (barcode, number, self.device),
                    "it is in use, or was left there: mtx -f %s unload SLOT %d" % (self.device, number),
                    kind=BUSY,
                )
        raise Problem(
            "changer %s has no tape with the barcode %s; it has %s" % (self.device, barcode, _named(found)),
            "insert it, or correct tape_barcodes",
        )

    def _unload(
        self, found: "Inventory", drive: int, eject: "Callable[[], Any]", to_port: bool = False
    ) -> "dict[str, Any]":
        """Unload this drive.

        The home slot may be full, if the changer lost it in a power failure or mtx guessed it.  Import/export slots are
        used only on request, because tapes there get taken out of the library.
        """
        there, slots = found["drives"][drive], found["slots"]
        home = there["slot"]
        free = [number for number, slot in sorted(slots.items()) if not slot["full"]]
        inside = [number for number in free if not slots[number]["import_export"]]
        doors = [number for number in free if slots[number]["import_export"]] if to_port else []
        if home not in free and not inside and not doors:
            ports = ", ".join(str(number) for number in free)
            raise Problem(
                "drive %d of changer %s has tape %s in it, but no slot is free"
                % (drive, self.device, there["barcode"] or "without a barcode"),
                "remove a tape"
                + (" (import/export slot %s is free, but is not used for this)" % ports if ports else ""),
            )
        slot = doors[0] if doors else home if home in free else inside[0]
        eject()  # mtx(1): some changers grab a tape that is still in the drive
        self._mtx("unload", str(slot), str(drive))
        there["full"] = False
        slots[slot].update(full=True, barcode=there["barcode"])
        return {"barcode": there["barcode"], "slot": slot, "port": bool(doors)}

    def _check(self, barcode: str, drive: int) -> None:
        """Check that the tape is really in the drive, because mtx trusts the changer; raises Problem."""
        there = self._drive(self.inventory(), drive)
        if not there["full"] or there["barcode"] not in (None, barcode):
            raise Problem(
                "changer %s should have loaded %s, but reports that drive %d has %s"
                % (self.device, barcode, drive, (there["barcode"] or "a tape") if there["full"] else "no tape"),
                "check it: a tape may be stuck",
            )

    def _mtx(self, *words: str, limit: float = MOVE_LIMIT) -> str:
        """The output of mtx.  A changer that is not ready or reports a unit attention has not begun to move."""
        command = ["mtx", "-f", self.device] + list(words)
        until = time.monotonic() + self.wait
        while True:
            try:
                status, out, err = tools.run(command, limit)
            except Missing:
                raise Problem("there is no mtx on this host", "install the package mtx") from None
            except tools.TooLong as exc:
                what = "%s did not finish within %s %s" % (" ".join(command), say_duration(limit), exc)
                raise Problem(what.rstrip(), "check the library: a tape may be stuck") from None
            if status == 0:
                return out
            key, codes = parse_sense(err)
            waits = key in ("Not Ready", "Unit Attention") and codes not in SENSE
            if not waits or time.monotonic() >= until:
                break
            time.sleep(BUSY_POLL)
        text = " ".join(line for line in [tools.last_lines(err) or "exit status %d" % status] if line)
        what = "%s: %s%s" % (" ".join(command), text, " (%s, %s)" % (key, codes) if key else "")
        hints = [hint for pattern, hint in SAID if pattern in err] or [SENSE.get(codes, "")]
        if waits:
            hints = ["it has been busy for %s: check its panel" % say_duration(self.wait)]
        raise Problem(what, hints[0], kind=BUSY if waits else FAILED)

    @contextlib.contextmanager
    def _locked(self, why: str) -> "Iterator[None]":
        os.makedirs(os.path.dirname(self.lock), mode=0o700, exist_ok=True)
        fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until, told = time.monotonic() + self.wait, False
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= until:
                        holder = os.pread(fd, 200, 0).decode("utf-8", "replace") or "another process"
                        what = "changer %s is in use: %s has had it for %s" % (
                            self.device,
                            holder,
                            say_duration(self.wait),
                        )
                        raise Problem(what, "is a tape stuck?", kind=BUSY) from None
                    if not told:
                        holder = os.pread(fd, 200, 0).decode("utf-8", "replace") or "another process"
                        limit = say_duration(self.wait)
                        tell("waiting for changer %s: %s; for up to %s (tape_wait)" % (self.device, holder, limit))
                        told = True
                    time.sleep(min(BUSY_POLL, 0.2))
            os.ftruncate(fd, 0)
            os.pwrite(fd, ("process %d %s" % (os.getpid(), why)).encode(), 0)
            yield
        finally:
            os.close(fd)


def _named(found: "Inventory") -> str:
    """The barcodes in the slots, for a message."""
    slots = [slot for _number, slot in sorted(found["slots"].items()) if slot["full"]]
    names = [slot["barcode"] for slot in slots if slot["barcode"] and not is_cleaner(slot["barcode"])]
    bare = sum(1 for slot in slots if not slot["barcode"])
    said = names[:NAMED]
    if len(names) > NAMED:
        said.append("%d more" % (len(names) - NAMED))
    if bare:
        said.append("%d without a readable barcode" % bare)
    return ", ".join(said) or "no tape in its slots"


def next_command(
    command: str, device: str, label: str, reason: str, limit: float, more: "Mapping[str, str] | None" = None
) -> None:
    """Load another tape with tape_next_command; raises Problem unless that exits with status 0.

    ``label``: the wanted tape, "" for any writable one; ``reason``: full, restore or verify; ``more``: other variables
    of its environment.  Processes that it leaves running are killed.
    """
    env = dict(os.environ, TAPE_DEVICE=device, TAPE_LABEL=label, TAPE_REASON=reason, **more or {})
    wanted = "tape %s" % label if label else "a writable tape"
    what = "tape_next_command did not load %s in %s: " % (wanted, device)
    try:
        status, out, err = tools.run(["/bin/sh", "-c", command], limit, env)
    except tools.TooLong as exc:
        raise Problem(what + "it did not finish within %s" % say_duration(limit), str(exc)) from None
    if status:
        how = "exit status %d" % status if status > 0 else "killed by signal %d" % -status
        raise Problem(what + how, tools.last_lines(err, 3) or tools.last_lines(out, 3))
