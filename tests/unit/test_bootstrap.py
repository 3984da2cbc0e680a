# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the engine gets to a host: one command, one stream; or two files, gone at once."""

from __future__ import annotations

import ast
import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._end.wire import MARK
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap
from ansible_collections.plumbing.socketpipe.plugins.module_utils._run.marked import read_marked
from ansible_collections.plumbing.socketpipe.tests.unit import packages, pythons

SHIPPED = bootstrap.end_modules(bootstrap.MORE_MODULES)
SOURCES = dict(bootstrap.sources(SHIPPED))
SIZE = 100_500  # bytes a host gets for its part of a run, before the plan; each login pays for it
LABEL = "socketpipe:run:end"
GROUPS = [
    bootstrap.LOOPBACK_MODULES,
    bootstrap.KERNEL_MODULES,
    bootstrap.RELAY_MODULES,
    bootstrap.PREFLIGHT_MODULES,
    bootstrap.BARRIER_MODULES,
    bootstrap.FAN_MODULES,
    bootstrap.CONGESTION_MODULES,
    bootstrap.TELLING_MODULES,
    bootstrap.LATER_MODULES,
]
# an end that refuses at once: it needs nobody
PLAN: dict[str, Any] = {
    "run": "00" * 16,
    "end": "a",
    "listen": False,
    "ports": [],
    "links": [],
    "dial": {},
    "stages": [{"name": "input", "argv": ["no-such-command"], "fds": {}, "ok_rc": [0], "environment": {}}],
    "connect_timeout": 1,
    "kernel_tls": "",
    "preflight": False,
    "heartbeat": 30,
    "patience": {},
    "sample": 0,
}


def program() -> bytes:
    return bootstrap.program(bootstrap.sources())


def run(command: list[str] | str, data: bytes = b"", **more: Any) -> subprocess.CompletedProcess[bytes]:
    """A command line is run by /bin/sh, as Ansible does."""
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    return subprocess.run(words, input=data, capture_output=True, timeout=60, check=False, **more)


