# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of encrypted links are not in a core dump of a process of ours, and commands are dumped as ever (core(5))."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.tests.unit import ends
from ansible_collections.plumbing.socketpipe.tests.unit.conftest import collection_tree
from ansible_collections.plumbing.socketpipe.tests.unit.ends import Ends, make_plan, sh

FILTER = "cat /proc/$pid/coredump_filter;"
# the setting of the stage, of the end that is its parent, and of the guard that is the end's
THREE = f"pid=$$; {FILTER} pid=$PPID; {FILTER} pid=$(cut -d' ' -f4 /proc/$pid/stat); {FILTER}"
# and of the command whose fork the end is
FOUR = THREE + f"pid=$(cut -d' ' -f4 /proc/$pid/stat); {FILTER}"
NONE = 0
COMMAND = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from %s import command; sys.exit(command.main(sys.argv[1:]))"
)
COMMAND %= "ansible_collections.plumbing.socketpipe.plugins.module_utils._command"


def own() -> int:
    return int(Path("/proc/self/coredump_filter").read_text(encoding="ascii"), 16)


def parsed(text: str) -> list[int]:
    return [int(line, 16) for line in text.split()]


@pytest.mark.parametrize(("encryption", "ours"), [("none", own()), ("relay", NONE)])
def test_of_an_end_and_its_guard(
    launch: Callable[..., Ends], monkeypatch: pytest.MonkeyPatch, encryption: str, ours: int
) -> None:
    monkeypatch.setattr(ends, "ENCRYPTION", encryption)
    made = launch(make_plan(("a", sh("input", THREE)), ("b", sh("output", "cat")))).wait().ok()
    assert parsed(made.stage("output")["stdout"]) == [own(), ours, ours]


@pytest.mark.skipif(ends.KERNEL_TLS != "", reason="a plan without kernel TLS is compared")
def test_of_an_end_whose_kernel_is_to_encrypt(launch: Callable[..., Ends]) -> None:
    """Its keys come from the secret of the link; where the kernel cannot encrypt, this is before it is refused."""
    change = (
        "main",
        "    make_secrets(plan, watch)\n",
        "    watch.say({'held': open('/proc/self/coredump_filter').read()})\n",
    )
    made = launch(make_plan(("a", sh("input", "true")), ("b", sh("output", "cat")), kernel_tls="must"), [change]).wait()
    assert all("00000000" in made.output[name].partition("held")[2][:20] for name in "ab")


@pytest.mark.parametrize(("options", "ours"), [([], own()), (["--encrypt"], NONE)])
def test_of_the_command(tmp_path: Path, options: list[str], ours: int) -> None:
    line = [*options, "-h", "127.0.0.1", "-i", "{", "sh", "-c", FOUR, "}"]
    line += ["-l", "{", "env", "}", "--python", sys.executable, "-r", "{", "cat", "}", "-o", "{", "cat", "}"]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(collection_tree()), *line],
        check=False,
        capture_output=True,
        text=True,
        timeout=ends.LONG,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert parsed(done.stdout) == [own(), ours, ours, ours]


@pytest.mark.skipif(not shutil.which("openssl"), reason="the command makes certificates with openssl")
def test_of_the_openssl_of_the_command(tmp_path: Path) -> None:
    """It has the keys as well."""
    seen, script = tmp_path / "seen", tmp_path / "openssl"
    look = f"cat /proc/$$/coredump_filter >>{seen}"
    script.write_text(f'#!/bin/sh\n{look}\nexec {shutil.which("openssl")} "$@"\n')
    script.chmod(0o755)
    line = ["--encrypt=relay", "-h", "127.0.0.1", "-i", "{", "echo", "}", "-l", "{", "env", "}"]
    line += ["--python", sys.executable, "-r", "{", "cat", "}"]
    subprocess.run(
        [sys.executable, "-c", COMMAND, str(collection_tree()), *line],
        check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        timeout=ends.LONG,
    )
    assert parsed(seen.read_text()) == [NONE, NONE]


WORKER = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.plan import Plan
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_run import encrypt
encrypt(Plan({}), sys.argv[2])
print(ctypes.CDLL(None).prctl(3))
"""


@pytest.mark.parametrize(("how", "dumpable"), [("none", 1), ("required", 0), ("kernel", 0), ("relay", 0)])
def test_of_a_worker_of_ansible(how: str, dumpable: int) -> None:
    """PR_GET_DUMPABLE; what it starts is not concerned."""
    argv = [sys.executable, "-c", WORKER, str(collection_tree()), how]
    assert subprocess.run(argv, capture_output=True, text=True, check=True, timeout=ends.LONG).stdout == f"{dumpable}\n"
