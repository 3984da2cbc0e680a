# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The copy of another tape host's catalog, in generations: for a host of tape_catalog_hosts.

``keep --of HOST`` takes a tar archive of that host's catalog on standard input.  {tape_catalog_dir}-of-HOST is a
symbolic link to the newest generation, {tape_catalog_dir}-of-HOST.TIME beside it, and what is the same in two of them
is there once.  A catalog that knows less than the last copy is refused (kind "confirm"): it was lost, or an old one was
brought back, and the copy is what is needed now.  Answer: copy, generation, generations.

``import`` takes such an archive as this host's own catalog, which must have none.  Answer: catalog.
"""

import contextlib
import filecmp
import os
import re
import shutil
import subprocess
import time

from ...common import files, names
from ...common.problem import CONFIRM, NEWER, Problem
from ...common.process import Children
from ...common.units import STAMP, count, parse_time, some
from ..catalog import catalog as catalogs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from ..session import Session
    from ..settings import Settings

GENERATIONS = 10
LESS = (
    "was the catalog lost, or is it an old one? tape_inventory with tape_catalog_from, or with tape_rebuild, brings "
    "back what it lacks; if that is gone for good, set tape_accept_catalog once"
)


def keep(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """Take the catalog on standard input as the newest generation; raises Problem."""
    copy = "%s-of-%s" % (session.settings.catalog_dir, names.path(names.host(args.of)))
    if os.path.lexists(copy) and not os.path.islink(copy):
        raise Problem("%s is there and is no copy of a catalog" % copy, "move it out of the way")
    os.umask(0o077)
    part = "%s.%d.part" % (copy, os.getpid())
    try:
        receive(part)
        with files.locked(copy + ".lock"):
            compare(session.settings, args.of, copy, part)
            share(copy, part)
            generation = begin(copy, part)
            kept = expire(copy)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {"copy": copy, "generation": generation, "generations": kept}


def bring_back(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """Take the catalog on standard input as this host's; raises Problem."""
    top = session.settings.catalog_dir
    tapes, lists = os.path.join(top, "tapes"), os.path.join(top, "lists")
    if os.path.lexists(tapes):
        raise Problem(
            "%s has a catalog already" % top,
            "move %s out of the way if it is not the one that you want" % tapes,
            kind=CONFIRM,
        )
    os.umask(0o077)
    part = "%s.%d.part" % (top, os.getpid())
    try:
        receive(part)
        refuse_newer(catalogs.Catalog(part))
        files.make_folder(top)
        if os.path.isdir(os.path.join(part, "lists")):
            shutil.rmtree(lists, ignore_errors=True)
            os.rename(os.path.join(part, "lists"), lists)
        os.rename(os.path.join(part, "tapes"), tapes)  # they are what counts, so they come last, in one step
        files.sync_folder(top)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {"catalog": top}


def receive(folder: str) -> None:
    """Unpack standard input, all of it; raises Problem."""
    files.make_folder(folder)
    command = ["tar", "--extract", "--file=-", "--no-same-owner", "--no-same-permissions"]
    command.append("--directory=" + folder)
    with Children() as children:
        tar = children.start(command, stderr=subprocess.PIPE)
        said = tar.communicate()[1].decode("utf-8", "replace").strip().splitlines() or ["it has no tapes"]
    if tar.returncode or not os.path.isdir(os.path.join(folder, "tapes")):
        raise Problem("what came is no whole catalog (%s)" % said[0], "nothing was changed")
    for name in os.listdir(os.path.join(folder, "tapes")):  # the lists may be read again from tapes
        with open(os.path.join(folder, "tapes", name), "rb") as written:
            os.fsync(written.fileno())


