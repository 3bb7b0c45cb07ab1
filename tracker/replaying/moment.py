"""A run as it was at one point of its stream."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, desc, select

from tracker.errors import InvalidArgument
from tracker.event import HOOKS, PHASES, Record, metric_name
from tracker.judging import better
from tracker.logs import decode
from tracker.projections import MetricState, RunState, fold
from tracker.query import Store, opened_store, run_of
from tracker.store import schema
from tracker.store.port import PURGED, Run
from tracker.store.reading import Upcaster, select_records, upcaster, without_batches
from tracker.store.sql import SqlStore
from tracker.where.times import span_of

#: A point of a stream: a seq, `"seq:N"`, `"epoch:E"`, a time; None or `"end"`: its end.
At = int | str | datetime | None

_EXPECTED = 'Expected seq:N, epoch:E, end, or a time such as "2026-11-24 14:03:56" or "2 hours ago"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best value that a metric had so far."""

    value: float
    epoch: int | None
    seq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A run when one of its events had just happened."""

    #: The run's name today.
    run: str
    #: The event: its seq, its kind, and its wall clock in microseconds since 1970 UTC.
    seq: int
    kind: str
    at: int
    #: Microseconds since the run began.
    elapsed: int | None
    status: str
    #: train, test (validation, too) or predict; None between calls.
    phase: str | None
    attempt: int
    call: int | None
    epoch: int | None
    batch: int | None
    #: What the call had been asked for, where that is known.
    planned_epochs: int | None
    planned_steps: int | None
    #: Epochs that had ended.
    epochs: int
    #: What the last hook that logged anything logged, and which one that was.
    logs: Mapping[str, Any]
    logged_by: str | None
    #: As the last end of an epoch logged it.
    learning_rate: float | None
    #: The last value of each metric, over epochs; `test_` before those of evaluates of their own.
    last: Mapping[str, float]
    #: The best one, in the direction that the metric's name tells; NaN is never one.
    best: Mapping[str, Best]

    def to_dict(self) -> dict[str, Any]:
        """Its fields, for JSON."""
        facts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        best = {
            name: {"value": one.value, "epoch": one.epoch, "seq": one.seq}
            for name, one in self.best.items()
        }
        return facts | {"logs": dict(self.logs), "last": dict(self.last), "best": best}


def state(run: str | int, at: At = None, *, store: Store = None) -> Moment:
    """What a run looked like at some point.

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        at: When one of its events had just happened: its seq (`5` or `"seq:5"`), the end of an
            epoch (`"epoch:3"`; of the first call that has one, as its latest attempt ran it), or
            the last one before a time (of the local zone, if it names none). None: the end.
        store: The store.

    Raises:
        RunNotFound, AmbiguousRun: `run` is not exactly one.
        InvalidArgument: `at` cannot be understood, or is outside of the run.
    """
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        with opened.snapshot() as connection:
            as_today = upcaster(connection, found)
            seq = _seq(connection, found, at)
            return _moment(connection, found, seq, as_today)


def point(run: Run, at: At, *, store: SqlStore) -> int:
    """The seq of a point of a run's stream; arguments and errors as of `state`."""
    with store.snapshot() as connection:
        return _seq(connection, run, at)


def _moment(connection: Connection, run: Run, seq: int, as_today: Upcaster) -> Moment:
    events = schema.events
    until = select_records(run.id).where(events.c.seq <= seq)
    coarse = without_batches(until).order_by(events.c.seq)
    records = as_today([Record(*row) for row in connection.execute(coarse)])
    then = fold(RunState(), records)
    last = _last(connection, until)
    if last is None:
        purged = f" It was purged: event {run.state.last_seq} is what is left."
        raise InvalidArgument(
            f"Of run {run.name!r} no event up to {seq} is stored."
            + (purged if run.state.status == PURGED else "")
        )
    (event,) = as_today([last])
    logged = _logged(connection, until, as_today)
    planned = _planned(records, event)
    return Moment(
        run=run.name,
        seq=event.seq,
        kind=event.kind,
        at=event.at,
        elapsed=None if then.began_at is None else event.at - then.began_at,
        status=then.status,
        phase=_phase(event, then),
        attempt=event.attempt,
        call=event.call,
        epoch=event.epoch,
        batch=event.batch,
        planned_epochs=planned.get("epochs"),
        planned_steps=planned.get("steps"),
        epochs=then.epochs,
        logs=decode(logged.logs) if logged else {},
        logged_by=logged.kind if logged else None,
        learning_rate=_learning_rate(records),
        last={metric_name(*key): one.last for key, one in then.metrics.items()},
        best={metric_name(*key): _best(key[1], one) for key, one in then.metrics.items()},
    )


def _last(connection: Connection, until: Any) -> Record | None:
    found = connection.execute(until.order_by(desc(schema.events.c.seq)).limit(1)).first()
    return None if found is None else Record(*found)


