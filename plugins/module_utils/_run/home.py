# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a run that outlives its controller is kept: a process on one of its hosts, in the controller's place.

It hears the end of its own host over a pipe, and the others over their control connections.  It decides the outcome as
the controller does, and writes it into the file of the job.  If it is killed, its end stops, and so do the others, as
they lose their control connections; the guard of the end then writes the failure.
"""

import os
import time

from .._end import main as end
from .._end.kernel import signal_name
from .._end.lean import signal, socket
from .._end.processes import kill
from .._end.watch import Cancelled
from .._end.wire import bounded
from . import kept, sentences, tape_jobs, taped
from . import result as results
from .answers import Failure
from .heard import PipedLaunch
from .job import JobFile, remove
from .labels import BEAT
from .launch import Launch, Run
from .marked import read_marked
from .verdict import Verdict
from .words import forecast, who_is_slow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .._end.control import Control
    from .._end.records import EndPlan, Refusal, Report, Sample
    from .._end.watch import Watch
    from .plan import Plan
    from .records import Job, JobProgress, Result

# with a message, where there is no room for more
BRIEF = ("changed", "failed", "skipped", "bytes", "run", "host", "state", "kind", *taped.BRIEF)
DYING = 5.0  # seconds between the end of a process's output and its own
SHOWN = 5.0  # seconds between two states of the file while the job runs
MSG_MOST = 1000  # characters of a message that is written where there is no room for more
LIMIT = "the job was stopped after %d s, the limit that its task sets (async)"
KILLED = "the process that keeps the job was killed"
STOP = "the job was stopped by %s"
LOGOUT = (
    " If nobody has cancelled it, systemd may end the processes of a user who logs out (KillUserProcesses in "
    "logind.conf): enable lingering for the user there (loginctl enable-linger)"
)


class OwnEnd(PipedLaunch):
    """The end on this host."""

    def __init__(self, plan: "EndPlan", out: int, pid: int):
        super().__init__(plan, [])
        self.out, self.pid = out, pid
        os.set_blocking(out, False)

    def start(self) -> None:
        """It runs already."""

    def wait(self) -> "tuple[int, str]":
        """Its guard has reported, and stays as a witness; or it has died, and wait(2) will say so in a moment."""
        deadline = time.monotonic() + DYING
        pid = status = 0
        while not pid and "end" not in (read_marked(self.heard.text()) or {}) and time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            time.sleep(0 if pid else 0.01)
        return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status), ""


class NoEnd(Launch):
    """Home itself, if no stage runs there."""

    def __init__(self, plan: "EndPlan"):
        super().__init__(plan, [])
        self.report = {"end": plan["end"], "detached": True}
        self.over()

    def start(self) -> None:
        """Nothing is to be started."""


class FarEnd(PipedLaunch):
    """An end on another host, with its control connection."""

    why = ""  # the control connection was lost

    def __init__(self, plan: "EndPlan", control: "Control"):
        super().__init__(plan, [])
        self.control = control
        self.out = os.dup(control.sock.fileno())  # closed at the end of the output, as for other ends

    def start(self) -> None:
        """It runs already."""

    def wait(self) -> "tuple[int, str]":
        return 0, ""

    def read(self) -> bytes:
        try:
            return self.control.receive()
        except BlockingIOError:
            raise
        except OSError as exc:
            self.why = ": %s" % exc.strerror
            return b""

    def without_report(self, rc: int, last: str) -> str:
        return "its control connection was lost%s" % self.why

    def over(self) -> None:
        super().over()
        self.control.sock.close()

    def cancel(self, age: float = 0.0) -> bool:
        """Ask it to stop, and later reset its control connection."""
        self.cancelled = True
        try:
            self.control.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True


class Keeping(Run):
    """The run of a job, as seen from home."""

    def __init__(self, launches: "dict[str, Launch]", plan: "Plan", file: JobFile, limit: float):
        super().__init__(launches, self.show)
        self.plan, self.file = plan, file
        self.began = time.monotonic()
        self.limit_at = self.began + limit
        self.shown_at, self.shown_bytes = self.began, 0
        self.parts: "set[str]" = set()  # links with the parts of one whole, whose bytes are added; {} for one link
        self.signal = 0
        self.why = ""  # it was stopped
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame: "Any") -> None:
        self.signal = number
        os.write(self.wake_in, b".")

    def depending(self, end: str) -> "set[str]":
        return self.plan.depending(end)

    def beat(self) -> None:
        if self.why:
            return
        if self.signal:
            self.why = STOP % signal_name(self.signal) + (LOGOUT if is_of_a_login() else "")
        elif time.monotonic() >= self.limit_at:
            self.why = LIMIT % (self.limit_at - self.began)
        if self.why:
            self.give_up_at = time.monotonic()

    def show(self, sample: "Sample") -> None:
        """Write the progress into the file of the job."""
        now = time.monotonic()
        if now < self.shown_at + SHOWN:
            return
        sides = [side for side in sample["sample"] if side["bytes"] is not None]
        if not sides:
            return
        moved = max([side["bytes"] or 0 for side in sides], default=0)
        if self.parts:
            moved = sum(side["bytes"] or 0 for side in sides if side["id"] in self.parts)
        slow = ""
        for side in sides:
            if side["side"] == "W" and not slow:
                writer, reader = self.plan.neighbours()[side["id"]]
                slow = who_is_slow(
                    {
                        "waited": side["waited"],
                        "elapsed": sample["at"],
                        "moved": side["bytes"] or 0,
                        "writer": writer,
                        "reader": reader,
                    }
                )
        rate = (moved - self.shown_bytes) / (now - self.shown_at)
        self.shown_at, self.shown_bytes = now, moved
        told: "JobProgress" = {
            "bytes": moved,
            "elapsed": results.rounded(sample["at"]),
            "rate": round(max(0.0, rate)),
            "expected": self.plan.expected,
            "percent": None,
            "left": None,
            "slow": slow,
        }
        link, expected = self.plan.expectation() or ("", 0)
        ids = {link} if not self.parts or not link else self.parts
        counts = [side["bytes"] or 0 for side in sides if side["id"] in ids]
        if counts:
            count = sum(counts)
            told["percent"], left = forecast(count, expected, sample["at"])
            told["left"] = results.rounded(left)
        self.file.running(told)


def is_of_a_login() -> bool:
    """Whether systemd counts this process to a login session, which may take it along."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="replace") as groups:
            return any("/session-" in line and line.rstrip().endswith(".scope") for line in groups)
    except OSError:
        return False


