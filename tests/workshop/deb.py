# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command as a small Debian package, .build/deb/socketpipe_VERSION_all.deb: python -m tests.workshop.deb

It needs dpkg-deb. What is in it is what make install puts into /usr, and what Debian's policy asks for.
"""

from __future__ import annotations

import email.utils
import gzip
import os
import shutil
import sys
from pathlib import Path

from . import venvs
from .programs import Wrong, run
from .release import galaxy_version

FOLDER = venvs.BUILD / "deb"
NAME = "socketpipe"
INTERPRETER = "/usr/bin/python3"
# who builds it, as for all programs of Debian that make packages; the project has no address of its own
ADDRESS, FULL_NAME = "DEBEMAIL", "DEBFULLNAME"
CONTROL = """Package: {name}
Version: {version}
Section: net
Priority: optional
Architecture: all
Depends: python3 (>= 3.6)
Recommends: openssh-client
Suggests: openssl
Installed-Size: {size}
Maintainer: {maintainer}
Description: zero overhead remote process plumbing
 socketpipe joins a command on this host and a command on another one by a
 direct TCP socket. It logs in, by ssh or any other command, only to start the
 remote command; the data then flow at the speed of the network, unencrypted
 unless asked otherwise, and no program copies them.
 .
 The end of the data means success, and nothing else does: if any command
 fails, the next one gets an error. The other host needs only Python.
"""
COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: plumbing.socketpipe

Files: *
Copyright: 2026 the plumbing.socketpipe contributors
License: GPL-3+
 This program is free software: you can redistribute it and/or modify it under
 the terms of the GNU General Public License as published by the Free Software
 Foundation, either version 3 of the License, or (at your option) any later
 version.
 .
 On Debian systems, the text of version 3 of the License is in
 /usr/share/common-licenses/GPL-3.
"""
CHANGELOG = """{name} ({version}) unstable; urgency=medium

  * The command of version {version} of the collection plumbing.socketpipe.

 -- {maintainer}  {date}
"""


def write(path: Path, text: str, *, packed: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode("utf-8")
    path.write_bytes(gzip.compress(data, 9, mtime=0) if packed else data)
    path.chmod(0o644)


def maintainer() -> str:
    name = os.environ.get(FULL_NAME, "plumbing.socketpipe contributors")
    return f"{name} <{os.environ.get(ADDRESS, 'nobody@socketpipe.invalid')}>"


def date() -> str:
    """Of the last commit, so that the same sources give the same package."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or run(["git", "-C", venvs.ROOT, "log", "-1", "--format=%ct"])
    return email.utils.formatdate(int(seconds))


def build() -> Path:
    """The package; raises Wrong."""
    if not shutil.which("dpkg-deb"):
        raise Wrong("dpkg-deb is missing (Debian: dpkg)")
    root = FOLDER / "root"
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.umask(0o022)
    words: list[str | Path] = [
        "make",
        "-C",
        venvs.ROOT,
        "install",
        f"DESTDIR={root}",
        "PREFIX=/usr",
        f"INTERPRETER={INTERPRETER}",
    ]
    run(words, MAKEFLAGS="")
    page = root / "usr/share/man/man1" / f"{NAME}.1"
    write(page.with_name(page.name + ".gz"), page.read_text(encoding="utf-8"), packed=True)
    page.unlink()
    facts = {"name": NAME, "version": galaxy_version().replace("-", "~"), "maintainer": maintainer(), "date": date()}
    documents = root / "usr/share/doc" / NAME
    write(documents / "copyright", COPYRIGHT)
    write(documents / "changelog.gz", CHANGELOG.format(**facts), packed=True)
    files = [path for path in root.rglob("*") if path.is_file()]
    write(root / "DEBIAN/control", CONTROL.format(**facts, size=sum(-(-path.stat().st_size // 1024) for path in files)))
    sums = run(["md5sum", *sorted(path.relative_to(root) for path in files)], cwd=root)
    write(root / "DEBIAN/md5sums", sums)
    package = FOLDER / f"{NAME}_{facts['version']}_all.deb"
    run(["dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, package])
    return package


def main() -> int:
    try:
        print(build().relative_to(venvs.ROOT))
    except Wrong as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
