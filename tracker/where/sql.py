"""Conditions beyond SQLAlchemy's own: never NULL, and alike on all engines."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Select,
    Table,
    Text,
    false,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement

from tracker.store.schema import runs

Condition = ColumnElement[bool]

#: Runs that are faster looked for by their rows than rows by their runs, one after the other.
_FEW = 5_000

_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


class bytewise(FunctionElement[str]):  # noqa: N801 - SQL, as `server_now` is
    """A text that is ordered by its bytes, as SQLite does, and not by the database's locale."""

    type = Text()
    inherit_cache = True


@compiles(bytewise, "sqlite")
def _bytewise_sqlite(element: bytewise, compiler: Any, **keywords: Any) -> str:
    return str(compiler.process(element.clauses, **keywords))


@compiles(bytewise, "postgresql")
def _bytewise_postgresql(element: bytewise, compiler: Any, **keywords: Any) -> str:
    return f'({compiler.process(element.clauses, **keywords)}) COLLATE "C"'


class json_string(FunctionElement[str]):  # noqa: N801 - SQL
    """The string that a JSON text holds."""

    type = Text()
    inherit_cache = True


@compiles(json_string, "sqlite")
def _json_string_sqlite(element: json_string, compiler: Any, **keywords: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **keywords)}, '$')"


@compiles(json_string, "postgresql")
def _json_string_postgresql(element: json_string, compiler: Any, **keywords: Any) -> str:
    return f"(CAST({compiler.process(element.clauses, **keywords)} AS json) #>> '{{}}')"


class _matches(FunctionElement[bool]):  # noqa: N801 - SQL
    """`LIKE` that tells cases apart: text, pattern, and the pattern as SQLite's `GLOB` has it.

    `LIKE` of SQLite does not tell `a` from `A`, and a setting for it is the connection's.
    """

    type = Boolean()
    inherit_cache = True


@compiles(_matches, "sqlite")
def _matches_sqlite(element: _matches, compiler: Any, **keywords: Any) -> str:
    text, _, glob = (compiler.process(one, **keywords) for one in element.clauses)
    return f"({text} GLOB {glob})"


@compiles(_matches, "postgresql")
def _matches_postgresql(element: _matches, compiler: Any, **keywords: Any) -> str:
    text, pattern, _ = (compiler.process(one, **keywords) for one in element.clauses)
    return f"({text} LIKE {pattern} ESCAPE '!')"


def matching(expression: ColumnElement[Any], pattern: str) -> Condition:
    """Whether a text matches a pattern of the filter."""
    # PostgreSQL's own escape is the backslash, which here stands for itself.
    return _matches(
        expression,
        literal(pattern.replace("!", "!!"), Text()),
        literal(pattern.translate(_GLOB), Text()),
    )


def known(condition: Condition) -> Condition:
    """The condition on columns of `runs`, false where it is NULL."""
    return func.coalesce(condition, false())


def in_rows(table: Table, which: Condition, condition: Condition) -> Condition:
    """Whether the run has such a row in a table of its parts."""
    rows: Select[Any] = (
        select(literal_column("1")).select_from(table).where(table.c.run_id == runs.c.id)
    )
    return _InRows(
        rows.where(which, condition).correlate(runs).exists(),
        select(table.c.run_id).where(which, condition).scalar_subquery(),
    )


class _InRows(FunctionElement[bool]):
    """Whether a run has such rows, looked up for each run; beside it all runs that have some."""

    type = Boolean()
    inherit_cache = True


@compiles(_InRows)
def _looked_up(element: _InRows, compiler: Any, **keywords: Any) -> str:
    has, _ = element.clauses
    return str(compiler.process(has, **keywords))


def by_sets(connection: Connection, condition: Condition) -> Condition:
    """The same condition, for which the runs of few rows are looked for first.

    It is faster where few runs are found. PostgreSQL has statistics, and sees that by itself.

    Args:
        connection: Asked for each part of the condition whether it is true of few runs.
        condition: Of `in_rows`, among others.
    """

    def as_set(element: Any, **_: Any) -> Any:
        if not isinstance(element, _InRows):
            return None
        _has, having = element.clauses
        some = having.element.limit(_FEW).subquery()
        count = connection.execute(select(func.count()).select_from(some)).scalar_one()
        if not count:
            return false()
        return runs.c.id.in_(having.element) if count < _FEW else None

    return visitors.replacement_traverse(condition, {}, as_set)
