# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the command ``socketpipe``: the one source of the parser, of --help and of the manual page."""

from .._run.plan import DEAD_PEER_LEAST, PlanError, parse_ports
from .._run.words import parse_rate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COMMAND, FLAG, FILE = "command", "flag", "file"  # in braces; takes nothing; may be left out, so only as --stats=FILE
STAGES = ("--input", "--remote", "--output")
LONGEST = 10**9  # seconds that can be waited: 30 years


class Option:
    """One option: ``short`` may be "", ``follows`` names what it takes, ``read`` reads that or is one of the above.

    ``brief`` is for --help, ``text`` for the manual page.
    """

    def __init__(self, short: str, long: str, follows: str, read: "Any", brief: str, text: str):
        self.names = [name for name in (short, long) if name]
        self.title = "/".join(self.names)
        self.attribute = long[2:].replace("-", "_")
        self.long, self.follows, self.read, self.brief, self.text = long, follows, read, brief, text


# -- how a value is read; each raises ValueError with what is wrong with it


def seconds(text: str) -> int:
    if not text.isdecimal() or int(text) > LONGEST:
        raise ValueError("%r is not a number of seconds" % text)
    return int(text)


def silence(text: str) -> int:
    if 0 < seconds(text) < DEAD_PEER_LEAST:
        raise ValueError("%s s is too short, give at least %d, or 0 for never" % (text, DEAD_PEER_LEAST))
    return seconds(text)


def ports(text: str) -> "list[int]":
    try:
        return parse_ports(text)
    except PlanError as exc:
        raise ValueError(str(exc).partition(": ")[2]) from None


def side(text: str) -> str:
    if text not in ("local", "remote"):
        raise ValueError("%r is neither local nor remote" % text)
    return text


def name(text: str) -> str:
    if not text.strip():
        raise ValueError("it is empty")
    return text


def hosts(text: str) -> str:
    if not all(part.strip() for part in text.split(",")):
        raise ValueError("%r is not a name or an address, nor several with a comma between" % text)
    return text


def statuses(text: str) -> "dict[str, list[int]]":
    command, equals, codes = text.partition("=")
    if "--" + command not in STAGES or not all(code.isdecimal() and int(code) < 256 for code in codes.split(",")):
        raise ValueError("%r is not a command and exit statuses, such as input=0,1" % text)
    return {command: [int(code) for code in codes.split(",")]}


