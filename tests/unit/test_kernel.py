# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel is asked."""

from __future__ import annotations

import ctypes
import struct

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end import kernel


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(None, None), (-1.0, 0), (0.0, 0), (0.00001, 1), (0.25, 250), (1.0002, 1001), (60.0, 60000)],
)
def test_poll_waits_no_shorter_and_hardly_longer(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None, milliseconds: int | None
) -> None:
    asked: list[object] = []

    class Poll:
        def register(self, *wanted: int) -> None:
            asked.append(wanted)

        def poll(self, timeout: int | None) -> list[tuple[int, int]]:
            asked.append(timeout)
            return [(7, 1)]

    monkeypatch.setattr(kernel.select, "poll", Poll)
    assert kernel.events({7: 1, 8: 4}, seconds) == {7: 1}
    assert asked == [(7, 1), (8, 4), milliseconds]


# linux/tcp.h, as of 5.10: the types and names of the fields, 0 for the bit fields
FIELDS = (
    "B:state B:ca_state B:retransmits B:probes B:backoff B:options B:0 B:0 "
    "I:rto I:ato I:snd_mss I:rcv_mss I:unacked I:sacked I:lost I:retrans I:fackets "
    "I:last_data_sent I:last_ack_sent I:last_data_recv I:last_ack_recv "
    "I:pmtu I:rcv_ssthresh I:rtt I:rttvar I:snd_ssthresh I:snd_cwnd I:advmss I:reordering I:rcv_rtt I:rcv_space "
    "I:total_retrans Q:pacing_rate Q:max_pacing_rate Q:bytes_acked Q:bytes_received I:segs_out I:segs_in "
    "I:notsent_bytes I:min_rtt I:data_segs_in I:data_segs_out Q:delivery_rate "
    "Q:busy_time Q:rwnd_limited Q:sndbuf_limited"
)
TYPES = {"B": ctypes.c_uint8, "I": ctypes.c_uint32, "Q": ctypes.c_uint64}


def test_counters_are_where_the_kernel_has_them() -> None:
    fields = [(f"{number} {word[2:]}", TYPES[word[0]]) for number, word in enumerate(FIELDS.split()) if word[2:] != "0"]

    class Info(ctypes.Structure):
        _fields_ = fields

    known = {name.split()[1]: getattr(Info, name) for name, _type in fields}
    known["retransmits"] = known["total_retrans"]
    found = {name: (offset, struct.calcsize(kind)) for name, (offset, kind) in kernel.TCP_INFO.items()}
    assert found == {name: (known[name].offset, known[name].size) for name in found}
