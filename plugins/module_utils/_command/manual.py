# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manual page of the command and its --help, from the options and the texts in this file."""

import textwrap

from .options import OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

VERSION = "1.0.0-rc.1"  # as in galaxy.yml, which make release-check compares
DATE = "2026-11-26"  # when the text last changed
WIDTH = 79  # columns of the help
COLUMN = 31  # where the descriptions begin
ABOUT = ("--help", "--manual", "--version")  # the last options, on one line
SOURCE = 64  # columns of a source line of the manual page, without the macros
SYNOPSIS = [
    "[options]",
    "[-i { command }]",
    "-l { command }",
    "-r { command }",
    "[-o { command }]",
]

DESCRIPTION = [
    "socketpipe runs one command on the far side, which the login command leads to, and one or two commands here. It "
    "joins them by direct TCP connections: the remote command reads the output of the input command, and the output "
    "command reads the output of the remote command. No data goes through the login command or through socketpipe. "
    "The connections are the commands' own standard input and output.",
    "The far side needs only Linux and Python 3.6 or later. socketpipe sends itself through the standard input of the "
    "login command. It writes no file there.",
    "Each brace is a separate word. Braces within a command belong to that command and must be balanced. So a remote "
    "command may itself be socketpipe, with a login command that leads one host further. socketpipe need not be "
    "installed there either.",
    "A command sees the end of its input only if the command before it has succeeded and every byte has arrived. "
    "After any failure, here, there or in between, it gets a read error (ECONNRESET) instead. So an incomplete stream "
    "is never taken for a complete one. No process that socketpipe started is left running. It accepts connections "
    "only from the other side of this run, which proves that it knows a secret sent through the login command.",
    "Without --encrypt the data itself is neither encrypted nor protected against change. Use that on networks that "
    "you trust.",
]

EXIT_STATUS = [
    ("0", "Every command succeeded, and every byte arrived."),
    ("1", "The command line was wrong and nothing was started. The message names the option."),
    ("2", "The first failure was not that of the last command. The message names it."),
    (
        "other",
        "The first failure was that of the last command, and this is its exit status, or 128 + n if signal n ended it. "
        "The last command is the output command or, without one, the remote command. If it exits with 1 or 2 itself, "
        "check cause in --stats.",
    ),
    (
        "128 + n",
        "Signal n ended socketpipe. SIGINT (Ctrl-C), SIGTERM and SIGHUP stop both sides, and the output command gets a "
        "read error, not the end of its input.",
    ),
]

# first the three of the original, in its order
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
        "Back this host up to its own tape drive, but compress the data on another host with a faster processor:",
        "socketpipe -b -i { tar cf - / } -l { ssh remotehost } -r { bzip2 -c } -o { dd of=/dev/st0 bs=32k }",
    ),
    (
        "Back this host up to a host that only the middle host can reach:",
        "socketpipe -b -i { tar cf - / } -l { ssh middle } "
        "-r { socketpipe -b -i { cat } -l { ssh behind } -r { dd of=/dev/st0 bs=32k } }",
    ),
    (
        "Read files there that only root may read, and record the results:",
        "socketpipe --stats=backup.json -l { ssh remotehost sudo -n } -r { tar cf - /home } -o { dd of=home.tar }",
    ),
    (
        "Copy a directory into a container that can reach this host but not be reached:",
        "socketpipe -i { tar cf - etc } -l { docker exec -i box } -r { tar xf - -C /srv }",
    ),
]

# tests/system/test_command_differences.py tests each one; the guide has the same words
DIFFERENCES = [
    "The far side needs Linux and Python, but no socketpipe.",
    (
        "No shell on the far side interprets the remote command. For * or $HOME use sh -c there. An empty word is "
        "passed on."
    ),
    "Each direction uses a separate connection. Data that a command writes to its standard input goes nowhere.",
    (
        "The failure of any command is a failure, not only that of the last. The next command gets a read error "
        "(ECONNRESET), not the end of its input. If an exit status is no failure, accept it: --ok-rc input=0,1 for "
        "a tar that reads changing files."
    ),
    (
        "A command's output ends only when no process that it started still has the output open. socketpipe waits "
        "5 seconds for such a process, then fails."
    ),
    "If a command does not exist, no other command is started.",
    (
        "Without -i the remote command reads an empty input. In the original it waits forever. Without -o only "
        "--stats shows the remote command's output."
    ),
    "Only the far side of this run can connect. The original accepts the first connection from anyone.",
    (
        "This host listens on a port from 20000 to 32767, not on one that the kernel chooses. If a firewall allows "
        "other ports, use --ports."
    ),
    "It supports IPv6. It gives up if nobody has connected 30 seconds after the login.",
    (
        "There is one login. Its standard input carries the program, so the login can ask questions only on the "
        "terminal."
    ),
    "A signal stops the commands on both sides.",
    (
        "dd reads whole blocks. Every other command reads each piece as it arrives, as with the original. See "
        "--live and --full-reads."
    ),
    "Commands start with the default action for SIGPIPE and SIGXFSZ, even if these were ignored.",
    "At a terminal it shows a progress line, unless -q is given.",
    "No command can be given twice, and -t takes only a number.",
]

COMPATIBILITY = [
    "The command line is that of socketpipe 1.10. Scripts for it run unchanged, except for the points in DIFFERENCES.",
    "The original starts its far side as socketpipe -s host port command. This program supports that, so an original "
    "works with this program on the far side. In the other direction, --plain uses an original on the far side. The "
    "words of the remote command are then passed on as by the original. Without -h, a shell on the far side takes the "
    "address of this host from SSH_CLIENT.",
    "In both cases one connection serves both directions, and nobody authenticates. The death of a command looks like "
    "the end of its output, the first connection is accepted whoever makes it, and of the limits only -t applies. "
    "Without -s or --plain no such connection is ever accepted.",
]

