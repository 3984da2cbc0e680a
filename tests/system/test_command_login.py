# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command's login command: what gets through it unharmed, what is there on the far side, and what it fails of."""

from __future__ import annotations

import base64
import contextlib
import marshal
import os
import re
import signal
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import Fleet

from . import anatomy
from .conftest import SCRATCH
from .shell import Shell, gate
from .test_interpreters import PYTHONS

SSH = "-l { ssh h1 }"
# says byte for byte what words it was given
ECHO = "import os, sys; os.write(1, b'\\0'.join(os.fsencode(word) for word in sys.argv[1:]))"
WORDS = [
    "two words",
    "'",
    '"',
    "$HOME",
    "${PATH}",
    "`id`",
    "$(id)",
    "*",
    "?",
    "~",
    "#",
    "!",
    "line\nline\n",
    "\t",
    "",
    "\\",
    "\\\\n",
    ";",
    "|",
    "&",
    ">",
    "é",
    "日本語",
    "\U0001f4fc",
    "\udcff\udcfe",  # bytes that are no UTF-8
    "-i",
    "-l",
    "--",
    "%s",
    "{}",
    "{",
    "{",
    "}",
    "}",
]


# -- words, through a shell and through none

TO_H1 = {
    "ssh": "ssh h1",
    "ssh, jumping": "ssh -J h2 h1",
    "ssh, sudo there": "ssh h1 sudo -n -u backup1",
    "sudo": "sudo -n -u backup1",
    "env": "env",
    "env, variables": "env LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0",
    "chroot": "chroot /",
    "setpriv": "setpriv --reuid=backup2 --clear-groups",
    "two shells": "ssh h1 ssh h2",
    "network namespace": "nsenter --net=/proc/1/ns/net --",
    "script": "{scratch}/login",
    # the standard input, which carries the program otherwise, does not get there, or only as what somebody types
    "ssh, no input": "ssh -n h1",
    "ssh, in the background": "ssh -f h1",
    "ssh, a terminal": "ssh -tt h1",
    "sudo, no input": "{scratch}/deaf sudo -n -u backup1",
    "a terminal": "{scratch}/typist",
}

SCRIPTS = {
    "login": '#!/bin/sh\nssh h1 "$@"\n',
    "deaf": '#!/bin/sh\nexec "$@" </dev/null\n',
    "typist": "#!/usr/bin/python3\nimport pty, sys\npty.spawn(sys.argv[1:])\n",
}


@pytest.mark.parametrize("login", TO_H1)
def test_words_arrive_unharmed(fleet: Fleet, shell: Shell, login: str) -> None:
    """Whether the login command runs a shell, none, or two."""
    for name, text in SCRIPTS.items():
        path = fleet.controller.outside(f"{SCRATCH}/{name}")
        path.write_text(text, encoding="ascii")
        path.chmod(0o755)
    words = TO_H1[login].format(scratch=SCRATCH).split()
    remote = ["/usr/bin/python3", "-IS", "-c", ECHO, *WORDS]
    output = f"{SCRATCH}/out"
    argv = ["socketpipe", "-l", "{", *words, "}", "-r", "{", *remote, "}", "-o", "{", "dd", f"of={output}", "}"]
    ended = shell.run([*argv, "--stats"])
    assert ended.returncode == 0, ended.stderr
    arrived = (fleet.controller.directory / "var-tmp" / "scratch" / "out").read_bytes()
    assert arrived == b"\0".join(os.fsencode(word) for word in WORDS)


@pytest.mark.parametrize("variable", ["LC_ALL=C", "LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0"])
def test_words_and_the_locale_here(shell: Shell, work: Path, variable: str) -> None:
    """Its own Python may take its words for ASCII."""
    name = work / "é\udcff"
    env = dict(each.split("=") for each in variable.split())
    argv = ["socketpipe", "-i", "{", "echo", "ü", "}", "-l", "{", "ssh", "h1", "}", "-r", "{", "dd", f"of={name}", "}"]
    ended = shell.run(argv, env=env)
    assert ended.returncode == 0, ended.stderr
    assert name.read_text(encoding="utf-8") == "ü\n"


# -- a command inherits what the login gives, and nothing of ours: not the locale that Python sets in C's (PEP 538)

INHERITED = r"""
tr '\0' '\n' </proc/$$/environ | grep -a -v -e ^_= -e ^SSH_C -e ^SHLVL= -e ^SUDO_COMMAND= | sort
grep -E '^(Umask|SigIgn|SigBlk|SigCgt|Cap|Groups|NoNewPrivs|Seccomp)' /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj
nice
pwd
ls /proc/self/fd
"""
LOOK = f"sh {SCRATCH}/inherited"
GIVEN = {
    "no locale": {},
    "C": {"LC_CTYPE": "C"},
    "odd": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "ODD": "two\nlines", "EMPTY": "", "BYTES": "\udcff"},
}


