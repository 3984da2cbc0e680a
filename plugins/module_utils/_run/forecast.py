# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a preflight about encryption: the capabilities of each host, and what its links would use."""

from . import sentences

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import Capabilities, Refusal, Report
    from .plan import Plan
    from .records import Cause, Forecast, HostForecast

    Found = dict[str, Capabilities]  # by the names of the ends

CLEAR = "without encryption, the data crosses the network in clear"
WOULD_USE = {"kernel": "the kernels would encrypt (kernel TLS, %s)", "relay": "relays would encrypt%s"}
WORKS = "%s has kernel TLS (%s) and %s"
WORKS_NOT = "%s has %s, and no kernel TLS: %s"
NO_SSL = "no ssl module in its Python"


def forecast(plan: "Plan", hosts: "dict[str, str]", reports: "dict[str, Report]") -> "Forecast | None":
    """None unless all ends have reported their capabilities; ``hosts``: {end: name of its host}."""
    found = {end: report["encryption"] for end, report in reports.items() if "encryption" in report}
    if set(found) != set(plan.ends):
        return None
    how, cipher, refused = would_use(plan, found)
    return {
        "how": how,
        "cipher": cipher,
        "refused": {"host": hosts[refused[0]], "msg": sentences.refusal(refused[1])} if refused else None,
        "hosts": [of_host(hosts[end], reports[end], each) for end, each in found.items()],
    }


def cause_of(found: "Forecast") -> "Cause | None":
    """Why a run would be refused."""
    why = found["refused"]
    return {"kind": "refused", "host": why["host"], "msg": "%s: %s" % (why["host"], why["msg"])} if why else None


def would_use(plan: "Plan", found: "Found") -> "tuple[str | None, str | None, tuple[str, Refusal] | None]":
    """(kernel, relay or None, the cipher of the kernels, the end that refuses and why): as the ends decide it."""
    kernel = plan.options.get("kernel_tls", "")
    relays = kernel != "must" and any("certificates" in link for link in plan.links)
    if not kernel and not relays:
        return None, None, None
    if kernel:
        for end, has in found.items():
            if has["no_kernel_tls"] and not relays:
                return None, None, (end, {"kind": "no kernel tls", "problem": has["no_kernel_tls"]})
        for cipher in next(iter(found.values()))["ciphers"]:
            if all(cipher in has["ciphers"] for has in found.values()):
                return "kernel", cipher, None
        if not relays:
            return None, None, (next(iter(found)), {"kind": "no common cipher"})
    for end, has in found.items():
        if has["no_relay"]:
            return None, None, (end, {"kind": "no tls", "error": has["no_relay"]})
    return "relay", None, None


def of_host(host: str, report: "Report", has: "Capabilities") -> "HostForecast":
    problem = has["no_kernel_tls"]
    return {
        "host": host,
        "python": report.get("python", ""),
        "ssl": has["ssl"] or None,
        "kernel_tls": bool(has["ciphers"]),
        "ciphers": has["ciphers"],
        "problem": {"kind": problem["kind"], "msg": sentences.kernel_tls(problem)} if problem else None,
    }


def in_words(found: "Forecast") -> "list[str]":
    """The encryption of the links, and the capabilities of each host."""
    first = WOULD_USE[found["how"]] % (found["cipher"] or "") if found["how"] else CLEAR
    words = [] if found["refused"] else [first]
    for each in found["hosts"]:
        ssl = each["ssl"] or NO_SSL
        if each["problem"]:
            words.append(WORKS_NOT % (each["host"], ssl, each["problem"]["msg"]))
        else:
            words.append(WORKS % (each["host"], ", ".join(each["ciphers"]), ssl))
    return words
