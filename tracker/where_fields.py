"""What a filter can ask of a run: its fields, and their conditions on the tables of the store.

A condition is never NULL: a comparison with what a run does not have is false, and `not` of it
is true. Values of the filter are bind parameters, all of them.
"""

from __future__ import annotations

import operator as operators
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any

import orjson
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Select,
    Table,
    Text,
    and_,
    case,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from tracker.liveness import LOST, LOST_SECONDS
from tracker.logs import to_plain
from tracker.projections import STATUSES
from tracker.store.clock import server_now
from tracker.store.schema import run_metrics, run_params, run_tags, runs

#: SQLite refuses patterns of more than 50,000 bytes; a character takes up to 4, escaped 3 more.
_LONGEST_PATTERN = 5_000

_OPERATORS: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": operators.eq,
    "!=": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
_EQUALITY = ("=", "!=")

_Condition = ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Word:
    """A piece of the filter's text, and where it stands."""

    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Operand(Word):
    """A value of the filter, and what else a text can be read as."""

    value: float | str | bool | None
    #: Of a length of time: its seconds.
    seconds: float | None = None
    #: Of a point or span of time: its first microsecond since 1970 UTC, and the one after it.
    span: tuple[int, int] | None = None


class Mistake(Exception):
    """A filter cannot be: what was found, what was expected in its place, and what may help."""

    def __init__(self, found: Word, expected: str, hint: str = "") -> None:
        super().__init__(found, expected, hint)
        self.found = found
        self.expected = expected
        self.hint = hint


class _bytewise(FunctionElement[str]):  # noqa: N801 - SQL, as `server_now` is
    """A text that is ordered by its bytes, as SQLite does, and not by the database's locale."""

    type = Text()
    inherit_cache = True


@compiles(_bytewise, "sqlite")
def _bytewise_sqlite(element: _bytewise, compiler: Any, **keywords: Any) -> str:
    return str(compiler.process(element.clauses, **keywords))


@compiles(_bytewise, "postgresql")
def _bytewise_postgresql(element: _bytewise, compiler: Any, **keywords: Any) -> str:
    return f'({compiler.process(element.clauses, **keywords)}) COLLATE "C"'


class _json_string(FunctionElement[str]):  # noqa: N801 - SQL
    """The string that a JSON text holds."""

    type = Text()
    inherit_cache = True


@compiles(_json_string, "sqlite")
def _json_string_sqlite(element: _json_string, compiler: Any, **keywords: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **keywords)}, '$')"


@compiles(_json_string, "postgresql")
def _json_string_postgresql(element: _json_string, compiler: Any, **keywords: Any) -> str:
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


_GLOB = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


def _matching(expression: ColumnElement[Any], pattern: str) -> _Condition:
    # PostgreSQL's own escape is the backslash, which here stands for itself.
    return _matches(
        expression,
        literal(pattern.replace("!", "!!"), Text()),
        literal(pattern.translate(_GLOB), Text()),
    )


def _known(condition: _Condition) -> _Condition:
    """The condition on columns of `runs`, false where it is NULL."""
    return func.coalesce(condition, false())


def _in_rows(table: Table, which: _Condition, condition: _Condition) -> _Condition:
    """Whether the run has such a row in a table of its parts."""
    rows: Select[Any] = (
        select(literal_column("1")).select_from(table).where(table.c.run_id == runs.c.id)
    )
    return rows.where(which, condition).correlate(runs).exists()


class Field:
    """Something that is known of runs.

    Args:
        name: As the filter has it.
        expression: Its value in SQL.
        holds: Makes a condition on the value one on the run, which is never NULL.
    """

    def __init__(
        self,
        name: Word,
        expression: ColumnElement[Any],
        holds: Callable[[_Condition], _Condition] = _known,
    ) -> None:
        self.name = name
        self.expression = expression
        self.holds = holds

    def test(self, operator: Word, operand: Operand) -> _Condition:
        """A comparison with the value, which may be NULL."""
        raise NotImplementedError

    def like(self, operator: Word, operand: Operand) -> _Condition:  # noqa: ARG002
        """Whether the value matches a pattern; may be NULL."""
        raise Mistake(operator, f"=, <, in or is null: {self.name.text} is not a text")

    def present(self) -> _Condition:
        """Whether the run has a value."""
        return self.holds(self.expression.is_not(None))

    def nan(self, word: Word) -> tuple[_Condition, _Condition]:
        """Whether the value is NaN, and whether it is another one."""
        raise Mistake(word, "null: only metrics and params can be NaN")

    def alone(self) -> _Condition:
        """The field as a condition by itself."""
        name = self.name.text
        raise Mistake(self.name, f"a comparison, such as {name} = … or {name} is not null")


