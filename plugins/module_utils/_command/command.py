# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command ``socketpipe``: runs a plan with two ends."""

import os
import sys
import time

from .._end.kernel import signal_name
from .._end.lean import signal
from .._end.spawn import PROGRAM_START, keep_out_of_dumps
from .._end.watch import catch
from .._end.wire import to_json
from .._run import bootstrap
from .._run.launch import Run
from .._run.plan import Plan
from . import arguments
from .addresses import own_addresses
from .certificates import NotMade, make_certificate
from .login import OBSTACLES, TERMINAL, ForkLaunch, LoginLaunch
from .meter import Meter
from .serve import serve
from .streams import FAILURE, USAGE, at_terminal, die, hold_places, keep, say, shell_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import SimpleNamespace
    from typing import Any, Callable

    from .._end.records import Command, Sample
    from .._run.records import Advice, Outcome
    from .._run.verdict import Verdict

HERE, THERE = "here", "there"
SAMPLE = 1.0  # seconds between samples for the progress line
PATIENT = 10 * 365 * 86400.0  # seconds: somebody may have to type a password
NO_WAY = "the login command cannot carry the keys: %s"
ADVICE: "Advice" = {
    "failed": "to accept this status, use --ok-rc %s=%s",
    "early_exit": "leave out --whole if that is what you want",
    "timeout": "-t/--timeout",
    "not_connected": "Try -h (addresses to dial), --ports (ports that a firewall allows) or --listen (which side "
    "listens).",
}


def main(words: "list[str]") -> int:
    """Run the command line; returns the exit status."""
    if words[:1] == ["-s"]:
        return serve(words[1:])
    hold_places()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # if it were ignored, children would leave no exit status
    try:
        options = arguments.parse(words)
    except arguments.Usage as exc:
        return say("%s (see socketpipe --help)" % exc, USAGE)
    if options.help or options.manual or options.version:
        from . import manual  # rarely needed

        sys.stdout.write((manual.usage if options.help else manual.page if options.manual else manual.version)())
        return 0
    try:
        if options.plain:
            from .plain import drive  # rarely needed

            return drive(options)
        return run(options)
    except OSError as exc:
        return say("this host has run out of resources: %s (see ulimit -a)" % (exc.strerror or exc), FAILURE)


class CommandRun(Run):
    """The run of one command line.  A signal ends it, and so does a login that starts no end."""

    def __init__(self, here: ForkLaunch, login: LoginLaunch, on_sample: "Callable[[Sample], None]", timeout: int):
        super().__init__({THERE: login, HERE: here}, on_sample)  # the login first: it takes longest
        self.here, self.login, self.timeout = here, login, timeout
        self.signal = 0
        signal.set_wakeup_fd(self.wake_in)
        catch(self.signalled)

    def signalled(self, number: int, frame: "Any") -> None:
        self.signal = self.signal or number
        self.give_up_at = min(self.give_up_at, time.monotonic())

    def beat(self) -> None:
        here, login, now = self.here, self.login, time.monotonic()
        if login.secrets and not here.pid and not here.ready:
            here.learn(login.secrets)
        login.silent = login.silent or login.hopeless(now, self.timeout)
        if login.silent or login.obstacle and not login.in_words:
            self.give_up_at = min(self.give_up_at, now)


def attempt(
    options: "SimpleNamespace", meter: Meter, obstacle: str = ""
) -> "tuple[Plan, CommandRun, dict[str, Outcome]]":
    """Run the plan; ``obstacle`` is the reason why standard input of the login command cannot carry it."""
    plan = make_plan(options, obstacle)
    login = LoginLaunch(plan.for_end(THERE), options.login, options.python or "python3", options.batch, obstacle)
    running = CommandRun(ForkLaunch(plan.for_end(HERE), login), login, meter.feed, options.timeout)
    found = running.outcomes()
    outcomes = {end: found[end] for end in (HERE, THERE)}  # messages name this host first
    if login.obstacle and not obstacle and not login.begun and not running.signal:
        if options.encrypt not in ("none", "kernel"):  # everybody on the host can read a command line
            raise NotMade(NO_WAY % OBSTACLES[login.obstacle])
        return attempt(options, meter, login.obstacle)
    return plan, running, outcomes


