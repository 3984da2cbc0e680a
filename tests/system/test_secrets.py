# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secret of a link and the keys of its relays are nowhere, all through a run, however they are delivered:

in no command line, environment, file, log or output.

What the secrets are is learnt without the collection's help: ansible-playbook's Python is told to write them down, and
what they are packed into, where nobody looks for them.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import ROOT_PASSWORD, Fleet, Host

from . import anatomy, playbook
from .conftest import SCRATCH, everyone
from .playbook import pipe

# Python imports a module of this name before all else; an end's is isolated and does not
HOOK = """
import os, sys, zlib

def keep(value):
    with open(os.environ["SOCKETPIPE_TEST_SECRETS"], "a") as out:
        out.write(value.hex() + "\\n")

urandom, compress, known = os.urandom, zlib.compress, []

def recording_urandom(count):
    value = urandom(count)
    if count == 32 and sys._getframe(1).f_code.co_name == "new_secret":
        known.append(value.hex().encode())
        keep(value)
    return value

def recording_compress(data, *more):
    packed = compress(data, *more)
    if any(secret in data for secret in known):
        keep(packed[-64:])  # enough to know this plan by
        for part in data.split(b"-----BEGIN PRIVATE KEY-----")[1:]:
            keep(part.split()[1])  # of the lines of its base64 the first that is secret in whole
    return packed

os.urandom, zlib.compress = recording_urandom, recording_compress
"""


def spellings(secret: bytes) -> set[bytes]:
    """The bytes themselves, hexadecimal, as Python or JSON would print them, and in base64 wherever it begins."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode(), repr(secret)[2:-1].encode()}
    found.add(json.dumps(secret.decode("latin-1"))[1:-1].encode())
    for shift in range(3):
        for text in (secret, secret.hex().encode()):
            whole = base64.b64encode(b"\0" * shift + text)[4:-4]  # without what depends on the bytes around it
            found |= {whole, whole.replace(b"+", b"-").replace(b"/", b"_")}
    return found


class Search:
    """Looks through the hosts again and again, in a thread, for secrets that need not be known when it begins."""

    def __init__(self, fleet: Fleet, record: Path, runs: Path | None = None) -> None:
        self.hosts, self.record, self.runs = everyone(fleet), record, runs
        self.folders = [fleet.directory / name for name in ("plays", "log")]
        self.found: set[str] = set()
        self.looks = 0
        self.seen: dict[str, tuple[int, int, int]] = {}
        self.secrets: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Search:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._over.set()
        self._thread.join(60)
        self.look()

    def _run(self) -> None:
        while not self._over.is_set():
            self.look()

    def look(self) -> None:
        known = self.record.read_text(encoding="ascii").splitlines() if self.record.exists() else []
        if len(known) != len(self.secrets):
            self.seen.clear()  # of what was looked through before, too
        self.secrets = {bytes.fromhex(line) for line in known}
        forms = {form for secret in self.secrets for form in spellings(secret)}
        for proc in anatomy.processes(*self.hosts):
            for name in ("cmdline", "environ"):
                try:
                    what = Path(f"/proc/{proc.pid}/{name}").read_bytes()
                except OSError:
                    continue  # it has ended
                self._note(f"{proc.host}: {name} of {proc.name}", what, forms)
        for where, path in self._files():
            self._read(where, path, forms)
        self.looks += 1

    def _files(self) -> Iterator[tuple[str, Path]]:
        for host in self.hosts:
            for name in host.files():
                yield f"{host.name}: {name}", Path(f"/proc/{host.pid}/root{name}")
        for folder in self.folders:
            yield from ((str(path), path) for path in folder.rglob("*"))

    def _read(self, where: str, path: Path, forms: set[bytes]) -> None:
        """One file, if it has changed since."""
        runs = self.runs is not None and self.runs.exists()
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                return
            with path.open("rb") as source:
                about = os.fstat(source.fileno())
                mark = (about.st_ino, about.st_mtime_ns, about.st_size)
                if self.seen.get(where) == mark:
                    return
                self.seen[where] = mark
                what = source.read()
        except OSError:
            return  # it is gone
        delivery = "/ansible-tmp-" in where and path.name == "plan.json" or "/ansible-local-" in where
        if delivery and not runs and not about.st_mode & 0o077:
            del self.seen[where]  # it may stay longer than it should
            return  # the fallback's file, for its owner only, and no stage has been started yet
        self._note(where, what, forms)

    def _note(self, where: str, what: bytes, forms: Iterable[bytes]) -> None:
        if any(form in what for form in forms):
            self.found.add(where)


def inside(host: Host, path: str) -> Path:
    return Path(f"/proc/{host.pid}/root{path}")


SU = {"ansible_user": "backup2", "ansible_become_method": "su", "ansible_become_password": ROOT_PASSWORD}
WAYS: dict[str, dict[str, Any]] = {
    "standard input": {"env": {"ANSIBLE_PIPELINING": "1", "ANSIBLE_DEBUG": "1"}},
    "standard input, no pipelining": {"env": {"ANSIBLE_PIPELINING": "0"}},
    "files": {"inventory": {"fleet": SU}, "env": {}},
    "files that Ansible keeps": {"inventory": {"fleet": SU}, "env": {"ANSIBLE_KEEP_REMOTE_FILES": "1"}},
}


@pytest.mark.parametrize("peer", ["localhost", "h2"])
@pytest.mark.parametrize("way", WAYS)
def test_a_links_secret_is_nowhere(fleet: Fleet, work: Path, way: str, peer: str) -> None:
    record, log, runs = work / "secrets", work / "log", inside(fleet["h1"], f"{SCRATCH}/runs")
    (work / "sitecustomize.py").write_text(HOOK, encoding="ascii")
    become = {"_become": True, "peer_become": peer == "h2"} if "inventory" in WAYS[way] else {}
    task = pipe(
        input=["sh", "-c", "head -c 1M /dev/zero; env; sleep 2"],
        remote={"shell": f"touch {SCRATCH}/runs; cat"},
        output={"shell": "env >&2; cat > /dev/null"},
        peer=peer,
        encryption="relay",
        _environment={"HARMLESS": "1"},
        **become,
    )
    own = {"PYTHONPATH": str(work), "SOCKETPIPE_TEST_SECRETS": str(record), "ANSIBLE_LOG_PATH": str(log)}
    options = {**WAYS[way], "env": {**WAYS[way]["env"], **own}}
    with Search(fleet, record, runs) as search:
        started = playbook.start(fleet, task, args=["-vvvv"], **options)
        done = started.wait()
    assert done.only.status == "ok", done.result
    assert len(search.secrets) == 2 + 2 + 4, "a link each way, in two plans, and a key for each side of each"
    assert search.looks > 3 and search.found == set()
    texts = {"output": done.output, "result": json.dumps(done.result), "log": log.read_text(encoding="utf-8")}
    forms = {form for secret in search.secrets for form in spellings(secret)}
    for where, text in texts.items():
        assert not [form for form in forms if form in text.encode("utf-8", "surrogateescape")], where
    assert "socketpipe:" in texts["output"] and "socketpipe:" in texts["log"], "was this -vvvv?"
    if way == "files that Ansible keeps":
        remove_kept(fleet)


def remove_kept(fleet: Fleet) -> None:
    """Ansible's own directories, which are empty."""
    for host in fleet:
        for path in host.files(["/home", "/root", "/tmp", "/var/tmp"]):
            if "/ansible-tmp-" in path:
                host.run(["rmdir", path])


