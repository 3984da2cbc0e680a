# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One pass of tar over an archive from standard input, with its checks."""

import json
import math
import os
import tempfile

from ..common.gnutar import Tar
from ..common.problem import Problem
from .beginning import Beginning  # pylint: disable=unused-import  # a type
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
LEAST_READ_SIZE = 16384  # a power of two, as all sizes are that come into question
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
        size = math.gcd(words.bytes, READ_SIZE)
        self.record = size if size >= LEAST_READ_SIZE else READ_SIZE

    def argv(self, tar: Tar, index: int, judged: bool) -> "list[bytes]":
        as_root = os.geteuid() == 0
        # to find links to other members, or to compare everything
        some = ["--verbose", "--quoting-style=c"] if self.asked or self.words.drill else []
        some += ["--full-time", "--utc"] if self.words.drill else []
        return tar.argv(
            "--extract",
            "--preserve-permissions",
            *([] if self.words.owners_by_name else ["--numeric-owner"]),
            "--no-wildcards",  # a path is a literal name; the matches of a pattern would differ between levels
            "--blocking-factor=%d" % (self.record // 512),
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

    def read(self, found: Found, to: bytes, gate: "Gate | None", beginning: "Beginning | None" = None) -> None:
        """standard input | tee >(checksum) | tar; raises Problem unless the whole archive was read and is intact.

        With a ``beginning`` only that is read, and takes the place of tee.
        """
        with Crew() as crew, tempfile.TemporaryFile(dir=to) as listed:
            listed.write(b"".join(name + b"\0" for name in self.asked))
            listed.flush()
            archive, archive_in = pipe()
            index = crew.listen(found)
            argv = self.argv(Tar(), index, gate is not None)
            fds: "tuple[int, ...]" = (index,)
            if self.asked:
                argv += [b"--null", b"--files-from=/proc/self/fd/%d" % listed.fileno()]
                fds += (listed.fileno(),)
            # 2: a member may be missing, or some files failed; the rest of the archive is still useful
            # it runs in DIR: with --directory, tar 1.34 would create it elsewhere if somebody swaps the names
            tar = crew.start("tar", argv, archive, fds=fds, ok=(0, 1, 2), says=self.says, cwd=to)
            if beginning:
                tee, summer = self.start_beginning(crew, beginning, gate, archive_in), None
            else:
                tee, summer = self.start_tee(crew, gate, archive_in)
            for fd in (archive_in, index):
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

    def start_tee(self, crew: Crew, gate: "Gate | None", out: int) -> "tuple[Child, Child]":
        """tee, after the gate, and the checksum program."""
        branch, branch_in = pipe()
        sum_out, answer = crew.listen(self.digest.extend), crew.listen(self.answer.extend)
        try:
            summer = crew.start("the checksum program", checksum_argv(), stdin=branch, stdout=sum_out)
            if gate is None:
                argv = [b"tee", b"/proc/self/fd/%d" % branch_in]
                return crew.start("tee", argv, 0, out, fds=(branch_in,)), summer
            passing = gate
            tee = crew.fork("tee", lambda: passing.run(branch_in, answer), 0, out, (branch_in, answer))
            return tee, summer
        finally:
            for fd in (branch, branch_in, sum_out, answer):
                os.close(fd)

    def start_beginning(self, crew: Crew, beginning: "Beginning", gate: "Gate | None", out: int) -> Child:
        answer = crew.listen(self.answer.extend)
        try:
            return crew.fork("tee", lambda: beginning.run(gate, answer, self.record), 0, out, (answer,))
        finally:
            os.close(answer)

    @property
    def gate_says(self) -> "dict[str, Any]":
        try:
            return dict(json.loads(self.answer.decode("ascii")))
        except ValueError:  # no gate ran, or it was killed
            return {"gone": [], "later": [], "kept": [], "count": 0, "deleted": []}

    def judge(self, tar: Child, tee: Child, summer: "Child | None") -> None:
        """Raises Problem with the cause: a cut stream, wrong data, or errors of tar."""
        words = self.words
        untrusted = "; do not trust the files in %s" % words.to
        refused = self.gate_says.get("refused")
        if refused:
            raise Problem("%s: remove it, or choose another directory%s" % (refused, untrusted))
        if tee.failed and not tee.by_pipe and not tee.killed:
            raise Problem("the archive was cut off: %s%s" % (" ".join(tee.says.last) or "tee " + tee.how(), untrusted))
        if summer and summer.failed and not summer.killed:
            raise Problem("the checksum program %s: %s%s" % (summer.how(), " ".join(summer.says.last), untrusted))
        if tee.by_pipe or tee.killed:  # tar did not read to the end
            raise Problem(complaint(tar) + untrusted, output=self.says.last[:-1])
        if summer:
            self.compare(tar, untrusted)
        if self.status not in (0, 1, 2) or (self.has_errors and not words.keep_going):
            intact = "; the archive itself is intact" if summer else ""
            raise Problem(complaint(tar) + intact, output=self.says.last[:-1])

    def compare(self, tar: Child, untrusted: str) -> None:
        """Raises Problem unless the archive has the expected checksum."""
        words = self.words
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

    @property
    def has_errors(self) -> bool:
        """Whether tar had errors; missing members are counted separately."""
        return self.status not in (0, 1) and (self.says.count > 0 or not self.says.missing + self.says.unlinked)
