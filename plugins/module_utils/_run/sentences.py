# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences for the reports of ends, which contain only kinds and data."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._end.records import (
        Death,
        Dialled,
        EndWarning,
        Held,
        NoKernelTls,
        NotStarted,
        OnTheWay,
        Process,
        Refusal,
        SideProblem,
        Skipped,
        Stop,
        StoppedReading,
        Taken,
        Unusable,
    )

PLATFORM = "an end needs Linux with /proc mounted; this is %s"
FOREIGN_PROC = (
    "/proc does not show the processes of this PID namespace, and an end must see those that it has started: "
    "mount proc inside the namespace (unshare --mount-proc, bwrap --proc /proc)"
)
NO_FORK = "it cannot start a process: %s; is there a limit (ulimit -u, pids.max of a control group)?"
OLD_PYTHON = "Python 3.6 or later is needed, this is %s"
NO_TLS = "encrypted links need Python's ssl module with OpenSSL 1.0.2 or later, and the Python there has %s"
NO_LOOPBACK = "whole blocks of an encrypted link need the loopback interface, and it does not work: %s"
OUT_OF_MEMORY = " (was the host out of memory?)"
# where the stream was changed between the hosts
MEDDLED = {
    "start": "the message before the start of the commands was %s",
    "handshake": "the TLS handshake was %s",
    "time": "the TLS handshake was not completed within %s s: %s",
    "certificate": "the TLS handshake was %s (the certificate is not that of the other host)",
    "stream": "the stream was %s",
    "end": "the stream was %s (bytes came after its end)",
    "record": "the stream was %s (a record is not authentic)",
}
# by errno: ENOENT, EPERM
NO_CONGESTION_CONTROL = {
    2: "congestion_control: the kernel there has no {name}; modprobe tcp_{name} may load it",
    1: "congestion_control: the kernel there allows {name} only to root (net.ipv4.tcp_allowed_congestion_control)",
}
NO_JOB = "the file of the job, %s, cannot be made: %s (async_dir)"
CONTROL = "the control connection to %s cannot be encrypted: %s"
NOT_DETACHED = "%s did not leave its login, so nothing was started"
INCOMPLETE_PYTHON = "the Python here, %s, is incomplete (%s); set another one"
SMALL_PACKETS = "between %s and %s large packets get lost, so this link uses small ones (%d bytes): check the MTU"
NOT_UNDONE = "%s has failed, and what it had begun is not undone: %s"
FULL_READS = "full_reads: the kernel grants reads of %d bytes, not %d (net.ipv4.tcp_rmem)"
USED_UP = (
    "one key of %s may encrypt no more, and a link that the kernel encrypts has only one: use relays, which change "
    "keys (relay instead of kernel), or kernels with ChaCha20-Poly1305, which has no such limit"
)
NOT_WRITTEN = "the fan-out has written only %d bytes to it (%s)"
NO_KERNEL_TLS = "its links are to be encrypted by the kernel: %s"
NO_COMMON_CIPHER = (
    "its links are to be encrypted by the kernel, and the kernels of the two hosts have no cipher in common"
)
LOAD = (
    "As root on %s: modprobe tls; and to load it at each boot: echo tls >/etc/modules-load.d/tls.conf "
    "(the role plumbing.socketpipe.kernel_tls does both)"
)
KERNEL_TLS = {
    "no module": "this kernel (%s) has no module tls: install the rest of its modules, or another kernel",
    "modules disabled": "the kernel module tls is not loaded, and this kernel loads no more modules "
    "(kernel.modules_disabled)",
    "module failed": "the kernel module tls could not be loaded: modprobe tls shows the reason",
    "not loaded": "the kernel module tls is not loaded, and only root may load it. " + LOAD % "that host",
    "not loaded outside": "the kernel module tls is not loaded. " + LOAD % "the host that this container runs on",
    "no cipher": "this kernel's TLS lacks the ciphers: try modprobe -a chacha20poly1305 gcm ctr ghash-generic",
    "old kernel": "this kernel (%s) has no TLS 1.3 (Linux 5.1 and later can have it)",
    "untried": "kernel TLS could not be tried over loopback: %s",
    "broken": "kernel TLS does not work: %s",
}
STEPS = {"fork": "cannot fork", "chdir": "cannot change to directory %r", "run": "cannot run %r"}
# likely reasons why a program cannot be run, by errno(3); these two are the same on every Linux
HINTS = {2: " (its interpreter, the #! line?)", 8: " (a program for another kind of processor?)"}
# the outcomes of an attempt to dial
OUTCOMES = {
    "connected": "connected",
    "ok": "ok",
    "not tried": "not tried",
    "timed out": "timed out",
    "refused": "refused",
    "reset": "reset",
    "no route": "no route",
    "no family": "no address of that family here",
    "forbidden": "forbidden",
    "unknown name": "an unknown name",
    "no zone": "a link-local address needs the interface that it is behind, as in %s%%eth0",
    "no interface": "there is no interface %s here",
    "error": "%s",
    "silent": "said nothing for %s s",
    "large packets": "large packets did not arrive: check the MTU",
    "too many": "one of too many",
    "not taken": "did not take the link",
    "cut off": "closed during the handshake",
    "wordless": "closed without a word",
    "out of turn": "closed, or spoke out of turn, before it was chosen",
    "no hello": "not a hello",
    "other run": "asked for another run",
    "other link": "asked for a link that is not open here",
    "same side": "asked for our own side of a link",
    "made": "asked for a link that is made",
    "wrong proof": "a wrong %s proof",
    "wrong filling": "a wrong filling",
}


