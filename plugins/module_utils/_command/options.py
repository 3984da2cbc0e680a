# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the command ``socketpipe``, for the parser, --help and the manual page."""

from .._run.plan import parse_ports
from .._run.words import parse_congestion_control, parse_rate
from .values import encryption, hosts, name, seconds, side, silence, statuses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# in braces; takes no value; the value is optional, so only --stats=FILE
COMMAND, FLAG, FILE = "command", "flag", "file"


class Option:
    """One option.

    ``short`` may be "". ``follows`` is the placeholder of its value. ``read`` parses the value, or is COMMAND, FLAG or
    FILE. ``brief`` is for --help, "" for none; ``text`` is for the manual page. An ``optional`` value is joined to the
    name or missing.
    """

    def __init__(self, short: str, long: str, follows: str, read: "Any", brief: str, text: str):
        self.names = [name for name in (short, long) if name]
        self.title = "/".join(self.names)
        self.attribute = long[2:].replace("-", "_")
        self.long, self.follows, self.read, self.brief, self.text = long, follows, read, brief, text
        self.optional = read in (FILE, encryption)


OPTIONS = [
    Option(
        "-i",
        "--input",
        "{ command }",
        COMMAND,
        "local command whose output -r reads",
        "The input command. It runs on this host, and the remote command reads its output. It inherits the standard "
        "input of socketpipe.",
    ),
    Option(
        "-l",
        "--login",
        "{ command }",
        COMMAND,
        "command that leads to the far side: ssh HOST",
        "The login command, which leads to the far side, such as ssh with the name of a host. Any command works that "
        "runs a command line elsewhere: ssh(1) with its options, sudo(8), ip netns exec, docker exec -i. It only "
        "starts the remote command; no byte of the stream passes through it. Its standard input carries socketpipe "
        "itself, so a command that asks for a password must ask on the terminal, as ssh and sudo do. If its standard "
        "input does not reach the far side (ssh with -n or -f, or with a terminal), the login command runs a second "
        "time, with socketpipe in its command line. That command line may pass through only one shell, and has no room "
        "for a nested socketpipe.",
    ),
    Option(
        "-r",
        "--remote",
        "{ command }",
        COMMAND,
        "command on the far side, run without a shell",
        "The remote command. It runs on the far side. Its words are passed on unchanged, and no shell interprets them. "
        "Without -i its standard input is empty. If its first word is socketpipe, it runs this program, which need not "
        "be installed there.",
    ),
    Option(
        "-o",
        "--output",
        "{ command }",
        COMMAND,
        "local command that reads the output of -r",
        "The output command. It runs on this host and reads the output of the remote command. It inherits the standard "
        "output of socketpipe. Without -o nothing reads the output of the remote command, but --stats shows its first "
        "64 KiB.",
    ),
    Option(
        "-b",
        "--batch",
        "",
        FLAG,
        "run -l without a terminal, for background use",
        "Run the login command without a terminal. It then cannot ask for a password, and socketpipe can run in the "
        "background without being stopped for reading from the terminal (SIGTTIN). The input and output commands keep "
        "the terminal.",
    ),
    Option(
        "-h",
        "--host",
        "HOST",
        hosts,
        "dial this address, not the detected ones",
        "Dial this name or address instead of the detected addresses. It is an address of this host, as seen from the "
        "far side. With --listen=remote it is an address of the far side, as seen from this host. Separate several "
        "with commas. Without -h the far side tries the address that its ssh session came from, and all addresses of "
        "this host.",
    ),
    Option(
        "-t",
        "--timeout",
        "SECONDS",
        seconds,
        "time limit for the connection (0: no limit)",
        "Fail if the connection is not made within this time, which includes the login. With 0, the default, the login "
        "has no limit, because somebody may have to type a password, and the connection must be made within 30 seconds "
        "after it.",
    ),
    Option(
        "",
        "--listen",
        "WHO",
        side,
        "which side listens: local or remote",
        "Which side listens for the other: local, the default, or remote. Use remote if this host can reach the far "
        "side, but the far side cannot reach this host. It needs -h.",
    ),
    Option(
        "",
        "--ports",
        "PORTS",
        parse_ports,
        "ports to listen on: 5000-5010,6000",
        "Listen on one of these ports, such as 5000 or 5000-5010,6000. Without this option, listen on any port from "
        "20000 to 32767.",
    ),
    Option(
        "",
        "--stall-timeout",
        "SECONDS",
        seconds,
        "fail if no byte moves for this long",
        "Fail if no byte moves for this long. Without this option, a command may pause for any length of time.",
    ),
    Option(
        "",
        "--dead-peer",
        "SECONDS",
        silence,
        "fail if a host is silent for this long (120)",
        "Fail if the other host does not respond for this long, 120 by default. The kernel of a live host responds, "
        "however long its commands pause. It must be at least 6. Use 0 to disable it.",
    ),
    Option(
        "",
        "--rate-limit",
        "RATE",
        parse_rate,
        "maximum bytes a second: 500K, 10M",
        "Send at most this many bytes a second on each connection, such as 500K, 10M or 1.5G. Without this option, "
        "there is no limit.",
    ),
    Option(
        "",
        "--congestion-control",
        "NAME",
        parse_congestion_control,
        "",
        "The congestion control of TCP for each connection, such as cubic, bbr or reno. It counts for the host that "
        "sends. If its kernel does not have it, or not for this user, nothing is started. Without this option, the "
        "kernel decides (sysctl net.ipv4.tcp_congestion_control).",
    ),
    Option(
        "",
        "--live",
        "",
        FLAG,
        "let dd read data as it arrives",
        "Let dd read data as it arrives. Without this option, dd waits for whole blocks (see BUGS).",
    ),
    Option(
        "",
        "--full-reads",
        "",
        FLAG,
        "give every command whole blocks, not only dd",
        "Give every command whole blocks, not only dd. A read then waits for all the bytes it asked for, up to 1 MiB. "
        "Do not use this with commands that answer each other.",
    ),
    Option(
        "",
        "--whole",
        "",
        FLAG,
        "fail if a command stops before its input ends",
        "Fail if a command stops before the end of its input. Without this option, a command that exits with 0 may "
        "leave input unread, as head(1) does in a shell pipeline.",
    ),
    Option(
        "",
        "--encrypt",
        "HOW",
        encryption,
        "encrypt the data: required, kernel, relay",
        "Encrypt the data between the two hosts, also that of a remote socketpipe. With kernel, the kernels of both "
        "hosts encrypt (kernel TLS), and no byte passes through another process. Both need Linux 5.1 or later with the "
        "module tls; modprobe tls loads it. With relay, a process on each side speaks TLS, with keys for this run "
        "only. It needs openssl(1) on this host, and the ssl module of Python on both. With required, the default "
        "for HOW, it is the best way that both hosts have; at present that is relay. Without this option, the data is "
        "sent in clear. If encryption is not possible, nothing is started, and the message gives the reason.",
    ),
    Option(
        "",
        "--ok-rc",
        "COMMAND=STATUS,...",
        statuses,
        "exit statuses that mean success: input=0,1",
        "Exit statuses of a command that mean success, such as input=0,1. Without this option, only 0 does. The "
        "command is input, remote or output. The option can be given for each of them. GNU tar(1), for example, exits "
        "with 1 if a file changed while it was being read.",
    ),
    Option(
        "",
        "--stats",
        "FILE",
        FILE,
        "write the results as one line of JSON",
        "Write the results as one line of JSON to standard error, or to a file. This happens after a success and after "
        "a failure. The line has the exit status of each command, the bytes, rate and round trip time of each "
        "connection, and the first failure.",
    ),
    Option(
        "-q",
        "--quiet",
        "",
        FLAG,
        "show no progress line",
        "Show no progress line. Without this option, the line appears on standard error if that is a terminal and no "
        "output command writes to a terminal. It stops while no byte moves.",
    ),
    Option(
        "",
        "--python",
        "PYTHON",
        name,
        "run this Python on the far side, not python3",
        "Run this Python on the far side, not python3. It must be 3.6 or later.",
    ),
    Option(
        "",
        "--plain",
        "",
        FLAG,
        "use an original socketpipe on the far side",
        "Use an original socketpipe on the far side. Its protocol has no authentication and no checks. COMPATIBILITY "
        "lists the guarantees that are lost.",
    ),
    Option("", "--help", "", FLAG, "this help", "Show a summary of the options."),
    Option(
        "",
        "--manual",
        "",
        FLAG,
        "the manual, for man -l -",
        "Write the manual page. To read it: socketpipe --manual | man -l -",
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
    "congestion_control": "",
    "ok_rc": {},
    "encrypt": "none",
}
BY_NAME = {known: option for option in OPTIONS for known in option.names}
# not available with an original, whose protocol has one socket and no report
NOT_PLAIN = (
    *(
        "--listen",
        "--stall-timeout",
        "--dead-peer",
        "--rate-limit",
        "--congestion-control",
        "--whole",
        "--encrypt",
        "--stats",
        "--python",
    ),
)