def said(result: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    report = read_marked(result.stdout.decode())
    assert report is not None, result
    return report


# -- what is shipped


@pytest.mark.parametrize("name", SHIPPED)
def test_sources_are_ascii(name: str) -> None:
    assert SOURCES[name].isascii()


@pytest.mark.parametrize("name", SHIPPED)
def test_each_imports_only_what_was_there_before(name: str) -> None:
    """And nothing of Ansible, nor of ours outside the engine."""
    before = SHIPPED[: SHIPPED.index(name)]
    when_asked = bootstrap.MORE_MODULES if name in bootstrap.MODULES else []
    tree = ast.parse(SOURCES[name])
    for relative in packages.relative(tree):
        assert packages.imported(name, relative, SHIPPED) <= {*before, *when_asked}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            assert not (node.module or "").startswith("ansible")
        elif isinstance(node, ast.Import):
            assert not any(alias.name.startswith("ansible") for alias in node.names)


def test_all_that_an_end_imports_is_shipped() -> None:
    shipped = {"connect", "end", "guard", "handshake", "kernel", "link", "main", "meeting", "preflight", "stage"}
    assert {"_end." + name for name in shipped} <= set(SHIPPED)
    assert len(set(SHIPPED)) == len(SHIPPED)


def test_what_encrypts_is_shipped_to_those_only_that_encrypt() -> None:
    """What checks, to those only that check; the barrier to an end that is not one of two; a fork where it is.

    And what outlives the controller to those that do, with what decides the outcome where the result is kept.
    """
    assert set(SHIPPED) - set(bootstrap.MODULES) == set(bootstrap.MORE_MODULES)
    checks: Any = {"preflight": True, "kernel_tls": "", "links": []}
    assert set(bootstrap.of_plan(checks)) == set(SHIPPED) - {
        *bootstrap.BARRIER_MODULES,
        *bootstrap.FAN_MODULES,
        *bootstrap.CONGESTION_MODULES,
        *bootstrap.DETACH_MODULES,
        *bootstrap.STATUS_MODULES,
        *bootstrap.TELLING_MODULES,
        *bootstrap.AFTERWARDS_MODULES,
        *bootstrap.LATER_MODULES,
    }
    ways: list[tuple[str, ...]] = [(), ("kernel",), ("relay",), ("kernel", "relay"), ("barrier",), ("relay", "barrier")]
    ways += [("barrier", "fan"), ("detach",), ("detach", "home"), ("detach", "home", "chain"), ("barrier", "answers")]
    ways += [("congestion",), ("barrier", "congestion"), ("tells",), ("tells", "detach"), ("afterwards",)]
    ways += [("tells", "after")]
    for way in ways:
        kernel = "may" if "kernel" in way else ""
        named = "reno" if "congestion" in way else ""
        links = [{"encryption": None, "barrier": "barrier" in way, "congestion_control": named}]
        stages: list[dict[str, Any]] = [
            {each: {"": 0} for each in ("fan", "tells", "after", "afterwards") if each in way}
        ]
        plan: Any = {"kernel_tls": kernel, "preflight": False, "links": links, "stages": stages}
        plan.update({"detach": "detach" in way, "job": {each: {} for each in way} if "home" in way else None})
        plan.update({"answers": True} if "answers" in way else {})
        if "relay" in way:
            plan["links"].append({"encryption": {"how": "relay"}, "barrier": False})
        wanted = [
            *(bootstrap.LOOPBACK_MODULES if {"kernel", "relay"} & set(way) else []),
            *(bootstrap.KERNEL_MODULES if "kernel" in way else []),
            *(bootstrap.RELAY_MODULES if "relay" in way else []),
            *(bootstrap.BARRIER_MODULES if "barrier" in way else []),
            *(bootstrap.TELLING_MODULES if "tells" in way else []),
            *(bootstrap.CONGESTION_MODULES if named else []),
            *(bootstrap.LATER_MODULES if "after" in way else []),
            *(bootstrap.AFTERWARDS_MODULES if "afterwards" in way else []),
            *(bootstrap.FAN_MODULES if "fan" in way else []),
            *(bootstrap.DETACH_MODULES if "detach" in way else []),
            *(bootstrap.STATUS_MODULES if "answers" in way else []),
        ]
        last = bootstrap.HOME_MODULES if "home" in way else []
        last = last + (bootstrap.CHAIN_MODULES if "chain" in way else [])
        assert bootstrap.of_plan(plan) == [*bootstrap.MODULES[:-1], *wanted, "_end.main", *last]
    assert SHIPPED[-1] == "_end.main", "the loader calls the main of the last one"


@pytest.mark.parametrize("name", bootstrap.MODULES)
def test_nothing_that_encrypts_or_checks_is_imported_at_the_start(name: str) -> None:
    """A run without encryption and preflight has not even these modules: who needs them imports them when it does."""
    for node in ast.parse(SOURCES[name]).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            assert not packages.imported(name, node, SHIPPED) & set(bootstrap.MORE_MODULES), name


def test_at_a_terminal_nothing_is_read(tmp_path: Path) -> None:
    """Nor executed, and no byte of ours is a signal; the terminal repeats nothing but the lines that come first."""
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    told = bootstrap.stream(program(), PLAN)
    with open(tmp_path / "out", "w+b") as out:
        argv = [sys.executable, "-IS", "-c", bootstrap.START, LABEL]
        process = subprocess.Popen(argv, stdin=theirs, stdout=out, start_new_session=True)
        heard = b""
        while process.poll() is None:
            try:
                told = told[os.write(ours, told) :]
            except BlockingIOError:
                pass
            time.sleep(0.01)
        while select.select([ours], [], [], 0)[0]:
            heard += os.read(ours, 65536)
        out.seek(0)
        said = out.read().decode()
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0 and read_marked(said) == {"terminal": 1}
    assert told, "it was not read"
    assert heard.strip(b"0123456789#\r\n") == b"", "an echo of what comes first only"


def test_the_size_of_the_stream() -> None:
    assert len(program()) <= SIZE


def test_the_program_is_the_same_for_every_run() -> None:
    """In another process, too, whose sets have another order.

    In this process other tests hold some of its strings, and marshal marks strings that others hold.
    """
    tree = next(path for path in sys.path if (Path(path) / "ansible_collections/plumbing").is_dir())
    code = (
        "import sys\nsys.path.insert(0, %r)\n"
        "from ansible_collections.plumbing.socketpipe.plugins.module_utils._run import bootstrap\n"
        "sys.stdout.buffer.write(bootstrap.program(bootstrap.sources()))"
    )
    environments = [{"PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"} for seed in "01"]
    one, other = (run([sys.executable, "-S", "-c", code % tree], env=each) for each in environments)
    assert one.stderr == other.stderr == b""
    assert one.stdout == other.stdout != b""


def test_the_command_holds_no_plan_and_no_program() -> None:
    """It is in every list of processes, and in Ansible's log."""
    command = bootstrap.command(["python3"], LABEL)
    assert len(command) < 220 and LABEL in command and "\n" not in command


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_sources_compile_on_every_python(version: str) -> None:
    """And without its warnings: an unknown escape, a comparison with `is`."""
    code = (
        "import json, sys, warnings\nwarnings.simplefilter('error')\n"
        "for name, text in json.load(sys.stdin): compile(text, name, 'exec')\n"
        "print('%d.%d' % sys.version_info[:2])"
    )
    texts = [*bootstrap.sources(), ("loader", bootstrap.LOADER), ("start", bootstrap.START), ("head", bootstrap.HEAD)]
    result = run([pythons.needed(version), "-c", code], json.dumps(texts).encode())
    assert result.stdout.decode().strip() == version, result.stderr.decode()


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_it_starts_on_every_python(version: str) -> None:
    """Byte code where the versions agree, the source anywhere else; the same with modules added."""
    python = pythons.needed(version)
    more = bootstrap.extended(program(), [bootstrap.part(bootstrap.sources(names)) for names in GROUPS])
    for each in (program(), more):
        result = run(bootstrap.command([python], LABEL), bootstrap.stream(each, PLAN))
        report = said(result)
        assert (result.returncode, result.stderr) == (0, b"")
        assert report["refused"]["name"] == "no-such-command" and report["end"] == "a"
        assert report["python"].startswith(version + ".")


def test_a_program_is_extended_without_being_made_again() -> None:
    """Each worker of Ansible would compile all of it, for 100 ms; what is added is loaded after the rest."""
    before = program()
    code = "from . import main\nmain.main = lambda plan: print(sorted(plan))\n"
    added = [("_end.added", code), ("_end.last", "from . import added\nassert added.main.main\n")]
    after = bootstrap.extended(before, [bootstrap.part([each]) for each in added])
    assert after.startswith(before) and len(split(after)) == len(split(before)) + 4
    own = bootstrap.extended(bootstrap.program([("_end.main", "")]), [bootstrap.part([each]) for each in added])
    result = run(bootstrap.command([sys.executable], LABEL), bootstrap.stream(own, {"a": 1}))
    assert result.stdout == b"['a']\n", result


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_modules_are_not_searched_for_garbage(version: str) -> None:
    """Neither while they are loaded, nor later, where Python can leave them out; what an end makes itself is."""
    code = "import gc\nloading = gc.isenabled()\ndef main(plan): print(loading, gc.isenabled(), frozen(), end='')\n"
    code += "def frozen(): return gc.get_freeze_count() > 0 if hasattr(gc, 'freeze') else None\n"
    own = bootstrap.program([("_end.main", code)])
    result = run(bootstrap.command([pythons.needed(version)], LABEL), bootstrap.stream(own, {}))
    assert result.stdout.decode() == f"False True {None if version == '3.6' else True}", result


@pytest.mark.parametrize("part", [1, 3], ids=["loader", "modules"])
def test_the_source_is_used_where_the_byte_code_is_not_ours(part: int) -> None:
    """As on any other Python than the controller's."""
    parts = split(program())
    parts[part] = bootstrap.frame(b"\0\0\0\0not byte code")
    result = run(bootstrap.command([sys.executable], LABEL), b"".join(parts) + bootstrap.argument(PLAN))
    assert said(result)["refused"]


def test_the_byte_code_is_used_where_it_is_ours() -> None:
    head, loader, _source, compiled, _sources = split(program())
    wrong = bootstrap.frame(b"this is no Python"), bootstrap.pack([["_end.kernel", "this is no Python"]])
    data = b"".join([head, loader, wrong[0], compiled, wrong[1], bootstrap.argument(PLAN)])
    assert said(run(bootstrap.command([sys.executable], LABEL), data))["refused"]


def split(data: bytes) -> list[bytes]:
    frames = []
    while data:
        size = 8 + int(data[:8])
        frames.append(data[:size])
        data = data[size:]
    return frames


@pytest.mark.parametrize("cut", [0, 4, 8, 100, 5000, 50_000, -1])
def test_a_stream_that_breaks_off(cut: int) -> None:
    """The connection was lost while it was sent: nothing runs, nothing hangs."""
    data = bootstrap.stream(program(), PLAN)
    result = run(bootstrap.command([sys.executable], LABEL), data[:cut])
    assert result.stdout == b"" and result.returncode != 255


@pytest.mark.parametrize(
    "text", ["é", "→", "\U0001f4a9", "\0", "\n", '"', "\\", "\udcff", "x" * 100_000], ids=lambda text: repr(text)[:12]
)
def test_any_text_in_a_plan(text: str) -> None:
    """In C's locale too; the report says what was asked for, and is small."""
    plan = {**PLAN, "stages": [{**PLAN["stages"][0], "argv": ["no-such-" + text]}]}
    for locale in ("C", "C.UTF-8"):
        environment = {**os.environ, "LC_ALL": locale}
        result = run(bootstrap.command([sys.executable], LABEL), bootstrap.stream(program(), plan), env=environment)
        report = said(result)
        assert report["refused"]["name"].startswith("no-such-"), report
        assert len(result.stdout) < 20_000 or len(text) > 1000


# -- the interpreter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a python that is ours, one that is Python 2 by its answer, one that does not run at all."""
    for name, text in (
        ("good", '#!/bin/sh\nexec "%s" "$@"\n' % sys.executable),
        ("old", "#!/bin/sh\nexit 1\n"),
        ("broken", "#!/no/such/interpreter\n"),
        ("plain", "no script"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644 if name == "plain" else 0o755)
    return tmp_path


@pytest.mark.parametrize(
    "names",
    [
        ["{good}"],
        ["no-such-python", "{good}"],
        ["/no/such/python", "{old}", "{broken}", "{plain}", "{good}", "no-such-python"],
        ["{good}", "{broken}"],
        ["env {good}"],
        ["'{good}'"],
    ],
)
def test_the_first_that_works_is_taken(folder: Path, names: list[str]) -> None:
    paths = {name: str(folder / name) for name in ("good", "old", "broken", "plain")}
    command = bootstrap.command([name.format(**paths) for name in names], LABEL)
    assert said(run(command, bootstrap.stream(program(), PLAN)))["refused"]


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        (["/no/such/python"], {127}),
        (["no-such-python"], {127}),
        (["{plain}"], {126}),
        (["{broken}"], {126, 127}),
        (["no-such-python", "/no/such/python", "{old}", "{broken}"], {127}),
    ],
)
def test_none_works(folder: Path, names: list[str], codes: set[int]) -> None:
    """126 or 127, as a shell says it; and what is sent is not waited for."""
    paths = {name: str(folder / name) for name in ("old", "broken", "plain")}
    command = bootstrap.command([name.format(**paths) for name in names], LABEL)
    assert run(command, bootstrap.stream(program(), PLAN)).returncode in codes


