# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archiver: turns files of a host into a stream for a tape, and the stream back into files.

It runs on each host of the fleet, as a stage of a run.  The modules send the words of its command line and its
settings in the archive of the program; for a person, the settings are JSON in the environment variable SOCKETPIPE_TAPE.
Each subcommand writes one JSON object to standard output, unless the archive itself goes there.
"""

import argparse

from ..common import names
from ..common.call import Call, served
from ..common.process import end_on_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LEVELS = range(names.HIGHEST + 1)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="archiver", description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(
        dest="command", metavar="create | dump | seal | report | estimate | extract | discard | check | undo"
    )
    commands.required = True  # an argument of add_subparsers only since Python 3.7

    create = commands.add_parser("create", help="write an archive of this host to standard output")
    dump = commands.add_parser("dump", help="write the output of the command in the settings to standard output")
    for command in (create, dump):
        command.add_argument("--run", required=True, help="the run of this archive")
        command.add_argument("--host", required=True, help="this host's name in the inventory")
        command.add_argument("--attempt", default="", help="the name of this attempt, which the tape host knows, too")
        command.add_argument("--machine", default="", help="the machine-id that this host must have, if it has one")
    create.add_argument("--keep", default="", help="comma-separated runs whose state to keep")

    seal = commands.add_parser("seal", help="pass an archive on after its filters, and record length and checksum")
    seal.add_argument("--run", required=True)

    report = commands.add_parser(
        "report", help="write the facts of an archive as a line of JSON, then the compressed list of names"
    )
    report.add_argument("--run", required=True)

    estimate = commands.add_parser("estimate", help="estimate the size of an archive without reading files")
    for command in (create, estimate):
        command.add_argument("--level", type=int, choices=LEVELS, required=True, help="0 is everything")
        command.add_argument("--base", help="the run on which a level above 0 is based")
        command.add_argument("--base-sha256", help="that of the archive of the base")
        command.add_argument(
            "--ahead", type=int, default=0, help="seconds by which this host's clock was ahead at that run"
        )
    commands.add_parser("undo", help="run the command after an archive, if a failed backup has left it")
    add_extract(commands)
    discard = commands.add_parser("discard", help="remove the directory of a drill")
    discard.add_argument("--to", required=True, metavar="DIR")
    discard.add_argument("--drill", required=True, metavar="ID", help="that of the drill which has created it")
    return parser


def add_extract(commands: "Any") -> None:
    check = commands.add_parser("check", help="pass the output of a command on, and compare it with the catalog")
    check.add_argument("--sha256", required=True)
    check.add_argument("--bytes", required=True, type=int)
    extract = commands.add_parser(
        "extract", help="read an archive from standard input, restore its files below a directory"
    )
    extract.add_argument("--to", required=True, metavar="DIR", help="created if missing; otherwise it must be empty")
    extract.add_argument("--sha256", required=True, help="expected checksum of the archive")
    extract.add_argument("--bytes", required=True, type=int, help="expected length of the archive")
    extract.add_argument(
        "--incremental", action="store_true", help="continue after the previous archive, which had --more"
    )
    extract.add_argument("--more", action="store_true", help="another archive of the same restore follows")
    extract.add_argument(
        "--may-repeat", action="store_true", help="the same archive follows with --again if the answer is {again: true}"
    )
    extract.add_argument("--again", action="store_true", help="second pass over the same archive")
    extract.add_argument("--delete", action="store_true", help="remove files in DIR that are not in the archive")
    extract.add_argument(
        "--keep-going", action="store_true", help="report errors of tar in the answer, and do not fail"
    )
    extract.add_argument(
        "--drill", default="", metavar="ID", help="compare files with the archive; DIR must not exist, and is marked"
    )
    extract.add_argument(
        "--owners-by-name", action="store_true", help="the user and group of this host with the name in the archive"
    )
    extract.add_argument("--into-existing", action="store_true", help="DIR may contain files")
    extract.add_argument("--allow-root", action="store_true", help="DIR may be /")
    extract.add_argument(
        "--early-exit",
        type=int,
        metavar="NUMBER",
        help="read only up to the last entry of the PATHs, of which the archive has NUMBER; no checksum is compared",
    )
    extract.add_argument("--strict-paths", action="store_true", help="fail if a PATH is not in this archive")
    extract.add_argument("paths", nargs="*", metavar="PATH", help="restore only these paths, as named on their host")


def run(call: Call, words: argparse.Namespace) -> None:
    # imported here, after the signal handlers are set
    from . import create, discard, dump, extract, hooks, seal
    from .settings import Settings

    settings = Settings(call.settings())
    commands = {
        "create": create.create,
        "dump": dump.dump,
        "seal": seal.seal,
        "report": create.report,
        "estimate": create.estimate,
        "extract": extract.extract,
        "discard": discard.discard,
        "check": dump.check,
        "undo": hooks.undo,
    }
    result = commands[words.command](settings, words)
    if result is not None:
        call.answer(result)


def main() -> int:
    """Returns the exit status, see served(); 2 for wrong words, too."""
    call = Call()
    words = arguments().parse_args(call.words)
    end_on_signals()
    return served(call, lambda: run(call, words), "the archiver", "archiver %s: " % words.command)
