"""A mistake in a filter, an order or columns, and how it is told: with a caret under its place."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

#: How much of a long filter an error shows before and after the place.
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of the filter's text, and where it stands."""

    text: str
    position: int


class Mistake(Exception):
    """A filter cannot be: what was found, what was expected in its place, and what may help."""

    def __init__(self, found: Word, expected: str, hint: str = "") -> None:
        super().__init__(found, expected, hint)
        self.found = found
        self.expected = expected
        self.hint = hint


def message(text: str, mistake: Mistake, what: str = "filter") -> str:
    """The mistake in words, and its place in the text, which is a `what`."""
    found = mistake.found
    hint = mistake.hint and f" {mistake.hint}"
    shown = found.text if len(found.text) <= _SHOWN else f"{found.text[:_SHOWN]}…"
    told = _printable(f"found {shown}, expected {mistake.expected}.{hint}")
    return f"The {what} cannot be understood: {told}\n{place(text, found.position)}"


def place(text: str, position: int) -> str:
    """The line of the text with a position, and a caret under it."""
    begin = text.rfind("\n", 0, position) + 1
    column = position - begin
    line = text[begin:].partition("\n")[0]
    if column > _SHOWN:
        line, column = "…" + line[column - _SHOWN :], _SHOWN + 1
    if len(line) > column + _SHOWN:
        line = line[: column + _SHOWN] + "…"
    line = _printable(line)
    caret = " " * sum(map(_width, line[:column])) + "^"
    return f"  {line}\n  {caret}"


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """A hint at the name that is nearly the word, if one is."""
    near = get_close_matches(word, names, n=1)
    return f"Did you mean {near[0]}?" if near else ""


def _printable(text: str) -> str:
    """The text in one line, without what could move a terminal's cursor."""
    return "".join(
        char if char.isprintable() else " " if char.isspace() else "\ufffd" for char in text
    )


def _width(char: str) -> int:
    """How many columns of a terminal a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
