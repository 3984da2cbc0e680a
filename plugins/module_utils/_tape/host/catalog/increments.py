# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Increments and their bases: the archives that a restore reads, and those that must be kept."""

import time

from ...common.problem import Problem
from . import records
from .catalog import order_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Archive, Tape


def chain(good: "list[Archive]") -> "list[Archive]":
    """The archives to restore, in order, for the state of the last one; each follows its base, even if that is lost."""
    found: "list[Archive]" = []
    wanted = good[-1] if good else None
    by_run = {archive["run"]: archive for archive in good}
    while wanted:
        found.insert(0, wanted)
        if wanted["level"] == 0:
            return found
        base = base_of(wanted, good, by_run)
        if base is None:
            raise Problem(
                "the archive of %s in run %s is based on that of %s, which is not in the catalog"
                % (wanted["host"], wanted["run"], "run " + wanted["base"] if wanted["base"] else "an unknown run"),
                "set an earlier restore_as_of, or recover the catalog of that tape with tape_inventory",
            )
        wanted = base
    return found


def base_of(archive: "Archive", others: "list[Archive]", by_run: "dict[str, Archive]") -> "Archive | None":
    """The base of an increment, from the archives of its host and set, oldest first; None if it is missing.

    An archive known only from its tape does not name its base, so this is the one that plan must have chosen.
    """
    if archive["base"]:
        base = by_run.get(archive["base"])
        return base if base and base["level"] < archive["level"] else None
    when = order_of(archive)
    return next(
        (each for each in reversed(others) if each["level"] < archive["level"] and order_of(each) < when),
        None,
    )


def complete(good: "list[Archive]") -> "list[Archive]":
    """The archives of a host and set whose bases all exist, oldest first.

    Of ``good``, some may be lost: an archive known only from its tape may be based on one of them, and then is not
    complete.
    """
    found: "list[Archive]" = []
    by_run: "dict[str, Archive]" = {}
    without: "set[int]" = set()  # those that are lost, or whose base is
    for archive in good:
        base = None if archive["level"] == 0 else base_of(archive, found, by_run)
        if archive["level"] == 0 or base:
            found.append(archive)
            if archive["state"] == records.LOST or id(base) in without:
                without.add(id(archive))
                by_run.setdefault(archive["run"], archive)
            else:
                by_run[archive["run"]] = archive
    return [archive for archive in found if id(archive) not in without]


def is_sound(archive: "Archive") -> bool:
    """Whether the archive is complete and undamaged, as far as is known."""
    verified = archive.get("verified", {"ok": True})["ok"]
    return bool(archive["state"] == records.GOOD and verified and not archive.get("incomplete"))


def groups_of(archives: "list[Archive]") -> "dict[tuple[str, str], list[Archive]]":
    """The whole archives of each host and set, in their order."""
    found: "dict[tuple[str, str], list[Archive]]" = {}
    for archive in archives:
        if archive["state"] in (records.GOOD, records.WRITTEN):
            found.setdefault((archive["host"], archive["set"]), []).append(archive)
    return found


def needed(
    archives: "list[Archive]", now: "float | None" = None, expire_last: bool = False
) -> "set[tuple[str, str, str]]":
    """The archives (run, host, set) to keep: those within their retention, and the bases of those.

    Also the last good one of each host and set, unless ``expire_last``.
    """
    moment = time.time() if now is None else now
    keep = set()
    for (host, name), group in groups_of(archives).items():
        by_run = {archive["run"]: archive for archive in group}
        good = [archive for archive in group if archive["state"] == records.GOOD]
        todo = [archive for archive in group if archive.get("keep_until", 0) > moment]
        if not expire_last:  # an archive that failed to verify may be good in another drive
            sound = [archive for archive in good if is_sound(archive)]
            todo += complete(good)[-1:] + complete(sound)[-1:]
        seen = set()
        while todo:
            archive = todo.pop()
            keep.add((archive["run"], host, name))
            if archive["level"] == 0:
                continue
            # if the base is not recorded: the last archive, and the last known to be good
            for base in (base_of(archive, group, by_run), base_of(archive, good, by_run)):
                if base and id(base) not in seen:
                    seen.add(id(base))
                    todo.append(base)
    return keep


def is_expired(tape: "Tape", keep: "set[tuple[str, str, str]]", run: str = "") -> bool:
    """Whether a tape has archives, and none of them must be kept; ``run``: the current run."""
    own = [archive for archive in tape["archives"] if archive["kind"] == records.ARCHIVE]
    if not own or any(archive["run"] == run for archive in own):
        return False
    whole = [archive for archive in own if archive["state"] in (records.GOOD, records.WRITTEN)]
    return not any((archive["run"], archive["host"], archive["set"]) in keep for archive in whole)


def only_last(archives: "list[Archive]") -> "set[tuple[str, str, str]]":
    """The archives that are kept only because they are the last good ones of their hosts."""
    return needed(archives) - needed(archives, expire_last=True)


def last(archives: "list[Archive]") -> "set[tuple[str, str, str]]":
    """The last good archives of their hosts and sets, with their bases, which do not expire by themselves."""
    return needed(archives, records.LATEST)


def key_of(archive: "Archive") -> "tuple[str, str, str]":
    """An archive in the results of needed() and kept_until()."""
    return archive["run"], archive["host"], archive["set"]


def kept_until(archives: "list[Archive]") -> "dict[tuple[str, str, str], float]":
    """When each archive, with the increments that depend on it, has expired; ``archives``: all, oldest first."""
    found: "dict[tuple[str, str, str], float]" = {}
    for group in groups_of(archives).values():
        by_run = {archive["run"]: archive for archive in group}
        good = [archive for archive in group if archive["state"] == records.GOOD]
        for archive in reversed(group):  # each one before its base
            key = key_of(archive)
            found[key] = max(found.get(key, 0), archive["keep_until"])
            for base in (base_of(archive, group, by_run), base_of(archive, good, by_run)) if archive["level"] else ():
                if base:
                    found[key_of(base)] = max(found.get(key_of(base), 0), found[key])
    return found


def hosts_on(tape: "Tape", which: "set[tuple[str, str, str]]") -> "list[str]":
    """The hosts of these archives (run, host, set) that are on a tape."""
    return sorted({each["host"] for each in tape["archives"] if (each["run"], each["host"], each["set"]) in which})
