# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies of another tape host's catalog in generations, on a host of tape_catalog_hosts.

``keep --of HOST`` reads a tar archive of that host's catalog from standard input.  {tape_catalog_dir}-of-HOST is a
symbolic link to the newest generation, {tape_catalog_dir}-of-HOST.TIME beside it; generations share equal files as hard
links.  A catalog with fewer entries than the last copy is refused (kind "confirm"), because it was lost or replaced by
an older one, and the copy is needed.  Answer: copy, generation, generations.

``import`` makes such an archive this host's own catalog, if it has none.  Answer: catalog.
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
from ..catalog import records, restores

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from typing import Any

    from ..session import Session
    from ..settings import Settings

GENERATIONS = 10
LESS = (
    "was the catalog lost, or is it an older one? To recover the entries, run tape_inventory with tape_catalog_from or "
    "tape_rebuild; if they are gone for good, set tape_accept_catalog once"
)


def keep(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """Store the catalog from standard input as the newest generation; raises Problem."""
    copy = "%s-of-%s" % (session.settings.catalog_dir, names.path(names.host(args.of)))
    if os.path.lexists(copy) and not os.path.islink(copy):
        raise Problem("%s exists, but is not a copy of a catalog" % copy, "move it away")
    with received(copy) as part, files.locked(copy + ".lock"):
        compare(session.settings, args.of, copy, part)
        share(copy, part)
        generation = begin(copy, part)
        kept = expire(copy)
    return {"copy": copy, "generation": generation, "generations": kept}


def bring_back(session: "Session", args: "argparse.Namespace") -> "dict[str, Any]":
    """Make the catalog from standard input that of this host; raises Problem."""
    top = session.settings.catalog_dir
    tapes, lists = os.path.join(top, "tapes"), os.path.join(top, "lists")
    if os.path.lexists(tapes):
        raise Problem(
            "%s already has a catalog" % top,
            "move %s away to replace it" % tapes,
            kind=CONFIRM,
        )
    with received(top) as part:
        refuse_newer(catalogs.Catalog(part))
        files.make_folder(top)
        if os.path.isdir(os.path.join(part, "lists")):
            shutil.rmtree(lists, ignore_errors=True)
            os.rename(os.path.join(part, "lists"), lists)
        if os.path.exists(restores.path(part)):
            os.rename(restores.path(part), restores.path(top))
        os.rename(os.path.join(part, "tapes"), tapes)  # these make the catalog valid, so they come last, in one step
        files.sync_folder(top)
    return {"catalog": top}


@contextlib.contextmanager
def received(target: str) -> "Iterator[str]":
    """A folder beside ``target`` with the catalog from standard input, removed at the end; raises Problem."""
    os.umask(0o077)
    part = "%s.%d.part" % (target, os.getpid())
    try:
        receive(part)
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def receive(folder: str) -> None:
    """Unpack all of standard input; raises Problem."""
    files.make_folder(folder)
    command = ["tar", "--extract", "--file=-", "--no-same-owner", "--no-same-permissions"]
    command.append("--directory=" + folder)
    with Children() as children:
        tar = children.start(command, stderr=subprocess.PIPE)
        said = tar.communicate()[1].decode("utf-8", "replace").strip().splitlines() or ["it has no tapes"]
    if tar.returncode or not os.path.isdir(os.path.join(folder, "tapes")):
        raise Problem("the received catalog is incomplete (%s)" % said[0], "nothing was changed")
    for name in os.listdir(os.path.join(folder, "tapes")):  # the lists can be read from tapes again
        with open(os.path.join(folder, "tapes", name), "rb") as written:
            os.fsync(written.fileno())


def compare(settings: "Settings", host: str, copy: str, part: str) -> None:
    """Raises Problem for a catalog that lacks entries of its last copy."""
    old, new = catalogs.Catalog(copy), catalogs.Catalog(part)
    for each in (old, new):
        refuse_newer(each)
    sent = new.tapes()
    tapes, archives = missing(old.tapes(), sent)
    tapes += sorted(set(old.damaged) - {tape["label"] for tape in sent} - set(new.damaged))  # its contents are unknown
    if settings.accept_catalog or not (tapes or archives):
        return
    what = ["tape " + some(tapes) if len(tapes) == 1 else "the tapes " + some(tapes)] if tapes else []
    what += ["%s of tape %s" % (count(number, "archive"), label) for label, number in sorted(archives.items())]
    raise Problem(
        "the copy of %s's catalog has %s, but the catalog that was sent does not: the copy was not changed"
        % (host, some(what)),
        "; ".join(new.warnings() + [LESS]),
        kind=CONFIRM,
    )


def refuse_newer(catalog: "catalogs.Catalog") -> None:
    """Raises Problem for a catalog with a format of a later version of the collection."""
    for each in catalog.index.all():
        if each.problem and each.problem.kind == NEWER:
            raise each.problem
    restores.load(catalog)


def missing(old: "list[records.Tape]", new: "list[records.Tape]") -> "tuple[list[str], dict[str, int]]":
    """The tapes that only the old catalog has, and the number of good archives missing on others."""
    by_id = {tape["id"]: tape for tape in new}
    former = {each for tape in new for each in tape.get("former", [])}  # tapes that were relabelled
    tapes, archives = [], {}
    for tape in old:
        now = by_id.get(tape["id"])
        if now is None and tape["id"] not in former:
            tapes.append(tape["label"])
        elif now is not None and "relabelling" not in now:
            known = {name_of(each) for each in now["archives"] + now.get("lost", [])}
            good = [each for each in tape["archives"] if each["state"] == records.GOOD]
            lost = sum(1 for each in good if name_of(each) not in known)
            if lost:
                archives[tape["label"]] = lost
    return tapes, archives


def name_of(archive: "records.Archive") -> "tuple[int, str, str, str]":
    return (archive["file"], archive["run"], archive["host"], archive["set"])


def share(copy: str, part: str) -> None:
    """Replace file lists by hard links to those of the last generation; they never change."""
    for top, _folders, found in os.walk(os.path.join(part, "lists")):
        for name in found:
            new = os.path.join(top, name)
            old = os.path.join(copy, os.path.relpath(new, part))
            with contextlib.suppress(OSError):
                if not os.path.islink(old) and filecmp.cmp(old, new, shallow=False):
                    os.link(old, new + ".part")
                    os.rename(new + ".part", new)


def begin(copy: str, part: str) -> str:
    """Make the received catalog the newest generation, in one step; returns its path."""
    last = [name for name in generations(copy) if not name.isdigit()][-1:]
    now = max([time.time()] + [parse_time(name) + 1 for name in last])  # even if the clock was set back
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
    """The names after the dot, oldest first; the first version had a single one, named by a number."""
    start = os.path.basename(copy) + "."
    found = [name[len(start) :] for name in os.listdir(os.path.dirname(copy)) if name.startswith(start)]
    numbers = [name for name in found if name.isdigit()]
    return numbers + sorted(name for name in found if re.match(r"\d{8}T\d{6}Z\Z", name))


def expire(copy: str) -> "list[str]":
    """Remove the oldest generations; returns the others."""
    found = generations(copy)
    for name in found[:-GENERATIONS]:
        shutil.rmtree("%s.%s" % (copy, name), ignore_errors=True)
    return found[-GENERATIONS:]
