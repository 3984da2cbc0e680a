# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an end does from its first to its last moment; the bootstrap calls ``main(plan)``."""

import os
import sys
import time

from .end import End
from .guard import DONE, split
from .lean import signal
from .link import Side, local_sides, tcp_side
from .meeting import Meeting, NotConnected
from .names import address_of
from .preflight import Preflight
from .processes import proc_is_ours
from .spawn import encode, find_command, full_environment
from .watch import Cancelled, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import EndPlan, Report

SMALL_PACKETS = "between %s and %s large packets get lost, so this link uses small ones (%d bytes): check the MTU"

NO_FORK = "it cannot start a process: %s; is there a limit (ulimit -u, pids.max of a control group)?"
FOREIGN_PROC = (
    "/proc does not show the processes of this PID namespace, and an end must see those that it has started: "
    "mount proc inside the namespace (unshare --mount-proc, bwrap --proc /proc)"
)


def main(plan: "EndPlan") -> int:
    """Run one end of a plan; the report goes to standard output, the exit status is always 0.

    Ansible takes 255 for "unreachable" and may run a command again that ended so.
    """
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    watch = Watch(plan["heartbeat"])
    make_secrets(plan, watch)
    report = before(plan)
    if not report:
        try:
            if plan["preflight"]:
                report = Preflight(plan).run(watch.poll, time.monotonic() + plan["connect_timeout"])
            else:
                report = connect_and_run(plan, watch)
        except Cancelled as exc:
            report = {"cancelled": str(exc)}
    report["end"] = plan["end"]
    report["python"] = "%d.%d.%d" % sys.version_info[:3]
    watch.say(report)
    return 0


def make_secrets(plan: "EndPlan", watch: Watch) -> None:
    """A plan that came in a command line, for everybody to see, has no secrets: they go the other way."""
    missing = [link for link in plan["links"] if not link["secret"]]
    for link in missing:
        link["secret"] = os.urandom(32).hex()
    if missing:
        watch.say({"secrets": {link["id"]: link["secret"] for link in missing}})


def before(plan: "EndPlan") -> "Report":
    """Reasons not to start at all, found before anything is opened: {} when there is none."""
    if not sys.platform.startswith("linux") or not os.path.exists("/proc/self/stat"):
        return {"refused": "an end needs Linux with /proc mounted; this is %s" % sys.platform}
    if not proc_is_ours():
        return {"refused": FOREIGN_PROC}
    for spec in [] if plan["preflight"] else plan["stages"]:
        for path, wanted in ((spec.get("creates"), True), (spec.get("removes"), False)):
            if path and exists(os.path.join(spec.get("chdir") or "", path)) == wanted:
                return {"skipped": "%s: %s %s" % (spec["name"], path, "exists" if wanted else "does not exist")}
    for spec in plan["stages"]:
        name = spec.get("launcher", spec["argv"])[0] or sys.executable
        problem = find_command(name, full_environment(spec["environment"]), spec.get("chdir"))
        if problem:
            return {"refused": problem, "stage": spec["name"]}
    return {}


def exists(path: str) -> bool:
    """Whether a path or a pattern (glob(7)), as of builtin.command's creates, is there."""
    if os.path.lexists(encode(path)):
        return True
    import glob  # rarely needed, and dear (re)

    return bool(glob.glob(encode(path)))


def connect_and_run(plan: "EndPlan", watch: Watch) -> "Report":
    """Make the links, split off the guard, supervise.  Returns in the end's process only."""
    meeting = Meeting(plan)
    try:
        made = meeting.run_until(watch.poll, time.monotonic() + plan["connect_timeout"])
    except NotConnected as exc:
        return {"not_connected": str(exc), "connect": meeting.report()}
    finally:
        meeting.close()
    sides: "list[Side]" = []
    for spec in plan["links"]:
        if spec["side"] == "local":
            sides += local_sides(spec)
        else:
            connection = made[spec["id"]]
            spec["address"], spec["peer"] = address_of(connection.sock), address_of(connection.sock, peer=True)
            side = tcp_side(spec, connection)
            if connection.attempt and connection.attempt.segment:
                side.warning = SMALL_PACKETS % (spec["address"], spec["peer"], connection.attempt.segment)
            sides.append(side)
    try:
        channel = split(plan["end"], [side.transport for side in sides], watch, meeting.patience)
    except OSError as exc:
        return {"refused": NO_FORK % exc.strerror}
    try:
        report = End(plan, sides, watch, channel).run()
    except Exception as exc:
        channel.send(repr(exc).encode("utf-8", "replace")[:1000])
        raise
    report["connect"] = meeting.report()
    report["end"] = plan["end"]
    report["python"] = "%d.%d.%d" % sys.version_info[:3]
    watch.say(report)
    try:
        channel.send(DONE)
        os.kill(os.getppid(), signal.SIGCONT)  # the guard; stopped, it would stay for ever
    except OSError:
        pass  # the guard was killed: that is in the report
    os._exit(0)