def test_names_are_no_shell(folder: Path) -> None:
    path = folder / "a b'; exit 3; '"
    path.symlink_to(folder / "good")
    command = bootstrap.command(["'%s'" % str(path).replace("'", "'\\''")], LABEL)
    assert said(run(command, bootstrap.stream(program(), PLAN)))["refused"]


def test_python_2_ends_at_once() -> None:
    python = pythons.needed("2.7")
    result = run(bootstrap.command([python], LABEL), bootstrap.stream(program(), PLAN))
    assert result.returncode not in (0, 255) and b"Traceback" not in result.stderr
    both = run(bootstrap.command([python, sys.executable], LABEL), bootstrap.stream(program(), PLAN))
    assert said(both)["refused"]["name"] == "no-such-command"


def test_an_older_python_3_says_what_it_needs() -> None:
    code = "import sys; sys.version_info = (3, 5, 3); sys.version = '3.5.3 (x)'\n" + bootstrap.LOADER
    result = run([sys.executable, "-IS", "-c", code])
    assert said(result) == {"refused": {"kind": "old python", "version": "3.5.3"}}
    assert result.returncode == 0


def test_an_incomplete_python_says_what_is_missing() -> None:
    """Such as one that was built without libffi."""
    code = "import sys; sys.modules['_ctypes'] = None\n" + bootstrap.START
    result = run([sys.executable, "-IS", "-c", code], bootstrap.stream(program(), PLAN))
    refused = said(result)["refused"]
    assert (refused["kind"], refused["python"]) == ("incomplete python", sys.executable)
    assert "ctypes" in refused["error"]
    assert result.returncode == 0 and result.stderr == b""


