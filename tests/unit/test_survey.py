# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that are texts, as a survey of AWX gives them: for each option of each module the same as its own type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils import _tape_spec
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._pipeline_options import PIPELINE_SPEC, parse_become
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._survey import from_texts, items
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_filters import filters_of
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._tape_sources import sources_of
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_expect import parse_count
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._task_options import (
    PIPE_SPEC,
    fact_name,
    parse_stages,
)
from ansible_collections.plumbing.socketpipe.plugins.plugin_utils._transfer_options import TRANSFER_SPEC, parse_mode

Spec = Mapping[str, Mapping[str, Any]]
SPECS: dict[str, Spec] = {
    **{name.lower(): value for name, value in vars(_tape_spec).items() if name.isupper() and isinstance(value, dict)},
    "pipe": PIPE_SPEC,
    "pipeline": PIPELINE_SPEC,
    "transfer": TRANSFER_SPEC,
}
# texts, and what they mean, by the type of the option
MEANT: dict[str, list[tuple[str, Any]]] = {
    "bool": [("true", True), ("True", True), ("yes", True), ("false", False)],
    "int": [("3", 3), ("0", 0)],
    "dict": [('{"key_file": "/etc/key"}', {"key_file": "/etc/key"})],
    "list": [("a", ["a"]), ("a,b", ["a", "b"]), (" a, b,\n", ["a", "b"]), ("a\nb\r\n", ["a", "b"])],
}
MEANT["list"] += [('["a", "b"]', ["a", "b"]), ("[]", [])]
# modules share most of them
OPTIONS = list(
    {(name, repr(option)): (module, name) for module, spec in SPECS.items() for name, option in spec.items()}.values()
)
CASES = [
    (module, name, text, meant)
    for module, name in OPTIONS
    if "choices" not in SPECS[module][name]
    for text, meant in MEANT.get(SPECS[module][name].get("type", "str"), ())
]


def validated(module: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """As the actions do it; without what the task lacks."""
    spec = {name: {**option, "required": False} for name, option in SPECS[module].items()}
    result = ArgumentSpecValidator(spec).validate(from_texts(spec, given))
    assert result.error_messages == []
    return dict(result.validated_parameters)


def test_all_specifications_are_there() -> None:
    assert {"site", "plan", "planned", "backup", "finish", "info", "restore", "catalog"} <= set(SPECS)
    assert len(OPTIONS) > 100 and len(CASES) > 150


@pytest.mark.parametrize(("module", "name", "text", "meant"), CASES)
def test_a_text_means_what_it_says(module: str, name: str, text: str, meant: Any) -> None:
    assert validated(module, {name: text})[name] == meant


@pytest.mark.parametrize(("module", "name"), OPTIONS)
@pytest.mark.parametrize("text", ["", " ", "\n", None])
def test_an_empty_field_is_an_option_that_is_not_given(module: str, name: str, text: str | None) -> None:
    """But for those whose text may be anything, which each module judges itself; of an empty one, AWX can make null."""
    found = validated(module, {name: text})[name]
    if (
        text is not None
        and SPECS[module][name].get("type", "str") in ("str", "raw")
        and "choices" not in SPECS[module][name]
    ):
        assert found == text
    else:
        assert found == validated(module, {})[name] or (found, validated(module, {})[name]) == ([], None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[abc]*", ["[abc]*"]),
        ("[0-9]*,x", ["[0-9]*", "x"]),
        ('["a"', ['["a"']),
        ('["a,b", "c"]', ["a,b", "c"]),
        ('[{"name": "db", "cmd": "true"}]', [{"name": "db", "cmd": "true"}]),
        ("042142", ["042142"]),
        (17506, [17506]),  # "042142" after AWX and ansible-core 2.19, for which tape_barcodes has a message
        (None, []),
        (["a"], ["a"]),
        (",", []),
    ],
)
def test_the_entries_of_a_list(text: Any, found: list[Any]) -> None:
    assert items(text) == found


# settings within an option, which no specification describes
Use = Callable[[Any], Any]
WITHIN: dict[str, tuple[Use, list[tuple[Any, Any]]]] = {
    "ok_rc": (
        lambda value: parse_stages("remote", {"cmd": "true", "ok_rc": value})[0][0]["ok_rc"],
        [("0,1", [0, 1]), ("1", [1]), ("", [0]), (None, [0])],
    ),
    "early_exit": (
        lambda value: parse_stages("remote", {"cmd": "true", "early_exit": value})[0][0]["early_exit"],
        [("true", True), ("false", False), ("", False), (None, False)],
    ),
    "become": (lambda value: parse_become("stages[0]", value), [("true", True), ("false", False), ("", None)]),
    "fact": (fact_name, [("true", "socketpipe"), ("false", ""), ("", "")]),
    "mode": (parse_mode, [("0640", 0o640), ("", None), (None, None)]),
    "expect_bytes": (parse_count, [("3", 3), ("", None)]),
    "encrypts": (
        lambda value: filters_of({"tape_filter": {"write": "gpg", "read": "gpg", "encrypts": value}})[0].get(
            "encrypts", False
        ),
        [("true", True), ("false", False), ("", False)],
    ),
    "tape_filter": (
        lambda value: [each["read"] for each in filters_of({"tape_filter": value})],
        [('{"write": "zstd", "read": "zstd -d"}', [["zstd", "-d"]]), ("[]", [])],
    ),
    "level": (
        lambda value: sources_of([{"name": "files", "paths": "/a, /b", "level": value}])[0].level,
        [("3", 3), ("", None)],
    ),
    "hook_timeout": (
        lambda value: sources_of([{"name": "files", "paths": "/a", "hook_timeout": value}])[0].hook_timeout,
        [("3", 3), ("", 60)],
    ),
    "paths": (
        lambda value: sources_of([{"name": "files", "paths": value}])[0].paths,
        [("/a", ["/a"]), ("/a, /b", ["/a", "/b"])],
    ),
}


@pytest.mark.parametrize(
    ("name", "text", "meant"), [(n, *case) for n, (_use, cases) in WITHIN.items() for case in cases]
)
def test_a_setting_within_an_option(name: str, text: str, meant: Any) -> None:
    assert WITHIN[name][0](text) == meant
