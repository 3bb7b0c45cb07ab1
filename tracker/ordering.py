"""An order of runs in SQL, and its pages: those that follow a run, found by its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.sql import visitors

from tracker.store.clock import server_now
from tracker.store.schema import runs

#: Runs that are looked at first: if a filter is true of many, a page is full with these.
_NEAR = 5_000


@dataclass(frozen=True, slots=True)
class Key:
    """A value that runs are ordered by; those without one come last."""

    value: ColumnElement[Any]
    falling: bool

    def clause(self) -> ColumnElement[Any]:
        """For ORDER BY."""
        ordered = self.value.desc() if self.falling else self.value.asc()
        return ordered.nulls_last()

    def same(self, value: Any) -> ColumnElement[bool]:
        """Whether a run has the value there, None for no value."""
        if value is None:
            return self.value.is_(None)
        return self.value == literal(value, self.value.type)

    def beyond(self, value: Any) -> ColumnElement[bool]:
        """Whether a run comes after all that have the value there, which is one."""
        other = literal(value, self.value.type)
        later = self.value < other if self.falling else self.value > other
        return or_(later, self.value.is_(None))


@dataclass(frozen=True, slots=True)
class Order:
    """An order of all runs: of two with the same values, the one with the greater id is first.

    Args:
        keys: What SQL orders by.
        joins: Tables that have values of `keys`, each with at most one row for a run.
        indexed: What the first key is where it is not NULL: a column that has an index, of
            `runs` or the first of the tables.
    """

    keys: Sequence[Key]
    joins: Sequence[tuple[FromClause, ColumnElement[bool]]]
    indexed: ColumnElement[Any] | None

    def ids(
        self,
        connection: Connection,
        condition: ColumnElement[bool],
        *,
        limit: int | None = None,
        after: int | None = None,
        rarely: Callable[[ColumnElement[bool]], ColumnElement[bool]] | None = None,
    ) -> list[int]:
        """The ids of the runs that a condition on `schema.runs` is true for, in order.

        Args:
            connection: To the store.
            condition: See `compile_where`.
            limit: How many at the most.
            after: The id of a run: those only that come after it.
            rarely: Makes a condition that is true of few runs faster, where the engine cannot
                tell whether it is. None: an index that has the order is gone through until there
                are enough.
        """
        now = connection.execute(select(server_now())).scalar_one()
        return self._at(now)._ids(connection, condition, limit, after, rarely)  # noqa: SLF001

    def _ids(
        self,
        connection: Connection,
        condition: ColumnElement[bool],
        limit: int | None,
        after: int | None,
        rarely: Callable[[ColumnElement[bool]], ColumnElement[bool]] | None,
    ) -> list[int]:
        place = None if after is None else self._place(connection, after)
        found = self._by_index(connection, condition, limit, place, near=rarely is not None)
        if len(found) == limit:
            return found
        if rarely is not None:
            return self._sorted(connection, rarely(condition), limit, place)
        if limit is None or self.indexed is None:
            return self._sorted(connection, condition, limit, place)
        # Those without a first value follow, of which none comes before one that has it.
        behind = place if place is not None and place[0] is None else None
        rest = and_(condition, self.keys[0].value.is_(None))
        return found + self._sorted(connection, rest, limit - len(found), behind)

    def _by_index(
        self,
        connection: Connection,
        condition: ColumnElement[bool],
        limit: int | None,
        place: list[Any] | None,
        *,
        near: bool,
    ) -> list[int]:
        """Those that an index finds in order, if there is one; if `near`, of the next ones only."""
        if limit is None or self.indexed is None or (place is not None and place[0] is None):
            return []
        if near:
            condition = and_(condition, self._near(self.indexed, place))
        wanted = self._with_first(self.indexed, condition, place).limit(limit)
        return [row[0] for row in connection.execute(wanted)]

    def _sorted(
        self,
        connection: Connection,
        condition: ColumnElement[bool],
        limit: int | None,
        place: list[Any] | None,
    ) -> list[int]:
        """All of them, sorted."""
        if place is not None:
            condition = and_(condition, _later(self._all, place))
        wanted = self._joined(select(runs.c.id)).where(condition)
        wanted = wanted.order_by(*(key.clause() for key in self._all)).limit(limit)
        return [*connection.execute(wanted).scalars()]

    def _near(self, indexed: ColumnElement[Any], place: list[Any] | None) -> ColumnElement[bool]:
        """Whether a run is one of the next by the first key."""
        falling = self.keys[0].falling
        next_ones = self._joined(select(indexed.label("value")), inner=True)
        next_ones = next_ones.where(indexed.is_not(None))
        if place is not None:
            value = literal(place[0], indexed.type)
            next_ones = next_ones.where(indexed <= value if falling else indexed >= value)
        next_ones = next_ones.order_by(indexed.desc() if falling else indexed.asc()).limit(_NEAR)
        ends = next_ones.subquery().c.value
        last = select((func.min if falling else func.max)(ends)).scalar_subquery()
        return indexed >= last if falling else indexed <= last

    @property
    def _all(self) -> list[Key]:
        return [*self.keys, Key(runs.c.id, falling=True)]

    def _at(self, now: int) -> Order:
        """The order at a moment: a running run's duration grows from statement to statement."""

        def fixed(element: Any, **_: Any) -> Any:
            return literal(now, element.type) if isinstance(element, server_now) else None

        keys = [
            replace(key, value=visitors.replacement_traverse(key.value, {}, fixed))
            for key in self.keys
        ]
        return replace(self, keys=keys)

    def _place(self, connection: Connection, run_id: int) -> list[Any]:
        """A run's values of the keys."""
        values = [key.value.label(f"key_{number}") for number, key in enumerate(self._all)]
        wanted = self._joined(select(*values)).where(runs.c.id == run_id)
        return list(connection.execute(wanted).one())

    def _with_first(
        self, indexed: ColumnElement[Any], condition: ColumnElement[bool], place: list[Any] | None
    ) -> Select[Any]:
        """Of the runs that have a value of the first key, found by the index that has it."""
        (first, *rest), falling = self._all, self.keys[0].falling
        wanted = self._joined(select(runs.c.id), inner=True)
        wanted = wanted.where(condition, indexed.is_not(None), first.value.is_not(None))
        if place is not None:
            value = literal(place[0], indexed.type)
            ahead, beyond = (
                (indexed <= value, indexed < value) if falling
                else (indexed >= value, indexed > value)
            )  # fmt: skip
            # The one alone is no condition that an index serves.
            tied = and_(indexed == value, _later(rest, place[1:]))
            wanted = wanted.where(ahead, or_(beyond, tied))
        # Where NULL would be says which index can be used; there is none.
        by = indexed.desc() if falling else indexed.asc()
        return wanted.order_by(by, *(key.clause() for key in rest))

    def _joined(self, wanted: Select[Any], *, inner: bool = False) -> Select[Any]:
        table: FromClause = runs
        for number, (other, which) in enumerate(self.joins):
            table = table.join(other, which, isouter=number > 0 or not inner)
        return wanted.select_from(table)


def _later(keys: Sequence[Key], place: Sequence[Any]) -> ColumnElement[bool]:
    """Whether a run comes after all that have these values."""
    ways: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for key, value in zip(keys, place, strict=True):
        if value is not None:  # none comes after those that have no value
            ways.append(and_(*same, key.beyond(value)))
        same.append(key.same(value))
    return or_(*ways)


#: The order of lists unless another one is asked for.
LATEST_FIRST = Order([Key(runs.c.began_at, falling=True)], [], runs.c.began_at)
