# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sequence of an end from start to exit; the bootstrap calls ``main(plan)``."""

import sys
import time

from .end import End
from .execute import encode, find_command, full_environment
from .guard import NotForked, confess, dismiss, split
from .meeting import Meeting, NotConnected
from .processes import proc_is_ours
from .sides import make_sides
from .spawn import keep_out_of_dumps
from .system import os
from .watch import Cancelled, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import NoReturn

    from .barrier import Barrier
    from .detach import Home
    from .link import Side
    from .records import EndPlan, Refusal, Report


def main(plan: "EndPlan", home: "Home | None" = None) -> "NoReturn":
    """Run one end of a plan; the report goes to standard output, the exit status is always 0.

    On the controller, launch.Launch.conclude reads it.  ``home``: keeps the job of a run that detaches (see detach).
    Ansible treats 255 as "unreachable" and may repeat the command.  The end and its guard, two processes by then, both
    exit by the last line.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    watch = make_watch(plan)
    if plan["kernel_tls"] or any(link["encryption"] for link in plan["links"]):
        keep_out_of_dumps()
    make_secrets(plan, watch)
    try:
        report, guard = run(plan, watch, home)
        if report is not None:
            say(plan, watch, report)
            watch.finish()
        if guard is not None:
            dismiss(guard)
        elif report is None and home:  # this is the guard
            home.witness()
    except Cancelled as exc:
        say(plan, watch, {"cancelled": exc.stop})
    os._exit(0)  # skips the finalization of Python, which is not needed and takes time


def make_watch(plan: "EndPlan") -> Watch:
    if "answers" not in plan:
        return Watch(plan["heartbeat"])
    from .status import Answering  # shipped only then

    return Answering(plan)


def say(plan: "EndPlan", watch: Watch, report: "Report") -> None:
    report["end"] = plan["end"]
    report["python"] = "%d.%d.%d" % sys.version_info[:3]
    watch.say(report)


def run(plan: "EndPlan", watch: Watch, home: "Home | None") -> "tuple[Report | None, socket.socket | None]":
    """Returns (report, channel to the guard, None if there is none); (None, None) in the guard."""
    refused = before(plan)
    if refused:
        return refused, None
    if plan["preflight"]:
        from .preflight import Preflight  # shipped only then

        return Preflight(plan).run(watch.poll, time.monotonic() + plan["connect_timeout"]), None
    return connect_and_run(plan, watch, home)


def make_secrets(plan: "EndPlan", watch: Watch) -> None:
    """Create the secrets if the plan has none, because it came in a readable command line; report them."""
    missing = [link for link in plan["links"] if not link["secret"]]
    for link in missing:
        link["secret"] = os.urandom(32).hex()
    if missing:
        watch.say({"secrets": {link["id"]: link["secret"] for link in missing}})


def before(plan: "EndPlan") -> "Report":
    """A report with the reason not to start, found before anything is opened; {} if there is none."""
    if not sys.platform.startswith("linux") or not os.path.exists("/proc/self/stat"):
        return {"refused": {"kind": "platform", "platform": sys.platform}}
    if not proc_is_ours():
        return {"refused": {"kind": "foreign proc"}}
    if any(link["encryption"] for link in plan["links"]) and not plan["kernel_tls"] and not plan["preflight"]:
        from .encrypted import unusable  # shipped only then

        refused = unusable()
        if refused:
            return {"refused": refused}
    if any(link.get("congestion_control") for link in plan["links"]):
        from . import congestion  # shipped only then

        refused = congestion.missing(plan["links"])
        if refused:
            return {"refused": refused}
    for spec in [] if plan["preflight"] else plan["stages"]:
        for path, wanted in ((spec.get("creates"), True), (spec.get("removes"), False)):
            if path and exists(os.path.join(spec.get("chdir") or "", path)) == wanted:
                return {"skipped": {"stage": spec["name"], "path": path, "exists": wanted}}
    for spec in plan["stages"]:
        name = spec.get("launcher", spec["argv"])[0] or sys.executable
        problem = find_command(name, full_environment(spec["environment"]), spec.get("chdir"))
        if problem:
            return {"refused": problem, "stage": spec["name"]}
    return {}


def exists(path: str) -> bool:
    """Whether a path or a pattern (glob(7)) matches, as for ``creates`` of builtin.command."""
    if os.path.lexists(encode(path)):
        return True
    import glob  # rarely needed, and slow to load (re)

    return bool(glob.glob(encode(path)))


def abilities(plan: "EndPlan") -> "tuple[int, Refusal | None]":
    """(capabilities of the kernel for encrypted links, the reason to refuse them)."""
    if not plan["kernel_tls"] or all(link["side"] == "local" for link in plan["links"]):
        return 0, None
    from .keys import unlimited  # an end that is not to encrypt has no such modules
    from .ktls_trial import trial

    can, problem = trial()
    must = plan["kernel_tls"] == "must"
    # otherwise relays take over: they change keys on the way, so no stream is too long for them
    return can if must else unlimited(can), {"kind": "no kernel tls", "problem": problem} if problem and must else None


def make_barrier(plan: "EndPlan", sides: "list[Side]") -> "Barrier | None":
    if not any(side.prove for side in sides):
        return None
    from .barrier import Barrier  # shipped only then

    return Barrier(sides, plan["connect_timeout"])


def connect_and_run(plan: "EndPlan", watch: Watch, home: "Home | None") -> "tuple[Report | None, socket.socket | None]":
    """Make the links, split off the guard, supervise; returns the same as ``run``."""
    can, refused = abilities(plan)
    if refused:
        return {"refused": refused}, None
    meeting = Meeting(plan, can)
    deadline = time.monotonic() + plan["connect_timeout"]
    try:
        made = meeting.run_until(watch.poll, deadline)
    except NotConnected as exc:
        return {"not_connected": exc.links, "connect": meeting.report()}, None
    finally:
        meeting.close()
    if plan["detach"]:
        from .detach import detach  # shipped only then

        refused = detach(plan, made, watch, deadline, home)
        if refused:
            return {"refused": refused, "connect": meeting.report()}, None
    sides, refused = make_sides(plan, made, meeting.patience.tls)
    if refused:
        return {"refused": refused}, None
    undo = [spec for spec in plan["stages"] if "afterwards" in spec]
    if undo:
        from .afterwards import limit  # shipped only then

        meeting.patience.stop += limit(undo)
    try:
        channel = split(plan["end"], [side.transport for side in sides], watch, meeting.patience, undo)
    except NotForked as exc:
        return {"refused": {"kind": "no fork", "error": str(exc)}}, None
    if channel is None:
        return None, None
    try:
        report = End(plan, sides, watch, channel, make_barrier(plan, sides)).run()
    except Exception as exc:
        confess(channel, exc)
        raise
    report["connect"] = meeting.report()
    return report, channel
