# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual page of the command, and its help: both from the options in arguments and the text here."""

import textwrap

from .arguments import COMMANDS, OPTIONS, SYNOPSIS, VERSION

DATE = "2026-11-22"  # of the last change of the text
WIDTH = 79  # columns of the help

DESCRIPTION = [
    "socketpipe runs one command on the far side, which the login command leads to, and one or two here, and joins "
    "them by direct TCP connections: what the input command writes is what the remote command reads, and what the "
    "remote command writes is what the output command reads. No byte of the stream goes through the login command or "
    "through socketpipe: the sockets are the commands' own standard input and output.",
    "The far side needs Linux and Python 3.6 or later, and nothing else: socketpipe sends itself through the standard "
    "input of the login command. No file is written there.",
    "Braces are words of their own, and nest: a remote command may be socketpipe again, with a login command that "
    "leads one host further. It need not be installed there either.",
    "A command sees the end of its input only if the command before it has exited with 0 and every byte has arrived. "
    "Whatever else happens, here, there or between, it sees an error instead (ECONNRESET), so that what is truncated "
    "is never taken for complete; and nothing that was started is left running. A connection is taken only from the "
    "other end of this run, which proves that it knows a secret that went through the login command. The stream "
    "itself is neither encrypted nor authenticated: use it on networks that you trust.",
]

EXIT_STATUS = [
    ("0", "Every command was successful, and every byte has arrived."),
    ("1", "The command line was wrong, if nothing was started: the message names the option."),
    ("2", "Something failed, but not the last command: the message says what."),
    (
        "other",
        "That of the last command, which is the output command or, without one, the remote command; 128 + n if "
        "signal n has ended it. A last command that exits with 1 or 2 looks like the above; --stats tells them apart.",
    ),
]

# the original's, in its order
EXAMPLES = [
    (
        "Back this host up to the tape drive of another:",
        "socketpipe -b -i { tar cf - / } -l { ssh remotehost } -r { dd of=/dev/st0 bs=32k }",
    ),
    (
        "Restore a directory from there:",
        "socketpipe -b -l { ssh remotehost } -r { dd if=/dev/st0 bs=32k } -o { tar xpf - /home/luser }",
    ),
    (
        "Back this host up to its own tape drive, and let another compress the data:",
        "socketpipe -b -i { tar cf - / } -l { ssh remotehost } -r { bzip2 -c } -o { dd of=/dev/st0 bs=32k }",
    ),
    (
        "From here through one host to the next, which only that one can reach:",
        "socketpipe -b -i { tar cf - / } -l { ssh middle } -r { socketpipe -b -i { cat } -l { ssh behind } "
        "-r { dd of=/dev/st0 bs=32k } }",
    ),
]

COMPATIBILITY = [
    "The command line is that of socketpipe 1.10. What differs: the words of the remote command reach it unharmed, "
    "while the original's are seen by a shell on the far side, if the login command is ssh; failures of any command "
    "are failures, not only those of the last; and an option that is given twice is a mistake.",
    "An original calls its far side as socketpipe -s host port command. This is understood: with this program in its "
    "place, the original works as before. The other way round, --plain drives an original on the far side. The words "
    "of the remote command are then passed on as the original does, and without -h a shell on the far side must know "
    "SSH_CLIENT.",
    "In both cases one socket serves both directions, and nobody proves anything: a death on the original's side looks "
    "like an end of file, whoever connects first is taken, and neither --stats nor time limits but -t apply. Without "
    "-s or --plain no such connection is ever accepted.",
]

BUGS = [
    "A program that reads less from its standard input than it has asked for, as sockets may give, works as from a "
    "file: a read returns with as much as was asked for, up to 1 MiB or to what net.ipv4.tcp_rmem allows, unless the "
    "input has ended. The commands of one host need no care at all.",
    "A command that must read its own terminal cannot do so on the far side.",
]


def version() -> str:
    return "socketpipe %s\n" % VERSION


def commands() -> "list[tuple[list[str], str, str]]":
    """[(its names, what follows them, text)] for all options, in their order."""
    first = [([short, long], "{ command }", text) for short, long, text in COMMANDS]
    for short, long, value, read, text in OPTIONS:
        metavar = "[=%s]" % value if read == "optional" else "|".join(read) if isinstance(read, tuple) else value
        first.append(([name for name in (short, long) if name], metavar, text))
    return first


def usage() -> str:
    """What --help shows."""
    lines = ["usage: " + SYNOPSIS, ""]
    for names, value, text in commands():
        joint = "" if value.startswith("[") else " "
        lines.append("  " + ", ".join(names) + (joint + value if value else ""))
        lines += textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines + ["", "The manual page: socketpipe --manual | man -l -", ""])


# -- the manual page, in the macros of man(7)


def escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def paragraphs(texts: "list[str]") -> "list[str]":
    lines = []
    for number, text in enumerate(texts):
        lines += [".PP"] if number else []
        lines += sentences(text)
    return lines


def sentences(text: str) -> "list[str]":
    """A sentence a line, as roff wants them, none very long."""
    found = []
    for sentence in text.replace(". ", ".\n").split("\n"):
        found += [escape(line) for line in textwrap.wrap(sentence, WIDTH, break_on_hyphens=False)]
    return found


def tagged(names: "list[str]", value: str) -> str:
    shown = ", ".join("\\fB%s\\fR" % escape(name) for name in names)
    if not value:
        return shown
    optional = value.startswith("[")
    return shown + ("" if optional else " ") + "\\fI%s\\fR" % escape(value)


def page() -> str:
    """The manual page, for man(1)."""
    lines = ['.TH SOCKETPIPE 1 %s "plumbing.socketpipe %s" "User Commands"' % (DATE, VERSION)]
    lines += [".SH NAME", "socketpipe \\- zero overhead remote process plumbing"]
    lines += [".SH SYNOPSIS", ".B socketpipe", "[\\fIoptions\\fR]", "[\\fB\\-i\\fR { \\fIcommand\\fR }]"]
    lines += [
        "\\fB\\-l\\fR { \\fIlogin\\fR }",
        "\\fB\\-r\\fR { \\fIcommand\\fR }",
        "[\\fB\\-o\\fR { \\fIcommand\\fR }]",
    ]
    lines += [".br", ".B socketpipe \\-s", ".I host port command", "[\\fIargument\\fR ...]"]
    lines += [".SH DESCRIPTION"] + paragraphs(DESCRIPTION)
    lines += [".SH OPTIONS", "At least one of \\fB\\-i\\fR and \\fB\\-o\\fR must be given."]
    for names, value, text in commands():
        lines += [".TP", tagged(names, value)] + sentences(text)
    lines += [".SH EXIT STATUS"]
    for status, text in EXIT_STATUS:
        lines += [".TP", ".B " + status] + sentences(text)
    lines += [".SH EXAMPLES"]
    for number, (text, command) in enumerate(EXAMPLES):
        lines += ([".PP"] if number else []) + sentences(text)
        parts = textwrap.wrap(command, WIDTH - 14, break_on_hyphens=False, subsequent_indent="    ")
        lines += [".PP", ".nf", ".RS"] + [escape(part) for part in " \\\n".join(parts).split("\n")] + [".RE", ".fi"]
    lines += [".SH COMPATIBILITY"] + paragraphs(COMPATIBILITY)
    lines += [".SH BUGS"] + paragraphs(BUGS)
    lines += [".SH SEE ALSO"]
    see = ["dd", "nc", "ssh", "tar"]
    lines += [".BR %s (1)%s" % (name, "," if name != see[-1] else "") for name in see]
    return "\n".join(lines) + "\n"
