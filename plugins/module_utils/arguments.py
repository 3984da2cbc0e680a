# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user types: the options of the command ``socketpipe``, and commands in braces.

OPTIONS is the one source of the options: of the parser, of --help and of the manual page.
"""

import argparse

from .plan import PlanError, parse_ports
from .words import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

VERSION = "0.1.0"  # of galaxy.yml; make release-check compares
OPEN, CLOSE = "{", "}"
DEAD_PEER = 120  # seconds
SYNOPSIS = "socketpipe [options] [-i { command }] -l { login } -r { command } [-o { command }]"


class Usage(ValueError):
    """A mistake on the command line; the text is one line that names the option."""


def seconds(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("%r is not a number of seconds" % text)
    return int(text)


def rate(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "%r is not a number of bytes a second, such as 500K, 10M or 1.5G" % text
        ) from None


def ports(text: str) -> "list[int]":
    try:
        return parse_ports(text)
    except PlanError as exc:
        raise argparse.ArgumentTypeError(str(exc).partition(": ")[2]) from None


# a command in braces: (short, long, what it is, text)
COMMANDS = [
    (
        "-i",
        "--input",
        "Run this command here; what it writes is what the remote command reads. It has the standard input that "
        "socketpipe was started with.",
    ),
    (
        "-l",
        "--login",
        "The command that runs a command line on the far side, such as ssh(1) with a host and its options, sudo(8), "
        "or docker exec -i. It is only used to start things: no byte of the stream goes through it. Its standard "
        "input carries socketpipe itself, so one that asks for a password must ask on the terminal, as ssh and "
        "sudo do.",
    ),
    (
        "-r",
        "--remote",
        "Run this command on the far side. Its words arrive there as they are: no shell looks at them. A command "
        "socketpipe is this program, which need not be installed there.",
    ),
    (
        "-o",
        "--output",
        "Run this command here; it reads what the remote command writes. It has the standard output that socketpipe "
        "was started with. Without it, the remote command writes to nobody: the first 64 KiB of that are in --stats.",
    ),
]

# the others: (short or "", long, name of the value or "", how to read it, text)
OPTIONS: "list[tuple[str, str, str, Any, str]]" = [
    (
        "-b",
        "--batch",
        "",
        None,
        "Ask nothing on the terminal: the login command and all others run in sessions of their own, so that "
        "socketpipe can be put in the background and is never stopped for reading (SIGTTIN).",
    ),
    (
        "-h",
        "--host",
        "HOST",
        str,
        "The name or address to dial: of this host as the far side sees it or, with --listen=remote, of the far side. "
        "Without it the far side tries the address that its ssh session came from and all addresses of this host. "
        "Several are separated by commas.",
    ),
    (
        "-t",
        "--timeout",
        "SECONDS",
        seconds,
        "How long to wait for the connection. 0, the default, waits for as long as the login command runs (a password "
        "may have to be typed), and then 30 seconds.",
    ),
    (
        "",
        "--listen",
        "WHO",
        ("local", "remote"),
        "Who is dialled: local, which is the default, or remote where this host cannot be reached (it needs -h).",
    ),
    ("", "--ports", "PORTS", ports, "The ports to listen on, such as 5000 or 5000-5010,6000; from 20000-32767."),
    (
        "",
        "--stall-timeout",
        "SECONDS",
        seconds,
        "Give up when no byte has moved for this long. Without it a sink may pause for as long as it likes.",
    ),
    (
        "",
        "--dead-peer",
        "SECONDS",
        seconds,
        "Give up when nothing, not even an answer to a probe, was heard from the other host for this long; 120, "
        "at least 6, 0 for never.",
    ),
    ("", "--rate-limit", "RATE", rate, "Send at most this many bytes a second, such as 500K, 10M or 1.5G."),
    (
        "",
        "--whole",
        "",
        None,
        "Fail if a command stops before the end of its input, whatever its exit status. Without it a command that "
        "exits with 0 has had enough, as head(1) in a pipeline of the shell.",
    ),
    (
        "",
        "--stats",
        "FILE",
        "optional",
        "When all is over write one line of JSON on standard error, or to a file (--stats=FILE): every exit status, "
        "byte count and cause of failure.",
    ),
    ("-q", "--quiet", "", None, "Show no progress, even if standard error is a terminal."),
    (
        "",
        "--python",
        "PYTHON",
        str,
        "The Python on the far side, 3.6 or later: python3 unless it has another name or place.",
    ),
    (
        "",
        "--plain",
        "",
        None,
        "For a far side that has the original socketpipe: see COMPATIBILITY for what is lost.",
    ),
    ("", "--help", "", None, "Show this help."),
    ("", "--manual", "", None, "Write the manual page, for man(1): socketpipe --manual | man -l -"),
    ("", "--version", "", None, "Show the version."),
]
DEFAULTS = {"timeout": 0, "listen": "local", "ports": [], "stall_timeout": 0, "dead_peer": DEAD_PEER, "rate_limit": 0}


class Parser(argparse.ArgumentParser):
    """argparse, but that a mistake is a Usage."""

    def error(self, message: str) -> "NoReturn":
        raise Usage(message.replace("argument ", "", 1).replace("unrecognized arguments", "no such option", 1))


def make_parser() -> Parser:
    parser = Parser(prog="socketpipe", usage=SYNOPSIS, add_help=False, allow_abbrev=False)
    for short, long, text in COMMANDS:
        parser.add_argument(short, long, metavar="{ command }", help=text)
    for short, long, metavar, read, text in OPTIONS:
        names = [name for name in (short, long) if name]
        default = DEFAULTS.get(long[2:].replace("-", "_"))
        if not metavar:
            parser.add_argument(*names, action="store_true", help=text)
        elif read == "optional":
            parser.add_argument(*names, nargs="?", const="", metavar=metavar, help=text)
        elif isinstance(read, tuple):
            parser.add_argument(*names, choices=read, default=default, help=text)
        else:
            parser.add_argument(*names, type=read, default=default, metavar=metavar, help=text)
    return parser


def take_braces(words: "list[str]") -> "tuple[list[str], dict[str, list[str]]]":
    """Words with each ``-i { … }`` taken out: (the others, {long name: its command}); raises Usage.

    Braces are words of their own and nest; those inside a command are its words.
    """
    names = {name: (short, long) for short, long, _text in COMMANDS for name in (short, long)}
    others: "list[str]" = []
    found: "dict[str, list[str]]" = {}
    rest = iter(words)
    for word in rest:
        if word not in names:
            others.append(word)
            continue
        short, long = names[word]
        if next(rest, None) != OPEN:
            raise Usage(
                "%s/%s: a command in braces must follow, each a word of its own: %s { command }" % (short, long, word)
            )
        command: "list[str]" = []
        depth = 1
        for inner in rest:
            depth += (inner == OPEN) - (inner == CLOSE)
            if depth == 0:
                break
            command.append(inner)
        if depth:
            raise Usage("%s/%s: its brace is never closed: a } of its own is missing" % (short, long))
        if not command or not command[0]:
            raise Usage("%s/%s: the command is empty" % (short, long))
        if long in found:
            raise Usage("%s/%s: given twice" % (short, long))
        found[long] = command
    return others, found


def parse(words: "list[str]") -> "argparse.Namespace":
    """The options of a command line, each command as a list of words or None; raises Usage."""
    others, commands = take_braces(words)
    options = make_parser().parse_args(others)
    for _short, long, _text in COMMANDS:
        setattr(options, long[2:], commands.get(long))
    if options.help or options.version or options.manual:
        return options
    for short, long, missing in (("-l", "login", "how to get there"), ("-r", "remote", "what to run there")):
        if getattr(options, long) is None:
            raise Usage("%s/--%s: is missing: %s" % (short, long, missing))
    if options.input is None and options.output is None:
        raise Usage("-i/--input, -o/--output: at least one of them must be given")
    if 0 < options.dead_peer < 6:
        raise Usage("--dead-peer: %d s is too short, give at least 6 or 0 for never" % options.dead_peer)
    if options.listen == "remote" and not options.host:
        raise Usage("--listen: remote needs -h/--host, the address of the far side")
    if options.host is not None and not all(options.host.split(",")):
        raise Usage("-h/--host: %r is not a name or an address" % options.host)
    return options
