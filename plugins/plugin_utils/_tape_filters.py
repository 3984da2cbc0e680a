# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""tape_filter and tape_recipients: programs on a host that pack or encrypt its archive, as stages of the same plan.

Their form in settings and in the catalog is described in _tape.common.filters.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..module_utils._run.answers import Failure
from ._program_run import command
from ._survey import from_json, yes
from ._task_options import SHELL_WORD

if TYPE_CHECKING:
    from ..module_utils._end.records import Command
    from ..module_utils._tape.answers import ChainArchive, Filter

COMMAND, AGE = "command", "age"
KEYS = {"write", "read", "encrypts"}
MOST = 1000  # characters of all commands, because the label of a tape has them, too
RECIPIENT = re.compile(r"age1[0-9a-z]{20,}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]+( .*)?")
# programs that a catalog may have a host run, because with these options they only unpack a stream
UNPACKERS = {"brotli", "bzip2", "gzip", "lbzip2", "lz4", "lzip", "lzop", "pbzip2", "pigz", "pixz", "plzip", "pzstd"}
UNPACKERS |= {"unzstd", "xz", "zstd", "zstdmt"}
HARMLESS = re.compile(
    r"-[cdkqT0-9]+|--(decompress|uncompress|stdout|to-stdout|quiet|no-progress|long)"
    r"|--(long|threads|memory|memlimit|memlimit-decompress)=[0-9]+[KMGiB]*"
)


def filters_of(args: Mapping[str, Any]) -> list[Filter]:
    """The filters of a task, in the order in which they write; raises Failure."""
    given = from_json(args.get("tape_filter") or [])
    found = [command_of(each) for each in (given if isinstance(given, list) else [given])]
    if sum(len(" ".join(each["write"] + each["read"])) for each in found) > MOST:
        raise wrong(f"the commands have more than {MOST} characters: put them into a script on the hosts")
    recipients = args.get("tape_recipients") or []
    for each in recipients:
        if not RECIPIENT.fullmatch(each):
            raise Failure(
                "settings",
                f"tape_recipients: {each[:100]!r} is not a recipient of age: give a public key, age1… of age-keygen or "
                "ssh-ed25519 … of ssh-keygen",
            )
    return [*found, {"kind": AGE, "recipients": list(recipients)}] if recipients else found


def command_of(given: Any) -> Filter:
    """One of tape_filter; raises Failure."""
    if not isinstance(given, Mapping):
        raise wrong(f"must be a mapping with write and read, or a list of these, not {given!r:.100}")
    unknown = sorted(map(str, set(given) - KEYS))
    if unknown:
        raise wrong(f"has no {unknown[0]!r}: its keys are write, read and encrypts")
    try:
        encrypts = yes(given.get("encrypts", False))
    except TypeError:
        raise wrong("encrypts must be true or false") from None
    found: Filter = {"kind": COMMAND, "write": words_of(given, "write"), "read": words_of(given, "read")}
    return {**found, "encrypts": True} if encrypts else found


def words_of(given: Mapping[str, Any], key: str) -> list[str]:
    value = given.get(key)
    if not value:
        raise wrong(f"{key} is required: the command that " + ("packs" if key == "write" else "undoes what write does"))
    words, shell = command_words(key, value, wrong)
    if shell:
        raise wrong(f"{key}: no shell runs {shell!r}: give a list of filters, each with its own write and read")
    return words


def command_words(name: str, value: Any, wrong: Callable[[str], Failure]) -> tuple[list[str], str]:
    """The words of a command, and the first that only a shell understands, "" for none; raises what ``wrong`` makes."""
    try:
        words = shlex.split(value) if isinstance(value, str) else value
    except ValueError as exc:
        raise wrong(f"{name}: {exc}") from None
    if not isinstance(words, list) or not words or not all(isinstance(each, str) for each in words):
        raise wrong(f"{name} must be a command, not {value!r:.100}")
    shell = next((each for each in words if SHELL_WORD.fullmatch(each)), "")
    return [str(each) for each in words], shell  # Ansible's tagged strings are no plain JSON


def wrong(what: str) -> Failure:
    return Failure("settings", f"tape_filter: {what}")


def writing(filters: Sequence[Filter], environment: Mapping[str, str]) -> list[Command]:
    """Their stages on the host of the archive."""
    found = [
        ["age", *(word for each in one["recipients"] for word in ("-r", each))] if one["kind"] == AGE else one["write"]
        for one in filters
    ]
    return stages(found, environment)


def reading(
    archive: ChainArchive, own: Sequence[Filter], identity: str, environment: Mapping[str, str]
) -> list[Command]:
    """Their stages on the host of a restore; raises Failure.

    ``own``: the filters of the task.  Other commands of the catalog run only if they are known to be harmless, because
    a catalog may come from anywhere, and the restore is often root.
    """
    found = []
    for one in reversed(archive["filters"] or []):
        if one["kind"] == AGE:
            if not identity:
                raise Failure("settings", no_identity(archive, one["recipients"]))
            found.append(["age", "-d", "-i", identity])
        elif one["read"] in [each["read"] for each in own if each["kind"] == COMMAND] or only_unpacks(one["read"]):
            found.append(one["read"])
        else:
            shown = shlex.join(one["read"])
            raise Failure(
                "settings",
                f"{name_of(archive)} needs the command {shown!r}, which only the catalog names: check it, then allow "
                "it with tape_filter: {write: …, read: " + shown + "}",
            )
    return stages(found, environment)


def only_unpacks(words: Sequence[str]) -> bool:
    return words[0] in UNPACKERS and all(HARMLESS.fullmatch(each) for each in words[1:])


def name_of(archive: ChainArchive) -> str:
    return f"the archive of {archive['host']} of run {archive['run']}"


def no_identity(archive: ChainArchive, recipients: Sequence[str]) -> str:
    return (
        f"{name_of(archive)} is encrypted for {', '.join(each[:80] for each in recipients)}: set restore_identity to "
        "the file with the secret key, on the host to restore to"
    )


def stages(commands: Sequence[Sequence[str]], environment: Mapping[str, str]) -> list[Command]:
    """Each with a name of its own."""
    names = [f"filter {number}" if len(commands) > 1 else "filter" for number in range(1, len(commands) + 1)]
    return [command(name, list(words), environment) for name, words in zip(names, commands)]


def note(filters: Sequence[Filter] | None) -> str:
    """The programs that undo them, for a table; "" for none."""
    return ", ".join(AGE if one["kind"] == AGE else one["read"][0] for one in reversed(filters or []))