class Home:
    """Keeps the job of a run; see _end.detach."""

    def __init__(self, told: "EndPlan", job: "Job"):
        self.told, self.job = told, job
        self.plan = kept.plan_of(job)
        self.file = JobFile(job["directory"], self.plan.run, os.urandom(8).hex())
        self.began = time.monotonic()
        self.keeper = 0  # pid of the process that keeps the job

    # -- before the end has left its login

    def prepare(self) -> "Refusal | None":
        try:
            self.file.create()
        except OSError as exc:
            return {"kind": "no job", "path": self.file.path, "error": exc.strerror or str(exc)}
        self.file.sweep(time.time())
        return None

    def report(self) -> "Report":
        return {"detached": True, "results_file": self.file.path}

    def forget(self) -> None:
        remove(self.file.path)

    # -- after it

    def stand_by(self, watch: "Watch") -> None:
        watch.beat_at = float("inf")  # nobody reads
        while not watch.lost:
            try:
                watch.poll({}, SHOWN)
            except Cancelled:
                if not watch.lost:  # a signal, for the whole job
                    kill([self.keeper], signal.SIGTERM)
        self.last_word(KILLED)  # unless it has written the result before

    def keep(self, out: int, end: int, controls: "dict[str, Control]", watch: "Watch") -> None:
        own = OwnEnd(self.told, out, end) if self.told["stages"] else NoEnd(self.told)
        launches: "dict[str, Launch]" = {self.told["end"]: own}
        for name, control in controls.items():
            launches[name] = FarEnd(self.plan.for_end(name), control)
        run = Keeping(launches, self.plan, self.file, self.job["limit"])
        if "tape" in self.job and self.job["tape"]["does"] == "restore":
            run.parts = {self.plan.links[number]["id"] for number in self.job["tape"]["links"]}
        run.signal = run.signal or watch.signal or 0  # it may have come before its handler was there
        outcomes = run.outcomes()
        verdict = Verdict(self.plan, outcomes, self.job["hosts"], self.job["advice"])
        host = self.job["hosts"][self.told["end"]]
        if run.why and verdict.cause:
            verdict.cause = {"kind": "stopped", "host": host, "msg": "on %s: %s" % (host, run.why)}
        elapsed = time.monotonic() - self.began
        result, lost = kept.result_of(self.job, verdict, elapsed)
        found = [each for report in verdict.reports.values() for each in report.get("warnings", ())]
        self.finish(result, lost + [sentences.warning(each) for each in found])

    def finish(self, result: "Result", warnings: "list[str]") -> None:
        if self.job["peer"]:
            result["peer"] = self.job["peer"]
        final: "Any" = dict(result)
        if self.job["no_log"]:
            kept.hide(final)
            if "tape" in self.job:
                tape_jobs.hide(final, self.job["tape"])
        else:
            if warnings:
                final["warnings"] = warnings
            if self.job["fact"] and not (result.get("failed") or result.get("skipped")):
                final["ansible_facts"] = {self.job["fact"]: results.summary(result)}
        brief: "Any" = {key: final[key] for key in BRIEF if key in final}
        self.file.finish(final, {**brief, "msg": bounded(final["msg"], MSG_MOST, last=False)})

    def witness(self) -> None:
        for name in os.listdir("/proc/self/fd"):  # copies of links, and the pipe on whose end the other process waits
            if int(name) > 2:
                try:
                    os.close(int(name))
                except OSError:
                    pass  # that of the listing itself
        while os.getppid() == self.keeper:
            kill([self.keeper], signal.SIGCONT)  # a stopped one would stay forever
            time.sleep(BEAT)
        self.last_word(KILLED)

    def last_word(self, why: str) -> None:
        if not self.file.finished():
            host = self.job["hosts"][self.told["end"]]
            failure = Failure("end", "on %s: %s" % (host, why), host, started=True)
            self.finish(kept.unknown(self.job, failure, self.plan.run), [])


def main(plan: "EndPlan") -> "NoReturn":
    """The end at home, or any other."""
    job: "Any" = plan.get("job")
    end.main(plan, Home(plan, job) if job else None)
