"""The fields that a run has any number of, in tables of their own: params, tags and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import orjson
from sqlalchemy import Double, Text, and_, case, func, literal, not_, null, or_, true

from tracker.logs import to_plain
from tracker.store.schema import run_metrics, run_params, run_tags
from tracker.where.kinds import (
    EQUALITY,
    OPERATORS,
    Characters,
    Field,
    Number,
    Operand,
    pattern_of,
)
from tracker.where.mistakes import Mistake, Word, did_you_mean
from tracker.where.sql import Condition, bytewise, in_rows, json_string, matching

#: How a float that JSON lacks is kept (see `tracker.logs`): not as a text of the user's.
_NAN = '"NaN"'
_NON_FINITE = (_NAN, '"Infinity"', '"-Infinity"')
_FUNCTIONS = {"last": "last", "min": "minimum", "max": "maximum"}


class _Tag(Characters):
    """The value of a tag."""

    def __init__(self, name: Word, key: str) -> None:
        which = run_tags.c.key == key
        super().__init__(name, run_tags.c.value, partial(in_rows, run_tags, which))

    def alone(self) -> Condition:
        return self.present()


class _Param(Field):
    """A parameter: a number, a text, true, false or null, as the run has it.

    A list is matched by patterns as its JSON text.
    """

    def __init__(self, name: Word, key: str) -> None:
        which = run_params.c.key == key
        super().__init__(name, run_params.c.value, partial(in_rows, run_params, which))
        first = func.substr(run_params.c.value, 1, 1)
        self._is_text = and_(first == '"', self.expression.not_in(_NON_FINITE))
        self._text = case(
            (not_(self._is_comparable()), null()),
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
            return and_(condition, self._is_comparable())
        if operator.text in EQUALITY:
            condition = compared(self.expression, orjson.dumps(to_plain(value)).decode())
            # What is null, or NaN, differs from nothing but null.
            return condition if value is None else and_(condition, self._is_comparable())
        if isinstance(value, str):
            return and_(self._is_text, compared(bytewise(self._text), literal(value, Text())))
        raise Mistake(operand, "a number or a text: true, false and null have no order")

    def like(self, operator: Word, operand: Operand) -> Condition:  # noqa: ARG002
        return matching(self._text, pattern_of(operand))

    def present(self) -> Condition:
        return self.holds(self.expression != "null")

    def nan(self, word: Word) -> tuple[Condition, Condition]:  # noqa: ARG002
        return self.holds(self.expression == _NAN), self.holds(self._is_comparable())

    def _is_comparable(self) -> Condition:
        return self.expression.not_in((_NAN, "null"))


class _Metric(Number):
    """The last, least or greatest value of a metric.

    `test_loss` is the train metric of that name where the run has one, or else the metric `loss`
    of its evaluates: what the list of runs calls so.

    Args:
        name: As the filter has it.
        metric: The metric's name.
        column: Of `run_metrics`.
        meant: What else a name that stands alone may be meant for; empty if it is a metric's.
    """

    def __init__(self, name: Word, metric: str, column: str, *, meant: str = "") -> None:
        super().__init__(name, run_metrics.c[column], partial(_in_metric, metric))
        self._meant = meant

    def like(self, operator: Word, operand: Operand) -> Condition:
        self._check_not_bare()
        return super().like(operator, operand)

    def present(self) -> Condition:
        return self.holds(true())

    def nan(self, word: Word) -> tuple[Condition, Condition]:  # noqa: ARG002
        return self.holds(self.expression.is_(None)), self.holds(self.expression.is_not(None))

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
        raise Mistake(function, "last, min or max before a parenthesis", near)
    return _Metric(name, metric, column)


def _in_metric(metric: str, condition: Condition) -> Condition:
    of_train = _is_metric("train", metric)
    train = in_rows(run_metrics, of_train, condition)
    rest = metric.removeprefix("test_")
    if rest in {"", metric}:
        return train
    test = in_rows(run_metrics, _is_metric("test", rest), condition)
    return or_(train, and_(not_(in_rows(run_metrics, of_train, true())), test))


def _is_metric(phase: str, metric: str) -> Condition:
    return and_(run_metrics.c.phase == phase, run_metrics.c.metric == metric)
