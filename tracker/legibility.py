"""Texts that are shown as they are, without what they could do to where they are shown."""

from __future__ import annotations


def encodable(text: str) -> str:
    """The text with halves of characters, which no UTF-8 has, as escapes.

    File names that are no UTF-8 have them, and with them parameters and messages of errors.
    """
    return text if text.isprintable() else text.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """The text on one line, with what would move a cursor, change colours or break XML escaped."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def printable_lines(text: str) -> str:
    """The same, but for its line ends."""
    return "\n".join(map(printable, text.split("\n")))
