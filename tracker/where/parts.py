"""The fields that a run has any number of, in tables of their own: params, tags and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import orjson
from sqlalchemy import (
    ColumnElement,
    Double,
    FromClause,
    Text,
    and_,
    case,
    func,
    literal,
    not_,
    null,
    or_,
    true,
)

from tracker.listing import Source
from tracker.logs import to_plain
from tracker.store.schema import run_metrics, run_params, run_tags, runs
from tracker.where.kinds import (
    EQUALITY,
    OPERATORS,
    Characters,
    Field,
    Number,
    Operand,
    Sorting,
    pattern_of,
)
from tracker.where.mistakes import Mistake, Word, did_you_mean
from tracker.where.sql import Condition, bytewise, in_rows, json_string, matching

#: How a float that JSON lacks is kept (see `tracker.logs`): not as a text of the user's.
_NAN = '"NaN"'
_NON_FINITE = (_NAN, '"Infinity"', '"-Infinity"')
_FUNCTIONS = {"last": "last", "min": "minimum", "max": "maximum", "first": "first"}


class _Tag(Characters):
    """The value of a tag."""

    def __init__(self, name: Word, key: str) -> None:
        which = run_tags.c.key == key
        source = Source("tags", key)
        super().__init__(name, run_tags.c.value, source, partial(in_rows, run_tags, which))

    def sorting(self) -> Sorting:
        table = run_tags.alias()
        which = and_(table.c.run_id == runs.c.id, table.c.key == self.source.name)
        return Sorting([bytewise(table.c.value)], [(table, which)])

    def alone(self) -> Condition:
        return self.present()


class _Param(Field):
    """A parameter: a number, a text, true, false or null, as the run has it.

    A list is matched by patterns as its JSON text.
    """

    def __init__(self, name: Word, key: str) -> None:
        which = run_params.c.key == key
        source = Source("params", key)
        super().__init__(name, run_params.c.value, source, partial(in_rows, run_params, which))
        self._is_text = _is_text(self.expression)
        self._text = case(
            (not_(_is_comparable(self.expression)), null()),
            (self._is_text, json_string(self.expression)),
            else_=self.expression,
        )

    def test(self, operator: Word, operand: Operand) -> Condition:
        compared, value = OPERATORS[operator.text], operand.value
        if isinstance(value, float):
            number = run_params.c.number
            condition = compared(number, literal(value, Double()))
            if operator.text == "!=":
                condition = or_(number.is_(None), condition)
            # In PostgreSQL NaN is greater than every number.
            return and_(condition, _is_comparable(self.expression))
        if operator.text in EQUALITY:
            condition = compared(self.expression, orjson.dumps(to_plain(value)).decode())
            # What is null, or NaN, differs from nothing but null.
            return condition if value is None else and_(condition, _is_comparable(self.expression))
        if isinstance(value, str):
            return and_(self._is_text, compared(bytewise(self._text), literal(value, Text())))
        raise Mistake(operand, "a number or a text: true, false and null have no order")

    def like(self, operator: Word, operand: Operand) -> Condition:  # noqa: ARG002
        return matching(self._text, pattern_of(operand))

    def present(self) -> Condition:
        return self.holds(self.expression != "null")

    def nan(self, word: Word) -> tuple[Condition, Condition]:  # noqa: ARG002
        comparable = _is_comparable(self.expression)
        return self.holds(self.expression == _NAN), self.holds(comparable)

    def sorting(self) -> Sorting:
        """Numbers, then whatever else as a text."""
        table = run_params.alias()
        value, number = table.c.value, table.c.number
        which = and_(table.c.run_id == runs.c.id, table.c.key == self.source.name)
        # In PostgreSQL NaN is greater than every number.
        numbers = case((value == _NAN, null()), else_=number)
        text = case(
            (or_(number.is_not(None), not_(_is_comparable(value))), null()),
            (func.substr(value, 1, 1) == '"', json_string(value)),  # infinities are numbers
            else_=value,
        )
        return Sorting([numbers, bytewise(text)], [(table, which)], number)


def _is_comparable(value: ColumnElement[str]) -> Condition:
    return value.not_in((_NAN, "null"))


def _is_text(value: ColumnElement[str]) -> Condition:
    return and_(func.substr(value, 1, 1) == '"', value.not_in(_NON_FINITE))


class _Metric(Number):
    """The last, least, greatest or first value of a metric.

    `test_loss` is the train metric of that name where the run has one, or else the metric `loss`
    of its evaluates: what the list of runs calls so.

    Args:
        name: As the filter has it.
        metric: The metric's name.
        column: Of `run_metrics`.
        meant: What else a name that stands alone may be meant for; empty if it is a metric's.
    """

    def __init__(self, name: Word, metric: str, column: str, *, meant: str = "") -> None:
        source = Source("metrics", metric, column)
        super().__init__(name, run_metrics.c[column], source, partial(_in_metric, metric))
        self._meant = meant

    def like(self, operator: Word, operand: Operand) -> Condition:
        self._check_not_bare()
        return super().like(operator, operand)

    def present(self) -> Condition:
        return self.holds(true())

    def nan(self, word: Word) -> tuple[Condition, Condition]:  # noqa: ARG002
        return self.holds(self.expression.is_(None)), self.holds(self.expression.is_not(None))

    def sorting(self) -> Sorting:
        train, which = _joined("train", self.source.name)
        value = train.c[self.source.value]
        rest = self.source.name.removeprefix("test_")
        if rest in {"", self.source.name}:
            indexed = None if self.source.value == "first" else value
            return Sorting([value], [(train, which)], indexed)
        test, which_test = _joined("test", rest)
        either = case((train.c.run_id.is_not(None), value), else_=test.c[self.source.value])
        return Sorting([either], [(train, which), (test, which_test)])

    def alone(self) -> Condition:
        self._check_not_bare()
        return super().alone()

    def _number(self, operand: Operand) -> float:
        if isinstance(operand.value, str | bool):
            self._check_not_bare()
        return super()._number(operand)

    def _check_not_bare(self) -> None:
        if self._meant:
            name = self.name.text
            expected = f"a field ({name} would be a metric, and metrics are numbers)"
            raise Mistake(self.name, expected, self._meant)


PARTS: Mapping[str, Callable[[Word, str], Field]] = {"params": _Param, "tags": _Tag}


def metric_of(name: Word, metric: str, function: Word | None = None, *, meant: str = "") -> Field:
    """A metric's value: the last one, or that of a function. `meant` is as `_Metric` has it.

    Raises:
        Mistake: There is no such function.
    """
    if function is None:
        return _Metric(name, metric, "last", meant=meant)
    column = _FUNCTIONS.get(function.text.lower())
    if column is None:
        near = did_you_mean(function.text.lower(), _FUNCTIONS)
        raise Mistake(function, "last, min, max or first", near)
    return _Metric(name, metric, column)


def _in_metric(metric: str, condition: Condition) -> Condition:
    of_train = _is_metric("train", metric)
    train = in_rows(run_metrics, of_train, condition)
    rest = metric.removeprefix("test_")
    if rest in {"", metric}:
        return train
    test = in_rows(run_metrics, _is_metric("test", rest), condition)
    return or_(train, and_(not_(in_rows(run_metrics, of_train, true())), test))


def _joined(phase: str, metric: str) -> tuple[FromClause, Condition]:
    table = run_metrics.alias()
    named = and_(table.c.phase == phase, table.c.metric == metric)
    return table, and_(table.c.run_id == runs.c.id, named)


def _is_metric(phase: str, metric: str) -> Condition:
    return and_(run_metrics.c.phase == phase, run_metrics.c.metric == metric)