OPTIONS = [
    Option(
        "-i",
        "--input",
        "{ command }",
        COMMAND,
        "run this here: -r reads what it writes",
        "Run this command here: the remote command reads what it writes. It has the standard input that socketpipe "
        "was started with.",
    ),
    Option(
        "-l",
        "--login",
        "{ command }",
        COMMAND,
        "get to the far side with this: ssh HOST",
        "Run this command to get to the far side, such as ssh with the name of a host. Any command will do that runs "
        "a command line elsewhere: ssh(1) with its options, sudo(8), ip netns exec, docker exec -i. It only starts "
        "things: no byte of the stream goes through it. Its standard input carries socketpipe itself, so a command "
        "that asks for a password must ask on the terminal, as ssh and sudo do. If that does not get there (ssh with "
        "-n or -f, or with a terminal), the command is run a second time, with socketpipe in its command line. That "
        "goes through one shell at most, and has no room for a nested socketpipe.",
    ),
    Option(
        "-r",
        "--remote",
        "{ command }",
        COMMAND,
        "run this there, with no shell",
        "Run this command on the far side. Its words arrive there as they are: no shell looks at them. Without -i its "
        "standard input is empty. If its first word is socketpipe, that is this program, which need not be installed "
        "there.",
    ),
    Option(
        "-o",
        "--output",
        "{ command }",
        COMMAND,
        "run this here: it reads what -r writes",
        "Run this command here: it reads what the remote command writes. It has the standard output that socketpipe "
        "was started with. Without -o nobody reads what the remote command writes, but --stats shows its first 64 KiB.",
    ),
    Option(
        "-b",
        "--batch",
        "",
        FLAG,
        "take the terminal from -l, for the background",
        "Run the login command without a terminal. It cannot ask for anything then, and socketpipe can be put into the "
        "background without being stopped for reading (SIGTTIN). The input and output commands keep the terminal.",
    ),
    Option(
        "-h",
        "--host",
        "HOST",
        hosts,
        "dial this address, not those found",
        "Dial this name or address, instead of those found. It is that of this host, as the far side sees it or, with "
        "--listen=remote, that of the far side. Several have commas between them. Without it the far side tries the "
        "address that its ssh session came from, and all addresses of this host.",
    ),
    Option(
        "-t",
        "--timeout",
        "SECONDS",
        seconds,
        "wait no longer for the connection (0: no limit)",
        "Wait no longer than this for the connection. The time to log in counts. With 0, the default, that may take "
        "as long as it likes (somebody may have to type a password), and 30 seconds begin when it is done.",
    ),
    Option(
        "",
        "--listen",
        "WHO",
        side,
        "who is dialled: local or remote",
        "Who is dialled: local, the default, or remote. With remote the far side is dialled, for where it can be "
        "reached and this host cannot. That needs -h.",
    ),
    Option(
        "",
        "--ports",
        "PORTS",
        ports,
        "listen on one of these: 5000-5010,6000",
        "Listen on one of these ports, such as 5000 or 5000-5010,6000. Without it on any from 20000 to 32767.",
    ),
    Option(
        "",
        "--stall-timeout",
        "SECONDS",
        seconds,
        "give up when no byte has moved for so long",
        "Give up when no byte has moved for so long. Without it a command may pause for as long as it likes.",
    ),
    Option(
        "",
        "--dead-peer",
        "SECONDS",
        silence,
        "give up on a host silent for so long (120)",
        "Give up when the other host was silent for so long, 120 by default. A host that is up answers the kernel of "
        "the other, however long its commands pause. At least 6, or 0 for never.",
    ),
    Option(
        "",
        "--rate-limit",
        "RATE",
        parse_rate,
        "bytes a second at most: 500K, 10M",
        "Send at most so many bytes a second, such as 500K, 10M or 1.5G. It holds for each connection.",
    ),
    Option(
        "",
        "--live",
        "",
        FLAG,
        "let dd read each piece as it comes",
        "Let dd read each piece as it comes. Without it dd waits for the whole of a block (see BUGS).",
    ),
    Option(
        "",
        "--full-reads",
        "",
        FLAG,
        "give every command whole blocks, as dd has them",
        "Let every command read whole blocks, not only dd. A read then waits for as much as it has asked for, up to "
        "1 MiB, so this is not for commands that answer each other.",
    ),
    Option(
        "",
        "--whole",
        "",
        FLAG,
        "fail if a command stops before its input ends",
        "Fail if a command stops before the end of its input. Without it a command that exits with 0 has had enough, "
        "as head(1) in a pipeline of the shell.",
    ),
    Option(
        "",
        "--ok-rc",
        "COMMAND=STATUS,...",
        statuses,
        "statuses that are no failure: input=0,1",
        "Take these exit statuses of a command for success, such as input=0,1. The command is input, remote or output; "
        "the option may be given for each. GNU tar(1), for example, exits with 1 when a file has changed while it was "
        "read.",
    ),
    Option(
        "",
        "--stats",
        "FILE",
        FILE,
        "write a line of JSON when all is over",
        "Write a line of JSON to standard error, or to a file. It comes when all is over, however it went: every exit "
        "status, the bytes, rate and round trip time of each connection, and what failed first.",
    ),
    Option(
        "-q",
        "--quiet",
        "",
        FLAG,
        "show no progress",
        "Show no progress. It is shown on standard error only if that is a terminal and no output command writes to "
        "one. It stands still while no byte moves.",
    ),
    Option(
        "",
        "--python",
        "PYTHON",
        name,
        "run this Python there, not python3",
        "Run this Python on the far side, not python3. It must be 3.6 or later.",
    ),
    Option(
        "",
        "--plain",
        "",
        FLAG,
        "drive an original socketpipe there",
        "Drive an original socketpipe on the far side. Its protocol proves and checks nothing: COMPATIBILITY says "
        "what is lost.",
    ),
    Option("", "--help", "", FLAG, "this", "Show this help."),
    Option(
        "",
        "--manual",
        "",
        FLAG,
        "all of it, for man -l -",
        "Write the manual page: socketpipe --manual | man -l -",
    ),
    Option("", "--version", "", FLAG, "the version", "Show the version."),
]
DEFAULTS = {
    "timeout": 0,
    "listen": "local",
    "ports": [],
    "stall_timeout": 0,
    "dead_peer": 120,
    "rate_limit": 0,
    "ok_rc": {},
}
BY_NAME = {known: option for option in OPTIONS for known in option.names}
# what one socket without a report cannot do, nor the original on the far side
NOT_PLAIN = ("--listen", "--stall-timeout", "--dead-peer", "--rate-limit", "--whole", "--stats", "--python")