def outcome(tried: "Dialled") -> str:
    """The outcome of dialling one address and port."""
    text = OUTCOMES[tried["outcome"]]
    text = text % tried["detail"] if "%" in text else text
    return "connected, then " + text if tried["met"] else text


def taken(port: "Taken") -> str:
    return "%d: %s" % (port["port"], port["error"] or "neither IPv6 nor IPv4 works here")


def unusable(problem: "Unusable") -> str:
    """Why a command cannot be run."""
    if problem["kind"] == "no directory":
        return "there is no directory %r to run it in" % problem["path"]
    if problem["kind"] == "not executable":
        return "%r is not executable" % problem["path"]
    where = " in PATH %s" % problem["path"] if problem["path"] else ""
    return "there is no %r%s" % (problem["name"], where)


def kernel_tls(problem: "NoKernelTls") -> str:
    """Why the kernel of a host cannot encrypt, and the remedy."""
    text = KERNEL_TLS[problem["kind"]]
    if problem["kind"] in ("untried", "broken"):
        return text % problem["error"]
    return text % problem["release"] if "%s" in text else text


def refusal(problem: "Refusal") -> str:
    """Why an end refused to begin."""
    if problem["kind"] == "platform":
        return PLATFORM % problem["platform"]
    if problem["kind"] == "foreign proc":
        return FOREIGN_PROC
    if problem["kind"] == "no fork":
        return NO_FORK % problem["error"]
    if problem["kind"] == "no kernel tls":
        return NO_KERNEL_TLS % kernel_tls(problem["problem"])
    if problem["kind"] == "no common cipher":
        return NO_COMMON_CIPHER
    if problem["kind"] == "old python":
        return OLD_PYTHON % problem["version"]
    if problem["kind"] == "no tls":
        return NO_TLS % problem["error"]
    if problem["kind"] == "no loopback":
        return NO_LOOPBACK % problem["error"]
    if problem["kind"] == "no congestion control":
        text = NO_CONGESTION_CONTROL.get(problem["errno"], "congestion_control: {name}: {error}").format(**problem)
        return text + ("; you may use %s" % ", ".join(problem["others"].split()) if problem["others"] else "")
    if problem["kind"] == "no job":
        return NO_JOB % (problem["path"], problem["error"])
    if problem["kind"] == "not detached":
        return NOT_DETACHED % problem["end"]
    if problem["kind"] == "control not encrypted":
        return CONTROL % (problem["end"], on_the_way(problem["problem"]))
    if problem["kind"] == "incomplete python":
        return INCOMPLETE_PYTHON % (problem["python"], problem["error"])
    return unusable(problem)


def skipped(found: "Skipped") -> str:
    return "%s: %s %s" % (found["stage"], found["path"], "exists" if found["exists"] else "does not exist")


STOPPED = {
    "guard": "the guard was killed",
    "controller": "the connection to the controller was lost",
    "home": "the connection to the host that keeps the job was lost",
}


