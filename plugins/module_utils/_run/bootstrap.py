# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine gets to a host: one constant command, the program and its plan on standard input.

The stream is: the loader, then compressed the modules compiled, the modules as
source, and the plan; each after its length as eight digits.  A host whose Python
has our byte code's magic number takes the compiled ones, which saves compiling
(12 of 40 ms); any other compiles the source.  Nothing is written to a disk.
"""

import binascii
import json
import marshal
import os
import shlex
import sys
import zlib
from importlib.util import MAGIC_NUMBER

from .._end.wire import MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

# each imports only modules before it
MODULES = [
    "_end.lean",
    "_end.kernel",
    "_end.processes",
    "_end.handshake",
    "_end.names",
    "_end.patience",
    "_end.dialler",
    "_end.connect",
    "_end.meeting",
    "_end.preflight",
    "_end.wire",
    "_end.watch",
    "_end.reads",
    "_end.transport",
    "_end.link",
    "_end.spawn",
    "_end.stage",
    "_end.rules",
    "_end.guard",
    "_end.end",
    "_end.main",
]
# what an end needs beside those when its links are to be encrypted; no other end gets it
ENCRYPTION_MODULES = [
    "_end.keys",
    "_end.ktls",
    "_end.ktls_trial",
    "_end.relay",
]
# what the command needs beside those, here and where it is nested
COMMAND_MODULES = [
    "_run.readers",
    "_run.plan",
    "_run.words",
    "_run.sentences",
    "_run.verdict",
    "_run.result",
    "_run.report",
    "_run.labels",
    "_run.launch",
    "_run.run",
    "_run.bootstrap",
    "_command.addresses",
    "_command.options",
    "_command.arguments",
    "_command.manual",
    "_command.meter",
    "_command.streams",
    "_command.plain",
    "_command.login",
    "_command.command",
]
PACKAGE = "socketpipe"
# A terminal cannot carry a program: some bytes are signals to it, and it repeats what it is told, secrets included
TERMINAL = '%s{"terminal":1}' % MARK
# since Linux 6.0 it obeys a ^S (XOFF) that it has not even taken in, and nothing leaves any more: hence setraw, at once
# -I: no environment variable, user site or current directory adds to the path; -S: no site, we use the standard library
START = (
    "import sys;r=sys.stdin.buffer.read;"
    "sys.stdin.isatty()and sys.exit((__import__('tty').setraw(0,0),print('\\n%s'))[1]);exec(r(int(r(8))))" % TERMINAL
)

PROBE = "import sys; sys.exit(sys.version_info < (3, 6))"

LOADER = """
import sys
answer = {}
if sys.version_info < (3, 6):
    answer = {"kind": "old python", "version": sys.version.split()[0]}
else:
    try:
        import fcntl, marshal, select, termios, zlib
        for name in "_ctypes", "_json", "_signal", "_socket":
            try:
                __import__(name)
            except ImportError:
                __import__(name[1:])
    except ImportError as exc:
        answer = {"kind": "incomplete python", "python": sys.executable, "error": str(exc)}
if answer:
    sys.stdout.write("SOCKETPIPE %s\\n" % __import__("json").dumps({"refused": answer}))
    raise SystemExit(0)
compiled, source, plan = [r(int(r(8))) for part in range(3)]
magic = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
if compiled.startswith(magic):
    modules = marshal.loads(zlib.decompress(compiled[len(magic):]))
else:
    texts = marshal.loads(zlib.decompress(source))
    modules = [(name, compile(text, "<socketpipe %s>" % name, "exec")) for name, text in texts]
def add(name):
    module = sys.modules[name] = type(sys)(name)
    module.__package__, _dot, own = name.rpartition(".")
    if own != name:
        setattr(sys.modules[module.__package__], own, module)
    return module
package = add("PACKAGE")
package.source = source
for name, code in modules:
    room = "PACKAGE." + name.split(".")[0]
    if room not in sys.modules:
        add(room).__path__ = []
    module = add("PACKAGE." + name)
    exec(code, module.__dict__)