BUGS = [
    "dd(1) gets whole blocks, unlike with the original: its reads return as much as it asked for, up to 1 MiB or the "
    "limit of net.ipv4.tcp_rmem, unless the input has ended. Other commands read each piece as it arrives. A program "
    "that takes a short read for a short block needs --full-reads. A dd(1) that must not wait needs --live.",
    "A command on the far side has no terminal.",
]

AUTHORS = [
    "The idea, the command line and the name are those of the original by Diomidis Spinellis. This program is part of "
    "the Ansible collection plumbing.socketpipe, and shares its code."
]
SEE = ["dd", "nc", "ssh", "tar"]


def version() -> str:
    return "socketpipe %s\n" % VERSION


def after(follows: str, optional: bool) -> str:
    """The text after the name of an option."""
    return "[=%s]" % follows if optional else " " + follows if follows else ""


def fill(parts: "list[str]", width: int, indent: str) -> "list[str]":
    """Join these parts to lines, without breaking any; all lines but the first begin with ``indent``."""
    lines = parts[:1]
    for part in parts[1:]:
        if len(lines[-1]) + 1 + len(part) <= width:
            lines[-1] += " " + part
        else:
            lines.append(indent + part)
    return lines


def command_lines(command: str, width: int) -> "list[str]":
    """A command line as a user types it, with line breaks before options that take a command."""
    for letter in "ilro":
        command = command.replace(" -%s {" % letter, "\n-%s {" % letter)
    lines = fill(command.split("\n"), width - 2, "    ")
    return [line + " \\" for line in lines[:-1]] + lines[-1:]


def usage() -> str:
    """The text of --help: one line for each option, on a screen of 24 lines."""
    lines = fill(["usage: socketpipe"] + [part.replace("command", "...") for part in SYNOPSIS], WIDTH, " " * 18)
    for option in OPTIONS:
        if not option.brief:
            continue  # only the manual has room for it
        names = ", ".join(option.names) + after(option.follows, option.optional)
        lines.append(("  " + names).ljust(COLUMN) + option.brief)
    about = OPTIONS[-len(ABOUT) :]
    lines[-len(ABOUT) :] = [("  " + ", ".join(ABOUT)).ljust(COLUMN) + "; ".join(option.brief for option in about)]
    return "\n".join(lines + [""])


# -- the manual page, in the macros of man(7)


def escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in (".", "'") else text


def bold(text: str) -> str:
    return "\\fB%s\\fR" % escape(text)


def italic(text: str) -> str:
    return "\\fI%s\\fR" % escape(text)


def mark(word: str) -> str:
    """A word of a text; options and names of manual pages, such as ssh(1), are bold."""
    core = word.strip("(.,;:)")
    before, _core, rest = word.partition(core)
    if core[:1] == "-" and core != "-":
        return before + bold(core) + rest
    name, parenthesis, section = core.partition("(")
    if parenthesis and section.isdecimal():
        return bold(name) + parenthesis + section + rest
    return escape(word)


def sentences(text: str) -> "Iterator[str]":
    """One line for each sentence, as roff requires, with long ones wrapped."""
    for sentence in text.replace(". ", ".\n").split("\n"):
        for line in textwrap.wrap(sentence, SOURCE, break_on_hyphens=False):
            yield " ".join(map(mark, line.split(" ")))


def section(name: str, paragraphs: "list[str]") -> "Iterator[str]":
    yield ".SH " + name
    for number, text in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield from sentences(text)


def examples() -> "Iterator[str]":
    yield ".SH EXAMPLES"
    for number, (text, command) in enumerate(EXAMPLES):
        if number:
            yield ".PP"
        yield from sentences(text)
        yield from (".PP", ".RS", ".nf")
        yield from map(escape, command_lines(command, WIDTH - 14))
        yield from (".fi", ".RE")


def page() -> str:
    """The manual page, for man(1)."""
    lines = ['.TH SOCKETPIPE 1 %s "plumbing.socketpipe %s" "User Commands"' % (DATE, VERSION)]
    lines += [".SH NAME", "socketpipe \\- zero overhead remote process plumbing"]
    lines += [".SH SYNOPSIS", ".nf"]
    lines += map(shape, fill(["socketpipe"] + SYNOPSIS, 50, " " * 11))
    lines += [shape("socketpipe -s host port command [argument] ..."), ".fi"]
    lines += section("DESCRIPTION", DESCRIPTION)
    lines += section("OPTIONS", ["At least one of -i and -o must be given."])
    for option in OPTIONS:
        names = ", ".join(map(bold, option.names))
        lines += [".TP", names + shape(after(option.follows, option.optional))]
        lines += sentences(option.text)
    lines += [".SH EXIT STATUS"]
    for status, text in EXIT_STATUS:
        lines += [".TP", ".B " + status]
        lines += sentences(text)
    lines += examples()
    lines += section("COMPATIBILITY", COMPATIBILITY)
    lines += section("DIFFERENCES", DIFFERENCES)
    lines += section("BUGS", BUGS)
    lines += [".SH SEE ALSO"]
    lines += [".BR %s (1)%s" % (name, "," if name != SEE[-1] else "") for name in SEE]
    lines += section("AUTHORS", AUTHORS)
    return "\n".join(lines) + "\n"


def shape(text: str) -> str:
    """Options in bold, their values in italics; brackets and braces unchanged."""
    found = []
    for word in text.split(" "):
        core = word.strip("[=]{}")
        before, _core, rest = word.partition(core) if core else (word, "", "")
        style = bold if core[:1] == "-" or core == "socketpipe" else italic
        found.append(before + (style(core) if core.strip(".") else core) + rest)
    return " ".join(found)