class _Number(Field):
    """A number."""

    def test(self, operator: Word, operand: Operand) -> _Condition:
        # As doubles, which no number is too large for, on any engine.
        value: ColumnElement[float] = literal(self._number(operand), Double())
        return _OPERATORS[operator.text](self.expression, value)

    def _number(self, operand: Operand) -> float:
        if isinstance(operand.value, float):
            return operand.value
        raise Mistake(operand, f"a number, which {self.name.text} is", _null_hint(operand))


class _Duration(_Number):
    """Seconds, also as a text of hours and minutes."""

    def _number(self, operand: Operand) -> float:
        if not isinstance(operand.value, str):
            return super()._number(operand) * 1e6
        if operand.seconds is None:
            raise Mistake(operand, 'seconds, or a text such as "2h" or "1h 30m"')
        return operand.seconds * 1e6


class _Characters(Field):
    """A text."""

    def test(self, operator: Word, operand: Operand) -> _Condition:
        value = literal(self._text(operand), Text())
        ordered = operator.text not in _EQUALITY
        expression = _bytewise(self.expression) if ordered else self.expression
        return _OPERATORS[operator.text](expression, value)

    def like(self, operator: Word, operand: Operand) -> _Condition:  # noqa: ARG002
        return _matching(self.expression, _pattern_of(operand))

    def _text(self, operand: Operand) -> str:
        if isinstance(operand.value, str):
            return operand.value
        hint = _null_hint(operand) or f'Write "{operand.text}".'
        raise Mistake(operand, f"a text, which {self.name.text} is", hint)


class _Status(_Characters):
    """The status as it is shown."""

    def test(self, operator: Word, operand: Operand) -> _Condition:
        if operator.text not in _EQUALITY:
            raise Mistake(operator, "=, !=, in or like: a status has no order")
        if self._text(operand) not in _SHOWN:
            near = _near(str(operand.value).lower(), _SHOWN)
            raise Mistake(operand, f"a status: {', '.join(_SHOWN)}", near)
        return super().test(operator, operand)


class _Error(_Characters):
    """The type of the exception that the run ended with; patterns match its message, too."""

    def like(self, operator: Word, operand: Operand) -> _Condition:
        message = func.coalesce(runs.c.error_message, "")
        return or_(super().like(operator, operand), _matching(message, _pattern_of(operand)))


class _Moment(Field):
    """A time. A date is its whole day."""

    def test(self, operator: Word, operand: Operand) -> _Condition:
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


class _Truth(Field):
    """Something that is so or not."""

    def test(self, operator: Word, operand: Operand) -> _Condition:
        if operator.text not in _EQUALITY:
            raise Mistake(operator, f"= or !=: {self.name.text} is true or false")
        if not isinstance(operand.value, bool):
            raise Mistake(operand, f"true or false, which {self.name.text} is")
        wanted = operand.value == (operator.text == "=")
        return self.expression if wanted else not_(self.expression)

    def present(self) -> _Condition:
        raise Mistake(self.name, f"{self.name.text} = true or false: it is never null")

    def alone(self) -> _Condition:
        return self.expression


class _Tag(_Characters):
    """The value of a tag."""

    def __init__(self, name: Word, key: str) -> None:
        which = run_tags.c.key == key
        super().__init__(name, run_tags.c.value, partial(_in_rows, run_tags, which))

    def alone(self) -> _Condition:
        return self.present()


#: How a float that JSON lacks is kept (see `tracker.logs`): not as a text of the user's.
_NAN = '"NaN"'
_NON_FINITE = (_NAN, '"Infinity"', '"-Infinity"')


