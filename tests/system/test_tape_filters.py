# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role tape with programs between tar and the network: packed and encrypted archives, and those that fail."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.layout import SANE_PATH

from . import taping
from .taping import Site

FAILED = "Fail if there is no good archive"
RESTORE = "Restore"
ZSTD = {"write": "zstd -T0 -3", "read": "zstd -d"}
SECRET = b"nobody but its host may see this" * 50


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [each for each in programs if not shutil.which(each, path=SANE_PATH)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


FLEET = taping.HOSTS


def key(site: Site, name: str = "identity") -> tuple[str, str]:
    """A new key of age: (its file, its public half)."""
    path = site.top / "data" / f"{name}.txt"
    subprocess.run(["age-keygen", "-o", path], capture_output=True, check=True)
    return str(path), path.read_text(encoding="utf-8").partition("public key: ")[2].split()[0]


def kept(site: Site) -> bytes:
    """All that the tape host has: the tapes and the catalog."""
    return b"".join(
        path.read_bytes() for name in ("tapes", "catalog") for path in (site.top / name).rglob("*") if path.is_file()
    )


def tape_file(site: Site, number: int) -> Path:
    return site.tape() / f"{number:06d}"


def test_a_filter_that_dies_or_is_not_there(site: Site) -> None:
    """Half an archive is none, whatever its other programs say; the catalog has nothing good of that host."""
    site.data("h1").joinpath("big").write_bytes(b"x" * 2**22)
    dies = {"write": ["sh", "-c", "head -c 1000000; kill -9 $$"], "read": "cat"}
    gives_up = {"write": ["sh", "-c", "head -c 1000000 >&2; echo no more >&2; exit 3"], "read": "cat"}
    done = site.run(
        "backup", rc=2, own={"h1": {"tape_filter": dies}, "h2": {"tape_filter": {**ZSTD, "write": "zst -3"}}}
    )
    why = taping.failures(done, FAILED)
    assert why["h1"].startswith("filter (sh) on h1 was killed by SIGKILL"), why
    assert why["h2"].startswith("filter on h2: there is no 'zst' in PATH "), why
    assert taping.states_of(site, "good") == []
    done = site.run("backup", rc=2, own={"h1": {"tape_filter": [gives_up, ZSTD]}}, args=["--limit", "h1"])
    assert "filter 1 (sh) on h1 failed with exit status 3" in taping.failures(done, FAILED)["h1"]
    assert taping.states_of(site, "good") == []


def test_a_catalog_that_names_other_commands(site: Site) -> None:
    """A restore, often as root, runs none that nobody here has allowed; one of a later version is refused by name."""
    mark = site.top / "mark"
    allowed = {"write": "tr a-y b-z", "read": "tr b-z a-y"}
    site.run("backup", own={"h1": {"tape_filter": allowed}}, args=["--limit", "h1"])
    path = site.catalog / "tapes" / "WEEK01.json"
    good = path.read_text(encoding="utf-8")
    options: dict[str, Any] = {"restore_host": "h1", "restore_target": "h1"}
    done = site.run("restore", rc=2, **options, restore_to=str(site.top / "none"))
    run = site.archives()[0]["run"]
    assert taping.failures(done, RESTORE) == {
        "h1": f"the archive of h1 of run {run} needs the command 'tr b-z a-y', which only the catalog names: check it, "
        "then allow it with tape_filter: {write: …, read: tr b-z a-y}"
    }
    done = site.run("restore", **options, restore_to=str(site.top / "allowed"), tape_filter=allowed)
    assert (site.top / "allowed" / site.data("h1").relative_to("/") / "one").read_text(encoding="utf-8") == "h1 one"
    for filters, said in (
        ([{"kind": "command", "write": ["zstd"], "read": ["zstd", "-d", "-o", str(mark)]}], f"'zstd -d -o {mark}'"),
        ([{"kind": "command", "write": ["zstd"], "read": ["touch", str(mark)]}], f"'touch {mark}'"),
        (
            [{"kind": "sealed", "box": 1}],
            "was written through the filter 'sealed', which this version of the collection",
        ),
    ):
        tape = json.loads(good)
        tape["archives"][0]["filters"] = filters
        path.write_text(json.dumps(tape), encoding="utf-8")
        done = site.run("restore", rc=2, **options, restore_to=str(site.top / "none"))
        assert said in taping.failures(done, RESTORE)["h1"] and not mark.exists()


@needs("zstd")
def test_packed_before_the_network(site: Site) -> None:
    """Levels, a verification, the way back through the catalog alone; a person needs dd, zstd and tar."""
    size = 3 * 1024**2
    site.data("h1").joinpath("big").write_bytes(b"the same " * (size // 9))
    own = {"h1": {"tape_filter": ZSTD}}
    site.run("backup", own=own)
    packed, plain = (next(each for each in site.archives() if each["host"] == host) for host in ("h1", "h2"))
    assert packed["filters"] == [{"kind": "command", "write": ["zstd", "-T0", "-3"], "read": ["zstd", "-d"]}]
    assert packed["bytes"] < 262144 < size < packed["clear"]["bytes"] and "filters" not in plain
    taping.next_second()
    site.fill("h1", one="changed", two=None)
    site.run("backup", own={"h1": {**own["h1"], "tape_level": 1}}, args=["--limit", "h1"])
    assert [row[1] for row in taping.table(site.run("verify"), "VERIFY")[2:]] == ["good"] * 3
    _names, *rows = taping.table(site.run("tape_find", path=f"{site.data('h1')}/big"), "PATH")
    assert [row[1] for row in rows] == ["h1"]
    done = site.run("restore", restore_host="h1", restore_target="h2", restore_to=str(site.top / "back"))
    assert [row[-1] for row in taping.table(done, "RESTORE")[2:4]] == ["zstd"] * 2
    data = site.top / "back" / site.data("h1").relative_to("/")
    assert sorted(each.name for each in data.iterdir()) == ["big", "one"]
    assert (data / "one").read_text(encoding="utf-8") == "changed" and (data / "big").stat().st_size == size // 9 * 9
    by_hand = f"dd bs=256k status=none if={tape_file(site, packed['file'])} | zstd -dc | tar -tf -"
    listed = subprocess.run(["sh", "-c", by_hand], capture_output=True, check=True, text=True).stdout
    assert f".{site.data('h1')}/big" in listed.splitlines()


@needs("age", "age-keygen", "zstd")
def test_encrypted_before_the_network(site: Site) -> None:
    """Neither data nor names reach the tape host; whoever has no key gets nothing, and reads what is missing."""
    identity, public = key(site)
    site.data("h1").joinpath("of-a-secret-name").write_bytes(SECRET)
    own = {"h1": {"tape_filter": ZSTD, "tape_recipients": [public]}, "tape1": {"tape_filter": ZSTD}}
    site.run("backup", own=own, args=["--limit", "h1"])
    (archive,) = site.archives()
    assert [each["kind"] for each in archive["filters"]] == ["command", "age"] and archive["unlisted"]
    for secret in (SECRET[:32], b"of-a-secret-name", b"identity", b"AGE-SECRET-KEY"):
        assert secret not in kept(site)
    assert tape_file(site, 1).read_bytes().startswith(b"age-encryption.org/v1")
    site.run("verify")
    done = site.run("tape_find", rc=2, path="*secret-name")
    (why,) = taping.failures(done, "Find the path").values()
    assert why.endswith(f"cannot read the file lists of h1 of run {archive['run']} (it is encrypted)")
    done = site.run("restore", rc=2, restore_host="h1", restore_to=str(site.top / "none"))
    assert taping.failures(done, RESTORE) == {
        "h1": f"the archive of h1 of run {archive['run']} is encrypted for {public}: set restore_identity to the file "
        "with the secret key, on the host to restore to"
    }
    other, _public = key(site, "other")
    done = site.run("restore", rc=2, restore_host="h1", restore_to=str(site.top / "wrong"), restore_identity=other)
    why = taping.failures(done, RESTORE)["h1"]
    assert why.startswith("filter 1 (age) on h1 failed with exit status 1: age: error: no identity matched any of the")
    done = site.run("restore", restore_host="h1", restore_to=str(site.top / "clear"), restore_identity=identity)
    assert taping.table(done, "RESTORE")[2][-1] == "age, zstd"
    back = site.top / "clear" / site.data("h1").relative_to("/") / "of-a-secret-name"
    assert back.read_bytes() == SECRET
