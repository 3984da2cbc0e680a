# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a command on this host and its environment, and becomes it.  Whoever needs no more than this starts faster."""

import errno

from .system import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Mapping, NoReturn

    from .records import Unusable


def encode(text: str) -> bytes:
    """A text of the plan for a command: UTF-8, whatever the locale (in C, Python 3.6 accepts only ASCII)."""
    return text.encode("utf-8", "surrogateescape")


def own_environment() -> "dict[bytes, bytes]":
    """The environment with which this process was started.

    os.environb differs: in the C locale Python sets LC_CTYPE=C.UTF-8 (PEP 538), and commands that inherit it would
    interpret bytes as characters, unlike other commands of the login.
    """
    try:
        with open("/proc/self/environ", "rb") as environ:
            entries = environ.read().split(b"\0")
    except OSError:
        return dict(os.environb)
    found: "dict[bytes, bytes]" = {}
    for name, equals, value in (entry.partition(b"=") for entry in entries):
        if name and equals:
            found.setdefault(name, value)  # getenv(3) returns the first
    return found


def full_environment(given: "Mapping[str, str]") -> "dict[bytes, bytes]":
    """The own environment with these variables added."""
    return {**own_environment(), **{encode(name): encode(value) for name, value in given.items()}}


def find_command(name: str, environment: "dict[bytes, bytes]", chdir: "str | None") -> "Unusable | None":
    """Why a command cannot be run here, None if it can; searches like execvp(3)."""
    if chdir and not os.path.isdir(encode(chdir)):
        return {"kind": "no directory", "path": chdir}
    path = environment.get(b"PATH") or os.defpath.encode()
    seen = b""
    for folder in [b""] if "/" in name else path.split(b":"):
        candidate = os.path.join(encode(chdir or ""), folder, encode(name))
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return None
            seen = candidate
    if seen:
        return {"kind": "not executable", "path": seen.decode("utf-8", "replace")}
    return {"kind": "not found", "name": name, "path": "" if "/" in name else path.decode("utf-8", "replace")[:300]}


def execute(argv: "list[str]", environment: "dict[bytes, bytes]") -> "NoReturn":
    """Become this command, like execvp(3): /bin/sh runs a script without a #! line; raises OSError."""
    words = [encode(word) for word in argv]
    path = environment.get(b"PATH") or os.defpath.encode()
    paths = [os.path.join(folder, words[0]) for folder in ([b""] if "/" in argv[0] else path.split(b":"))]
    missing, failed = None, None
    for candidate in paths:  # not by os.execvpe, which loads the module warnings
        try:
            os.execve(candidate, words, environment)
        except (FileNotFoundError, NotADirectoryError) as exc:
            missing = exc
        except OSError as exc:
            failed = failed or exc
    script = next(filter(is_script, paths), None) if failed and failed.errno == errno.ENOEXEC else None
    if script is None:
        raise failed or missing or FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    os.execve(b"/bin/sh", [b"/bin/sh", script] + words[1:], environment)


def is_script(path: bytes) -> bool:
    """Whether this is an executable text, and not a program for another kind of processor."""
    if not os.path.isfile(path) or not os.access(path, os.X_OK | os.R_OK):
        return False
    with open(path, "rb") as file:
        return b"\0" not in file.read(256)
