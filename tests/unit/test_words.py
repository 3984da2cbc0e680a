# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers in words."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.words import (
    clock,
    explanation,
    parse_congestion_control,
    parse_rate,
    parse_size,
    printable,
    share,
    size,
    speed,
    who_is_slow,
)

GIGA = 1024.0**3


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "? bytes"),
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (12.4 * GIGA, "12.4 GiB"),
        (1024**4, "1.0 TiB"),
        (5000 * 1024**4, "5000.0 TiB"),
    ],
)
def test_size(count: float | None, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, "? MiB/s"),
        (0, "0 bytes/s"),
        (1023, "1023 bytes/s"),
        (1024, "1.0 KiB/s"),
        (410e6, "391.0 MiB/s"),
        (2.5 * 2**30, "2.5 GiB/s"),
    ],
)
def test_speed(rate: float | None, text: str) -> None:
    assert speed(rate) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("64K", 65536),
        ("64k", 65536),
        ("64 KB", 65536),
        ("64KiB", 65536),
        ("10M", 10 * 1024**2),
        ("1.5G", 1536 * 1024**2),
        (" 2T ", 2 * 1024**4),
        (str(2**62), 2**62),
    ],
)
def test_parse_size(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    "text",
    [str(2**63), "", "K", "B", "iB", "-1", "-1K", "ten", "1X", "1KM", "inf", "nan", "1e999", "0x10"]
    + ["1e307T", "8388608T"],  # more than the kernel can count
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError):
        parse_size(text)


BZIP2 = """\

It is possible that the compressed file(s) have become corrupted.
You can use the -tvv option to test integrity of such files.

You can use the `bzip2recover' program to attempt to recover
data from undamaged sections of corrupted files.

"""


# as GNU tar 1.34, bsdtar 3.6, coreutils 9.1, xz 5.4, zstd 1.5, gzip 1.12, bzip2 1.0.8 and mbuffer write it
@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        ("", ""),
        ("\n \n", ""),
        ("one", "one"),
        ("one\n  two  \n\n", "one; two"),
        ("one\ntwo\nthree\nfour\n", "two; three; four"),
        ("same\nsame\nsame\nother\n", "same; other"),
        ("x" * 1000, "x" * 300),
        (
            "tar: Exiting with failure status due to previous errors\n",
            "tar: Exiting with failure status due to previous errors",
        ),
        (
            "tar: Removing leading `/' from member names\ntar: /srv/www: Cannot stat: No such file or directory\n"
            "tar: Exiting with failure status due to previous errors\n",
            "tar: /srv/www: Cannot stat: No such file or directory",
        ),
        (
            "/bin/tar: Unexpected EOF in archive\n/bin/tar: Unexpected EOF in archive\n"
            "/bin/tar: Error is not recoverable: exiting now\n",
            "/bin/tar: Unexpected EOF in archive",
        ),
        (
            "xz: (stdin): Unexpected end of input\ntar: Child returned status 1\n"
            "tar: Error is not recoverable: exiting now\n",
            "xz: (stdin): Unexpected end of input",
        ),
        (
            "tar: This does not look like a tar archive\ntar: Skipping to next header\n"
            "tar: Exiting with failure status due to previous errors\n",
            "tar: This does not look like a tar archive",
        ),
        ("bsdtar: x: Cannot stat\nbsdtar: Error exit delayed from previous errors.\n", "bsdtar: x: Cannot stat"),
        (
            "dd: error writing '/dev/nst0': No space left on device\n123+4 records in\n122+0 records out\n"
            "7995392 bytes (8.0 MB, 7.6 MiB) copied, 0.5 s, 16 MB/s\n",
            "dd: error writing '/dev/nst0': No space left on device",
        ),
        ("gzip: stdout: No space left on device\n", "gzip: stdout: No space left on device"),
        ('Traceback (most recent call last):\n  File "/x.py", line 5, in <module>\nKeyError: 1\n', "KeyError: 1"),
        ('File "/x.conf", line 3: unknown option\n  a hint\n', 'File "/x.conf", line 3: unknown option; a hint'),
        (
            '  + Exception Group Traceback (most recent call last):\n  |   File "/x.py", line 1, in <module>\n'
            "  |     raise many\n  | ExceptionGroup: many (2 sub-exceptions)\n"
            "  +-+---------------- 1 ----------------\n"
            "    | ValueError: 1\n    +---------------- 2 ----------------\n    | ValueError: 2\n"
            "    +------------------------------------\n",
            "| ExceptionGroup: many (2 sub-exceptions); | ValueError: 1; | ValueError: 2",
        ),
        (
            '"""\nTraceback (most recent call last):\n  File "/x.py", line 1, in f\nKeyError: 1\n"""\n\n'
            "The above exception was the direct cause of the following exception:\n\n"
            'Traceback (most recent call last):\n  File "/x.py", line 7, in <module>\nValueError: 2\n',
            "KeyError: 1; ValueError: 2",
        ),
        (
            'Traceback (most recent call last):\n  File "/x.py", line 5, in <module>\n    f(f)[1]\n    ~~~~^^^\n'
            '  File "/x.py", line 1, in f\n    f(f)\n  [Previous line repeated 994 more times]\nKeyError: 1\n',
            "KeyError: 1",
        ),
        (
            '  File "/x.py", line 2\n    x = (\n        ^\nSyntaxError: never closed\n  see above',
            "SyntaxError: never closed; see above",
        ),
        (
            "zstd: error 70 : Write error : cannot write block : No space left on device\n",
            "zstd: error 70 : Write error : cannot write block : No space left on device",
        ),
        (
            "bzip2: Compressed file ends unexpectedly;\n\tperhaps it is corrupted?  *Possible* reason follows.\n"
            "bzip2: Success\n\tInput file = (stdin), output file = (stdout)\n" + BZIP2,
            "bzip2: Compressed file ends unexpectedly;",
        ),
        (
            "mbuffer: warning: No controlling terminal and no autoloader command specified.\n"
            "mbuffer: error: outputThread: error writing to /dev/nst0 at offset 0x0: No space left on device\n"
            "summary:  292 kiByte in  0.0sec - average of 78.9 MiB/s\n",
            "mbuffer: error: outputThread: error writing to /dev/nst0 at offset 0x0: No space left on device",
        ),
    ],
)
def test_explanation(stderr: str, told: str) -> None:
    assert explanation(stderr) == told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tar: é → 💩: tab\there\n", "tar: é → 💩: tab\there\n"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("\x1b]0;title\x07\x1b[2J", "\\x1b]0;title\\x07\\x1b[2J"),
        ("\x00\x7f\x9b1m", "\\x00\\x7f\\x9b1m"),
        ("a\u202eb\u2066c\u2028d", "a\\u202eb\\u2066c\\u2028d"),
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("part", "whole", "result"),
    [(None, 1.0, None), (1.0, None, None), (1.0, 0.0, None), (1.0, 2.0, 0.5), (3.0, 2.0, 1.0), (0.0, 2.0, 0.0)],
)
def test_share(part: float | None, whole: float | None, result: float | None) -> None:
    assert share(part, whole) == result


