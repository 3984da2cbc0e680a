# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the collection where Python finds it, and ends what a test has started."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[2]
NAME = "ansible_collections/plumbing/socketpipe"


def collection_tree() -> Path:
    """The folder that holds ansible_collections: .build/tree, made when it is not there."""
    if str(ROOT).endswith(NAME):  # as ansible-test has it
        return ROOT.parents[2]
    tree = ROOT / ".build" / "tree"
    link = tree / NAME
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to("../../../..", target_is_directory=True)
    except FileExistsError:  # it was there, or another worker was faster
        pass
    return tree


sys.path.insert(0, str(collection_tree()))

# who starts tests in the background of a shell ignores these, and so would every program that a test starts
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

settings.register_profile("same", derandomize=True)  # who has changed nothing must not see a red test
settings.load_profile("same")  # pytest --hypothesis-profile=default draws anew

from ansible_collections.plumbing.socketpipe.tests.unit.ends import Ends  # noqa: E402 - the path comes first
from ansible_collections.plumbing.socketpipe.tests.unit.tapehost import TapeHost  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    # Python 3.12 and later; the threads are those of pytest-xdist
    config.addinivalue_line("filterwarnings", "ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The command keeps what it has made here, and not in the home of who tests it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


@pytest.fixture
def launch() -> Iterator[Callable[..., Ends]]:
    """Starts the ends of a plan, as Ends(...) takes it; whatever is left of them is killed after the test."""
    made: list[Ends] = []

    def start(*args: Any, **options: Any) -> Ends:
        made.append(Ends(*args, **options))
        return made[-1].start()

    yield start
    for ends in made:
        ends.kill()


@pytest.fixture
def tape_host(tmp_path: Path) -> Iterator[Callable[..., TapeHost]]:
    """Makes tape hosts, as TapeHost(folder, ...) takes it; what is left running there is killed after the test."""
    made: list[TapeHost] = []

    def make(*args: Any, **settings: Any) -> TapeHost:
        folder = tmp_path / ("host%d" % len(made))
        folder.mkdir()
        made.append(TapeHost(folder, *args, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