raise SystemExit(module.main(marshal.loads(zlib.decompress(plan))))
""".replace("PACKAGE", PACKAGE)
# A terminal takes 4096 bytes (n_tty(4)) before somebody reads: as long as those are lines of text, it sends no signal
LOADER = ("#" * 63 + "\n") * 64 + LOADER


def end_modules(encrypted: bool) -> "list[str]":
    """What an end is made of; ``main`` of the last one is called."""
    return MODULES[:-1] + (ENCRYPTION_MODULES if encrypted else []) + MODULES[-1:]


def sources(names: "Iterable[str] | None" = None) -> "list[tuple[str, str]]":
    """[("package.module", its source)] of an end, or of these, in the order in which they can be executed."""
    names = MODULES if names is None else names
    if globals().get("__loader__") is None:  # we have come here in such a program ourselves
        texts = dict(marshal.loads(zlib.decompress(sys.modules[PACKAGE].source)))
        return [(name, texts[name]) for name in names]
    folder = os.path.dirname(os.path.dirname(__file__))  # as it is: a zip archive knows its files by these very names
    read = __loader__.get_data  # type: ignore[name-defined]  # from files, or from a zip archive
    return [(name, read(os.path.join(folder, name.replace(".", os.sep) + ".py")).decode("utf-8")) for name in names]


def frame(data: bytes) -> bytes:
    return b"%08d" % len(data) + data


def pack(value: "Any") -> bytes:
    """A value of JSON's kinds as every Python can read it (marshal's version 2), compressed."""
    plain = json.loads(json.dumps(value))  # marshal takes no subclass of str, such as Ansible's
    return frame(zlib.compress(marshal.dumps(plain, 2), 9))


def program(modules: "list[tuple[str, str]]", small: bool = False) -> bytes:
    """The loader and the modules: the same for every end.  Without the compiled ones it is small."""
    compiled = b""
    if not small:
        # without docstrings, which are an eighth of it
        code = [(name, compile(text, "<socketpipe %s>" % name, "exec", optimize=2)) for name, text in modules]
        compiled = MAGIC_NUMBER + zlib.compress(marshal.dumps(code), 9)
    return frame(LOADER.encode("ascii")) + frame(compiled) + pack(modules)


def stream(program: bytes, plan: "Any") -> bytes:
    """What an end reads from its standard input: the program, and what its last module's ``main`` is told."""
    return program + pack(plan)


def as_text(data: bytes) -> str:
    """A program for a plan, which is JSON: base64."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def file_program(program: bytes) -> str:
    """The same program as a file, for logins that take no standard input; it is told its plan's file.

    Both files are gone before anything else is done.
    """
    return FILE_START.format(data=program)


FILE_START = """import io, os, stat, sys
with open(sys.argv[1], "rb") as source:
    plan = source.read()
    open_to_all = os.fstat(source.fileno()).st_mode & stat.S_IROTH
open_to_all = open_to_all and os.stat(os.path.dirname(sys.argv[1])).st_mode & stat.S_IXOTH
for name in sys.argv[:2]:
    try:
        os.unlink(name)
    except OSError:
        pass
if open_to_all:
    raise SystemExit("socketpipe: others can read Ansible's temporary files here (allow_world_readable_tmpfiles)")
r = io.BytesIO({data!r} + plan).read
exec(r(int(r(8))))
"""


def command(interpreters: "Iterable[str]", label: str, files: "Iterable[str]" = ()) -> str:
    """The shell command that runs an end with the first of these interpreters that is there.

    ``label`` (the run and the end, no secret) is for people and for us to find the process by;
    ``files`` are the program's and the plan's, where they cannot come on standard input.
    """
    program_words = [shlex.quote(name) for name in files] or ["-c", shlex.quote(START)]
    tail = "-IS %s %s" % (" ".join(program_words), shlex.quote(label))
    found = [" ".join(shlex.quote(word) for word in shlex.split(name)) for name in interpreters]
    if len(found) == 1:
        return "exec %s %s" % (found[0], tail)
    # a name may lead to something that does not run (a version manager's stand-in), or to Python 2: try each
    attempt = "if $p -c %s </dev/null >/dev/null 2>&1; then exec $p %s; fi" % (shlex.quote(PROBE), tail)
    return "for p in %s; do %s; done; exit 127" % (" ".join(found), attempt)