class _Param(Field):
    """A parameter: a number, a text, true, false or null, as the run has it.

    A list is matched by patterns as its JSON text.
    """

    def __init__(self, name: Word, key: str) -> None:
        which = run_params.c.key == key
        super().__init__(name, run_params.c.value, partial(_in_rows, run_params, which))
        first = func.substr(run_params.c.value, 1, 1)
        self._is_text = and_(first == '"', self.expression.not_in(_NON_FINITE))
        self._text = case(
            (not_(self._is_comparable()), null()),
            (self._is_text, _json_string(self.expression)),
            else_=self.expression,
        )

    def test(self, operator: Word, operand: Operand) -> _Condition:
        compared, value = _OPERATORS[operator.text], operand.value
        if isinstance(value, float):
            number = run_params.c.number
            condition = compared(number, literal(value, Double()))
            if operator.text == "!=":
                condition = or_(number.is_(None), condition)
            # In PostgreSQL NaN is greater than every number.
            return and_(condition, self._is_comparable())
        if operator.text in _EQUALITY:
            condition = compared(self.expression, orjson.dumps(to_plain(value)).decode())
            # What is null, or NaN, differs from nothing but null.
            return condition if value is None else and_(condition, self._is_comparable())
        if isinstance(value, str):
            return and_(self._is_text, compared(_bytewise(self._text), literal(value, Text())))
        raise Mistake(operand, "a number or a text: true, false and null have no order")

    def like(self, operator: Word, operand: Operand) -> _Condition:  # noqa: ARG002
        return _matching(self._text, _pattern_of(operand))

    def present(self) -> _Condition:
        return self.holds(self.expression != "null")

    def nan(self, word: Word) -> tuple[_Condition, _Condition]:  # noqa: ARG002
        return self.holds(self.expression == _NAN), self.holds(self._is_comparable())

    def _is_comparable(self) -> _Condition:
        return self.expression.not_in((_NAN, "null"))


class _Metric(_Number):
    """The last, least or greatest value of a metric.

    `test_loss` is the train metric of that name where the run has one, or else the metric `loss`
    of its evaluates: what the list of runs calls so.

    Args:
        name: As the filter has it.
        metric: The metric's name.
        column: Of `run_metrics`.
        bare: The filter has a name only, which may be meant for something else.
    """

    def __init__(self, name: Word, metric: str, column: str, *, bare: bool = False) -> None:
        super().__init__(name, run_metrics.c[column], partial(_in_metric, metric))
        self._bare = bare

    def like(self, operator: Word, operand: Operand) -> _Condition:
        self._check_not_bare()
        return super().like(operator, operand)

    def present(self) -> _Condition:
        return self.holds(true())

    def nan(self, word: Word) -> tuple[_Condition, _Condition]:  # noqa: ARG002
        return self.holds(self.expression.is_(None)), self.holds(self.expression.is_not(None))

    def alone(self) -> _Condition:
        self._check_not_bare()
        return super().alone()

    def _number(self, operand: Operand) -> float:
        if isinstance(operand.value, str | bool):
            self._check_not_bare()
        return super()._number(operand)

    def _check_not_bare(self) -> None:
        if self._bare:
            name = self.name.text
            expected = f"a field ({name} would be a metric, and metrics are numbers)"
            raise Mistake(self.name, expected, _meant(name))


def _in_metric(metric: str, condition: _Condition) -> _Condition:
    of_train = _is_metric("train", metric)
    train = _in_rows(run_metrics, of_train, condition)
    rest = metric.removeprefix("test_")
    if rest in {"", metric}:
        return train
    test = _in_rows(run_metrics, _is_metric("test", rest), condition)
    return or_(train, and_(not_(_in_rows(run_metrics, of_train, true())), test))


def _is_metric(phase: str, metric: str) -> _Condition:
    return and_(run_metrics.c.phase == phase, run_metrics.c.metric == metric)


#: What a run can be shown as.
_SHOWN = (*STATUSES, LOST)