def compare(settings: "Settings", host: str, copy: str, part: str) -> None:
    """Refuse a catalog that knows less than its last copy; raises Problem."""
    old, new = catalogs.Catalog(copy), catalogs.Catalog(part)
    for each in (old, new):
        refuse_newer(each)
    sent = new.tapes()
    tapes, archives = missing(old.tapes(), sent)
    tapes += sorted(set(old.damaged) - {tape["label"] for tape in sent} - set(new.damaged))  # nobody knows what it had
    if settings.accept_catalog or not (tapes or archives):
        return
    what = ["tape " + some(tapes) if len(tapes) == 1 else "the tapes " + some(tapes)] if tapes else []
    what += ["%s of tape %s" % (count(number, "archive"), label) for label, number in sorted(archives.items())]
    raise Problem(
        "the copy of %s's catalog knows %s, and the one that was sent does not: the copy stays as it is"
        % (host, some(what)),
        "; ".join(new.warnings() + [LESS]),
        kind=CONFIRM,
    )


def refuse_newer(catalog: "catalogs.Catalog") -> None:
    """Raises Problem for a catalog of which this version of the collection does not know all."""
    for each in catalog.index.all():
        if each.problem and each.problem.kind == NEWER:
            raise each.problem


def missing(old: "list[catalogs.Tape]", new: "list[catalogs.Tape]") -> "tuple[list[str], dict[str, int]]":
    """The tapes that only the old catalog knows, and of the others how many good archives."""
    by_id = {tape["id"]: tape for tape in new}
    former = {each for tape in new for each in tape.get("former", [])}  # what was labelled again
    tapes, archives = [], {}
    for tape in old:
        now = by_id.get(tape["id"])
        if now is None and tape["id"] not in former:
            tapes.append(tape["label"])
        elif now is not None and "relabelling" not in now:
            known = {name_of(each) for each in now["archives"] + now.get("lost", [])}
            good = [each for each in tape["archives"] if each["state"] == catalogs.GOOD]
            lost = sum(1 for each in good if name_of(each) not in known)
            if lost:
                archives[tape["label"]] = lost
    return tapes, archives


def name_of(archive: "catalogs.Archive") -> "tuple[int, str, str, str]":
    return (archive["file"], archive["run"], archive["host"], archive["set"])


def share(copy: str, part: str) -> None:
    """Link the lists of files that the last generation has, too: they never change."""
    for top, _folders, found in os.walk(os.path.join(part, "lists")):
        for name in found:
            new = os.path.join(top, name)
            old = os.path.join(copy, os.path.relpath(new, part))
            with contextlib.suppress(OSError):
                if not os.path.islink(old) and filecmp.cmp(old, new, shallow=False):
                    os.link(old, new + ".part")
                    os.rename(new + ".part", new)


def begin(copy: str, part: str) -> str:
    """Let what was received be the newest generation, in one step; returns its path."""
    last = [name for name in generations(copy) if not name.isdigit()][-1:]
    now = max([time.time()] + [parse_time(name) + 1 for name in last])  # also when the clock has gone backwards
    name = "%s.%s" % (copy, time.strftime(STAMP, time.gmtime(now)))
    link = "%s.link" % part
    os.rename(part, name)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(link)
    os.symlink(os.path.basename(name), link)
    os.rename(link, copy)
    files.sync_folder(os.path.dirname(copy))
    return name


def generations(copy: str) -> "list[str]":
    """The names behind the dot, the oldest first; the first version kept one, whose name is a number."""
    start = os.path.basename(copy) + "."
    found = [name[len(start) :] for name in os.listdir(os.path.dirname(copy)) if name.startswith(start)]
    numbers = [name for name in found if name.isdigit()]
    return numbers + sorted(name for name in found if re.match(r"\d{8}T\d{6}Z\Z", name))


def expire(copy: str) -> "list[str]":
    """Remove the oldest generations; returns those that are left."""
    found = generations(copy)
    for name in found[:-GENERATIONS]:
        shutil.rmtree("%s.%s" % (copy, name), ignore_errors=True)
    return found[-GENERATIONS:]
