# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""extract: an archive from standard input as files below a directory."""

import math
import os

from crew import Child, Crew, pipe
from gnutar import EMPTY, NOT_FOUND, Tar, TarSays, checksum_argv, complaint, escaped
from names import Found
from settings import Settings, encode
from trouble import Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

RECORD = 256 * 1024  # what tar reads at once, if the archive's length is a multiple of it
LEAST_RECORD = 10240
# a clock that is behind is no reason to fail, nor is another program's extension
SILENT = ("timestamp", "unknown-keyword")


def member(path: str) -> bytes:
    """A path as the user says it, as its name in the archive; b"." is all of it."""
    name = encode(os.path.normpath("/" + path.lstrip("/")))
    if ".." in path.split("/"):
        raise Trouble("%r: a path to restore must not contain '..'" % path, 2)
    return b"." + name if name != b"/" else b"."


class Target:
    """The directory that everything goes to; what it is itself stays as it is, but for /."""

    def __init__(self, words: "argparse.Namespace"):
        self.path = os.fsencode(words.to)
        if not self.path.startswith(b"/"):
            raise Trouble("%r: the directory to restore to must begin with /" % words.to, 2)
        self.real = os.path.realpath(self.path)
        if self.real == b"/" and not words.allow_root:
            raise Trouble("restoring over this host's own / must be asked for: --allow-root, or another directory", 2)
        if not os.path.lexists(self.path):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            os.mkdir(self.path, 0o700)
        elif not os.path.isdir(self.path):
            raise Trouble("%s is there, and is no directory" % words.to)
        elif os.listdir(self.path) and not words.into_existing and self.real != b"/":
            raise Trouble(
                "%s is not empty, and what is in it would be mixed with what is restored: "
                "choose a new directory, or --into-existing" % words.to
            )
        self.before = os.stat(self.path)

    def put_back(self) -> None:
        """An archive of / has an entry for / itself: it must not open a private directory to all."""
        now = os.stat(self.path)
        if self.real == b"/":
            return
        if (now.st_uid, now.st_gid) != (self.before.st_uid, self.before.st_gid):
            os.chown(self.path, self.before.st_uid, self.before.st_gid)
        os.chmod(self.path, self.before.st_mode & 0o7777)


def extract(settings: Settings, words: "argparse.Namespace") -> "dict[str, Any]":
    asked = {member(path): path for path in words.paths}
    whole = b"." in asked or not asked
    if words.bytes <= 0 or len(words.sha256) != 64:
        raise Trouble("--bytes and --sha256 must be what the catalog says of the archive", 2)
    tar = Tar()
    target = Target(words)
    factor = math.gcd(words.bytes, RECORD)
    as_root = os.geteuid() == 0
    argv = tar.argv(
        "--extract",
        "--preserve-permissions",
        "--numeric-owner",
        "--no-wildcards",  # a path is a name: what it matches would differ from level to level
        "--blocking-factor=%d" % ((factor if factor >= LEAST_RECORD else RECORD) // 512),
        "--verbose",
        *["--warning=no-" + each for each in SILENT],
        *(["--same-owner"] if as_root else []),
        # without this only those of users: no capabilities
        *(["--xattrs-include=*"] if as_root and "xattrs" in tar.metadata else []),
        *(["--listed-incremental=/dev/null"] if words.incremental else []),
        "--file=-",
    )
    found = Found([] if whole else [escaped(name) for name in asked])
    try:
        status, says = read(argv, [] if whole else list(asked), found, words)
    finally:
        target.put_back()
    missing = [] if whole else [path for name, path in asked.items() if escaped(name) in found.missing]
    if missing and words.strict_paths:
        raise Trouble("not in this archive: %s" % ", ".join(escaped(os.fsencode(path)).decode() for path in missing))
    return {
        "to": words.to,
        "bytes": words.bytes,
        "sha256": words.sha256.lower(),
        "tar": status,
        "files": found.count,
        "deleted": found.deleted,
        "missing": missing,
        "warnings": [line for line in says.first if not line.endswith(NOT_FOUND)],
    }


def read(
    argv: "list[bytes]", members: "list[bytes]", found: Found, words: "argparse.Namespace"
) -> "tuple[int, TarSays]":
    """standard input | tee >(checksum) | tar; returns tar's status when all was read and is what was written."""
    digest, says = bytearray(), TarSays()
    checksum = checksum_argv()
    with Crew() as crew:
        archive, archive_in = pipe()
        branch, branch_in = pipe()
        index, sum_out = crew.listen(found), crew.listen(digest.extend)
        summer = crew.start("the checksum's program", checksum, stdin=branch, stdout=sum_out)
        argv = argv + [b"--index-file=/proc/self/fd/%d" % index, b"--"] + members
        # 2: perhaps only because a member is not in it
        # it runs in DIR: with --directory tar 1.34 makes a directory elsewhere, where others have exchanged their names
        to, ok = os.fsencode(words.to), (0, 1, 2) if members else (0, 1)
        tar = crew.start("tar", argv, archive, fds=(index,), ok=ok, says=says, cwd=to)
        tee = crew.start("tee", [b"tee", b"/proc/self/fd/%d" % branch_in], 0, archive_in, fds=(branch_in,))
        for fd in (archive_in, branch, branch_in, index, sum_out):
            os.close(fd)

        def drain() -> None:
            """tar leaves unread what follows the archive's end: a large block's padding, what should not be there."""
            if not tar.failed:
                crew.start("cat", [b"cat"], archive)
            os.close(archive)

        tar.then = drain
        crew.wait()
    judge(tar, tee, summer, digest[:64].decode("ascii"), says, words)
    return tar.status or 0, says


def judge(tar: Child, tee: Child, summer: Child, digest: str, says: TarSays, words: "argparse.Namespace") -> None:
    """Raises Trouble with the cause: the stream's end, what it was, what tar could not do with it."""
    untrusted = "; what is in %s now is not to be trusted" % words.to
    if tee.failed and not tee.by_pipe and not tee.killed:
        raise Trouble("the archive broke off: %s%s" % (" ".join(tee.says.last) or "tee " + tee.how(), untrusted))
    if summer.failed and not summer.killed:
        raise Trouble("the checksum's program %s: %s%s" % (summer.how(), " ".join(summer.says.last), untrusted))
    only_missing = tar.status == 2 and says.count > 0 and says.missing == says.count
    failed = tar.status not in (0, 1) and not only_missing
    if tee.by_pipe or tee.killed:  # tar has not read to the end
        raise Trouble(complaint(tar) + untrusted, before=says.last[:-1])
    if digest == EMPTY:
        raise Trouble(
            "not one byte has come, of %d: the tape was at the end of its data, or the source had none" % words.bytes
        )
    if digest != words.sha256.lower():
        short = " (tar has read %d)" % says.total if says.total != words.bytes else ""
        tars = "; %s" % complaint(tar) if failed else ""
        raise Trouble(
            "these are not the %d bytes of the catalog%s: their SHA-256 is %s and not %s%s%s"
            % (words.bytes, short, digest, words.sha256.lower(), untrusted, tars)
        )
    if failed:
        raise Trouble(complaint(tar) + "; the archive itself is whole and right", before=says.last[:-1])
