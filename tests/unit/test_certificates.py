# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of encrypted links are valid whatever a host takes for the time: OpenSSL before 1.1 compares it."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import certificates as of_command
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.spawn import NotStarted
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _certificates as of_tasks
from ansible_collections.plumbing.socketpipe.tests.unit.relays import Link, known
from ansible_collections.plumbing.socketpipe.tests.unit.test_relay import Start, carried, link
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

__all__ = ["link"]
MAKERS = pytest.mark.parametrize(
    "maker",
    [
        pytest.param(of_tasks, id="of a task"),
        pytest.param(
            of_command,
            id="of the command",
            marks=pytest.mark.skipif(not shutil.which("openssl"), reason="the command needs openssl"),
        ),
    ],
)


@MAKERS
def test_a_certificate_is_valid_at_all_times(maker: Any) -> None:
    found = x509.load_pem_x509_certificate(maker.make_certificate()["certificate"].encode())
    assert found.not_valid_before_utc.year == 1950 and found.not_valid_after_utc.year > 2100


@pytest.mark.parametrize("size", [1, 127, 128, 255, 256, 65535])
def test_sizes_in_der(size: int) -> None:
    """Short and long forms (X.690, 8.1.3), as short as possible."""
    value = b"x" * size
    own = of_tasks.der(of_tasks.OCTETS, value)
    head = own[: len(own) - size]
    assert own.endswith(value) and head[0] == 4
    if size < 128:
        assert head[1:] == bytes([size])
    else:
        assert head[1] == 0x80 + len(head) - 2 and int.from_bytes(head[2:], "big") == size and head[2]


