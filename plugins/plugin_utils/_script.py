# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program on the controller, as the bytes that are sent to the host that runs it.

A file is sent unchanged.  A directory is sent as a zip archive, which Python runs as it would run the directory, even
from memory (https://docs.python.org/3/using/cmdline.html#interface-options).
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator

SCRIPT_MOST = 4 * 1024 * 1024  # bytes: a script is sent through Ansible's connection and stays in the host's memory
MAIN = "__main__.py"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the same files give the same bytes

Reader = Callable[[str], bytes]


class ScriptError(ValueError):
    """A program cannot be sent; the text gives the reason."""


def read_file(path: str) -> bytes:
    """A file of the controller; raises OSError."""
    with open(path, "rb") as source:
        return source.read()


def read_program(path: str, read: Reader = read_file) -> bytes:
    """A file, or a directory as an archive of files read by ``read``; raises OSError and ScriptError."""
    if not os.path.isdir(path):
        return read(path)
    if not os.path.isfile(os.path.join(path, MAIN)):
        raise ScriptError(f"there is no {MAIN} in this directory for Python to run")
    try:
        return archive(path, read)
    except OSError as exc:
        raise ScriptError(f"{os.path.relpath(exc.filename or path, path)}: {exc.strerror}") from None


def archive(top: str, read: Reader) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as target:
        for name in members(top):
            try:
                content = b"" if name.endswith("/") else read(os.path.join(top, name))
            except ScriptError as exc:
                raise ScriptError(f"{name}: {exc}") from None
            add_member(target, name, content)
            if data.tell() > SCRIPT_MOST:  # without reading the rest, which may be large
                raise ScriptError(f"its zip archive exceeds the limit of {SCRIPT_MOST} bytes")
    return data.getvalue()


def add_member(target: zipfile.ZipFile, name: str, content: bytes) -> None:
    kind = zipfile.ZIP_DEFLATED if content else zipfile.ZIP_STORED
    target.writestr(zipfile.ZipInfo(name, EPOCH), content, kind)


def members(top: str, inner: str = "", above: tuple[str, ...] = ()) -> Iterator[str]:
    """The members of the archive: relative names, those of directories with a trailing slash.

    Directories have entries because Python before 3.14 does not import a package from an archive without an entry or an
    __init__.py (https://github.com/python/cpython/issues/59110).
    """
    above = (*above, os.path.realpath(os.path.join(top, inner)))
    for name in sorted(os.listdir(os.path.join(top, inner))):
        if name.startswith(".") or name == "__pycache__" or name.endswith(".pyc"):
            continue
        name = inner + name
        path = os.path.join(top, name)
        mode, real = os.stat(path).st_mode, os.path.realpath(path)
        if name.encode("utf-8", "replace").decode("utf-8") != name:
            raise ScriptError(f"{name!r} is a name that is not UTF-8")
        if stat.S_ISREG(mode):
            yield name
        elif not stat.S_ISDIR(mode):  # reading it might block forever
            raise ScriptError(f"{name} is neither a file nor a directory")
        elif any(os.path.commonpath([each, real]) == real for each in above):
            raise ScriptError(f"{name} is a link to a directory that contains it")
        else:
            yield f"{name}/"
            yield from members(top, f"{name}/", above)