def killed(signal: str) -> str:
    return "killed by %s%s" % (signal, OUT_OF_MEMORY if signal == "SIGKILL" else "")


def stopped(stop: "Stop") -> str:
    """What stopped an end that could still report."""
    if stop["kind"] == "signal":
        return "the end was %s" % killed(stop["signal"])
    return STOPPED[stop["kind"]]


def died(death: "Death") -> str:
    """How an end died, as its guard reported it."""
    if death["kind"] == "error":
        return "an error in socketpipe itself: %s" % death["error"]
    if death["kind"] == "signal":
        return "the end was %s" % killed(death["signal"])
    return "the end exited with status %d" % death["status"] if death["kind"] == "exit" else "the end died"


def not_started(problem: "NotStarted") -> str:
    step = STEPS.get(problem["step"], "")
    step = step % problem["name"] if "%" in step else step
    hint = HINTS.get(problem["errno"], "") if problem["step"] == "run" else ""
    return ": ".join(filter(None, (step, problem["error"]))) + hint


def stopped_reading(problem: "StoppedReading", rc: "int | None") -> str:
    after = "" if problem["consumed"] is None else " after %d bytes" % problem["consumed"]
    rest = "%d left unread" % problem["unread"] if problem["unread"] else "and its input had not ended"
    return "stopped reading%s with exit status %d, %s" % (after, rc or 0, rest)


def held(problem: "Held") -> str:
    """Which processes have the link of an exited stage open."""
    names = ", ".join(with_pid(each) for each in problem["processes"])
    if not names:
        text = "the processes that it started come and go too fast to be examined, and may still have the link open"
    elif problem["sure"]:
        text = "%s, which it started, still has the link open" % names
    else:
        text = "%s, which it started, may still have the link open: it cannot be examined" % names
    return "has exited, but " + text


def exit_text(signal: str, rc: "int | None", ok_rc: "list[int]") -> str:
    """How a command failed."""
    if signal:
        return "was %s" % killed(signal)
    if rc == 0:
        return "failed with exit status 0, which is not in ok_rc (%s)" % ", ".join(str(code) for code in ok_rc)
    return "failed with exit status %s" % rc


def link_problem(problem: "SideProblem") -> str:
    """Why an end broke a link although both stages were running."""
    if problem["kind"] == "cut on the way" or problem["kind"] == "changed on the way" or problem["kind"] == "no tls":
        return on_the_way(problem)
    if problem["kind"] == "relay":
        how = "was %s" % killed(problem["signal"]) if problem["signal"] else "failed: %s" % problem["error"]
        return "its relay %s %s" % (problem["name"], how)
    if problem["kind"] == "key used up":
        return USED_UP % problem["cipher"]
    if problem["kind"] == "not written":
        return NOT_WRITTEN % (problem["bytes"], problem["error"] or "no report")
    if problem["kind"] == "cancelled":
        return "the end was told to stop"
    if problem["kind"] == "stalled":
        return "no byte moved for %d s" % problem["seconds"]
    return "the other host did not respond for %d s" % problem["seconds"]


def on_the_way(problem: "OnTheWay") -> str:
    if problem["kind"] == "no tls":
        return "the TLS of the two hosts has no version, cipher or algorithm in common (%s)" % problem["error"]
    text = MEDDLED.get(problem["where"], MEDDLED["stream"])
    if problem["where"] == "time":
        return text % (problem["error"], problem["kind"])
    return text % problem["kind"] + (" (%s)" % problem["error"] if problem["error"] else "")


def warning(found: "EndWarning") -> str:
    if found["kind"] == "full reads":
        return FULL_READS % (found["granted"], found["asked"])
    if found["kind"] == "afterwards":
        return NOT_UNDONE % (found["stage"], found["error"])
    return SMALL_PACKETS % (found["address"], found["peer"], found["segment"])


def name_of(process: "Process") -> str:
    return process["name"] or "a process of another user"


def with_pid(process: "Process") -> str:
    """For a sentence."""
    return "%s (pid %d)" % (name_of(process), process["pid"]) if process["pid"] else name_of(process)


def listed(process: "Process") -> str:
    """For a list."""
    return "%d %s" % (process["pid"], name_of(process)) if process["pid"] else name_of(process)
