# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes, rates and explanations for people."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Flow

NOTABLE = 0.1  # share of the time for which a link must have waited for a side to call that side slow
MOST = 2**63  # bytes, as the kernel counts them
LINES_MOST, LINE_MOST = 3, 300  # limits of a quoted standard error: lines, characters of each
# last lines that programs write after any failure, following the line with the reason
EPITAPHS = (
    r"\S*tar: (Error is not recoverable: exiting now|Exiting with failure status due to previous errors)$",
    r"\S*tar: Error exit delayed from previous errors",  # bsdtar
    r"\S*tar: Child (returned status|died with signal) \d+$",
    r"\S*tar: (Removing leading |Skipping to next header$)",
    r"\d+\+\d+ records (in|out)$",  # dd
    r"\d+ bytes( \(.*\))? (copied|transferred)\b",
    r"\d+ truncated records?$",
    r"\S*cpio: \d+ blocks?$|\d+ blocks?$",
    # Python; the exception follows, or several of a group
    r"[+| ]*(Exception Group )?Traceback \(most recent call last\):$|\[Previous line repeated \d+",
    r"[+|][-+| ]*( \d+ -+)?$|\"\"\"$",
    r"(The above exception was the direct cause of|During handling of the above exception, another)",
    r"summary: .* in .* - average of |mbuffer: warning: No controlling terminal ",
    r"bzip2: (Success|Inappropriate ioctl for device)$|perhaps it is corrupted\?",
    r"It is possible that the compressed file\(s\) have become corrupted\.$",  # bzip2
    r"You can use the (-tvv option|.bzip2recover. program) to",
    r"(data from undamaged sections of corrupted files|integrity of|attempt to recover)",
    r"Input file = .*, output file = ",
    r"\S*xz: Exit status|\(stdin\): +[\d.]+ %",  # a progress line of xz
    r"\S* *: *[\d.]+% .*=>",  # a progress line of zstd
)
# of a traceback of Python: a place, and the lines below it that are indented further (code, marks)
FRAME = r'(?m)^([ |]*)File "[^"\n]*", line \d+(?:,? in .*)?\r?$\n?(?:\1 .*\n?)*'
SUFFIXES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def size(count: "float | None") -> str:
    """ "12.4 GiB" for a number of bytes."""
    if count is None:
        return "? bytes"
    if count < 1024:
        return "%d byte%s" % (count, "" if count == 1 else "s")
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        count /= 1024.0
        if round(count, 1) < 1024 or unit == "TiB":
            break
    return "%.1f %s" % (count, unit)


def speed(rate: "float | None") -> str:
    """ "391.0 MiB/s" for bytes a second: in the units of sizes."""
    return "? MiB/s" if rate is None else "%s/s" % size(rate)


def clock(seconds: float) -> str:
    """ "1:02:03" """
    return "%d:%02d:%02d" % (seconds // 3600, seconds // 60 % 60, seconds % 60)


def forecast(count: int, expected: int, elapsed: float) -> "tuple[int, float | None]":
    """(percent of the expected bytes, seconds left at the average rate so far, None before the first byte)."""
    if count >= expected:
        return 100, 0.0
    return count * 100 // expected, elapsed * (expected - count) / count if count else None


def parse_size(text: str) -> int:
    """Bytes for "500", "64K", "10M", "1.5G" (binary suffixes, an optional B or iB); raises ValueError."""
    number = text.strip().upper()
    for ending in ("IB", "B"):
        if number.endswith(ending):
            number = number[: -len(ending)]
            break
    number = number.strip()
    suffix = number[-1:] if number[-1:] in "KMGT" else ""
    value = float(number[: len(number) - len(suffix)]) * SUFFIXES[suffix]
    if not 0 <= value < MOST:
        raise ValueError(text)
    return int(value)


def parse_rate(text: str) -> int:
    """Bytes a second, written as a size; raises ValueError with a sentence for the user."""
    try:
        return parse_size(text)
    except ValueError:
        raise ValueError("%r is not a number of bytes a second, such as 500K, 10M or 1.5G" % text) from None


def parse_congestion_control(text: str) -> str:
    """The name of a congestion control of Linux, "" for that of the kernel; raises ValueError with a sentence."""
    if len(text) > 15 or text.strip("abcdefghijklmnopqrstuvwxyz0123456789_"):  # TCP_CA_NAME_MAX
        raise ValueError("%r is not the name of a congestion control, such as cubic, bbr or reno" % text)
    return text


def printable(text: str) -> str:
    """A text from another host, with control and bidirectional characters escaped.

    A carriage return becomes a line end, so text that a terminal would overwrite is kept.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def explanation(stderr: str) -> str:
    """The lines of a standard error that give the reason: the last few that are no FRAME and match none of EPITAPHS."""
    import re  # slow to load, and only needed after a failure

    epitaph = re.compile("|".join(EPITAPHS))
    lines = [line.strip()[:LINE_MOST] for line in re.sub(FRAME, "", stderr).splitlines() if line.strip()]
    told = list(dict.fromkeys(line for line in lines if not epitaph.match(line)))
    return "; ".join(told[-LINES_MOST:] or lines[-1:])


def share(part: "float | None", whole: "float | None") -> "float | None":
    return None if part is None or not whole else min(1.0, part / whole)


def who_is_slow(flow: "Flow") -> str:
    """The side that a link waited for, and for how much of the time, from the writer's tcp_info; "" for neither.

    A link at its rate limit waits for neither side.
    """
    waited, elapsed = flow["waited"], flow["elapsed"]
    full = share(waited["receiver"], elapsed)
    idle = share(None if waited["busy"] is None else elapsed - waited["busy"], elapsed)
    if full is None or idle is None:
        return ""
    limit = flow.get("limit")
    if limit and elapsed and flow["moved"] / elapsed > 0.8 * limit:
        return "limited to %s by %s" % (speed(limit), flow.get("limit_name", "rate_limit"))
    if max(full, idle) < NOTABLE:
        return "the network is slow" if elapsed > 1 else ""
    if full >= idle:
        return "%s is slow (receive window full %d %% of the time)" % (flow["reader"], round(full * 100))
    return "%s is slow (nothing to send %d %% of the time)" % (flow["writer"], round(idle * 100))
