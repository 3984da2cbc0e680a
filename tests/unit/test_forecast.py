# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A preflight's word on encryption: what the links would use is what a run then uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.forecast import cause_of, forecast, in_words
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.tests.unit.ends import Ends, make_certificate, make_plan, sh

Launch = Callable[..., Ends]
BOTH, GCM = ["chacha20-poly1305", "aes-256-gcm"], ["aes-256-gcm"]
NAMES = {"a": "db1", "b": "tape1"}
PROBLEM = {"kind": "no module", "release": "6.1", "error": ""}
TEXT = "this kernel (6.1) has no module tls: install the rest of its modules, or another kernel"
OLD = "OpenSSL 1.0.1e"


def can(ciphers: list[str], ssl: str = "OpenSSL 3.0.2") -> dict[str, Any]:
    no_relay = OLD if ssl == OLD else "" if ssl else "no ssl module"
    return {"ciphers": ciphers, "no_kernel_tls": None if ciphers else PROBLEM, "ssl": ssl, "no_relay": no_relay}


def settings(plan: Plan, encryption: str) -> bool:
    """Whether relays may encrypt; ``may``: the kernels where both can, else relays."""
    plan.options["kernel_tls"] = {"kernel": "must", "may": "may"}.get(encryption, "")
    if encryption in ("relay", "may"):
        plan.encrypt(make_certificate)
    return encryption in ("relay", "may")


def made(encryption: str, a: dict[str, Any], b: dict[str, Any]) -> Any:
    plan = make_plan(("a", sh("input", "true")), ("b", sh("output", "true")))
    settings(plan, encryption)
    reports: Any = {"a": {"encryption": a, "python": "3.6.8"}, "b": {"encryption": b, "python": "3.11.2"}}
    return forecast(plan, NAMES, reports)


MUST = "its links are to be encrypted by the kernel"
SSL = "encrypted links need Python's ssl module with OpenSSL 1.0.2 or later, and the Python there has "


@pytest.mark.parametrize(
    ("encryption", "a", "b", "how", "cipher", "refused"),
    [
        ("none", can([], ""), can([], ""), None, None, ""),
        ("none", can(BOTH), can(BOTH), None, None, ""),
        ("relay", can([]), can([]), "relay", None, ""),
        ("relay", can(BOTH), can(BOTH), "relay", None, ""),
        ("relay", can(BOTH), can(BOTH, ""), None, None, f"tape1: {SSL}no ssl module"),
        ("relay", can(BOTH, OLD), can(BOTH), None, None, f"db1: {SSL}{OLD}"),
        ("kernel", can(BOTH, ""), can(BOTH, ""), "kernel", "chacha20-poly1305", ""),
        ("kernel", can(BOTH), can(GCM), "kernel", "aes-256-gcm", ""),
        (
            "kernel",
            can(BOTH[:1]),
            can(GCM),
            None,
            None,
            f"db1: {MUST}, and the kernels of the two hosts have no cipher in common",
        ),
        ("kernel", can([]), can(BOTH), None, None, f"db1: {MUST}: {TEXT}"),
        ("kernel", can(BOTH), can([]), None, None, f"tape1: {MUST}: {TEXT}"),
        ("may", can(BOTH, ""), can(GCM, ""), "kernel", "aes-256-gcm", ""),
        ("may", can(BOTH), can([]), "relay", None, ""),
        ("may", can(BOTH[:1]), can(GCM), "relay", None, ""),
        ("may", can([]), can(BOTH, ""), None, None, f"tape1: {SSL}no ssl module"),
    ],
)
def test_what_would_be_used(
    encryption: str, a: dict[str, Any], b: dict[str, Any], how: str | None, cipher: str | None, refused: str
) -> None:
    found = made(encryption, a, b)
    assert (found["how"], found["cipher"]) == (how, cipher)
    cause = cause_of(found)
    assert (cause and cause["msg"] or "") == refused
    assert not cause or (cause["kind"], cause["host"]) == ("refused", refused.partition(":")[0])


def test_the_capabilities_of_each_host() -> None:
    assert made("none", can(GCM, ""), can([]))["hosts"] == [
        {"host": "db1", "python": "3.6.8", "ssl": None, "kernel_tls": True, "ciphers": GCM, "problem": None},
        {
            "host": "tape1",
            "python": "3.11.2",
            "ssl": "OpenSSL 3.0.2",
            "kernel_tls": False,
            "ciphers": [],
            "problem": {"kind": "no module", "msg": TEXT},
        },
    ]


@pytest.mark.parametrize(
    ("encryption", "first"),
    [
        ("none", ["without encryption, the data crosses the network in clear"]),
        ("relay", ["relays would encrypt"]),
        ("kernel", []),
    ],
)
def test_in_words(encryption: str, first: list[str]) -> None:
    """A refusal is the message itself."""
    assert in_words(made(encryption, can(BOTH, "LibreSSL 2.8.3"), can([]))) == [
        *first,
        "db1 has kernel TLS (chacha20-poly1305, aes-256-gcm) and LibreSSL 2.8.3",
        f"tape1 has OpenSSL 3.0.2, and no kernel TLS: {TEXT}",
    ]
    assert in_words(made("kernel", can(GCM), can(BOTH, "")))[0] == "the kernels would encrypt (kernel TLS, aes-256-gcm)"


def test_one_end_has_not_answered() -> None:
    plan = make_plan(("a", sh("input", "true")), ("b", sh("output", "true")))
    reports: Any = {"a": {"encryption": can(BOTH)}, "b": {}}
    assert forecast(plan, NAMES, reports) is None


NO_RELAYS = ("tls", "(1, 0, 2) else", "(99, 0, 2) else")


@pytest.mark.parametrize("changes", [(), (NO_RELAYS,)], ids=["", "old-ssl"])
@pytest.mark.parametrize("encryption", ["none", "relay", "kernel", "may"])
def test_it_comes_true(launch: Launch, encryption: str, changes: tuple[Any, ...]) -> None:
    """Real ends on this machine: a preflight, and then a run."""

    def run(preflight: bool) -> Ends:
        plan = make_plan(("a", sh("input", "echo hello")), ("b", sh("output", "cat")), connect_timeout=5)
        plan.options["preflight"] = preflight
        if settings(plan, encryption) or preflight:
            return launch(plan, changes).wait()
        return launch(plan).wait()  # without the module to change

    checked = run(preflight=True)
    found: Any = forecast(checked.plan, NAMES, {name: checked.report(name) for name in checked.names})
    for host in found["hosts"]:
        assert host["ssl"] and host["kernel_tls"] is bool(host["ciphers"]) is not bool(host["problem"])
    done, cause = run(preflight=False), cause_of(found)
    if cause:
        assert done.cause()["kind"] == "refused"
        assert done.cause()["msg"].partition(": ")[2] == cause["msg"].partition(": ")[2]
    else:
        done.ok()
        hows = [done.side("input", side)["encryption"] for side in "WR"]
        assert [how and how["how"] for how in hows] == [found["how"]] * 2
