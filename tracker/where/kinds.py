"""Kinds of fields: which values of a filter each can be compared with, and how."""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Double, FromClause, Text, and_, case, literal, not_, or_

from tracker.listing import Source
from tracker.where.mistakes import Mistake, Word
from tracker.where.sql import Condition, bytewise, known, matching

OPERATORS: Mapping[str, Callable[[Any, Any], Condition]] = {
    "=": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
EQUALITY = ("=", "!=")

#: SQLite refuses patterns of more than 50,000 bytes; a character takes up to 4, escaped 3 more.
_LONGEST_PATTERN = 5_000


@dataclass(frozen=True, slots=True)
class Sorting:
    """What runs are ordered by: values, the NULL ones last, and tables that have them.

    Each table is joined to `runs`, with no more than one row for each. `indexed` is a column that
    is the first value where that is not NULL, and has an index: of `runs`, or the only table.
    """

    values: Sequence[ColumnElement[Any]]
    joins: Sequence[tuple[FromClause, Condition]] = ()
    indexed: ColumnElement[Any] | None = None


@dataclass(frozen=True, slots=True)
class Operand(Word):
    """A value of the filter, and what else a text can be read as."""

    value: float | str | bool | None
    #: Of a length of time: its seconds.
    seconds: float | None = None
    #: Of a point or span of time: its first microsecond since 1970 UTC, and the one after it.
    span: tuple[int, int] | None = None


class Field:
    """Something that is known of runs.

    Args:
        name: As the filter has it.
        expression: Its value in SQL.
        source: Where a run that was loaded has it.
        holds: Makes a condition on the value one on the run, which is never NULL.
    """

    def __init__(
        self,
        name: Word,
        expression: ColumnElement[Any],
        source: Source,
        holds: Callable[[Condition], Condition] = known,
    ) -> None:
        self.name = name
        self.expression = expression
        self.source = source
        self.holds = holds

    def test(self, operator: Word, operand: Operand) -> Condition:
        """A comparison with the value, which may be NULL."""
        raise NotImplementedError

    def like(self, operator: Word, operand: Operand) -> Condition:  # noqa: ARG002
        """Whether the value matches a pattern; may be NULL."""
        raise Mistake(operator, f"=, <, in or is null: {self.name.text} is not a text")

    def present(self) -> Condition:
        """Whether the run has a value."""
        return self.holds(self.expression.is_not(None))

    def nan(self, word: Word) -> tuple[Condition, Condition]:
        """Whether the value is NaN, and whether it is another one."""
        raise Mistake(word, "null: only metrics and params can be NaN")

    def sorting(self) -> Sorting:
        """What runs are ordered by it with."""
        return Sorting([self.expression])

    def alone(self) -> Condition:
        """The field as a condition by itself."""
        name = self.name.text
        raise Mistake(self.name, f"a comparison, such as {name} = … or {name} is not null")


class Number(Field):
    """A number."""

    def test(self, operator: Word, operand: Operand) -> Condition:
        """See `Field.test`."""
        # As doubles, which no number is too large for, on any engine.
        value: ColumnElement[float] = literal(self._number(operand), Double())
        return OPERATORS[operator.text](self.expression, value)

    def _number(self, operand: Operand) -> float:
        if isinstance(operand.value, float):
            return operand.value
        raise Mistake(operand, f"a number, which {self.name.text} is", _null_hint(operand))


class Duration(Number):
    """Seconds, also as a text of hours and minutes."""

    def _number(self, operand: Operand) -> float:
        if not isinstance(operand.value, str):
            return super()._number(operand) * 1e6
        if operand.seconds is None:
            raise Mistake(operand, 'seconds, or a text such as "2h" or "1h 30m"')
        return operand.seconds * 1e6


class Characters(Field):
    """A text."""

    def test(self, operator: Word, operand: Operand) -> Condition:
        """See `Field.test`."""
        value = literal(self._text(operand), Text())
        ordered = operator.text not in EQUALITY
        expression = bytewise(self.expression) if ordered else self.expression
        return OPERATORS[operator.text](expression, value)

    def like(self, operator: Word, operand: Operand) -> Condition:  # noqa: ARG002
        """See `Field.like`."""
        return matching(self.expression, pattern_of(operand))

    def sorting(self) -> Sorting:
        """See `Field.sorting`."""
        return Sorting([bytewise(self.expression)])

    def _text(self, operand: Operand) -> str:
        if isinstance(operand.value, str):
            return operand.value
        hint = _null_hint(operand) or f'Write "{operand.text}".'
        raise Mistake(operand, f"a text, which {self.name.text} is", hint)


class Moment(Field):
    """A time. A date is its whole day."""

    def sorting(self) -> Sorting:
        """See `Field.sorting`."""
        indexed = self.expression if self.source.name == "started" else None
        return Sorting([self.expression], indexed=indexed)

    def test(self, operator: Word, operand: Operand) -> Condition:
        """See `Field.test`."""
        if operand.span is None:
            expected = 'a time, such as "2026-01-31", "2026-01-31 18:30", "3 days ago" or "today"'
            raise Mistake(operand, expected, _null_hint(operand))
        at: ColumnElement[Any] = self.expression
        begin, end = operand.span
        match operator.text:
            case "=":
                return and_(at >= begin, at < end)
            case "!=":
                return or_(at < begin, at >= end)
            case "<":
                return at < begin
            case "<=":
                return at < end
            case ">":
                return at >= end
        return at >= begin


class Truth(Field):
    """Something that is so or not."""

    def test(self, operator: Word, operand: Operand) -> Condition:
        """See `Field.test`."""
        if operator.text not in EQUALITY:
            raise Mistake(operator, f"= or !=: {self.name.text} is true or false")
        if not isinstance(operand.value, bool):
            raise Mistake(operand, f"true or false, which {self.name.text} is")
        wanted = operand.value == (operator.text == "=")
        return self.expression if wanted else not_(self.expression)

    def sorting(self) -> Sorting:
        """See `Field.sorting`."""
        return Sorting([case((self.expression, 1), else_=0)])

    def present(self) -> Condition:
        """See `Field.present`."""
        raise Mistake(self.name, f"{self.name.text} = true or false: it is never null")

    def alone(self) -> Condition:
        """See `Field.alone`."""
        return self.expression


def pattern_of(operand: Operand) -> str:
    """The pattern that is given to `like`.

    Raises:
        Mistake: It is none, or too long for SQLite.
    """
    if not isinstance(operand.value, str):
        raise Mistake(operand, 'a pattern in quotes, such as "a%"')
    if len(operand.value) > _LONGEST_PATTERN:
        raise Mistake(operand, f"a pattern of at most {_LONGEST_PATTERN} characters")
    return operand.value


def _null_hint(operand: Operand) -> str:
    return "Write is null, or is not null." if operand.value is None else ""
