# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates of encrypted links are valid whatever a host takes for the time: OpenSSL before 1.1 compares it."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import certificates as of_command
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _certificates as of_tasks
from ansible_collections.plumbing.socketpipe.tests.unit.relays import Link, known
from ansible_collections.plumbing.socketpipe.tests.unit.test_relay import Start, carried, link
from cryptography import x509

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


@MAKERS
def test_both_sides_accept_it(maker: Any, link: Start) -> None:
    writer, reader = maker.make_certificate(), maker.make_certificate()
    made: Link = link(seal=known(writer, reader), unseal=known(reader, writer))
    carried(made, b"data")


@pytest.mark.parametrize(
    ("time", "early"),
    [(b"\x17\r261126091700Z", b"\x17\r500101000000Z"), (b"\x18\x0f20510101000000Z", b"\x18\x0f19500101000000Z")],
)
def test_times_before_and_after_2049(time: bytes, early: bytes) -> None:
    assert of_command.VALID_FROM.sub(of_command.early, b"0" + time + b"\x06") == b"0" + early + b"\x06"


def test_a_certificate_that_is_none() -> None:
    with pytest.raises(of_command.NotMade, match="^openssl wrote a certificate without dates$"):
        of_command.begin_early("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