def _logged(connection: Connection, until: Any, as_today: Upcaster) -> Record | None:
    """The last hook that logged anything: a few events back, as a rule."""
    events = schema.events
    ends = [kind for kind in HOOKS if kind.endswith("_end")]
    chosen = until.where(events.c.kind.in_(ends)).order_by(desc(events.c.seq))
    # Texts of JSON cannot be compared in every engine, so empty ones are passed over here.
    for row in connection.execute(chosen.limit(1_000)):
        if row.logs != "{}":
            return as_today([Record(*row)])[0]
    return None


def _planned(records: Sequence[Record], event: Record) -> Mapping[str, Any]:
    for record in reversed(records):
        if record.kind == "call_began" and (record.attempt, record.call) == (
            event.attempt,
            event.call,
        ):
            data = decode(record.logs)
            params = data.get("params") or {}
            epochs = data.get("epochs") or params.get("epochs")
            return {"epochs": epochs, "steps": params.get("steps")}
    return {}


def _phase(event: Record, then: RunState) -> str | None:
    if not then.open_calls:
        return None
    if event.kind not in PHASES:
        return then.open_calls[max(then.open_calls)][0]
    if event.kind == "test_end":  # validation is over, and its fit goes on
        return then.open_calls[max(then.open_calls)][0]
    return PHASES[event.kind]


def _learning_rate(records: Sequence[Record]) -> float | None:
    for record in reversed(records):
        if record.kind == "epoch_end":
            value = decode(record.logs).get("learning_rate")
            return float(value) if isinstance(value, int | float) else None
    return None


def _best(metric: str, one: MetricState) -> Best:
    if better(metric) == "min":
        value, epoch, seq = one.minimum, one.minimum_epoch, one.minimum_seq
    else:
        value, epoch, seq = one.maximum, one.maximum_epoch, one.maximum_seq
    return Best(value=float("nan") if value is None else value, epoch=epoch, seq=seq)


def _seq(connection: Connection, run: Run, at: At) -> int:
    """The seq that `at` means."""
    last = run.state.last_seq
    if at is None or at == "end":
        return last
    if isinstance(at, datetime):
        return _before(connection, run, int(at.timestamp() * 1e6))
    text = str(at).strip()
    head, colon, rest = text.partition(":")
    word = head.lower()
    if isinstance(at, int) or (colon and word == "seq") or text.isdecimal():
        digits = (rest if colon else text).strip()
        seq = int(digits) if re.fullmatch(r"-?\d{1,19}", digits) else None
        if seq is None:
            raise InvalidArgument(f"{text!r} is no point of a run. {_EXPECTED}.")
        if not 1 <= seq <= last:
            raise InvalidArgument(f"Run {run.name!r} has events 1 to {last}; there is no {seq}.")
        return seq
    if colon and word == "epoch":
        return _epoch_end(connection, run, rest.strip())
    span = span_of(text)
    if span is None:
        raise InvalidArgument(f"{text!r} is no point of a run. {_EXPECTED}.")
    return _before(connection, run, span[0])


def _epoch_end(connection: Connection, run: Run, text: str) -> int:
    events = schema.events
    ends = (
        without_batches(select(events.c.epoch, events.c.seq, events.c.call, events.c.attempt))
        .where(events.c.run_id == run.id)
        .where(events.c.kind == "epoch_end")
        .order_by(events.c.call, desc(events.c.attempt))
    )
    rows = connection.execute(ends).all()
    if not text.isdecimal():
        raise InvalidArgument(f"{text!r} is no epoch: they are numbers, from 0 on. {_EXPECTED}.")
    for row in rows:
        if row.epoch == int(text):
            return int(row.seq)
    there = sorted({row.epoch for row in rows})
    which = f"epochs {there[0]} to {there[-1]}" if there else "no epoch"
    raise InvalidArgument(f"Of run {run.name!r}, {which} ended; epoch {text} did not.")


def _before(connection: Connection, run: Run, moment: int) -> int:
    """The last event at a time or before, found by halving: clocks go forward, as a rule."""
    events = schema.events
    low, high = 1, run.state.last_seq
    following = select(events.c.seq, events.c.at).where(events.c.run_id == run.id)

    def first_from(seq: int) -> Any:
        chosen = following.where(events.c.seq >= seq).order_by(events.c.seq).limit(1)
        return connection.execute(chosen).first()

    if first_from(1).at > moment:
        raise InvalidArgument(f"Run {run.name!r} began only after that time.")
    reached = int(first_from(1).seq)
    while low <= high:
        middle = (low + high) // 2
        row = first_from(middle)
        if row is not None and row.at <= moment:
            reached, low = int(row.seq), int(row.seq) + 1
        else:
            high = middle - 1
    return reached
