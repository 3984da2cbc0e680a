# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each way to install the command without Ansible: python -m tests.workshop.package VENV

The wheel and the source distribution in a virtual environment each, pipx and uv from the checkout, make install in a
folder, and the Debian package, unpacked and checked by lintian. Each must run a pipe, and have the manual page. VENV
has the programs build, pipx and uv.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from . import deb, venvs
from .programs import Wrong, run
from .release import galaxy_version

sys.path.insert(0, str(venvs.ROOT / "plugins"))
from module_utils._command import manual

PIPE = ["-i", "{", "seq", "1000", "}", "-l", "{", "env", "}", "-r", "{", "cat", "}", "-o", "{", "cat", "}"]
PAGE = "share/man/man1/socketpipe.1"
NUMBERS = "".join(f"{number}\n" for number in range(1, 1001))


def check(way: str, command: Path, page: str, scratch: Path) -> None:
    """The command works with nothing of this checkout in its way; raises Wrong."""
    env = {"PATH": f"{command.parent}:/usr/local/bin:/usr/bin:/bin", "HOME": str(scratch)}
    for words, wanted in ((["--version"], f"socketpipe {galaxy_version()}\n"), (PIPE, NUMBERS), (PIPE, NUMBERS)):
        done = subprocess.run(
            ["socketpipe", *words], env=env, cwd=scratch, capture_output=True, text=True, timeout=120, check=False
        )
        if (done.returncode, done.stdout, done.stderr) != (0, wanted, ""):
            raise Wrong(f"{way}: socketpipe {' '.join(words)}: {done}")
    if page != manual.page():
        raise Wrong(f"{way}: its manual page is another one")
    print(f"{way}: runs, with its manual page", flush=True)


def check_python(build: Path, scratch: Path) -> None:
    made = scratch / "dist"
    run([build / "bin" / "python", "-m", "build", "--quiet", "--outdir", made, venvs.ROOT])
    pip = venvs.ensure("pip", ["pip"], with_pip=True) / "bin" / "python"
    for way, pattern in (("wheel", "*.whl"), ("source distribution", "*.tar.gz")):
        (found,) = made.glob(pattern)
        venv = scratch / way.replace(" ", "-")
        run([sys.executable, "-m", "venv", "--without-pip", venv])
        run([pip, "-m", "pip", "--python", venv / "bin" / "python", "install", "--quiet", "--no-cache-dir", found])
        check(way, venv / "bin" / "socketpipe", (venv / PAGE).read_text("utf-8"), scratch)


def check_tools(tools: Path, scratch: Path) -> None:
    """What they build with comes from pip, which knows where packages are; uv has settings of its own for that."""
    pip, wheels = venvs.ensure("pip", ["pip"], with_pip=True) / "bin" / "python", scratch / "wheels"
    project = tomllib.loads((venvs.ROOT / "pyproject.toml").read_text("utf-8"))
    needed = project["build-system"]["requires"]
    run([pip, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", wheels, *needed])
    offline = ["--no-index", f"--find-links={wheels}"]
    pipx, uv = scratch / "pipx", scratch / "uv"
    words: list[str | Path] = ["install", "--python", sys.executable, f"--pip-args={' '.join(offline)}", venvs.ROOT]
    man = str(pipx / "share/man")
    run([tools / "bin" / "pipx", *words], PIPX_HOME=str(pipx), PIPX_BIN_DIR=str(pipx / "bin"), PIPX_MAN_DIR=man)
    check("pipx install", pipx / "bin" / "socketpipe", (pipx / PAGE).read_text("utf-8"), scratch)
    words = ["tool", "install", "--python", sys.executable, *offline, venvs.ROOT]
    cache, folder = str(uv / "cache"), str(uv / "bin")
    run(
        [tools / "bin" / "uv", *words],
        UV_TOOL_DIR=str(uv),
        UV_TOOL_BIN_DIR=folder,
        UV_CACHE_DIR=cache,
        UV_NO_CONFIG="1",
    )
    check("uv tool install", uv / "bin" / "socketpipe", (uv / "socketpipe" / PAGE).read_text("utf-8"), scratch)


def check_checkout() -> None:
    left = run(["git", "-C", venvs.ROOT, "status", "--porcelain", "--ignored", "build", "dist", "socketpipe.egg-info"])
    if left.strip():
        raise Wrong(f"building has left something in the checkout: {left}")


def check_make(scratch: Path) -> None:
    words: list[str | Path] = ["make", "-C", venvs.ROOT, f"DESTDIR={scratch}/dest dir", "PREFIX=/opt/x"]
    top = scratch / "dest dir/opt/x"
    for interpreter in ("python3", sys.executable):
        run([*words, "install", f"INTERPRETER={interpreter}"], MAKEFLAGS="")
        page = (top / PAGE).read_text("utf-8")
        check(f"make install INTERPRETER={interpreter}", top / "bin/socketpipe", page, scratch)
    run([*words, "uninstall"], MAKEFLAGS="")
    if any(path.is_file() for path in top.rglob("*")):
        raise Wrong("make uninstall leaves files")


def check_deb(scratch: Path) -> None:
    if not shutil.which("dpkg-deb"):
        print("NOT TESTED: the Debian package: dpkg-deb is missing (Debian: dpkg)")
        return
    package = deb.build()
    root = scratch / "unpacked"
    run(["dpkg-deb", "--extract", package, root])
    packed = (root / "usr/share/man/man1/socketpipe.1.gz").read_bytes()
    if Path(deb.INTERPRETER).exists():
        check("Debian package", root / "usr/bin/socketpipe", gzip.decompress(packed).decode("utf-8"), scratch)
    else:
        print(f"NOT TESTED: the command of the Debian package: there is no {deb.INTERPRETER}")
    if not shutil.which("lintian"):
        print("NOT TESTED: lintian is missing (Debian: lintian)")
        return
    said = run(["lintian", "--allow-root", package])
    if said.strip():
        raise Wrong(f"lintian:\n{said}")
    print("lintian: nothing to say")


def main() -> int:
    try:
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder).resolve()
            check_make(scratch)
            check_deb(scratch)
            tools = Path(sys.argv[1]).resolve()
            check_python(tools, scratch)
            check_tools(tools, scratch)
            check_checkout()
    except Wrong as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
