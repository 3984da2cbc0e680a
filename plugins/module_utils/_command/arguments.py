# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of ``socketpipe``: options, and commands in braces.

Not argparse: its words differ from one Python to the next, and 3.6 and 3.7 lack ``-bq``.
"""

import sys

from .options import BY_NAME, COMMAND, DEFAULTS, FILE, FLAG, NOT_PLAIN, OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import SimpleNamespace
    from typing import Any, Iterator

    from .options import Option
else:
    SimpleNamespace = type(sys.implementation)  # the module types takes a moment to load

OPEN, CLOSE = "{", "}"


class Usage(ValueError):
    """An error in the command line; the text is one line that names the option."""


def parse(words: "list[str]") -> SimpleNamespace:
    """The options by their long names; a command is a list of words; raises Usage."""
    options = SimpleNamespace()
    for option in OPTIONS:
        setattr(options, option.attribute, DEFAULTS.get(option.attribute, False if option.read is FLAG else None))
    given: "set[str]" = set()
    rest = iter(words)
    for word in rest:
        for option, joined in named(word):
            if option.read is COMMAND and option.long in given:
                raise Usage("%s: given twice" % option.title)
            given.add(option.long)
            found = value(option, joined, rest)
            if isinstance(found, dict):  # a repeated option adds to the earlier ones
                found = dict(getattr(options, option.attribute), **found)
            setattr(options, option.attribute, found)
    if not (options.help or options.manual or options.version):
        check(options, given)
    return options


def named(word: str) -> "Iterator[tuple[Option, str | None]]":
    """The options in a word such as ``-b``, ``-bt5`` or ``--timeout=5``, each with the value joined to it."""
    if word[:1] != "-" or word == "-":
        raise Usage("unexpected word %r; -i, -l, -r and -o take a command in braces: -i { command }" % word)
    if word.startswith("--"):
        long, equals, joined = word.partition("=")
        yield known(long), joined if equals else None
        return
    letters = word[1:]
    while letters:
        option, letters = known("-" + letters[0]), letters[1:]
        if option.read is not FLAG:
            yield option, letters or None
            return
        yield option, None


def known(option: str) -> "Option":
    if option not in BY_NAME:
        raise Usage("%s: unknown option" % option)
    return BY_NAME[option]


def value(option: "Option", joined: "str | None", rest: "Iterator[str]") -> "Any":
    """The value of an option, joined to its name or in the next word; raises Usage."""
    if option.read is FLAG:
        if joined is not None:
            raise Usage("%s: takes no value" % option.title)
        return True
    if option.read is COMMAND:
        return take_braces(option, joined, rest)
    if option.read is FILE:
        return joined or ""
    if option.optional:
        joined = joined or ""
    text = next(rest, None) if joined is None else joined
    if text is None or joined is None and (text in (OPEN, CLOSE) or text.startswith("-")):
        raise Usage("%s: needs a value: %s %s" % (option.title, option.long, option.follows))
    try:
        return option.read(text)
    except ValueError as exc:
        raise Usage("%s: %s" % (option.title, exc)) from None


def take_braces(option: "Option", joined: "str | None", rest: "Iterator[str]") -> "list[str]":
    """The words of a command up to its closing brace; raises Usage.

    Each brace is a separate word. Braces nest, and inner braces are words of the command.
    """
    if joined is not None or next(rest, None) != OPEN:
        text = "%s: needs a command in braces, each brace a separate word: %s { command }"
        raise Usage(text % (option.title, option.names[0]))
    words: "list[str]" = []
    depth = 1
    for word in rest:
        depth += (word == OPEN) - (word == CLOSE)
        if depth == 0:
            break
        words.append(word)
    if depth:
        raise Usage("%s: the closing brace is missing; it must be a separate word: }" % option.title)
    if not words or not words[0]:
        raise Usage("%s: the command is empty" % option.title)
    return words


def check(options: SimpleNamespace, given: "set[str]") -> None:
    """Raises Usage if a required option is missing, or if options contradict each other."""
    for long, missing in (
        ("--login", "the command that leads to the far side"),
        ("--remote", "the command to run on the far side"),
    ):
        if long not in given:
            raise Usage("%s is required: %s" % (BY_NAME[long].title, missing))
    if not {"--input", "--output"} & given:
        raise Usage("-i/--input or -o/--output is required: the command on this host to join -r to")
    if options.listen == "remote" and not options.host:
        raise Usage("--listen=remote needs -h/--host, the address of the far side")
    lost = [long for long in NOT_PLAIN if long in given]
    if options.plain and lost:
        raise Usage("--plain: an original on the far side does not support %s" % lost[0])
    commands = (options.input, options.remote, options.output)
    if options.encrypt != "none" and any(words and words[:2] == ["socketpipe", "-s"] for words in commands):
        raise Usage("--encrypt: socketpipe -s speaks the protocol of the original, which does not encrypt")
    if options.plain and options.host and "," in options.host:
        raise Usage("-h/--host: an original on the far side accepts only one address")
