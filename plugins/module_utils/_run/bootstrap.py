# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the engine to a host: one constant command, and the program and its plan on standard input.

The stream contains the loader, the compiled modules, their source and the plan; all but the loader are compressed.
Eight digits before each part give its length.  A Python with the same magic number of byte code uses the compiled
modules, which saves 12 of 40 ms, and the compiled loader, which saves 0.6; any other compiles the source.  Nothing is
written to a disk.  ``extended`` adds modules to a program that is already made, because compiling all of it takes
longer than a whole task.
"""

import binascii
import marshal
import os
import sys
import zlib

from .._end.wire import MARK
from .bare import bare
from .columns import without_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterable

    from .._end.records import EndPlan

# each module imports only modules above it
MODULES = [
    "_end.lean",
    "_end.system",
    "_end.kernel",
    "_end.processes",
    "_end.handshake",
    "_end.names",
    "_end.patience",
    "_end.dialler",
    "_end.connect",
    "_end.exchange",
    "_end.meeting",
    "_end.wire",
    "_end.watch",
    "_end.pulse",
    "_end.reads",
    "_end.transport",
    "_end.link",
    "_end.figures",
    "_end.sides",
    "_end.execute",
    "_end.spawn",
    "_end.stage",
    "_end.rules",
    "_end.guard",
    "_end.end",
    "_end.main",
]
# further modules, for ends that need them only: links are to be encrypted by the kernel, or by relays, or the plan has
# more than two ends, or forks
LOOPBACK_MODULES = ["_end.loopback"]  # for both
KERNEL_MODULES = [
    "_end.keys",
    "_end.ktls",
    "_end.ktls_trial",
    "_end.ktls_transport",
]
RELAY_MODULES = [
    "_end.tls",
    "_end.relay",
    "_end.encrypted",
]
ENCRYPTION_MODULES = LOOPBACK_MODULES + KERNEL_MODULES + RELAY_MODULES
# further modules of an end that only checks, with all of ENCRYPTION_MODULES, for it reports on these, too
PREFLIGHT_MODULES = [
    "_end.capabilities",
    "_end.preflight",
]
# further modules of an end in a plan of more than two
BARRIER_MODULES = ["_end.barrier"]
# further modules of the end at which a plan forks; the program there is part of the plan
FAN_MODULES = ["_end.fan"]
FAN_OUT = "_end.fan_out"
# further modules of an end with a stage whose program undoes what it has begun
AFTERWARDS_MODULES = ["_end.afterwards"]
# further modules of an end with a stage that waits for another one there
LATER_MODULES = ["_end.later"]
# further modules of an end that sets the congestion control of TCP
CONGESTION_MODULES = ["_end.congestion"]
# further modules of an end whose run outlives its controller
DETACH_MODULES = ["_end.control", "_end.detach"]
# further modules of an end that others ask how far it is, and all of the program that asks
STATUS_MODULES = ["_end.status"]
TELLING_MODULES = ["_end.telling"]  # of an end with a program of this collection that tells what it waits for
ASK_MODULES = ["_end.lean", "_end.system", "_end.kernel", "_end.wire", "_end.watch", "_end.status", "_run.ask"]
MORE_MODULES = ENCRYPTION_MODULES + PREFLIGHT_MODULES + BARRIER_MODULES + FAN_MODULES + DETACH_MODULES + STATUS_MODULES
MORE_MODULES += CONGESTION_MODULES + TELLING_MODULES + AFTERWARDS_MODULES + LATER_MODULES
# further modules of both ends of the command, which it sends before it knows its options
OF_COMMAND = ENCRYPTION_MODULES + CONGESTION_MODULES
# modules of the controller's side of a run
RUN_MODULES = [
    "_run.readers",
    "_run.plan",
    "_run.words",
    "_run.sentences",
    "_run.beginning",
    "_run.disagreement",
    "_run.verdict",
    "_run.result",
    "_run.report",
    "_run.labels",
    "_run.marked",
    "_run.launch",
    "_run.heard",
]
# further modules where the result of a run that outlives its controller is kept
HOME_MODULES = RUN_MODULES + [
    "_run.branches",
    "_run.written",
    "_run.answers",
    "_run.transferred",
    "_run.counts",
    "_run.taped",
    "_run.restored",
    "_run.verified",
    "_run.tape_jobs",
    "_run.kept",
    "_run.job",
    "_run.home",
]
# and if it is that of a transfer to many hosts
CHAIN_MODULES = ["_run.chained"]
# further modules of the command, here and where it is nested
COMMAND_MODULES = RUN_MODULES + [
    "_run.bare",
    "_run.columns",
    "_run.bootstrap",
    "_command.addresses",
    "_command.values",
    "_command.options",
    "_command.arguments",
    "_command.manual",
    "_command.meter",
    "_command.streams",
    "_command.serve",
    "_command.plain",
    "_command.login",
    "_command.certificates",
    "_command.command",
]
PACKAGE = "socketpipe"
MAGIC_NUMBER = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER  # importlib.util takes long to load
LEVEL = 6  # of compression: 9 takes five times as long to save 2 %
# a program cannot be sent through a terminal, which turns some bytes into signals and echoes everything, even secrets
TERMINAL = '%s{"terminal":1}' % MARK
# since Linux 6.0 even an unread ^S (XOFF) stops all output of a terminal, so setraw comes first
# -I: no environment variable, user site or current directory is in the path; -S: no site, only the standard library
START = (
    "import sys;r=sys.stdin.buffer.read;"
    "sys.stdin.isatty()and sys.exit((__import__('tty').setraw(0,0),print('\\n%s'))[1]);exec(r(int(r(8))))" % TERMINAL
)

PROBE = "import sys; sys.exit(sys.version_info < (3, 6))"

# the first part: it finds the loader that this Python can use, compiled or as source
HEAD = """
import marshal, sys
compiled, source = r(int(r(8))), r(int(r(8)))
magic = getattr(sys.modules.get("_frozen_importlib_external"), "MAGIC_NUMBER", b"none")
exec(marshal.loads(compiled[len(magic):]) if compiled.startswith(magic) else source)
"""
# a terminal buffers 4096 bytes (n_tty(4)) before anything reads; lines of text there cause no signal
HEAD = ("#" * 63 + "\n") * 64 + HEAD
END = b"the plan"  # in place of a length, after the last part of the program

# without the garbage collector, which would search the modules several times, for a tenth of the processor time of an
# end; they stay, so gc.freeze (Python 3.7) leaves them out of later searches
LOADER = """
import gc, sys
gc.disable()
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
parts = [r(int(size)) for size in iter(lambda: r(8), END)]
def load(compiled, source):
    if compiled.startswith(magic):
        return marshal.loads(zlib.decompress(compiled[len(magic):]))
    texts = marshal.loads(zlib.decompress(source))
    return [(name, compile(text, "<socketpipe %s>" % name, "exec")) for name, text in texts]
