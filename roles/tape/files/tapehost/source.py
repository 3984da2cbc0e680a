# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first stage of a restore, and verifying: archives, from a tape."""

import os
import subprocess
import sys
import time

import catalog as catalogs
import encryption
import holding as holdings
import pool
import wants
import writer
from catalog import Catalog
from problem import Problem
from units import now_iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from catalog import Archive, Tape
    from holding import Holding
    from settings import Settings


def source(settings: "Settings", args: "argparse.Namespace") -> None:
    """Copy an archive to standard output, all of it or not as a success; raises Problem."""
    catalog = Catalog(settings.catalog_dir)
    tape = tape_of(catalog, args.tape)
    archive = next((each for each in tape["archives"] if each["file"] == args.file), None)
    if archive is None:
        raise Problem(
            "tape %s has no file %d in the catalog" % (args.tape, args.file), "tape_inventory shows what it has"
        )
    with holding_of(settings, catalog, args.tape, archive, "reading the archive") as holding:
        copied = read(settings, holding, archive, 1)
    check(args.tape, archive, copied)


def tape_of(catalog: "Catalog", label: str) -> "Tape":
    tape = catalog.tape(label)
    if tape is None:
        raise Problem("tape %s is not in the catalog %s" % (label, catalog.folder), "tape_inventory shows what is")
    return tape


def holding_of(settings: "Settings", catalog: "Catalog", label: str, archive: "Archive", what: str) -> "Any":
    """Hold the drive that has this tape in it, as soon as it has."""
    who = holdings.somebody(what, archive["host"], archive["run"])
    return pool.take(settings, catalog, wants.Reading(catalog, label), who)


def read(settings: "Settings", holding: "Holding", archive: "Archive", stdout: int) -> "writer.Copied":
    """Copy a tape file in the blocks in which it was written."""
    holding.drive.prepare(None)
    if holding.drive.kind == "drive":
        encryption.encryption(holding.drive.path, settings.encryption, writing=False)
    command = writer.read_command(holding.drive.read_from(archive["file"]), archive["block_size"])
    return writer.run(command, holding.lock.fd, subprocess.DEVNULL, stdout)


def check(label: str, archive: "Archive", copied: "writer.Copied") -> None:
    """A tape file is all there, or raises Problem: a read at the end of the data gives nothing, and success."""
    where = "tape %s, file %d" % (label, archive["file"])
    if not copied.ok:
        raise Problem("%s cannot be read: %s" % (where, copied.message), "clean the drive, or try another one")
    if not copied.bytes:
        raise Problem(
            "%s: there is nothing" % where, "is this the tape that was written, or was it overwritten elsewhere?"
        )
    if archive["bytes"] not in (None, copied.bytes):
        raise Problem("%s has %d bytes, and %d were written" % (where, copied.bytes, archive["bytes"]), "it is damaged")


def verify(settings: "Settings", args: "argparse.Namespace") -> "dict[str, Any]":
    """Read archives again, tape by tape, and compare them with the catalog; returns what was found."""
    catalog = Catalog(settings.catalog_dir)
    verified: "list[dict[str, Any]]" = []
    failed: "list[dict[str, Any]]" = []
    wanted = [
        archive
        for archive in catalog.archives()
        if archive["state"] in (catalogs.GOOD, catalogs.WRITTEN)
        and args.run in ("", archive["run"])
        and args.tape in ("", archive["tape"])
        and args.host in ("", archive["host"])
    ]
    for archive in sorted(wanted, key=lambda each: (each["tape"], each["file"])):
        entry = {key: archive[key] for key in ("run", "host", "set", "level", "tape", "file", "bytes")}
        began, found = time.monotonic(), {}
        try:
            with holding_of(settings, catalog, archive["tape"], archive, "verifying the archive") as holding:
                found = verify_one(settings, holding, archive)
            entry["elapsed"] = round(time.monotonic() - began, 1)
            verified.append(entry)
        except Problem as exc:
            failed.append(dict(entry, problem=str(exc)))
        with catalog.change(archive["tape"]) as tape:
            for each in tape["archives"]:
                if (each["file"], each["run"], each["host"]) == (archive["file"], archive["run"], archive["host"]):
                    # one whose host never reported, or that was found on its tape, is good now
                    each.update(found)
                    each["verified"] = {"time": now_iso(), "ok": bool(found)}
    return {"verified": verified, "failed": failed}


def verify_one(settings: "Settings", holding: "Holding", archive: "Archive") -> "dict[str, Any]":
    """Its length, its checksum, and whether tar can list it to its end; what is known of it now; raises Problem."""
    tee_in, tee_out = os.pipe()
    sum_in, sum_out = os.pipe()
    tar_in, tar_out = os.pipe()
    quiet = dict(os.environ, LC_ALL="C")
    children = []
    try:
        command = ["tee", "/proc/self/fd/%d" % sum_out]
        children.append(subprocess.Popen(command, stdin=tee_in, stdout=tar_out, pass_fds=[sum_out], env=quiet))
        children.append(subprocess.Popen(["sha256sum"], stdin=sum_in, stdout=subprocess.PIPE, env=quiet))
        command = ["tar", "--list", "--file=-", "--ignore-zeros"]
        children.append(
            subprocess.Popen(command, stdin=tar_in, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=quiet)
        )
        for fd in (tee_in, sum_in, sum_out, tar_in, tar_out):
            os.close(fd)
        copied = read(settings, holding, archive, tee_out)
        os.close(tee_out)
        tar_said = (children[2].communicate()[1] or b"").decode("utf-8", "replace").strip().splitlines()
        digest = (children[1].communicate()[0] or b"").decode("ascii", "replace").split(" ")[0]
        statuses = [child.wait() for child in children]
    except FileNotFoundError as exc:
        raise Problem("there is no %s on this host" % exc.filename) from None
    finally:
        for child in children:
            if child.poll() is None:
                child.kill()
                child.wait()
    check(archive["tape"], archive, copied)
    where = "tape %s, file %d" % (archive["tape"], archive["file"])
    if archive["sha256"] not in (None, digest):
        raise Problem(
            "%s: its SHA-256 is %s, and was %s at the source" % (where, digest, archive["sha256"]), "it is damaged"
        )
    if statuses[0] or statuses[1] or statuses[2]:
        said = tar_said[-1] if tar_said else "statuses %s" % statuses
        raise Problem("%s: tar cannot list it: %s" % (where, said), "its bytes are those that the source sent")
    sys.stderr.write("verified %s\n" % where)
    return {"state": catalogs.GOOD, "bytes": copied.bytes, "sha256": digest}
