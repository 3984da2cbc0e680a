# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first code of the command as one file: loads the other modules, compiled if a cache has them.

Python keeps no byte code of modules in a zip archive, and compiling takes longer than all the rest of a start.  So this
keeps one file for each version of Python below $XDG_CACHE_HOME (~/.cache): the compiled modules, and the program for
the far side.  Whoever can write to it can run code as this user, so it is only used where nobody else can, and
otherwise every start compiles.  ``cache`` writes it.
"""

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    Kept = dict[str, Any]

FOLDER = "socketpipe"
OTHERS, STICKY = 0o022, 0o1000  # mode bits (inode(7)): write permission of group and others; only owners may rename
KIND, DIRECTORY, LINK, FILE = 0o170000, 0o040000, 0o120000, 0o100000
LINKS = 20  # symbolic links in one path


class Untrusted(OSError):
    """Somebody else could change what is there."""


def trusted(path: str) -> str:
    """This directory without symbolic links in its path; raises OSError if another user could change or replace it."""
    ours, links = (0, os.geteuid()), 0
    at, rest = "/", ["."] + path.split("/")
    while rest:
        name = rest.pop(0)
        if name == "":
            continue
        found = os.path.normpath(os.path.join(at, name))  # ``at`` has no links, so ".." is what it seems
        facts = os.lstat(found)
        kind = facts.st_mode & KIND
        if facts.st_uid not in ours:
            raise Untrusted(found)
        if kind == LINK and links < LINKS:
            links += 1
            target = os.readlink(found)
            at, rest = "/" if target.startswith("/") else at, target.split("/") + rest
        elif kind != DIRECTORY or facts.st_mode & OTHERS and not facts.st_mode & STICKY:
            raise Untrusted(found)
        else:
            at = found
    return at


def home() -> str:
    """The directory for the caches of all programs (the XDG base directory specification); "" if there is none."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if given.startswith("/"):  # others are invalid
        return given
    found = os.environ.get("HOME", "")
    return os.path.join(found, ".cache") if found.startswith("/") else ""


def file_name() -> str:
    return os.path.join(home(), FOLDER, sys.implementation.cache_tag or "none")


def key(archive: str, digest: str) -> bytes:
    """Identifies the program, by its sources and its file, and the version of Python's byte code; raises OSError."""
    facts = os.stat(archive)
    magic = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
    return ("%s %d %d %s\n" % (digest, facts.st_size, facts.st_mtime_ns, magic.hex())).encode("ascii")


def checksum(data: "bytes | memoryview") -> bytes:
    import zlib  # not before sys.path is that of the standard library

    return b"%08x" % zlib.crc32(data)


def read(wanted: bytes) -> "Kept | None":
    """What ``cache.write`` has kept under this key; None if it is not there, damaged, or could be somebody else's."""
    try:
        if not home() or os.getuid() != os.geteuid():
            return None
        folder, name = os.path.split(file_name())
        path = os.path.join(trusted(folder), name)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            facts = os.fstat(fd)
            if facts.st_uid != os.geteuid() or facts.st_mode & KIND != FILE or facts.st_mode & OTHERS:
                return None
            data = memoryview(file.read())
    except (OSError, ValueError):
        return None
    start = len(wanted) + 8
    if data[: len(wanted)] != wanted or data[len(wanted) : start] != checksum(data[start:]):
        return None
    found: "Kept" = marshal.loads(data[start:])
    return found


class Loader:
    """Imports the modules in a cache, as a finder and a loader.  ``loader``, ``parts``: of the far side's program."""

    def __init__(self, archive: str, package: str, kept: "Kept") -> None:
        self.archive, self.package = archive, package
        self.modules: "dict[str, bytes]" = kept["modules"]
        self.loader: bytes = kept["loader"]
        self.parts: "dict[tuple[str, ...], bytes]" = kept["parts"]
        self.rooms = {package} | {"%s.%s" % (package, name.partition(".")[0]) for name in self.modules}

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        whole = name in self.rooms
        if not whole and name[len(self.package) + 1 :] not in self.modules:
            return None
        place = os.path.join(self.archive, name.replace(".", os.sep) + ("/__init__.py" if whole else ".py"))
        make: "Any" = type(sys.__spec__)  # ModuleSpec, without loading importlib
        spec = make(name, self, origin=place, is_package=whole)
        spec.has_location = True
        return spec

    def create_module(self, spec: "Any") -> None:
        return None

    def exec_module(self, module: "ModuleType") -> None:
        if module.__name__ not in self.rooms:
            exec(marshal.loads(self.modules[module.__name__[len(self.package) + 1 :]]), module.__dict__)

    def get_data(self, path: str) -> bytes:
        """A source; nothing reads one while the cache has what is made of it."""
        from zipimport import zipimporter

        return zipimporter(self.archive).get_data(path)


def isolate() -> None:
    """Imports find only the standard library, whatever PYTHONPATH contains."""
    library = os.path.dirname(getattr(os, "__file__", ""))
    if library:
        sys.path[1:] = [each for each in sys.path[1:] if each == library or os.path.basename(each) == "lib-dynload"]


def default_interrupt() -> None:
    """Ctrl-C ends the program silently until there is something to clean up."""
    signal = sys.modules.get("_signal") or __import__("signal")
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(package: str, digest: str) -> None:
    """Run the command; ``digest``: of all its sources."""
    import gc

    if sys.argv[0] == "-c":  # the first line of the file has read this
        del sys.argv[0]
        sys.path.insert(0, sys.argv[0])
    archive = sys.argv[0]
    isolate()
    default_interrupt()
    gc.disable()  # there is no garbage yet
    words = sys.argv[1:]
    serves = words[:1] == ["-s"]
    wanted = key(archive, digest)
    kept = read(wanted)
    if kept is not None:
        sys.meta_path.insert(0, Loader(archive, package, kept))
        sys.path.remove(archive)  # or each import of the standard library would look there first
    elif serves:  # it becomes another program
        keep(package, wanted)
    if serves:
        module = __import__("%s._command.serve" % package, fromlist=["serve"])
        run = module.serve
        words = words[1:]
    else:
        run = __import__("%s._command.command" % package, fromlist=["main"]).main
    gc.enable()
    status = run(words)
    if kept is None and not serves:
        keep(package, wanted)
    leave(status)


def keep(package: str, wanted: bytes) -> None:
    __import__("%s._command.cache" % package, fromlist=["write"]).write(wanted)


def leave(status: int) -> None:
    """Exit without the finalization of Python, which takes time."""
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):
        raise SystemExit(status) from None
    os._exit(status)
