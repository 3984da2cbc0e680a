# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source without what only people and type checkers read: comments, docstrings and types, a quarter of a program.

All lines keep their numbers.  This knows no more of Python than the style of this collection needs (test_bare.py),
because parsing would take as long as compiling.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Match

# other strings are found, too, so that nothing in them is taken for a comment
DOCSTRING, COMMENT = r'^(?P<indent> *)"""[\s\S]*?"""$', r"(?P<comment> *#[^\n]*)"
STRING = r'"""[\s\S]*?"""|"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'"
WORDS = "%s|%s|%s" % (DOCSTRING, COMMENT, STRING)
TYPE = r'(?:"[^"\n]*"|[\w.]+)'
CHECKED = r"^if TYPE_CHECKING:\n(?:(?: [^\n]*)?\n)+(?=\S)(?!else)"  # imports for type checkers
FUNCTION = r"(^ *def \w+\()([\s\S]*?\))(?: -> %s)?:$" % TYPE
PARAMETER = r"(\w): %s" % TYPE
VARIABLE = r"^( *[\w.]+): %s(?= = )" % TYPE


def bare(text: str) -> str:
    import re  # slow to load, and tasks have it already

    def untyped(parameters: str) -> str:
        return re.sub(PARAMETER, r"\1", parameters)

    text = re.sub(WORDS, without_words, text, flags=re.M)
    text = re.sub(CHECKED, lines_of, text, flags=re.M)
    text = re.sub(FUNCTION, lambda found: "%s%s:" % (found.group(1), untyped(found.group(2))), text, flags=re.M)
    return re.sub(VARIABLE, r"\1", text, flags=re.M)


def without_words(found: "Match[str]") -> str:
    if found.group("comment"):
        return ""
    if found.group("indent") is None:
        return found.group()
    return found.group("indent") + '""' + lines_of(found)  # a statement stays, for a body without another one


def lines_of(found: "Match[str]") -> str:
    return "\n" * found.group().count("\n")