#: `tracker.liveness.with_lost` also asks whether the writer holds a lock on this machine, which
#: no database knows: a run of here whose heartbeats alone have stopped is lost to a filter.
_LONGEST_SILENCE = int(LOST_SECONDS * 1e6)
_SILENCE = server_now() - func.coalesce(runs.c.heartbeat_at, runs.c.last_at, 0)
_STATUS = case(
    (and_(runs.c.status == "running", _SILENCE > _LONGEST_SILENCE), literal(LOST, Text())),
    else_=runs.c.status,
)
_END = case(
    (_STATUS == "running", server_now()),
    else_=func.coalesce(runs.c.ended_at, runs.c.last_at, server_now()),
)

_FIELDS: Mapping[str, tuple[type[Field], ColumnElement[Any]]] = {
    "status": (_Status, _STATUS),
    "name": (_Characters, runs.c.name),
    "id": (_Number, runs.c.id),
    "uuid": (_Characters, runs.c.uuid),
    "experiment": (_Characters, runs.c.experiment),
    "group": (_Characters, runs.c.group_name),
    "rank": (_Number, runs.c.rank),
    "note": (_Characters, runs.c.note),
    "host": (_Characters, runs.c.host),
    "attempt": (_Number, runs.c.attempt),
    "epochs": (_Number, runs.c.epochs),
    "events": (_Number, runs.c.last_seq),
    "error": (_Error, runs.c.error_type),
    "started": (_Moment, runs.c.began_at),
    "ended": (_Moment, runs.c.ended_at),
    "duration": (_Duration, _END - runs.c.began_at),
    "archived": (_Truth, runs.c.archived_at.is_not(None)),
}
_PARTS: Mapping[str, Callable[[Word, str], Field]] = {"params": _Param, "tags": _Tag}
_FUNCTIONS = {"last": "last", "min": "minimum", "max": "maximum"}


def field_of(name: Word, path: list[str]) -> Field:
    """The field that a name with its parts means: of the run, a param, a tag, or a metric.

    Raises:
        Mistake: There is no such field.
    """
    head, *rest = path
    if head in _PARTS:
        if not rest:
            raise Mistake(name, f"{head} with a name, such as {head}.model")
        return _PARTS[head](name, ".".join(rest))
    if head in _FIELDS and not rest:
        made, expression = _FIELDS[head]
        return made(name, expression)
    if rest or head.lower() in _FIELDS:
        raise Mistake(name, "a field", _meant(name.text))
    return metric_of(name, head, bare=True)


def metric_of(
    name: Word, metric: str, function: Word | None = None, *, bare: bool = False
) -> Field:
    """A metric's value: the last one, or that of a function.

    Raises:
        Mistake: There is no such function.
    """
    if function is None:
        return _Metric(name, metric, "last", bare=bare)
    column = _FUNCTIONS.get(function.text.lower())
    if column is None:
        near = _near(function.text.lower(), _FUNCTIONS)
        raise Mistake(function, "last, min or max before a parenthesis", near)
    return _Metric(name, metric, column)


def _pattern_of(operand: Operand) -> str:
    """The pattern that is given to `like`.

    Raises:
        Mistake: It is none, or too long for SQLite.
    """
    if not isinstance(operand.value, str):
        raise Mistake(operand, 'a pattern in quotes, such as "a%"')
    if len(operand.value) > _LONGEST_PATTERN:
        raise Mistake(operand, f"a pattern of at most {_LONGEST_PATTERN} characters")
    return operand.value


def _meant(name: str) -> str:
    """What a name that is no field may have been meant for."""
    head, dot, rest = name.partition(".")
    names = _PARTS if dot else _FIELDS
    near = get_close_matches(head.lower(), names, n=1)
    if near:
        return f"Did you mean {near[0]}{dot}{rest}?"
    return f"A parameter is params.{name}, a tag tags.{name}; fields are {', '.join(_FIELDS)}."


def _near(word: str, names: Iterable[str]) -> str:
    near = get_close_matches(word, names, n=1)
    return f"Did you mean {near[0]}?" if near else ""


def _null_hint(operand: Operand) -> str:
    return "Write is null, or is not null." if operand.value is None else ""
