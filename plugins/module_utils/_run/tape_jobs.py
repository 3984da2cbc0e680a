# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of the runs of tape modules that outlive their tasks, each in a module of its own."""

from . import restored, taped, verified
from .answers import Failure, failure_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from .records import AnyTapeJob
    from .verdict import Verdict

NO_MORE = "%s (no_log hides the rest)"
# what a run does: its result if all went well, which may raise Failure; that of a failure; what no_log hides of both
DOES: "dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any], Callable[[Any], None]]]" = {
    "archive": (taped.succeeded, taped.failed, taped.hide),
    "restore": (restored.succeeded, restored.failed, restored.hide),
    "verify": (verified.succeeded, verified.failed, verified.hide),
}


def result(verdict: "Verdict", told: "AnyTapeJob") -> "Any":
    try:
        if verdict.cause:
            raise failure_of(verdict, verdict.cause)
        return DOES[told["does"]][0](verdict, told)
    except Failure as exc:
        return failed(exc, told)


def failed(failure: Failure, told: "AnyTapeJob") -> "Any":
    return DOES[told["does"]][1](failure, told)


def hide(found: "Any", told: "AnyTapeJob") -> None:
    """Apply no_log to a result."""
    if found.get("failed") and "cause" not in found:  # core 2.19 and later show the message of a failure despite no_log
        found["msg"] = NO_MORE % found["kind"]
    DOES[told["does"]][2](found)
