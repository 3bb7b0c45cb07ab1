"""What runs are ordered by: `val_loss:min, -started`."""

from __future__ import annotations

from sqlalchemy import Connection

from tracker.errors import InvalidFilter
from tracker.ordering import Key, Order
from tracker.where.compiler import check_characters, parsed
from tracker.where.kinds import Field
from tracker.where.mistakes import Mistake, Word, message
from tracker.where.names import check_name
from tracker.where.tokens import items_of

#: SQLite joins at most 64 tables, and a metric may need two.
_MOST_KEYS = 20


def compile_order(connection: Connection, text: str) -> Order:
    """The order that a text tells: fields, commas between them, `-` before those that fall.

    Runs without a value, and those whose value is NaN, come last, whichever the direction. Of
    parameters, numbers come before texts.

    Args:
        connection: To the store, which is asked for names that no run of it has.
        text: Such as `-started`, `val_loss:min` or `params.lr, -max(val_accuracy)`.

    Raises:
        InvalidFilter: With the place, what was found there and what was expected.
    """
    try:
        check_characters(text)
        chosen = [_key(text, item) for item in _items(text)]
        for field, _ in chosen:
            check_name(connection, field)
    except Mistake as mistake:
        raise InvalidFilter(message(text, mistake, "order")) from None
    sortings = [field.sorting() for field, _ in chosen]
    keys = [
        Key(value, falling)
        for sorting, (_, falling) in zip(sortings, chosen, strict=True)
        for value in sorting.values
    ]
    joins = [join for sorting in sortings for join in sorting.joins]
    return Order(keys, joins, sortings[0].indexed)


def _items(text: str) -> list[Word]:
    items = items_of(text)
    if len(items) > _MOST_KEYS:
        raise Mistake(Word(f"{len(items)} fields", 0), f"at most {_MOST_KEYS}")
    return items


def _key(text: str, item: Word) -> tuple[Field, bool]:
    field, falling = parsed(*padded(text, item), "order")
    return field, falling


def padded(text: str, item: Word) -> tuple[str, Word]:
    """A piece of a list for `parsed`, so that places in it are those in the whole text."""
    end = item.position + len(item.text.rstrip())
    rest = text[item.position + len(item.text) :]
    return " " * item.position + item.text, Word("," if rest else "the end", end)