@pytest.mark.parametrize(
    ("receiver", "busy", "elapsed", "text"),
    [
        (8.3, 10.0, 10.0, "sink is slow (receive window full 83 % of the time)"),
        (0.0, 4.0, 10.0, "source is slow (nothing to send 60 % of the time)"),
        (3.0, 9.0, 10.0, "sink is slow (receive window full 30 % of the time)"),
        (0.0, 10.0, 10.0, "the network is slow"),
        (0.0, 0.5, 0.5, ""),
        (None, 10.0, 10.0, ""),
        (0.0, None, 10.0, ""),
        (None, None, 10.0, ""),
        (0.0, 0.0, 0.0, ""),
        (12.0, 12.0, 10.0, "sink is slow (receive window full 100 % of the time)"),
        (1.0, 10.0, 10.0, "sink is slow (receive window full 10 % of the time)"),
        (0.99, 9.01, 10.0, "the network is slow"),
        (4.0, 6.0, 10.0, "sink is slow (receive window full 40 % of the time)"),
        (0.0, 1.0, 1.0, ""),
        (0.0, 1.01, 1.01, "the network is slow"),
    ],
)
def test_who_is_slow(receiver: Any, busy: Any, elapsed: float, text: str) -> None:
    waited = {"receiver": receiver, "busy": busy, "buffer": 0.0}
    link = {"waited": waited, "elapsed": elapsed, "reader": "sink", "writer": "source"}
    assert who_is_slow(link) == text


@pytest.mark.parametrize(
    ("limit", "elapsed", "more", "text"),
    [
        (1024, 10.0, {}, "limited to 1.0 KiB/s by rate_limit"),
        (1024, 10.0, {"limit_name": "tape_rate_limit"}, "limited to 1.0 KiB/s by tape_rate_limit"),
        (1280, 10.0, {}, "the network is slow"),  # it has moved 0.8 of that
        (0, 10.0, {}, "the network is slow"),
        (1024, 0.0, {}, ""),
    ],
)
def test_a_link_at_its_limit(limit: int, elapsed: float, more: dict[str, Any], text: str) -> None:
    link: Any = {"waited": {"receiver": 0.0, "busy": elapsed}, "elapsed": elapsed, "moved": 10240, "limit": limit}
    assert who_is_slow({**link, **more}) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00:00"), (59.9, "0:00:59"), (3599, "0:59:59"), (3723, "1:02:03"), (360000, "100:00:00")],
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_a_rate_is_refused_with_a_sentence() -> None:
    assert parse_rate("1K") == 1024
    with pytest.raises(ValueError, match="^'fast' is not a number of bytes a second, such as 500K, 10M or 1.5G$"):
        parse_rate("fast")


@pytest.mark.parametrize("text", ["", "bbr", "x_9" * 5])
def test_congestion_control(text: str) -> None:
    assert parse_congestion_control(text) == text


@pytest.mark.parametrize("text", ["x" * 16, "BBR", "a b", "\u00e9"])
def test_what_is_no_congestion_control(text: str) -> None:
    with pytest.raises(ValueError, match=" is not the name of a congestion control, such as cubic, bbr or reno$"):
        parse_congestion_control(text)
