# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records each line of the product that is executed, from the start of a Python on; see lines.py.

Imported before the standard library is: it uses built-in modules only.  Each line is written at once, for a process may
be killed, and without a descriptor that stays open, for some close all or count them.
"""

from __future__ import annotations

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

HITS = b"SOCKETPIPE_HITS_OF_TEST"  # in the environment: the file for the lines of the test that runs
# a program that runs from a descriptor has no name: {the beginning of its docstring: its path}
PROGRAMS = {"The fan-out: copies its": "plugins/module_utils/_end/fan_out.py"}
FOLDERS = (
    "plugins/module_utils/_",
    "plugins/plugin_utils/_",
    "/_end/",
    "/_run/",
    "/_command/",
    "/_tape/",
    "/_transfer/",
)

file = posix.environ.get(HITS)  # bytes; None if no test runs
# {id of a code object: (itself, because an id may be used again; its lines that this test has not executed)}
left: dict[int, tuple[CodeType, set[int]]] = {}
paths: dict[str, str] = {}


def path_of(code: CodeType) -> str:
    """The path in the repository of a file of code, wherever it comes from; "" if it is not the product's."""
    name = code.co_filename
    if name.startswith("/proc/self/fd/") and name.count("/") == 4:  # and no file in an archive that is open there
        said = str(code.co_consts[0])
        return "".join(path for docstring, path in PROGRAMS.items() if said.startswith(docstring))
    if name.startswith("<socketpipe _"):  # <socketpipe _end.link>
        return "plugins/module_utils/%s.py" % name[len("<socketpipe ") : -1].replace(".", "/")
    for folder in FOLDERS:
        at = name.find(folder)
        if at >= 0 and "/tests/" not in name[at:]:
            return name[at:] if folder[0] == "p" else "plugins/module_utils" + name[at:]
    return ""


def begin(new: bytes | None) -> None:
    """From now on the lines are those of another test."""
    global file
    file = new
    left.clear()


def left_of(code: CodeType) -> set[int]:
    found = left.get(id(code))
    if found is None:
        found = left[id(code)] = (code, {line for _start, _end, line in code.co_lines() if line is not None})
    return found[1]


def note(path: str, line: int) -> None:
    if file is None:
        return
    try:
        descriptor = posix.open(file, posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC, 0o666)
        try:
            posix.write(descriptor, b"%s %d\n" % (path.encode(), line))
        finally:
            posix.close(descriptor)
    except OSError:  # no descriptor is left, or this is another root
        pass


def trace(frame: FrameType, event: str, argument: Any) -> Any:
    name = frame.f_code.co_filename
    path = paths.get(name)
    if path is None:
        path = paths[name] = path_of(frame.f_code)
    if not path:
        return None
    threading = sys.modules.get("threading")
    if threading is not None and getattr(threading, "_trace_hook", trace) is None:
        threading.settrace(trace)
    lines = left_of(frame.f_code)
    if not lines:
        return None  # nothing new: most of the time that tracing costs

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and frame.f_lineno in lines:
            lines.discard(frame.f_lineno)
            note(path, frame.f_lineno)
        return local

    if frame.f_lineno in lines:
        lines.discard(frame.f_lineno)
        note(path, frame.f_lineno)
    return local


sys.settrace(trace)