def run(options: "SimpleNamespace") -> int:
    """Run the commands and report the outcome; returns the exit status."""
    began = time.monotonic()
    if options.encrypt != "none":
        keep_out_of_dumps()
    names = {HERE: "this host", THERE: "the far side (%s)" % " ".join(options.login)[:200]}
    meter = Meter(2, at_terminal)
    try:
        plan, running, outcomes = attempt(options, meter)
    except NotMade as exc:
        return say("--encrypt: %s" % exc, FAILURE)
    meter.clear()
    from .._run.result import shape
    from .._run.verdict import Verdict

    verdict = Verdict(plan, outcomes, names, ADVICE)
    status = exit_status(verdict, "output" if options.output else "remote")
    if running.signal:  # other failures are consequences
        status, verdict.ok = 128 + running.signal, False
        text = "interrupted: socketpipe was stopped by %s" % signal_name(running.signal)
        verdict.cause = {"kind": "interrupted", "host": names[HERE], "msg": text}
    msg = "ok" if verdict.cause is None else verdict.cause["msg"]
    if status or verdict.cause:
        say(msg)
    figures = shape(plan, names, verdict, time.monotonic() - began)
    for left in figures["left_running"]:
        say("left running on %s" % left)
    if options.stats is not None:
        stats = {name: value for name, value in figures.items() if name != "changed"}
        status = write_stats(options.stats, {**stats, "ok": verdict.ok, "exit_status": status, "msg": msg}, status)
    return die(running.signal) if running.signal else status


def make_plan(options: "SimpleNamespace", obstacle: str = "") -> Plan:
    """Two ends, up to three stages, and the dialling side; without secrets if everybody can read its command line."""
    plan = Plan(
        {
            "ports": options.ports,
            "connect_timeout": options.timeout or 30,
            "stall_timeout": options.stall_timeout,
            "dead_peer": options.dead_peer,
            "rate_limit": options.rate_limit,
            "congestion_control": options.congestion_control,
            "full_reads": whole_blocks(options),
        }
    )
    shown = at_terminal() and not options.quiet and not (options.output and os.isatty(1))
    plan.add_end(HERE, options.listen == "local", SAMPLE if shown else 0.0, options.timeout or PATIENT)
    plan.add_end(THERE, options.listen == "remote")
    stages = [(HERE, "input"), (THERE, "remote"), (HERE, "output")]
    plan.chain([(end, stage(options, name)) for end, name in stages if getattr(options, name)])
    if options.encrypt == "kernel":
        plan.options["kernel_tls"] = "must"
    elif options.encrypt != "none":
        plan.encrypt(make_certificate)
    if obstacle == TERMINAL:  # it mixes both outputs, so the report carries the command's standard error
        del plan.stage("remote")["inherit"]["2"]
    for link in plan.links if obstacle else ():
        link["secret"] = ""
    given = options.host.split(",") if options.host else []
    if options.listen == "remote":
        plan.reach(HERE, THERE, given)
    else:
        plan.reach(THERE, HERE, given or own_addresses(), not given)
    return plan


def whole_blocks(options: "SimpleNamespace") -> "bool | None":
    """Whether all commands get whole blocks; None for dd only."""
    return True if options.full_reads else False if options.live else None


def stage(options: "SimpleNamespace", name: str) -> "Command":
    """One command as a stage of a plan; it shares the streams that it inherits with no other."""
    argv = getattr(options, name)
    inherit = {"2": 2}
    if name == "input":
        inherit["0"] = keep(0)
    elif name == "output":
        inherit["1"] = keep(1)
    found: "Command" = {
        "name": name,
        "argv": argv,
        "ok_rc": options.ok_rc.get(name, [0]),
        "early_exit": not options.whole,
        "environment": {},
        "inherit": inherit,
        "own_session": name == "remote",
        "others": name != "remote",  # further descriptors, such as a shell's 3<file, are for the commands on this host
    }
    if argv[0] == "socketpipe":
        modules = bootstrap.end_modules(bootstrap.OF_COMMAND) + bootstrap.COMMAND_MODULES
        more = ["-q"] + (["--encrypt=" + options.encrypt] if options.encrypt != "none" else [])
        words = argv[1:] if argv[1:2] == ["-s"] else more + argv[1:]
        found["launcher"] = [None, "-IS", "-c", PROGRAM_START, argv[0]]
        found["program"] = bootstrap.as_text(bootstrap.stream(bootstrap.program(bootstrap.sources(modules)), words))
    return found


def exit_status(verdict: "Verdict", last: str) -> int:
    """The status of the last command if it is the cause, with 128 + n for a signal; otherwise FAILURE."""
    if verdict.ok:
        return 0
    cause = verdict.cause
    rc = cause.get("rc") if cause and cause.get("stage") == last else 0
    return shell_status(int(rc)) if rc else FAILURE


def write_stats(path: str, stats: "dict[str, object]", status: int) -> int:
    """Write one line of JSON to a file, or to standard error if ``path`` is ""; returns the exit status."""
    line = to_json(stats) + "\n"
    try:
        if not path:
            os.write(2, line.encode("ascii"))
        else:
            with open(path, "w", encoding="ascii") as target:
                target.write(line)
    except OSError as exc:
        return say("--stats: %s: %s" % (path, exc.strerror), status or FAILURE)
    return status
