"""What the tokens of a filter stand for: texts and names without their quotes."""

from __future__ import annotations

import re

from lark import Token

from tracker.where.mistakes import Mistake, Word

PLAIN = r"\w[\w-]*"
TEXT = r""""(?:[^"\\]|\\[\s\S]|"")*"|'(?:[^'\\]|\\[\s\S]|'')*'"""
BACKQUOTED = r"`(?:[^`]|``)+`"

#: A piece of a list: commas in quotes do not part it.
_ITEM = re.compile(rf"(?:{TEXT}|{BACKQUOTED}|[^,])+")

_PART = re.compile(rf"\.({PLAIN}|{TEXT}|{BACKQUOTED})?")
_ESCAPED = {quote: re.compile(rf"\\([\s\S])|{quote}{quote}") for quote in ("'", '"')}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}


def position_of(token: Token) -> int:
    """Where the token stands in the filter."""
    return token.start_pos or 0


def word_of(token: Token) -> Word:
    """The token as a mistake names it."""
    return Word(str(token), position_of(token))


def items_of(text: str) -> list[Word]:
    """The pieces of a list, which commas part; a piece may be empty."""
    items, position = [], 0
    while True:
        match = _ITEM.match(text, position)
        end = match.end() if match else position
        items.append(Word(text[position:end], position))
        if end == len(text):
            return items
        position = end + 1


def path_of(name: Token) -> list[str]:
    """The parts of a dotted name, without their quotes."""
    head = str(name).partition(".")[0]
    path, end = [head], len(head)
    while part := _PART.match(name, end):
        if part[1] is None:
            expected = "a dot with a name, in quotes if it has other characters than letters"
            raise Mistake(Word(".", position_of(name) + end), expected)
        path.append(unquoted(part[1]) if part[1][0] in "\"'`" else part[1])
        end = part.end()
    return path


def unquoted(text: str) -> str:
    """What stands between the quotes."""
    quote, body = text[0], text[1:-1]
    if quote == "`":
        return body.replace("``", "`")
    return _ESCAPED[quote].sub(
        lambda match: quote if match[1] is None else _ESCAPES.get(match[1], match[0]), body
    )


def quoted(text: str) -> str:
    """A text as it is written in a filter."""
    return '"' + text.replace("\\", "\\\\").replace('"', '""') + '"'