def add(name):
    module = sys.modules[name] = type(sys)(name)
    module.__package__, _dot, own = name.rpartition(".")
    if own != name:
        setattr(sys.modules[module.__package__], own, module)
    return module
package = add("PACKAGE")
package.source = parts[1]
groups = [load(parts[at], parts[at + 1]) for at in range(0, len(parts), 2)]
for name, code in sum(groups, []):
    room = "PACKAGE." + name.split(".")[0]
    if room not in sys.modules:
        add(room).__path__ = []
    exec(code, add("PACKAGE." + name).__dict__)
modules = [sys.modules["PACKAGE." + name] for name, code in sum(groups, [])]
main = [module.main for module in modules if callable(getattr(module, "main", None))][-1]
if hasattr(gc, "freeze"):
    gc.freeze()
gc.enable()
raise SystemExit(main(marshal.loads(zlib.decompress(r(int(r(8)))))))
""".replace("PACKAGE", PACKAGE).replace("END", repr(END))


def end_modules(more: "list[str]") -> "list[str]":
    """The modules of an end, with these; ``main`` of the last one that has it is called."""
    return MODULES[:-1] + more + MODULES[-1:]


def more_of_plan(plan: "EndPlan") -> "list[list[str]]":
    """The groups of modules of an end with this plan, besides MODULES."""
    named = any(link.get("congestion_control") for link in plan["links"])
    congestion = [CONGESTION_MODULES] if named else []
    if plan["preflight"]:
        return [LOOPBACK_MODULES, KERNEL_MODULES, RELAY_MODULES, PREFLIGHT_MODULES, *congestion]
    found = [KERNEL_MODULES] if plan["kernel_tls"] else []
    if any(link["encryption"] for link in plan["links"]):
        found.append(RELAY_MODULES)  # these load OpenSSL
    if found:
        found.insert(0, LOOPBACK_MODULES)
    if any(link["barrier"] for link in plan["links"]):
        found.append(BARRIER_MODULES)
    found += congestion
    if any("fan" in stage for stage in plan["stages"]):
        found.append(FAN_MODULES)
    if any(stage.get("tells") for stage in plan["stages"]):
        found.append(TELLING_MODULES)
    if any("after" in stage for stage in plan["stages"]):
        found.append(LATER_MODULES)
    if any("afterwards" in stage for stage in plan["stages"]):
        found.append(AFTERWARDS_MODULES)
    if plan["detach"]:
        found.append(DETACH_MODULES)
    if plan.get("answers"):
        found.append(STATUS_MODULES)
    if plan.get("job"):
        found.append(HOME_MODULES)
        found += [CHAIN_MODULES] if "chain" in plan["job"] else []
    return found


def of_plan(plan: "EndPlan") -> "list[str]":
    """The modules of an end with this plan."""
    groups = more_of_plan(plan)
    last = groups.index(HOME_MODULES) if HOME_MODULES in groups else len(groups)
    return end_modules(sum(groups[:last], [])) + sum(groups[last:], [])


def sources(names: "Iterable[str] | None" = None) -> "list[tuple[str, str]]":
    """[("package.module", its source)] of an end, or of these modules, in the order of execution."""
    names = MODULES if names is None else names
    if globals().get("__loader__") is None:  # this code itself runs in such a program
        texts = dict(marshal.loads(zlib.decompress(sys.modules[PACKAGE].source)))
        return [(name, texts[name]) for name in names]
    folder = os.path.dirname(os.path.dirname(__file__))  # not normalized: a zip archive knows files by these very names
    read = __loader__.get_data  # type: ignore[name-defined]  # from files, or from a zip archive
    return [(name, read(os.path.join(folder, name.replace(".", os.sep) + ".py")).decode("utf-8")) for name in names]


def frame(data: bytes) -> bytes:
    return b"%08d" % len(data) + data


def pack(value: "Any") -> bytes:
    """A JSON value in a form that every Python can read (version 2 of marshal), compressed."""
    try:
        data = marshal.dumps(value, 2)
    except ValueError:  # marshal does not accept subclasses of str, such as Ansible's
        import json  # slow to load, and tasks have it already

        data = marshal.dumps(json.loads(json.dumps(value)), 2)
    return frame(zlib.compress(data, LEVEL))


def loader(small: bool = False) -> bytes:
    """HEAD and LOADER, compiled and as source; ``small`` omits the former."""
    compiled = b"" if small else MAGIC_NUMBER + marshal.dumps(without_columns(compile(LOADER, "<socketpipe>", "exec")))
    return frame(HEAD.encode("ascii")) + frame(compiled) + frame(LOADER.encode("ascii"))


def part(modules: "list[tuple[str, str]]", small: bool = False) -> bytes:
    """The compiled modules and their source."""
    modules = [(name, bare(text)) for name, text in modules]
    compiled = b""
    if not small:
        code = [(name, compile(text, "<socketpipe %s>" % name, "exec", optimize=2)) for name, text in modules]
        code = [(name, without_columns(each)) for name, each in code]
        compiled = MAGIC_NUMBER + zlib.compress(marshal.dumps(code), LEVEL)
    return frame(compiled) + pack(modules)


def program(modules: "list[tuple[str, str]]", small: bool = False) -> bytes:
    """The loader and the modules, the same for every end; ``small`` omits the compiled modules."""
    return loader(small) + part(modules, small)


def program_for(plan: "EndPlan") -> bytes:
    """The program of an end with this plan, of parts that the command may have in its cache."""
    own = globals().get("__loader__")
    kept = getattr(own, "parts", {})
    groups = [MODULES] + more_of_plan(plan)
    parts = [kept.get(tuple(group)) or part(sources(group)) for group in groups]
    return (getattr(own, "loader", b"") or loader()) + b"".join(parts)


def extended(program: bytes, parts: "list[bytes]") -> bytes:
    """A program and further parts, which are loaded after its own; ``main`` is that of the last module that has one."""
    return program + b"".join(parts)


def stream(program: bytes, plan: "Any") -> bytes:
    """The standard input of an end: the program, and the argument for ``main`` of its last module."""
    return program + argument(plan)


def argument(plan: "Any") -> bytes:
    """The last part of a stream."""
    return END + pack(plan)


def as_text(data: bytes) -> str:
    """A program in base64, for a plan, which is JSON."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def file_program(program: bytes) -> str:
    """The same program as a file, for logins that do not pass on standard input; its argument is the file of its plan.

    It removes both files before it does anything else.
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
    """The shell command that runs an end with the first of these interpreters that works.

    ``label`` (the run and the end, no secret) identifies the process.  ``files`` are the program and the plan, if they
    cannot be sent on standard input.
    """
    import shlex  # slow to load, and tasks have it already

    program_words = [shlex.quote(name) for name in files] or ["-c", shlex.quote(START)]
    tail = "-IS %s %s" % (" ".join(program_words), shlex.quote(label))
    found = [" ".join(shlex.quote(word) for word in shlex.split(name)) for name in interpreters]
    if len(found) == 1:
        return "exec %s %s" % (found[0], tail)
    # a name may be a version manager's stand-in that does not run, or Python 2, so each is tried
    attempt = "if $p -c %s </dev/null >/dev/null 2>&1; then exec $p %s; fi" % (shlex.quote(PROBE), tail)
    return "for p in %s; do %s; done; exit 127" % (" ".join(found), attempt)
