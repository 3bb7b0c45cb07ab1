"""What a filter can ask of a run, by name."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, case, func, literal, or_

from tracker.listing import Source
from tracker.liveness import LOST, LOST_SECONDS
from tracker.projections import STATUSES
from tracker.store.clock import server_now
from tracker.store.schema import runs
from tracker.where.kinds import (
    EQUALITY,
    Characters,
    Duration,
    Field,
    Moment,
    Number,
    Operand,
    Truth,
    pattern_of,
)
from tracker.where.mistakes import Mistake, Word, did_you_mean
from tracker.where.parts import PARTS, metric_of
from tracker.where.sql import Condition, matching

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


class _Status(Characters):
    """The status as it is shown."""

    def test(self, operator: Word, operand: Operand) -> Condition:
        if operator.text not in EQUALITY:
            raise Mistake(operator, "=, !=, in or like: a status has no order")
        if self._text(operand) not in _SHOWN:
            near = did_you_mean(str(operand.value).lower(), _SHOWN)
            raise Mistake(operand, f"a status: {', '.join(_SHOWN)}", near)
        return super().test(operator, operand)


class _Error(Characters):
    """The type of the exception that the run ended with; patterns match its message, too."""

    def like(self, operator: Word, operand: Operand) -> Condition:
        message = func.coalesce(runs.c.error_message, "")
        return or_(super().like(operator, operand), matching(message, pattern_of(operand)))


#: Fields of a run, beside its params, tags and metrics.
FIELDS: Mapping[str, tuple[type[Field], ColumnElement[Any]]] = {
    "status": (_Status, _STATUS),
    "name": (Characters, runs.c.name),
    "id": (Number, runs.c.id),
    "uuid": (Characters, runs.c.uuid),
    "experiment": (Characters, runs.c.experiment),
    "group": (Characters, runs.c.group_name),
    "rank": (Number, runs.c.rank),
    "note": (Characters, runs.c.note),
    "host": (Characters, runs.c.host),
    "attempt": (Number, runs.c.attempt),
    "epochs": (Number, runs.c.epochs),
    "events": (Number, runs.c.last_seq),
    "error": (_Error, runs.c.error_type),
    "started": (Moment, runs.c.began_at),
    "ended": (Moment, runs.c.ended_at),
    "duration": (Duration, _END - runs.c.began_at),
    "archived": (Truth, runs.c.archived_at.is_not(None)),
}


def field_of(name: Word, path: list[str]) -> Field:
    """The field that a name with its parts means: of the run, a param, a tag, or a metric.

    Raises:
        Mistake: There is no such field.
    """
    head, *rest = path
    if head in PARTS:
        if not rest:
            raise Mistake(name, f"{head} with a name, such as {head}.model")
        return PARTS[head](name, ".".join(rest))
    if head in FIELDS and not rest:
        made, expression = FIELDS[head]
        return made(name, expression, Source("runs", head))
    if rest or head.lower() in FIELDS:
        raise Mistake(name, "a field", _meant(name.text))
    return metric_of(name, head, meant=_meant(name.text))


def _meant(name: str) -> str:
    """What a name that is no field may have been meant for."""
    head, dot, rest = name.partition(".")
    names = PARTS if dot else FIELDS
    near = get_close_matches(head.lower(), names, n=1)
    if near:
        return f"Did you mean {near[0]}{dot}{rest}?"
    return f"A parameter is params.{name}, a tag tags.{name}; fields are {', '.join(FIELDS)}."