def known(said: str) -> str:
    """But for those two signals that Python ignores itself, so that nobody can know: by default again for commands."""
    mask = ~(1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)
    return re.sub(r"(?<=SigIgn:\t)\w+", lambda found: f"{int(found[0], 16) & mask:016x}", said)


@pytest.fixture
def inherited(fleet: Fleet) -> None:
    for host in (fleet.controller, *fleet):
        host.outside(f"{SCRATCH}/inherited").write_text(INHERITED, encoding="ascii")
        host.outside(f"{SCRATCH}/inherited").chmod(0o644)


@pytest.mark.usefixtures("inherited")
@pytest.mark.parametrize("given", GIVEN)
def test_what_a_command_inherits_here(shell: Shell, given: str) -> None:
    setup = f"unset LANG; ulimit -S -n 200; ulimit -S -s 4096; umask 027; cd {SCRATCH}; exec nice -n 3"
    direct = shell.run(f"{setup} {LOOK}", env=GIVEN[given], errors="surrogateescape")
    line = f"{setup} socketpipe -i {{ {LOOK} }} {SSH} -r {{ cat }} -o {{ cat }}"
    ended = shell.run(line, env=GIVEN[given], errors="surrogateescape")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert known(ended.stdout) == known(direct.stdout) and "Umask:\t0027" in direct.stdout


@pytest.mark.usefixtures("inherited")
@pytest.mark.parametrize("login", ["ssh h1", "ssh h1 sudo -n -u backup1", "ssh h1 env LANG=C nice -n 4"])
@pytest.mark.parametrize("nested", ["", "nested"])
def test_what_a_command_inherits_there(shell: Shell, login: str, nested: str) -> None:
    direct = shell.run(f"{login} {LOOK}")
    line = f"socketpipe -l {{ {login} }} -r {{ {LOOK} }} -o {{ cat }}"
    if nested:
        line = f"socketpipe -l {{ ssh h2 }} -r {{ {line} }} -o {{ cat }}"
    ended = shell.run(line)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert known(ended.stdout) == known(direct.stdout) and "Umask:" in direct.stdout


@pytest.mark.usefixtures("inherited")
def test_what_a_login_command_inherits(shell: Shell) -> None:
    """ssh may send it on (SendEnv)."""
    login = f"sh -c '{LOOK} >{SCRATCH}/login; exec \"$@\"' - ssh h1"
    direct = shell.run(f"unset LANG; {LOOK}")
    ended = shell.run(f"unset LANG; socketpipe -l {{ {login} }} -r {{ true }} -o {{ cat {SCRATCH}/login }}")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert known(ended.stdout) == known(direct.stdout)


def logins(fleet: Fleet) -> int:
    return fleet["h1"].log.read_text(encoding="utf-8", errors="replace").count("Accepted publickey")


def test_one_login(fleet: Fleet, shell: Shell) -> None:
    """The original spends a second one to learn which address to dial."""
    before = logins(fleet)
    ended = shell.run(f"socketpipe -b -i {{ seq 1 1000 }} {SSH} -r {{ cat }} -o {{ cat }}")
    assert ended.returncode == 0 and ended.stdout.endswith("\n1000\n")
    assert logins(fleet) == before + 1


@pytest.mark.skipif("3.6" not in PYTHONS, reason="there is no CPython 3.6 on this machine")
def test_a_far_side_with_an_old_python_only(shell: Shell, work: Path) -> None:
    bare = f"-l {{ ssh h1 env PATH={work} }}"
    script = "/usr/bin/readlink /proc/$PPID/exe; exec /bin/cat"
    line = f"socketpipe -i {{ echo x }} {bare} -r {{ /bin/sh -c '{script}' }} -o {{ cat }}"
    ended = shell.run(f"{line} --python {PYTHONS['3.6']}")
    assert ended.returncode == 0, ended.stderr
    program, said = ended.stdout.split()
    assert Path(program).name == "python3.6" and said == "x"

    ended = shell.run(line)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        f"socketpipe: no end could be started on the far side (ssh h1 env PATH={work}): no usable Python (python3): "
        "install Python 3.6 or later there, or give its path with --python"
    )


def needed(version: str) -> str:
    if version not in PYTHONS:
        pytest.skip(f"there is no CPython {version} on this machine")
    return PYTHONS[version]


def test_a_far_side_with_python_2_only(shell: Shell) -> None:
    """It says so itself, whether it is told on its standard input or in its command line."""
    python = needed("2.7")
    for words in ("ssh h1", "ssh -n h1"):
        ended = shell.run(f"socketpipe --python {python} -i {{ echo x }} -l {{ {words} }} -r {{ cat }}")
        assert ended.returncode == 2
        assert re.fullmatch(
            rf"no end could be started on the far side \({words}\): no usable Python \(Python 3\.6 or later is needed, "
            r"this is 2\.7\.\d+\): install Python 3\.6 or later there, or give its path with --python",
            ended.said,
        )