def test_the_loader_is_python_of_any_age() -> None:
    """Or else it could not say so."""
    python = pythons.needed("2.7")
    text = bootstrap.HEAD + bootstrap.LOADER
    result = run([python, "-c", "import sys; compile(sys.stdin.read(), 'loader', 'exec')"], text.encode())
    assert result.returncode == 0, result.stderr


def test_nothing_of_the_environment_gets_in(tmp_path: Path) -> None:
    """-I and -S: neither PYTHONPATH nor the folder it runs in nor a sitecustomize can put another module in place."""
    (tmp_path / "hmac.py").write_text("raise SystemExit('not the real one')")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('not wanted')")
    result = run(
        bootstrap.command([sys.executable], LABEL),
        bootstrap.stream(program(), PLAN),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "hmac.py")},
    )
    assert said(result)["refused"]


# -- as two files


def files(folder: Path, mode: int = 0o600) -> list[Path]:
    source, plan = folder / "socketpipe.py", folder / "plan"
    source.write_text(bootstrap.file_program(program()))
    plan.write_bytes(bootstrap.argument(PLAN))
    for path in (source, plan):
        path.chmod(mode)
    return [source, plan]


@pytest.mark.parametrize("version", pythons.TARGETS)
def test_as_files(tmp_path: Path, version: str) -> None:
    tmp_path.chmod(0o700)
    paths = files(tmp_path)
    command = bootstrap.command([pythons.needed(version)], LABEL, [str(path) for path in paths])
    result = run(command)
    assert said(result)["refused"]["name"] == "no-such-command" and result.stderr == b""
    assert not any(path.exists() for path in paths)


