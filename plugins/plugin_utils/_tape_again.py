# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of this run, changed for another run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ansible import context

# options of ansible-playbook that another run also needs, by their names in CLIARGS
VALUES = {
    "remote_user": "-u",
    "private_key_file": "--private-key",
    "connection": "-c",
    "become_method": "--become-method",
    "become_user": "--become-user",
}
FLAGS = {"become": "--become", "become_ask_pass": "-K", "ask_pass": "-k", "ask_vault_pass": "-J"}
LISTS = {"vault_ids": "--vault-id", "vault_password_files": "--vault-password-file"}
DEFAULTS = {"become_method": "sudo", "connection": "ssh"}
SECRET = re.compile("pass|secret|token|key|credential", re.IGNORECASE)
HIDDEN = "..."  # replaces passwords, for logs


def again(playbook: str, extra: Mapping[str, str], limit: str = "") -> str:
    """The command that runs a playbook ("" for this one) with these variables in addition to the given ones."""
    given = context.CLIARGS
    words = ["ansible-playbook"]
    for source in given.get("inventory") or ():
        words += ["-i", str(source)]
    words += [flag for name, flag in FLAGS.items() if given.get(name)]
    for name, flag in VALUES.items():
        if given.get(name) and given[name] != DEFAULTS.get(name):
            words += [flag, str(given[name])]
    for name, flag in LISTS.items():
        for value in given.get(name) or ():
            words += [flag, str(value)]
    words.append(playbook or str((given.get("args") or ["plumbing.socketpipe.backup"])[0]))
    for value in given.get("extra_vars") or ():
        for word in without_secrets(str(value), extra):
            words += ["-e", word]
    for name, value in extra.items():
        words += ["-e", f"{name}={value}"]
    return " ".join(map(shlex.quote, words + (["--limit", limit] if limit else [])))


def without_secrets(text: str, replaced: Mapping[str, str]) -> Iterator[str]:
    """The extra variables as they were given: name=value …, JSON, YAML, or a file (@file)."""
    text = text.strip()
    if text.startswith("@"):
        yield text
    elif text.startswith(("{", "[")):
        try:
            variables: Any = json.loads(text)
        except ValueError:
            yield HIDDEN  # YAML: which parts are secret is unknown
            return
        if isinstance(variables, dict):
            shown = {name: hide(name, value) for name, value in variables.items() if name not in replaced}
            if shown:
                yield json.dumps(shown)
    else:
        try:
            words = shlex.split(text)
        except ValueError:
            yield HIDDEN
            return
        for word in words:
            name, equals, value = word.partition("=")
            if equals and name not in replaced:
                yield f"{name}={hide(name, value)}"


def hide(name: str, value: Any) -> Any:
    """The value, or HIDDEN in place of a secret."""
    if SECRET.search(name) and not isinstance(value, (bool, int)) and value:
        return HIDDEN
    if isinstance(value, dict):
        return {key: hide(key, each) for key, each in value.items()}
    if isinstance(value, list):
        return [hide(name, each) for each in value]
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):  # a survey of AWX has only texts
        return hide_in_text(name, value)
    return value


def hide_in_text(name: str, text: str) -> str:
    """The same for a mapping or a list that is JSON, or looks as if it were."""
    try:
        found = json.loads(text)
    except ValueError:
        return HIDDEN if SECRET.search(text) else text
    hidden = hide(name, found)
    return text if hidden == found else json.dumps(hidden)