PLANTED = """
import os, sys, time
open(sys.argv[1], "wb").write(b"before " + bytes.fromhex(sys.argv[2]) + b" after")
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("spelling", ["bytes", "hex", "base64", "urlsafe", "repr"])
def test_what_is_planted_is_found(fleet: Fleet, work: Path, spelling: str) -> None:
    """In a command line, an environment, and a file that is there for a moment; nowhere else."""
    secret = bytes(range(1, 25)) + b"\xff\xfb\xfe\n\\'\x7f\xee"  # with what is spelled differently
    spelled = {
        "bytes": secret,
        "hex": secret.hex().encode(),
        "base64": base64.b64encode(b"{..." + secret + b"..."),
        "urlsafe": base64.urlsafe_b64encode(b"{" + secret + b"}"),
        "repr": repr(b"in " + secret).encode(),
    }[spelling]
    record = work / "secrets"
    record.write_text(secret.hex() + "\n", encoding="ascii")
    h2, file = fleet["h2"], f"{SCRATCH}/planted"
    program = ["/usr/bin/python3", "-c", PLANTED, file, spelled.hex()]
    argument = os.fsdecode(spelled)
    search = Search(fleet, record)
    search.look()
    assert search.found == set()
    process = h2.popen([*program, argument], env={"PLANTED": argument}, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        with search:
            anatomy.until("it is found", lambda: f"h2: {file}" in search.found)
            inside(h2, file).unlink()
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()
    assert search.found == {f"h2: {file}", "h2: cmdline of python3", "h2: environ of python3"}