def handles(pid: int, number: int) -> bool:
    """Whether it has a handler for this signal, as an end has once it runs."""
    with open("/proc/%d/status" % pid) as status:
        caught = next(line for line in status if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def test_files_are_gone_before_anything_else(tmp_path: Path) -> None:
    """While the end waits for its peer, no secret is on a disk any more."""
    tmp_path.chmod(0o700)
    paths = files(tmp_path)
    link = {"id": "l", "index": 0, "secret": "00" * 32, "side": "W", "end": "b", "encryption": None}
    stages = [{**PLAN["stages"][0], "argv": ["true"], "fds": {"1": "l"}, "early_exit": False}]
    waiting = {**PLAN, "links": [link], "stages": stages, "connect_timeout": 60}
    paths[1].write_bytes(bootstrap.argument(waiting))
    command = bootstrap.command([sys.executable], LABEL, [str(path) for path in paths])
    process = subprocess.Popen(["/bin/sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while any(path.exists() for path in paths) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(path.exists() for path in paths)
        while not handles(process.pid, 15) and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        process.terminate()
        out, _err = process.communicate(timeout=30)
    assert MARK in out.decode() and "SIGTERM" in out.decode()


@pytest.mark.parametrize(
    ("folder_mode", "mode", "refused"),
    [
        (0o700, 0o600, False),
        (0o700, 0o644, False),  # nobody else gets that far
        (0o755, 0o600, False),
        (0o755, 0o644, True),  # as Ansible makes them with allow_world_readable_tmpfiles
        (0o711, 0o644, True),  # whoever knows the name can read it
        (0o750, 0o640, False),  # a group that both users share, as Ansible makes it with chgrp or an ACL
    ],
)
def test_files_that_others_can_read_are_refused(tmp_path: Path, folder_mode: int, mode: int, refused: bool) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    paths = files(folder, mode)
    folder.chmod(folder_mode)
    result = run(bootstrap.command([sys.executable], LABEL, [str(path) for path in paths]))
    if refused:
        assert result.returncode == 1 and b"others can read" in result.stderr
        assert read_marked(result.stdout.decode()) is None
    else:
        assert said(result)["refused"]
    assert not any(path.exists() for path in paths)


def test_the_file_is_ascii() -> None:
    assert bootstrap.file_program(program()).isascii()
