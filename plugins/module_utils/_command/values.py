# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers of the values of options; each raises ValueError with the reason."""

from .._run.plan import DEAD_PEER_LEAST

STAGES = ("--input", "--remote", "--output")
LONGEST = 10**9  # seconds: 30 years


def seconds(text: str) -> int:
    if not text.isdecimal() or int(text) > LONGEST:
        raise ValueError("%r is not a whole number of seconds from 0 to %d" % (text, LONGEST))
    return int(text)


def silence(text: str) -> int:
    if 0 < seconds(text) < DEAD_PEER_LEAST:
        raise ValueError("must be at least %d seconds, or 0 to disable it, not %s" % (DEAD_PEER_LEAST, text))
    return seconds(text)


def encryption(text: str) -> str:
    if text not in ("", "required", "kernel", "relay"):
        raise ValueError("%r is not one of required, kernel, relay" % text)
    return text or "required"


def side(text: str) -> str:
    if text not in ("local", "remote"):
        raise ValueError("%r is neither local nor remote" % text)
    return text


def name(text: str) -> str:
    if not text.strip():
        raise ValueError("the value is empty")
    return text


def hosts(text: str) -> str:
    if not all(part.strip() for part in text.split(",")):
        raise ValueError("%r is not a name or address, or several separated by commas" % text)
    return text


def statuses(text: str) -> "dict[str, list[int]]":
    command, equals, codes = text.partition("=")
    if "--" + command not in STAGES or not all(code.isdecimal() and int(code) < 256 for code in codes.split(",")):
        raise ValueError("%r does not name a command and its exit statuses, such as input=0,1" % text)
    return {command: [int(code) for code in codes.split(",")]}
