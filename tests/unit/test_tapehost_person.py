# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a person: which tape is to be loaded, what tape_next_command is told, and the end of a run."""

from __future__ import annotations

import os
from collections.abc import Callable

from ansible_collections.plumbing.socketpipe.plugins.module_utils._tape.host.drives import virtual
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost

Maker = Callable[..., TapeHost]


def awaits(host: TapeHost, *words: str, **settings: object) -> str:
    return str(host.ok("awaits", *words, **{"wait": "1h", **settings})["text"])


def test_a_tape_to_read(tape_host: Maker) -> None:
    """It is named, with its place; nobody is called if it is there, or if a machine loads it."""
    host = tape_host(2, lease=0)
    host.ok("mark", "--label", "A", "--location", "vault")
    assert awaits(host, "--tape", "A") == ""
    host.settings["devices"] = [str(host.tapes[1])]
    assert awaits(host, "--tape", "A") == (
        f"waiting up to 1:00:00 for tape A (location: vault): drive {host.tapes[1]}: its tape B is not A"
    )
    host.edit("A", lambda tape: tape.update(barcode="WK0001L6"))
    assert "for tape A (barcode WK0001L6, location: vault): " in awaits(host, "--tape", "A")
    assert awaits(host, "--tape", "A", wait=0) == "", "it fails at once, and says why"
    assert awaits(host, "--tape", "A", next_command="call") == awaits(host, "--tape", "A", changer="/dev/sg0") == ""


def test_a_tape_to_write(tape_host: Maker) -> None:
    host = tape_host(3, lease=0)
    host.settings["devices"] = [str(host.tapes[0])]
    assert awaits(host, "--run", "R1") == ""
    host.edit("A", lambda tape: tape.update(full=True))
    assert awaits(host, "--run", "R1") == (
        f"waiting up to 1:00:00 for a writable tape: drive {host.tapes[0]}: its tape A is full; writable tapes: B, C"
    )
    assert awaits(host, "--run", "R1", labels=["C"]).endswith("; writable tapes: C")


def test_the_turn_of_a_host(tape_host: Maker) -> None:
    """It waits for a tape, which then belongs to the run, and holds no drive."""
    host = tape_host(2, lease="1h")
    host.settings["devices"] = [str(host.tapes[0])]
    words = ("turn", "--run", "R1", "--host", "h1")
    assert host.ok(*words) == {"tape": "A"}
    assert "belongs to run R1" in host.fails("turn", "--run", "R2", "--host", "h1")
    assert host.states() == [] and host.sink("R1", "h1").status == 0
    host.edit("A", lambda tape: tape.update(full=True))
    assert "its tape A is full" in host.fails(*words)


def test_a_drive_that_is_in_use_needs_nobody(tape_host: Maker) -> None:
    host = tape_host(lease=0)
    sink = host.start("sink", "--run", "R1", "--host", "h1", wait="60s")
    while "archive of h1" not in awaits_reason(host):
        pass
    assert awaits(host, "--run", "R2") == ""
    host.end(sink)


def awaits_reason(host: TapeHost) -> str:
    """Why the drive cannot be used now."""
    return str(host.ok("info")["drives"][0]["message"])


def test_what_the_command_is_told(tape_host: Maker) -> None:
    host = tape_host(3, lease=0)
    told = host.folder / "told"
    command = 'echo "$TAPE_LABEL,$TAPE_REASON,$TAPE_WANTED,$TAPE_BARCODE,$TAPE_LOCATION" >> %s; exit 1' % told
    host.backup("R0", "h1", on="C")
    host.edit("C", lambda tape: tape.update(barcode="WK0003L6", location="shelf"))
    host.settings["devices"] = [str(host.tapes[0])]
    host.edit("A", lambda tape: tape.update(full=True))
    assert "did not load" in host.sink("R1", "h1", next_command=command).said
    assert "did not load" in host.sink("R1", "h1", next_command=command, labels=["C"]).said
    assert "did not load" in host.fails("source", "--tape", "C", "--file", "1", next_command=command)
    assert told.read_text().splitlines() == [
        ",full,C B,WK0003L6,shelf",  # the one with archives of the set before an empty one
        ",full,C,WK0003L6,shelf",
        "C,restore,C,WK0003L6,shelf",
    ]


def ejected(host: TapeHost) -> Callable[[], None]:
    """Let the program write down which drives it ejects."""

    def patch() -> None:
        def eject(self: virtual.VirtualTape) -> None:
            with open(host.folder / "ejected", "a") as out:
                out.write(os.path.basename(self.path) + "\n")

        virtual.VirtualTape.eject = eject

    return patch


def test_the_tape_is_ejected_at_the_end(tape_host: Maker) -> None:
    """Only those of this run, and only if it is asked for."""
    host = tape_host(2, lease=0)
    said = host.folder / "ejected"
    for run, more in (("R1", {}), ("R2", {"eject": True})):
        host.backup(run, "h1", on="A")
        done = host.run("finish", "--run", run, before=ejected(host), **more)
        assert done.status == 0 and done.answer["warnings"] == []
        assert said.exists() is bool(more)
    assert said.read_text() == "A\n"
    assert host.states()[-1][2] == "good", "after the copy of the catalog"
    assert [word for word in host.ok("info")["tapes"] if word["run"]] == []


def test_the_changer_takes_it_back(tape_host: Maker) -> None:
    """To its slot; and a changer that fails is a warning, because the archives are good."""
    host = tape_host(lease=0)
    status = "  Storage Changer /dev/sg0:1 Drives, 2 Slots ( 0 Import/Export )\n"
    status += "Data Transfer Element 0:Full (Storage Element 2 Loaded):VolumeTag = WK0001L6\n"
    status += "      Storage Element 1:Full :VolumeTag=WK0002L6\n      Storage Element 2:Empty\n"
    (host.folder / "status").write_text(status)
    moves = host.folder / "moves"
    host.tool("mtx", 'if [ "$3" = status ]; then cat %s/status; else echo "$@" >> %s; fi' % (host.folder, moves))
    host.backup("R1", "h1")
    done = host.run("finish", "--run", "R1", before=ejected(host), eject=True, changer="/dev/sg0")
    assert done.answer["warnings"] == []
    assert moves.read_text() == "-f /dev/sg0 unload 2 0\n" and (host.folder / "ejected").read_text() == "A\n"
    options = {"eject": True, "eject_to": "mail_slot", "changer": "/dev/sg0"}
    for number, (port, slot) in enumerate((("Empty", 3), ("Full", 2)), 5):
        (host.folder / "status").write_text(status + f"      Storage Element 3 IMPORT/EXPORT:{port}\n")
        moves.unlink()
        host.backup(f"R{number}", "h1")
        warnings = host.run("finish", "--run", f"R{number}", before=ejected(host), **options).answer["warnings"]
        assert moves.read_text() == f"-f /dev/sg0 unload {slot} 0\n"
        text = "tape A is in slot 2 of changer /dev/sg0: the changer has no mail slot, or none is free"
        assert warnings == ([text] if port == "Full" else [])
    assert "tape_eject_to: 'shelf'" in host.fails("finish", "--run", "R6", eject_to="shelf")
    host.tool("mtx", "echo jammed >&2; exit 1")
    host.backup("R2", "h1")
    (warning,) = host.run("finish", "--run", "R2", eject=True, changer="/dev/sg0").answer["warnings"]
    assert warning.startswith(f"the tape in {host.tapes[0]} was not ejected: ") and "jammed" in warning
