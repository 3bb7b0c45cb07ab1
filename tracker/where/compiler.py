"""From a text to what it means: each rule of the grammar makes a piece of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

from lark import Lark, Token, Transformer, UnexpectedToken, v_args
from sqlalchemy import ColumnElement, and_, not_, or_

from tracker.errors import InvalidFilter
from tracker.where.fields import field_of
from tracker.where.grammar import parser, unexpected
from tracker.where.kinds import Field, Operand
from tracker.where.mistakes import Mistake, Word, message
from tracker.where.parts import metric_of
from tracker.where.times import seconds_of, span_of
from tracker.where.tokens import path_of, position_of, unquoted, word_of

_CONSTANTS = {"true": True, "false": False, "null": None}

#: More than people write, and so little that no database refuses it, or plans it for minutes:
#: SQLite takes expressions of a depth of 1000, and a chain of conditions, or of a list's values,
#: is as deep as long, twice if in a subquery.
_MOST_COMPARISONS = 100
_MOST_VALUES = 300
_DEEPEST = 20


@dataclass(frozen=True, slots=True)
class _Measured:
    """An expression, and how much there is in it."""

    expression: ColumnElement[bool]
    comparisons: int = 1
    #: In lists.
    values: int = 0
    #: Levels of and, or and not.
    depth: int = 0


def compile_where(text: str) -> ColumnElement[bool]:
    """A condition on `schema.runs` for a filter.

    Args:
        text: The filter, such as `status = "crashed" and min(val_loss) < 0.3`.

    Returns:
        For `select(schema.runs).where(…)`. It is never NULL. Times such as "2 hours ago" are
        those of this moment.

    Raises:
        InvalidFilter: With the place, what was found there and what was expected.
    """
    try:
        check_characters(text)
        end = Word("the end", len(text.rstrip()))
        return parsed(text, end, "disjunction").expression  # type: ignore[no-any-return]
    except Mistake as mistake:
        raise InvalidFilter(message(text, mistake)) from None


def parsed(text: str, end: Word, rule: Literal["disjunction", "order", "shown"]) -> Any:
    """What a rule makes of a text that ends there.

    Raises:
        Mistake: The text does not follow the grammar, or asks for what cannot be.
    """
    try:
        return _parser().parse(text, rule)
    except UnexpectedToken as error:
        raise unexpected(error, end) from None


@functools.cache
def _parser() -> Lark:
    return parser(_Compiler())


@v_args(inline=True)
class _Compiler(Transformer[Token, _Measured]):
    """What each rule makes. It holds no state: one serves all threads."""

    def disjunction(self, *conditions: _Measured) -> _Measured:
        return _joined(or_(*(one.expression for one in conditions)), *conditions)

    def conjunction(self, *conditions: _Measured) -> _Measured:
        return _joined(and_(*(one.expression for one in conditions)), *conditions)

    def complement(self, condition: _Measured) -> _Measured:
        return _joined(not_(condition.expression), condition)

    def compared(self, field: Field, comparison: Token, operand: Operand) -> _Measured:
        symbol = {"==": "=", "<>": "!="}.get(comparison, str(comparison))
        operator = Word(symbol, position_of(comparison))
        return _Measured(field.holds(field.test(operator, operand)))

    def among(self, field: Field, word: Token, *operands: Operand) -> _Measured:
        same = Word("=", position_of(word))
        tests = [field.test(same, operand) for operand in operands]
        return _checked(_Measured(field.holds(or_(*tests)), values=len(tests)))

    def not_among(self, field: Field, word: Token, *operands: Operand) -> _Measured:
        other = Word("!=", position_of(word))
        tests = [field.test(other, operand) for operand in operands]
        return _checked(_Measured(field.holds(and_(*tests)), values=len(tests)))

    def between(self, field: Field, low: Operand, high: Operand) -> _Measured:
        above = field.test(Word(">=", low.position), low)
        return _Measured(field.holds(and_(above, field.test(Word("<=", high.position), high))))

    def not_between(self, field: Field, low: Operand, high: Operand) -> _Measured:
        below = field.test(Word("<", low.position), low)
        return _Measured(field.holds(or_(below, field.test(Word(">", high.position), high))))

    def like(self, field: Field, word: Token, operand: Operand) -> _Measured:
        return _Measured(field.holds(field.like(word_of(word), operand)))

    def not_like(self, field: Field, word: Token, operand: Operand) -> _Measured:
        return _Measured(field.holds(not_(field.like(word_of(word), operand))))

    def null(self, field: Field, _word: Token) -> _Measured:
        return _Measured(not_(field.present()))

    def not_null(self, field: Field, _word: Token) -> _Measured:
        return _Measured(field.present())

    def nan(self, field: Field, word: Token) -> _Measured:
        return _Measured(field.nan(word_of(word))[0])

    def not_nan(self, field: Field, word: Token) -> _Measured:
        return _Measured(field.nan(word_of(word))[1])

    def alone(self, field: Field) -> _Measured:
        return _Measured(field.alone())

    def named(self, name: Token) -> Field:
        return field_of(word_of(name), path_of(name))

    def metric(self, name: Token) -> Field:
        return metric_of(word_of(name), unquoted(name))

    def function(self, function: Token, name: Token) -> Field:
        shown = Word(f"{function}({name})", position_of(function))
        return metric_of(shown, _metric_name(name), word_of(function))

    def short_function(self, name: Token, function: Token) -> Field:
        shown = Word(f"{name}:{function}", position_of(name))
        return metric_of(shown, _metric_name(name), word_of(function))

    def rising(self, field: Field) -> tuple[Field, bool]:
        return field, False

    def falling(self, field: Field) -> tuple[Field, bool]:
        return field, True

    def number(self, token: Token) -> Operand:
        return Operand(str(token), position_of(token), float(token))

    def text(self, token: Token) -> Operand:
        value = unquoted(token)
        return Operand(str(token), position_of(token), value, seconds_of(value), span_of(value))

    def constant(self, token: Token) -> Operand:
        return Operand(str(token), position_of(token), _CONSTANTS[token.lower()])


def _metric_name(name: Token) -> str:
    if name.partition(".")[0] in {"params", "tags"}:
        raise Mistake(word_of(name), "the name of a metric")
    return ".".join(path_of(name)) if name.type == "NAME" else unquoted(name)


def _joined(expression: ColumnElement[bool], *parts: _Measured) -> _Measured:
    return _checked(
        _Measured(
            expression,
            comparisons=sum(part.comparisons for part in parts),
            values=sum(part.values for part in parts),
            depth=max(part.depth for part in parts) + 1,
        )
    )


def _checked(condition: _Measured) -> _Measured:
    """The condition, unless there is too much in it."""
    for number, most, what in (
        (condition.comparisons, _MOST_COMPARISONS, "comparisons"),
        (condition.values, _MOST_VALUES, "values in lists"),
        (condition.depth, _DEEPEST, "levels of and, or and not"),
    ):
        if number > most:
            raise Mistake(Word(f"{number} {what}", 0), f"at most {most}")
    return condition


def check_characters(text: str) -> None:
    """Refuse what no stored text has: PostgreSQL takes no NUL, and no engine half a character."""
    for position, char in enumerate(text):
        if char == "\x00" or "\ud800" <= char <= "\udfff":
            raise Mistake(Word(f"the character U+{ord(char):04X}", position), "a text without it")
