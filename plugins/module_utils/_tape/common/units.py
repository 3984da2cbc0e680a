# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times, durations and sizes, as people write and read them."""

import calendar
import re
import time

from .problem import SETTINGS, Problem

DURATIONS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
DAY = 86400
DAYS = {"d": 1, "day": 1, "w": 7, "week": 7, "mo": 31, "month": 31, "y": 366, "year": 366}  # rounded up
SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
LONGEST = 1000 * 366 * 86400  # seconds; much longer times cannot be represented as dates
LARGEST = 2**62  # bytes
STAMP = "%Y%m%dT%H%M%SZ"
ISO = "%Y-%m-%dT%H:%M:%SZ"


def parse_duration(text: object) -> int:
    """Seconds for 28d, 12h, 90m, 30s, 2w or a number of seconds; raises Problem."""
    match = re.match(r"([0-9]{1,12})([smhdw]?)\Z", str(text).strip())
    seconds = int(match.group(1)) * DURATIONS[match.group(2)] if match else 0
    if not match or seconds > LONGEST:
        raise Problem("%r is not a duration" % (text,), "write it as 28d, 12h, 90m or 30s, and at most 1000 years")
    return seconds


def parse_retention(text: object) -> int:
    """Seconds for 28d, 4w, 6mo, 1y, 6 months or 1y 6mo; m is refused, because it may mean minutes or months."""
    words = str(text).strip().lower()
    parts = re.findall(r"([0-9]{1,9})\s*([a-z]+)[\s,]*", words)
    whole = re.match(r"([0-9]{1,9}\s*[a-z]+[\s,]*)+\Z", words)
    units = [unit if unit in DAYS else unit.rstrip("s") for _number, unit in parts]
    if whole and all(unit in DAYS for unit in units):
        seconds = sum(int(number) * DAYS[unit] * DAY for (number, _unit), unit in zip(parts, units))
        if seconds <= LONGEST:
            return seconds
    hint = "it needs a unit of days or more, such as 28d, 4w, 6mo or 1y, and is at most 1000 years"
    months = re.match(r"([0-9]+)\s*m\Z", words)
    if months:
        hint = "for months write %smo; " % months.group(1) + hint
    elif words.isdigit():
        hint = "for days write %sd; " % words + hint
    raise Problem("%r is not a retention" % (text,), hint, kind=SETTINGS)


def parse_size(text: object) -> int:
    """Bytes for 256K, 2G, 2.5T (binary suffixes) or a number of bytes; raises Problem."""
    match = re.match(r"([0-9]{1,19})(\.[0-9]{1,9})?([KMGT]?)(?:i?B)?\Z", str(text).strip(), re.IGNORECASE)
    unit = SIZES[match.group(3).upper()] if match else 1
    size = int(match.group(1)) * unit + int(float(match.group(2) or 0) * unit) if match else 0
    if not match or size > LARGEST:
        raise Problem("%r is not a size" % (text,), "write it as 256K, 2G or 2.5T")
    return size


def say_size(count: "int | float") -> str:
    """A size for people, such as 1.5 GiB."""
    for suffix in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return "%.*f %s" % (0 if suffix == "B" else 1, count, suffix)
        count /= 1024.0
    return "%.1f TiB" % count


def say_duration(seconds: "int | float") -> str:
    """A duration for people, such as 1:09:40."""
    return "%d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


def count(number: int, thing: str) -> str:
    """A number with its noun, such as 1 archive or 2 archives."""
    return "%d %s%s" % (number, thing, "" if number == 1 else "s")


def some(names: "list[str]", most: int = 5) -> str:
    """The first names, and the number of the others."""
    more = ["%d more" % (len(names) - most)] if len(names) > most else []
    return ", ".join(names[:most] + more)


def now_iso() -> str:
    return iso(time.time())


def iso(seconds: float) -> str:
    return time.strftime(ISO, time.gmtime(seconds))


def parse_time(text: str) -> float:
    """Seconds since 1970 of a time in UTC: 2026-11-23T01:46:56Z, 2026-11-23 01:46, 2026-11-23 (its end), a run."""
    for form in (ISO, STAMP, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"):
        try:
            return calendar.timegm(time.strptime(text.strip(), form))
        except ValueError:
            continue
    try:
        return calendar.timegm(time.strptime(text.strip(), "%Y-%m-%d")) + 86400 - 1
    except ValueError:
        raise Problem("%r is not a time" % text, "write it in UTC as 2026-11-23 or 2026-11-23 01:46") from None