@pytest.mark.parametrize("login", ["ssh -n h1", "ssh -tt h1"])
@pytest.mark.parametrize("python", ["3.6", "3.13"])
def test_every_python_reads_its_command_line(shell: Shell, login: str, python: str) -> None:
    line = f"socketpipe --python {needed(python)} -i {{ seq 3 }} -l {{ {login} }} -r {{ cat }} -o {{ cat }}"
    ended = shell.run(line)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "1\n2\n3\n", "")


def test_where_a_terminal_mixes_the_streams_the_last_words_are_told(shell: Shell) -> None:
    remote = "sh -c 'cat; echo no space on tape >&2; exit 4'"
    ended = shell.run(f"socketpipe -i {{ seq 3 }} -l {{ ssh -tt h1 }} -r {{ {remote} }}")
    assert ended.returncode == 4
    assert ended.said == "remote (sh) on the far side (ssh -tt h1) failed with exit status 4: no space on tape"


@pytest.mark.parametrize("there", ["ssh h1", "ssh -n h1"])
def test_no_secret_is_in_a_command_line(fleet: Fleet, shell: Shell, work: Path, there: str) -> None:
    """Everybody may read those (ps)."""
    source = f"sh -c 'touch {work}/runs; {gate(work / 'go')}'"
    process = shell.start(f"exec socketpipe -i {{ {source} }} -l {{ {there} }} -r {{ sh -c 'cat; :' mark-there }}")
    anatomy.until("it runs", (work / "runs").exists)
    words = [word for proc in anatomy.processes(fleet.controller, *fleet) for word in proc.argv]
    found = [text for word in words for text in re.findall(r"[\w+/=]{5000,}", word)]
    (work / "go").touch()
    assert shell.finish(process).returncode == 0
    assert bool(found) is (there != "ssh h1")
    for text in found:
        plans = [plan for plan in unpacked(base64.b64decode(text)) if isinstance(plan, dict)]
        assert [link["secret"] for plan in plans for link in plan["links"]] == [""]


def unpacked(data: bytes) -> Iterator[Any]:
    while data:
        data = data.removeprefix(b"the plan")  # in place of a length
        size = 8 + int(data[:8])
        with contextlib.suppress(zlib.error):
            yield marshal.loads(zlib.decompress(data[8:size]))
        data = data[size:]


# -- those that fail

DEAF = "it must run the command line that follows it and pass on its standard input (no ssh -n or -f, no </dev/null)"
TERMINAL = "its standard input passes through a terminal (ssh -tt, RequestTTY force)"
LOGINS = {
    "false": ("false", r"the login command ended without a report \(exit status 1\)"),
    "refused": ("ssh -p 9 h1", r"the login command ended without a report \(exit status 255\)"),
    "missing": ("no-such-login", r"the login command: there is no 'no-such-login' in PATH .*"),
    "killed": ("sh -c 'kill -9 $$'", r"the login command ended without a report \(exit status -9\)"),
    "silent": ("true", rf"the login command did not start the program \(exit status 0\): {re.escape(DEAF)}"),
    "no input, two shells": (
        "ssh -n h1 ssh h2",
        rf"the login command did not start the program \(exit status \d+\): {re.escape(DEAF)}",
    ),
    "a terminal, two shells": (
        "ssh -tt h1 ssh h2",
        rf"the login command did not start the program \(exit status \d+\): {re.escape(TERMINAL)}",
    ),
    "closes its output": (
        "sh -c 'exec sleep 7411 >/dev/null' -",
        r"the login command ended without a report \(exit status -15\)",
    ),
    "hangs with our input": (
        "sh -c 'cat >/dev/null; sleep 7411; :'",
        r"the login command did not reach the far side within 1 s \(-t/--timeout\)",
    ),
    "hangs, says something": (
        "sh -c 'echo welcome; sleep 7411; :'",
        r"the login command did not reach the far side within 1 s \(-t/--timeout\)",
    ),
    "no shell": ("cat", r".*"),
}


@pytest.mark.parametrize("case", LOGINS)
@pytest.mark.parametrize("batch", ["", "-b"])
def test_a_login_that_fails(shell: Shell, work: Path, case: str, batch: str) -> None:
    """Nothing is run, and the sentence names the login command as it was given."""
    words, message = LOGINS[case]
    touch = f"{{ touch {work}/ran }}"
    limit = "-t 1" if "hangs" in case else ""
    ended = shell.run(f"socketpipe {batch} {limit} -i {touch} -l {{ {words} }} -r {touch}")
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert re.fullmatch(rf"socketpipe: no end could be started on the far side \([^)]*\): {message}", last), last
    assert list(work.iterdir()) == []