def test_a_certificate_is_strictly_correct(tmp_path: Path) -> None:
    """A CA that has signed itself, another one each time."""
    made = [of_tasks.make_certificate() for _each in range(2)]
    found = [x509.load_pem_x509_certificate(each["certificate"].encode()) for each in made]
    assert found[0].serial_number != found[1].serial_number and min(each.serial_number for each in found) > 0
    for each, loaded in zip(made, found):
        loaded.verify_directly_issued_by(loaded)
        assert loaded.version == x509.Version.v3 and loaded.subject.rfc4514_string() == "CN=socketpipe"
        (extension,) = loaded.extensions
        assert extension.critical and extension.value == x509.BasicConstraints(ca=True, path_length=0)
        key = serialization.load_pem_private_key(each["key"].encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
        assert key.public_key() == loaded.public_key()
        if shutil.which("openssl"):
            path = tmp_path / "certificate"
            path.write_text(each["certificate"])
            subprocess.run(["openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", path, path], check=True)


def test_a_worker_does_not_load_x509() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from plugin_utils._certificates import make_certificate\n"
        "make_certificate(); print([name for name in sys.modules if 'x509' in name and 'hazmat' not in name])"
    )
    plugins = Path(__file__).resolve().parents[2] / "plugins"
    done = subprocess.run([sys.executable, "-c", code, plugins], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@MAKERS
def test_both_sides_accept_it(maker: Any, link: Start) -> None:
    writer, reader = maker.make_certificate(), maker.make_certificate()
    made: Link = link(seal=known(writer, reader), unseal=known(reader, writer))
    carried(made, b"data")


@pytest.mark.skipif(not shutil.which("openssl"), reason="the command needs openssl")
@pytest.mark.parametrize(
    "text", [None, "[req]\nprompt = no\nx509_extensions = x\n[x]\nextendedKeyUsage = emailProtection\n"]
)
def test_settings_of_openssl_on_this_host_do_not_matter(
    link: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    """They may be missing, or restrict what its certificates are for."""
    path = tmp_path / "openssl.cnf"
    if text:
        path.write_text(text)
    monkeypatch.setenv("OPENSSL_CONF", str(path))
    # the environment with which this process was started has another one
    monkeypatch.setattr(of_command, "full_environment", lambda given: {**os.environb, **given})
    writer, reader = of_command.make_certificate(), of_command.make_certificate()
    carried(link(seal=known(writer, reader), unseal=known(reader, writer)), b"data")


@pytest.mark.parametrize(
    ("time", "early"),
    [(b"\x17\r261126091700Z", b"\x17\r500101000000Z"), (b"\x18\x0f20510101000000Z", b"\x18\x0f19500101000000Z")],
)
def test_times_before_and_after_2049(time: bytes, early: bytes) -> None:
    assert re.sub(of_command.VALID_FROM, of_command.early, b"0" + time + b"\x06") == b"0" + early + b"\x06"


@pytest.mark.parametrize("kinds", [[], ["PRIVATE KEY"], ["CERTIFICATE"], ["PRIVATE KEY", "CERTIFICATE", "CERTIFICATE"]])
def test_output_of_openssl_without_both_parts(monkeypatch: pytest.MonkeyPatch, kinds: list[str]) -> None:
    text = "".join(f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n" for kind in kinds)
    monkeypatch.setattr(of_command, "output_of_openssl", lambda: text)
    with pytest.raises(of_command.NotMade, match="^openssl wrote no key and certificate$"):
        of_command.make_certificate()


def test_a_certificate_that_is_none() -> None:
    with pytest.raises(of_command.NotMade, match="^openssl wrote a certificate without dates$"):
        of_command.begin_early("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


class Openssl:
    """Stands for the program: what it writes and how it ends; ``fds`` are the descriptors that it got."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, text: bytes = b"", status: int = 0) -> None:
        self.text, self.status, self.fds = text, status, dict[int, int]()
        self.fails: Exception | None = None
        self.config = b""
        monkeypatch.setattr(of_command, "find_command", lambda *_words: None)
        monkeypatch.setattr(of_command, "spawn", self.spawn)
        fake = SimpleNamespace(**{**vars(os), "waitpid": lambda pid, options: (pid + options, self.status)})
        monkeypatch.setattr(of_command, "os", fake)

    def spawn(self, argv: list[str], environment: Any, chdir: Any, fds: dict[int, int], become: Any) -> int:
        assert (argv, environment, chdir, become) == (of_command.OPENSSL, {}, None, of_command.start_openssl)
        self.fds = fds
        self.config = os.read(fds[0], 10_000)
        os.write(fds[1], self.text)
        assert os.path.samefile(f"/proc/self/fd/{fds[2]}", os.devnull)
        if self.fails:
            raise self.fails
        return 77


def test_the_output_of_openssl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that it got is closed afterwards, whatever has happened."""
    before = os.listdir("/proc/self/fd")
    made = Openssl(monkeypatch, b"text \xff")
    assert of_command.output_of_openssl() == "text \ufffd" and made.config == of_command.CONFIG
    made.status = 768
    failed = "^openssl failed with exit status 3: openssl req -x509 -newkey ec$"
    with pytest.raises(of_command.NotMade, match=failed):
        of_command.output_of_openssl()
    made.fails = NotStarted(13, "Permission denied")
    with pytest.raises(of_command.NotMade, match="^openssl Permission denied$"):
        of_command.output_of_openssl()
    monkeypatch.setattr(
        of_command, "find_command", lambda *_words: {"kind": "not found", "name": "openssl", "path": "/bin"}
    )
    with pytest.raises(of_command.NotMade, match="^there is no 'openssl' in PATH /bin$"):
        of_command.output_of_openssl()
    assert os.listdir("/proc/self/fd") == before


def test_a_certificate_is_encoded_as_before() -> None:
    """But for its first time: lines of 64 characters, and the same frame."""
    time, early = b"\x17\r261126091700Z", b"\x17\r500101000000Z"
    der = b"0" * 100 + time + b"1" * 50 + time
    frame = "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n"
    found = of_command.begin_early(frame % base64.encodebytes(der).decode().rstrip())
    lines = found.splitlines()
    assert [lines[0], lines[-1]] == frame.replace("%s\n", "").splitlines() and found.endswith("-\n")
    assert [len(line) for line in lines[1:-2]] == [64] * (len(lines) - 3) and 0 < len(lines[-2]) <= 64
    assert base64.b64decode("".join(lines[1:-1])) == b"0" * 100 + early + b"1" * 50 + time
