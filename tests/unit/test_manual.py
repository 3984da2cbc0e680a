# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""--help, --version and the manual page of the command: complete, true, and rendered without a warning."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command import manual
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.arguments import parse
from ansible_collections.plumbing.socketpipe.plugins.module_utils._command.options import DEFAULTS, OPTIONS, Option

ROOT = Path(__file__).resolve().parents[2]
# of the manual page of the original, in its order
ORIGINAL = [
    "socketpipe -b -i { tar cf - / } -l { ssh remotehost } -r { dd of=/dev/st0 bs=32k }",
    "socketpipe -b -l { ssh remotehost } -r { dd if=/dev/st0 bs=32k } -o { tar xpf - /home/luser }",
    "socketpipe -b -i { tar cf - / } -l { ssh remotehost } -r { bzip2 -c } -o { dd of=/dev/st0 bs=32k }",
]


def run(words: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MANWIDTH": "80"}
    return subprocess.run(
        words, input=text, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False
    )


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "socketpipe.1"
    path.write_text(manual.page(), encoding="utf-8")
    return path


def rendered(page: Path) -> str:
    """As man(1) shows it, on one line."""
    for program, package in (("man", "man-db"), ("groff", "groff-base")):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed (Debian: {package})")
    done = run(["man", "--warnings", "--no-hyphenation", "--no-justification", "--local-file", str(page)])
    assert done.stderr == "" and done.returncode == 0
    return " ".join(re.sub(".\b", "", done.stdout).split())


def test_man_has_no_warning_and_shows_every_option_and_text(page: Path) -> None:
    text = rendered(page)
    for option in OPTIONS:
        follows = f"[={option.follows}]" if option.optional else option.follows and f" {option.follows}"
        assert f" {', '.join(option.names)}{follows} {option.text} " in text
    for paragraph in [*manual.DESCRIPTION, *manual.COMPATIBILITY, *manual.DIFFERENCES, *manual.BUGS, *manual.AUTHORS]:
        assert f" {paragraph} " in text
    for status, meaning in manual.EXIT_STATUS:
        assert f" {status} {meaning} " in text
    for what, command in manual.EXAMPLES:
        assert f" {what} {command} " in text.replace(" \\ ", " ")


def test_mandoc_finds_nothing_to_say(page: Path) -> None:
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed (Debian: mandoc)")
    done = run(["mandoc", "-T", "lint", "-W", "style", str(page)])
    assert (done.stdout + done.stderr).replace(f"{page}:", "") == ""


def test_lines_of_the_page_are_ascii_and_short() -> None:
    text = manual.page()
    assert text.isascii()
    assert [line for line in text.splitlines() if len(line) > 110 or line != line.rstrip()] == []


# -- the help


def test_help_is_for_79_columns() -> None:
    lines = manual.usage().splitlines()
    assert [line for line in lines if len(line) > 79 or line != line.rstrip()] == []
    assert len(lines) < 24  # and a prompt


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.long not in manual.ABOUT])
def test_every_option_is_a_line_of_the_help(option: Option) -> None:
    follows = f"[={option.follows}]" if option.optional else option.follows and f" {option.follows}"
    lines = [line for line in manual.usage().splitlines() if re.match(rf"  (-\w, )?{option.long}\b", line)]
    if not option.brief:
        assert not lines and option.long == "--congestion-control"  # only the manual has room for it
        return
    assert [" ".join(line.split()) for line in lines] == [f"{', '.join(option.names)}{follows} {option.brief}"]


def test_the_last_line_of_the_help_is_about_the_command_itself() -> None:
    assert [option.long for option in OPTIONS[-3:]] == list(manual.ABOUT)
    assert manual.usage().splitlines()[-1].startswith("  --help, --manual, --version ")


def test_every_default_is_told() -> None:
    told = {"timeout": "0, the default", "listen": "local, the default", "ports": "any port from 20000 to 32767"}
    told |= {"stall_timeout": "may pause for any length of time", "dead_peer": "120 by default"}
    told.update(
        rate_limit="there is no limit",
        congestion_control="the kernel decides",
        ok_rc="only 0 does",
        encrypt="is sent in clear",
    )
    texts = {option.attribute: option.text for option in OPTIONS}
    assert set(told) == set(DEFAULTS)
    assert [name for name, words in told.items() if words not in texts[name]] == []


def test_version() -> None:
    found = re.search(r"^version: (\S+)$", (ROOT / "galaxy.yml").read_text(encoding="utf-8"), re.M)
    assert found and manual.version() == f"socketpipe {found.group(1)}\n"


# -- the examples


def understood(line: str) -> None:
    """Each pair of braces is a command, word by word, also those of a socketpipe in another's braces."""
    words = shlex.split(line)
    typed, found = " ".join(words), []
    while words[:1] == ["socketpipe"]:
        options = parse(words[1:])
        found += [each for each in (options.input, options.login, options.remote, options.output) if each]
        words = options.remote
    assert len(found) == typed.split().count("{") > 0
    assert [each for each in found if "{ %s }" % " ".join(each) not in typed] == []


def test_the_examples_of_the_original_come_first() -> None:
    assert [command for _text, command in manual.EXAMPLES[:3]] == ORIGINAL


@pytest.mark.parametrize("line", [command for _text, command in manual.EXAMPLES])
def test_an_example_is_understood(line: str) -> None:
    understood(line)


@pytest.mark.parametrize("line", [command for _text, command in manual.EXAMPLES])
def test_an_example_is_broken_into_lines_that_a_shell_joins(line: str) -> None:
    lines = manual.command_lines(line, 65)
    assert max(map(len, lines)) <= 65
    assert shlex.split("\n".join(lines).replace("\\\n", "")) == shlex.split(line)


def lines_of_the_guide() -> list[str]:
    """What command.rst and README.md say to type, without the prompt."""
    guide = (ROOT / "docs/docsite/rst/command.rst").read_text(encoding="utf-8").replace("\\\n", "")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^ +\$ (socketpipe .*)", guide, re.M) + re.findall(r"^    (socketpipe .*)", readme, re.M)


@pytest.mark.parametrize("line", lines_of_the_guide())
def test_what_the_guide_says_to_type_is_understood(line: str) -> None:
    understood(line)


def test_the_guide_has_the_examples_of_the_original() -> None:
    assert lines_of_the_guide()[1:4] == ORIGINAL


def test_the_guide_has_every_difference_in_the_same_words() -> None:
    guide = (ROOT / "docs/docsite/rst/command.rst").read_text(encoding="utf-8")
    text = (
        guide.partition("Differences from the original\n")[2]
        .partition("Working with an original\n")[0]
        .replace("``", "")
    )
    assert [
        " ".join(each.split()) for each in re.findall(r"^- ((?:.+\n)+?)(?=- |\n)", text, re.M)
    ] == manual.DIFFERENCES
