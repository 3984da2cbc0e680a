# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command's login command: what gets through it unharmed, what is there on the far side, and what it fails of."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.hosts import Fleet

from .conftest import SCRATCH
from .shell import Shell
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
}


@pytest.mark.parametrize("login", TO_H1)
def test_words_arrive_unharmed(fleet: Fleet, shell: Shell, login: str) -> None:
    """Whether the login command runs a shell, none, or two."""
    script = f"printf '#!/bin/sh\\nssh h1 \"$@\"\\n' >{SCRATCH}/login; chmod 755 {SCRATCH}/login"
    fleet.controller.run(["sh", "-c", script])
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
        "install Python 3.6 or later there, or say where it is with --python"
    )


# -- those that fail

LOGINS = {
    "false": ("false", r"the login command ended without a report \(exit status 1\)"),
    "refused": ("ssh -p 9 h1", r"the login command ended without a report \(exit status 255\)"),
    "missing": ("no-such-login", r"the login command: there is no 'no-such-login' in PATH .*"),
    "killed": ("sh -c 'kill -9 $$'", r"the login command ended without a report \(exit status -9\)"),
    "silent": ("true", r"the login command ended without a report \(exit status 0\)"),
    "no shell": ("cat", r".*"),
}


@pytest.mark.parametrize("case", LOGINS)
@pytest.mark.parametrize("batch", ["", "-b"])
def test_a_login_that_fails(shell: Shell, work: Path, case: str, batch: str) -> None:
    """Nothing is run, and the sentence names the login command as it was given."""
    login, message = LOGINS[case]
    touch = f"{{ touch {work}/ran }}"
    ended = shell.run(f"socketpipe {batch} -i {touch} -l {{ {login} }} -r {touch}")
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert re.fullmatch(rf"socketpipe: no end could be started on the far side \([^)]*\): {message}", last), last
    assert list(work.iterdir()) == []
