"""Columns of a list of runs: those of its frame, and any field of the filter language."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from sqlalchemy import Connection

from tracker.errors import InvalidFilter, UnknownColumn
from tracker.listing import Column, Listing, column_of
from tracker.store.port import Run
from tracker.where.compiler import check_characters, parsed
from tracker.where.kinds import Field
from tracker.where.mistakes import Mistake, Word, message, place
from tracker.where.names import check_name, stored_names
from tracker.where.ordering import padded
from tracker.where.tokens import items_of


def shown_columns(
    connection: Connection, runs: Sequence[Run], whole: Listing, asked: str | Sequence[str]
) -> Listing:
    """The columns that were asked for, named as they were written.

    Args:
        connection: To the store, which is asked whether any run has what these have not.
        runs: The runs.
        whole: Their listing.
        asked: Columns of the listing, or fields such as `params.lr` and `val_loss:min`; as a
            list, or in a text with commas between them.

    Raises:
        UnknownColumn: There is no such column, and no such metric, parameter or tag in the store.
        InvalidFilter: A field cannot be understood.
    """
    text, items = (asked, items_of(asked)) if isinstance(asked, str) else _joined(asked)
    columns: dict[str, Column] = {}
    try:
        check_characters(text)
        for item in items:
            name = item.text.strip()
            if name in whole.columns:
                columns[name] = whole.columns[name]
                continue
            field: Field = parsed(*padded(text, item), "shown")
            columns[name] = _column(connection, runs, whole, field, text)
    except Mistake as mistake:
        raise InvalidFilter(message(text, mistake, "list of columns")) from None
    return Listing(columns, len(runs))


def _joined(asked: Sequence[str]) -> tuple[str, list[Word]]:
    items, position = [], 0
    for text in asked:
        items.append(Word(text, position))
        position += len(text) + len(", ")
    return ", ".join(asked), items


def _column(
    connection: Connection, runs: Sequence[Run], whole: Listing, field: Field, text: str
) -> Column:
    source = field.source
    if source.kind == "runs" and source.name in whole.columns:
        return whole.columns[source.name]
    column = column_of(source, runs)
    if all(value is None for value in column.data):
        try:
            check_name(connection, field)
        except Mistake:
            name, known = field.name, stored_names(connection, source.kind)
            if source.kind != "metrics" or name.text != source.name:
                raise
            near = get_close_matches(name.text, [*whole.columns, *known], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UnknownColumn(
                f"There is no column {name.text!r}.{hint} Columns are: "
                f"{', '.join(whole.columns)}, params.NAME and tags.NAME.\n"
                f"{place(text, name.position)}"
            ) from None
    return column
