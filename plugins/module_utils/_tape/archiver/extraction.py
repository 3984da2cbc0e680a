# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass of tar over an archive from standard input, with its checks."""

import json
import math
import os
import tempfile

from ..common.gnutar import Tar
from ..common.problem import Problem
from .crew import Child, Crew, pipe
from .filenames import Found
from .gate import Gate  # pylint: disable=unused-import  # a type
from .gnutar import EMPTY, TarSays, checksum_argv, complaint
from .record import HIDDEN
from .target import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

READ_SIZE = 256 * 1024  # bytes of one read of tar, if the length of the archive is a multiple of it
LEAST_READ_SIZE = 10240
# a slow clock and extensions of other programs are no errors
SILENT = ("timestamp", "unknown-keyword")


class Extraction:
    """Reads one archive once."""

    def __init__(self, words: "argparse.Namespace", target: Target, asked: "list[bytes]"):
        """``asked``: the requested members, [] for all."""
        self.words, self.target, self.asked = words, target, asked
        self.says = TarSays()
        self.digest = bytearray()
        self.answer = bytearray()
        self.status = 0

    def argv(self, tar: Tar, index: int, judged: bool) -> "list[bytes]":
        factor = math.gcd(self.words.bytes, READ_SIZE)
        as_root = os.geteuid() == 0
        # to find links to other members, or to compare everything
        some = ["--verbose", "--quoting-style=c"] if self.asked or self.words.drill else []
        some += ["--full-time", "--utc"] if self.words.drill else []
        return tar.argv(
            "--extract",
            "--preserve-permissions",
            *([] if self.words.owners_by_name else ["--numeric-owner"]),
            "--no-wildcards",  # a path is a literal name; the matches of a pattern would differ between levels
            "--blocking-factor=%d" % ((factor if factor >= LEAST_READ_SIZE else READ_SIZE) // 512),
            "--verbose",
            *some,
            *["--warning=no-" + each for each in SILENT],
            *(["--same-owner"] if as_root else []),
            # without this tar restores only user attributes, and no capabilities
            *(["--xattrs-include=*"] if as_root and "xattrs" in tar.metadata else []),
            # keep links to directories; the gate has checked where they lead
            *(["--keep-directory-symlink"] if judged and tar.has("keep-directory-symlink") else []),
            b"--exclude=./" + HIDDEN,
            "--index-file=/proc/self/fd/%d" % index,
            "--file=-",
        )

    def read(self, found: Found, to: bytes, gate: "Gate | None") -> None:
        """standard input | tee >(checksum) | tar; raises Problem unless the whole archive was read and is intact."""
        checksum = checksum_argv()
        with Crew() as crew, tempfile.TemporaryFile(dir=to) as listed:
            listed.write(b"".join(name + b"\0" for name in self.asked))
            listed.flush()
            archive, archive_in = pipe()
            branch, branch_in = pipe()
            index, sum_out = crew.listen(found), crew.listen(self.digest.extend)
            summer = crew.start("the checksum program", checksum, stdin=branch, stdout=sum_out)
            argv = self.argv(Tar(), index, gate is not None)
            fds: "tuple[int, ...]" = (index,)
            if self.asked:
                argv += [b"--null", b"--files-from=/proc/self/fd/%d" % listed.fileno()]
                fds += (listed.fileno(),)
            # 2: a member may be missing, or some files failed; the rest of the archive is still useful
            # it runs in DIR: with --directory, tar 1.34 would create it elsewhere if somebody swaps the names
            tar = crew.start("tar", argv, archive, fds=fds, ok=(0, 1, 2), says=self.says, cwd=to)
            tee = self.start_tee(crew, gate, archive_in, branch_in)
            for fd in (archive_in, branch, branch_in, index, sum_out):
                os.close(fd)

            def drain() -> None:
                """Read the rest after the end of the archive, which tar leaves: padding, or unexpected data."""
                if not tar.failed:
                    crew.start("cat", [b"cat"], archive)
                os.close(archive)

            tar.then = drain
            crew.wait()
        self.status = tar.status or 0
        self.says.resolve_links(found.links)
        self.judge(tar, tee, summer)

    def start_tee(self, crew: Crew, gate: "Gate | None", out: int, branch: int) -> Child:
        if gate is None:
            return crew.start("tee", [b"tee", b"/proc/self/fd/%d" % branch], 0, out, fds=(branch,))
        passing, answer = gate, crew.listen(self.answer.extend)
        try:
            return crew.fork("tee", lambda: passing.run(branch, answer), 0, out, (branch, answer))
        finally:
            os.close(answer)

    @property
    def gate_says(self) -> "dict[str, Any]":
        try:
            return dict(json.loads(self.answer.decode("ascii")))
        except ValueError:  # no gate ran, or it was killed
            return {"gone": [], "later": [], "kept": [], "count": 0, "deleted": []}

    def judge(self, tar: Child, tee: Child, summer: Child) -> None:
        """Raises Problem with the cause: a cut stream, wrong data, or errors of tar."""
        words = self.words
        untrusted = "; do not trust the files in %s" % words.to
        refused = self.gate_says.get("refused")
        if refused:
            raise Problem("%s: remove it, or choose another directory%s" % (refused, untrusted))
        if tee.failed and not tee.by_pipe and not tee.killed:
            raise Problem("the archive was cut off: %s%s" % (" ".join(tee.says.last) or "tee " + tee.how(), untrusted))
        if summer.failed and not summer.killed:
            raise Problem("the checksum program %s: %s%s" % (summer.how(), " ".join(summer.says.last), untrusted))
        if tee.by_pipe or tee.killed:  # tar did not read to the end
            raise Problem(complaint(tar) + untrusted, output=self.says.last[:-1])
        digest = self.digest[:64].decode("ascii")
        if digest == EMPTY:
            raise Problem(
                "none of %d bytes arrived: the tape was at the end of its data, or the source sent none" % words.bytes
            )
        if digest != words.sha256.lower():
            short = " (tar read %d)" % self.says.total if 0 <= self.says.total != words.bytes else ""
            tars = "; %s" % complaint(tar) if self.has_errors else ""
            raise Problem(
                "these are not the %d bytes in the catalog%s: their SHA-256 is %s, not %s%s%s"
                % (words.bytes, short, digest, words.sha256.lower(), untrusted, tars)
            )
        if self.status not in (0, 1, 2) or (self.has_errors and not words.keep_going):
            raise Problem(complaint(tar) + "; the archive itself is intact", output=self.says.last[:-1])

    @property
    def has_errors(self) -> bool:
        """Whether tar had errors; missing members are counted separately."""
        return self.status not in (0, 1) and (self.says.count > 0 or not self.says.missing + self.says.unlinked)
