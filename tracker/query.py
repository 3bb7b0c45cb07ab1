"""Questions to a store, answered as pandas frames.

Columns and dtypes are fixed, in empty frames too: integers are `Int64`, times are UTC with
microseconds, texts are pandas strings, metrics are `float64`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import pandas as pd
from sqlalchemy import Select, desc, func, select

from tracker.errors import EventsTooNew, InvalidArgument, UnknownColumn
from tracker.event import HOOKS, VERSION, Event, Record, check_kinds
from tracker.frames import (
    Attempts,
    EventLogs,
    event_frame,
    metric_frame,
    run_frame,
    wide_frame,
)
from tracker.liveness import with_lost
from tracker.logs import to_event
from tracker.selection import listed, select_run
from tracker.store import schema
from tracker.store.opening import open_store
from tracker.store.port import Run
from tracker.store.reading import select_records, upcaster
from tracker.store.rows import load_runs
from tracker.store.sql import SqlStore
from tracker.story import STORY_KINDS, description, history_frame

#: A store: its URL, an open one, or None for the default (see `tracker.location.store_url`).
Store = str | SqlStore | None

_METRIC_KINDS = {
    "epoch": ("epoch_end", "test_end"),
    "batch": ("train_batch_end", "test_batch_end"),
}


def runs(
    *,
    where: str | None = None,
    limit: int | None = None,
    archived: bool = False,
    workers: bool = False,
    store: Store = None,
) -> pd.DataFrame:
    """The runs of a store, the latest first.

    Args:
        where: Only those that it holds for: see docs/how-to/where.md.
        limit: How many at the most.
        archived: Archived ones too.
        workers: Of processes that trained together, not the chief only.
        store: The store.

    Returns:
        One row a run: `id`, `name`, `experiment`, `status`, `started`, `duration` (until now
        for a running one), `epochs` (that ended), `events`, `attempt`, `error`, `host`,
        `uuid`, `heartbeat` (since a running or lost run's writer last told that it lives),
        `group`, `rank` (in it), `note`, `archived` (when), then
        a column for the last value of each metric: the name of epoch metrics as Keras logs them
        (`loss`, `val_loss`), `test_` before those of evaluates of their own.

    Raises:
        InvalidFilter: `where` cannot be understood.
        TrackerError: The store cannot be read.
    """
    return run_frame(
        latest_runs(where=where, limit=limit, archived=archived, workers=workers, store=store)
    )


def latest_runs(
    *,
    where: str | None = None,
    limit: int | None = None,
    archived: bool = False,
    workers: bool = False,
    store: Store = None,
) -> list[Run]:
    """As `runs`, with everything that the store's projections say."""
    condition = listed(archived=archived, workers=workers)
    if where is not None:
        from tracker.where import compile_where  # loads a parser, which others need not wait for

        condition &= compile_where(where)
    order = (desc(schema.runs.c.began_at), desc(schema.runs.c.id))
    if limit is not None:
        latest = select(schema.runs.c.id).where(condition).order_by(*order).limit(limit)
        condition = schema.runs.c.id.in_(latest)
    with opened_store(store) as opened, opened.snapshot() as connection:
        found = with_lost(load_runs(connection, where=condition))
    return sorted(found, key=lambda run: (run.state.began_at or 0, run.id), reverse=True)


def run_of(run: str | int, *, store: Store = None) -> Run:
    """One run with everything that its projections say.

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        store: The store.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one.
    """
    with opened_store(store) as opened:
        return _run(opened, run)


def describe(run: str | int, *, store: Store = None) -> dict[str, Any]:
    """Everything about one run that is not its stream, for showing.

    Returns:
        `name`, `id`, `uuid`, `experiment`, `group`, `rank`, `status`, `started`, `duration`,
        `epochs`, `events`, `attempt`, `error`, `pruned` (events dropped), `note`, `traceback`;
        `tags`, `params`, `attempts` (of a run that was resumed, with the params that changed),
        `calls`, `model`, `environment` as dicts; `metrics` as a list of dicts: phase, metric,
        last, min and max with their epochs.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one.
    """
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        return description(found, _story(opened, found))


def history(run: str | int, *, store: Store = None) -> pd.DataFrame:
    """What happened to a run: how attempts began and ended, and what people stated.

    Returns:
        One row a fact: `seq`, `at`, `kind`, `attempt`, `by` (user and host, of facts by hand),
        `what`.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one.
    """
    with opened_store(store) as opened:
        return history_frame(_story(opened, run_of(run, store=opened)))


def events(
    run: str | int,
    *,
    kind: str | Sequence[str] | None = None,
    call: int | None = None,
    epoch: int | None = None,
    after: int = 0,
    until: int | None = None,
    limit: int | None = None,
    tail: int | None = None,
    logs: EventLogs = "columns",
    store: Store = None,
) -> pd.DataFrame:
    """A run's events in the order in which they happened.

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        kind: A kind or several, such as `"epoch_end"`.
        call: Only those of this call.
        epoch: Only those inside this epoch.
        after: Only those with `seq > after`.
        until: Only those with `seq <= until`.
        limit: The first so many of these.
        tail: The last so many of these.
        logs: `"columns"`: a column for each logged value, of the hooks only; `"dict"`: a
            column `logs` of dicts; `"json"`: a column `logs` of JSON text.
        store: The store.

    Returns:
        One row an event: `seq`, `at`, `kind`, `attempt`, `call`, `epoch`, `batch`, and logs.

    Raises:
        RunNotFound, AmbiguousRun: `run` is not exactly one.
        UnknownKind: `kind` does not exist.
        EventsTooNew: They were written by a later version of the tracker.
    """
    if logs not in ("columns", "dict", "json"):
        raise InvalidArgument(f"logs must be 'columns', 'dict' or 'json'. Received: {logs!r}.")
    if limit is not None and tail is not None:
        raise InvalidArgument("Give limit or tail, not both.")
    with opened_store(store) as opened:
        found = _run(opened, run)
        wanted = _select_events(found.id, kind=kind, call=call, epoch=epoch)
        wanted = wanted.where(schema.events.c.seq > after)
        if until is not None:
            wanted = wanted.where(schema.events.c.seq <= until)
        return event_frame(_fetch(opened, found, wanted, limit=limit, tail=tail), logs)


def stream(
    run: str | int, *, after: int = 0, until: int | None = None, store: Store = None
) -> Iterator[Event]:
    """A run's events one by one, in order, in bounded memory.

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        after: Only those with `seq > after`.
        until: Only those with `seq <= until`.
        store: The store.

    Raises:
        RunNotFound, AmbiguousRun: `run` is not exactly one.
        EventsTooNew: They were written by a later version of the tracker.
    """
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        yield from map(to_event, opened.read(found.uuid, after=after, until=until))


def count(run: str | int, *, store: Store = None) -> pd.DataFrame:
    """How many events of each kind a run has: `kind`, `count`, in the order of the hooks."""
    with opened_store(store) as opened:
        found = _run(opened, run)
        events = schema.events
        counting = (
            select(events.c.kind, func.count())
            .where(events.c.run_id == found.id)
            .group_by(events.c.kind)
        )
        with opened.reading() as connection:
            counts = {str(row[0]): int(row[1]) for row in connection.execute(counting)}
    ordered = sorted(counts, key=lambda kind: HOOKS.index(kind) if kind in HOOKS else len(HOOKS))
    frame = pd.DataFrame({"kind": ordered, "count": [counts[kind] for kind in ordered]})
    return frame.astype({"kind": "string", "count": "Int64"})


def metrics(
    run: str | int | Iterable[str | int],
    *,
    source: Literal["epoch", "batch"] = "epoch",
    names: str | Sequence[str] | None = None,
    wide: bool = False,
    attempts: Attempts = "latest",
    store: Store = None,
) -> pd.DataFrame:
    """The values that Keras logged, of one run or several.

    Where an epoch was run again by a later attempt, the latest attempt's values count: for each
    call, epoch, batch and kind.

    Args:
        run: A RUN (see `events`), or several.
        source: `"epoch"`: the values at the end of epochs and of evaluates; `"batch"`: those
            at the end of batches, which in Keras are means since the epoch began.
        names: Only these metrics.
        wide: A column for each metric instead of a row for each value.
        attempts: `"all"`: what a later attempt ran again, too.
        store: The store.

    Returns:
        Columns `run` (name), `phase` (train, or test for validation batches and evaluates of
        their own), `attempt`, `call`, `epoch`, `batch`, `step` (training batches since the
        run began), `at`, then `metric` and `value`, or a column for each metric. The frame's
        `attrs["thinned"]` has the names of runs whose batch events were pruned.

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
        UnknownColumn: None of the runs logged a metric of `names`.
    """
    if source not in _METRIC_KINDS:
        raise InvalidArgument(f"source must be 'epoch' or 'batch'. Received: {source!r}.")
    if attempts not in ("latest", "all"):
        raise InvalidArgument(f"attempts must be 'latest' or 'all'. Received: {attempts!r}.")
    asked = [run] if isinstance(run, str | int) else list(run)
    with opened_store(store) as opened:
        parts, thinned = [], []
        for one in asked:
            found = _run(opened, one)
            kinds = ("call_began", "train_batch_end", "epoch_end", *_METRIC_KINDS[source])
            records = _fetch(opened, found, _select_events(found.id, kind=sorted(set(kinds))))
            parts.append(metric_frame(found.name, records, _METRIC_KINDS[source], attempts))
            thinned += [found.name] if found.state.dropped else []
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    if names is not None:
        frame = _only(frame, [names] if isinstance(names, str) else list(names))
    frame = wide_frame(frame) if wide else frame
    frame.attrs["thinned"] = thinned if source == "batch" else []
    return frame


@contextmanager
def opened_store(store: Store) -> Iterator[SqlStore]:
    """An open store; one that was opened for this is closed afterwards."""
    if isinstance(store, SqlStore):
        yield store
        return
    opened = open_store(store)
    try:
        yield opened
    finally:
        opened.close()


def _run(store: SqlStore, run: str | int) -> Run:
    run_id = select_run(store, run)
    with store.reading() as connection:
        uuid = connection.execute(
            select(schema.runs.c.uuid).where(schema.runs.c.id == run_id)
        ).scalar_one()
        (found,) = with_lost(load_runs(connection, [uuid]))
    if found.state.version > VERSION:
        raise EventsTooNew(
            f"Run {found.name!r} has events of vocabulary {found.state.version}; this program "
            f"reads up to {VERSION}. Update it: pip install --upgrade keras-event-tracker"
        )
    return found


def _select_events(
    run_id: int,
    *,
    kind: str | Sequence[str] | None = None,
    call: int | None = None,
    epoch: int | None = None,
) -> Select[Any]:
    events = schema.events
    wanted = select_records(run_id)
    if kind is not None:
        kinds = check_kinds(kind if isinstance(kind, str) else list(kind))
        wanted = wanted.where(events.c.kind.in_(kinds))
        if not any("batch" in one for one in kinds):
            wanted = wanted.where(events.c.batch.is_(None))  # lets the coarse index serve
    if call is not None:
        wanted = wanted.where(events.c.call == call)
    if epoch is not None:
        wanted = wanted.where(events.c.epoch == epoch)
    return wanted


def _story(store: SqlStore, run: Run) -> list[Event]:
    wanted = _select_events(run.id, kind=STORY_KINDS)
    return [to_event(record) for record in _fetch(store, run, wanted)]


def _fetch(
    store: SqlStore,
    run: Run,
    wanted: Select[Any],
    *,
    limit: int | None = None,
    tail: int | None = None,
) -> list[Record]:
    seq = schema.events.c.seq
    ordered = wanted.order_by(seq).limit(limit)
    if tail is not None:
        ordered = wanted.order_by(desc(seq)).limit(tail)
    with store.reading() as connection:
        as_today = upcaster(connection, run)
        records = [Record(*row) for row in connection.execute(ordered)]
    return as_today(records if tail is None else records[::-1])


def _only(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    there = sorted(frame["metric"].unique())
    for name in names:
        if name not in there:
            raise UnknownColumn(
                f"No metric {name!r} was logged. There are: {', '.join(there) or 'none'}."
            )
    return frame[frame["metric"].isin(names)].reset_index(drop=True)
