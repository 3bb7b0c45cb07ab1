"""Questions to a store, answered as pandas frames.

Columns and dtypes are fixed, in empty frames too: integers are `Int64`, times are UTC with
microseconds, texts are pandas strings, metrics are `float64`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import pandas as pd
from sqlalchemy import Select, desc, func, select

from tracker.errors import EventsTooNew, InvalidArgument, UnknownColumn
from tracker.estimates import ESTIMATE_KINDS, estimates_of
from tracker.event import HOOKS, VERSION, Event, Record, check_kinds
from tracker.frames import (
    Attempts,
    EventLogs,
    FrameKind,
    as_kind,
    check_kind,
    estimated_frame,
    event_frame,
    listing_frame,
    metric_frame,
    wide_frame,
)
from tracker.liveness import with_lost
from tracker.logs import to_event
from tracker.search import found_runs, listed_runs
from tracker.selection import select_run
from tracker.store import schema
from tracker.store.opening import open_store
from tracker.store.port import Run
from tracker.store.reading import coarse_of, select_records, upcaster, without_batches
from tracker.store.rows import load_runs
from tracker.store.sql import SqlStore
from tracker.story import STORY_KINDS, description, history_frame

#: A store: its URL, an open one, or None for the default (see `tracker.location.store_url`).
Store = str | SqlStore | None

#: Events that are read at once where memory is bounded.
_PAGE = 8_192

#: Events from which on a stream is read as columns.
LONG = 4_096

#: The kinds of events whose values are the metrics of a source.
METRIC_KINDS = {
    "epoch": ("epoch_end", "test_end"),
    "batch": ("train_batch_end", "test_batch_end"),
}


def runs(
    *,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    after: str | int | None = None,
    columns: str | Sequence[str] | None = None,
    only_changed: bool = False,
    archived: bool = False,
    workers: bool = False,
    store: Store = None,
) -> pd.DataFrame:
    """The runs of a store, the latest first.

    Args:
        where: Only those that it holds for: see docs/how-to/where.md.
        sort: What to order them by: fields of the filter language with commas between them,
            `-` before one to have the greatest first, such as `"val_loss:min, -started"`. Runs
            without a value, or with NaN, come last.
        limit: How many at the most.
        after: A RUN: those that follow it in the order, for the next page. It is found again by
            its values, so that runs that were added meanwhile repeat none.
        columns: Only these, in this order: those below, or fields of the filter language such as
            `"params.lr"` and `"min(val_loss)"`, named as they are written here.
        only_changed: Without columns in which all of these runs agree, but for `name`. Unless
            `columns` are given, there is also one for each parameter.
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
        InvalidFilter: `where`, `sort` or one of `columns` cannot be understood.
        UnknownColumn: There is no such column, nor such a metric in the store.
        RunNotFound, AmbiguousRun: `after` is not exactly one run.
        TrackerError: The store cannot be read.
    """
    with opened_store(store) as opened:
        listing = listed_runs(
            opened,
            where=where,
            sort=sort,
            limit=limit,
            after=after,
            archived=archived,
            workers=workers,
            columns=columns,
            only_changed=only_changed,
        )
    return listing_frame(listing)


def latest_runs(
    *,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    after: str | int | None = None,
    archived: bool = False,
    workers: bool = False,
    store: Store = None,
) -> list[Run]:
    """As `runs`, with everything that the store's projections say."""
    with opened_store(store) as opened:
        return found_runs(
            opened,
            where=where,
            sort=sort,
            limit=limit,
            after=after,
            archived=archived,
            workers=workers,
        )


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


def account(run: str | int, *, store: Store = None) -> tuple[dict[str, Any], pd.DataFrame]:
    """What `describe` and `history` say, of one reading.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one.
    """
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        story = _story(opened, found)
        return description(found, story), history_frame(story)


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
    as_: FrameKind = "pandas",
    store: Store = None,
) -> Any:
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
        as_: `"pandas"`, `"arrow"` (a `pyarrow.Table`) or `"polars"`.
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
    check_kind(as_)
    with opened_store(store) as opened:
        found = _run(opened, run)
        wanted = _select_events(found.id, kind=kind, call=call, epoch=epoch)
        wanted = wanted.where(schema.events.c.seq > after)
        if until is not None:
            wanted = wanted.where(schema.events.c.seq <= until)
        if logs == "columns" and limit is None and tail is None and _is_long(found, kind):
            frame = _long_frame(opened, found, kind, call, epoch, after, until)
            if frame is not None:
                return as_kind(frame, as_)
        records = _fetch(opened, found, wanted, limit=limit, tail=tail)
        return as_kind(event_frame(records, logs), as_)


def event_pages(
    run: Run,
    *,
    kind: str | Sequence[str] | None = None,
    call: int | None = None,
    epoch: int | None = None,
    after: int = 0,
    until: int | None = None,
    limit: int | None = None,
    store: SqlStore,
) -> Iterator[list[Record]]:
    """A run's events as `events` chooses them, page by page, in bounded memory."""
    seq = schema.events.c.seq
    wanted = _select_events(run.id, kind=kind, call=call, epoch=epoch)
    wanted = wanted.where(seq <= (run.state.last_seq if until is None else until))
    left = limit
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        page = _fetch(store, run, wanted.where(seq > after), limit=size)
        if page:
            yield page
        if len(page) < size:
            return
        after = page[-1].seq
        left = None if left is None else left - size


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
    estimate: bool = False,
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
        estimate: With `source="batch"`: what each batch had alone, worked out from the means.
            See docs/how-to/batches.md for when that can be done.
        store: The store.

    Returns:
        Columns `run` (name), `phase` (train, or test for validation batches and evaluates of
        their own), `attempt`, `call`, `epoch`, `batch`, `step` (training batches since the
        run began), `at`, then `metric` and `value`, or a column for each metric. The frame's
        `attrs["thinned"]` has the names of runs whose batch events were pruned.
        Of estimates also `estimated` (False for the first batch of an epoch, whose value is as
        logged), `assumed` (True where a batch of unknown size is taken for one of full size: the
        last of an epoch, or of an evaluate inside it) and, in a tidy frame, `rounding` (how far
        float32 may have moved the value).

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
        UnknownColumn: None of the runs logged a metric of `names`.
        NotEstimable: Of a run, `estimate` cannot be done; the message says why.
    """
    if source not in METRIC_KINDS:
        raise InvalidArgument(f"source must be 'epoch' or 'batch'. Received: {source!r}.")
    if attempts not in ("latest", "all"):
        raise InvalidArgument(f"attempts must be 'latest' or 'all'. Received: {attempts!r}.")
    if estimate and source != "batch":
        raise InvalidArgument("estimate is of batches: give source='batch', too.")
    asked = [run] if isinstance(run, str | int) else list(run)
    wanted = [names] if isinstance(names, str) else None if names is None else list(names)
    with opened_store(store) as opened:
        parts, thinned = [], []
        for one in asked:
            found = _run(opened, one)
            kinds = METRIC_KINDS[source]
            parts.append(_named(opened, found, kinds, attempts, None if estimate else wanted))
            if estimate:
                records = _fetch(opened, found, _select_events(found.id, kind=ESTIMATE_KINDS))
                estimates = estimates_of(found.name, records, wanted)
                parts[-1] = estimated_frame(parts[-1], estimates)
            thinned += [found.name] if found.state.dropped else []
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    if wanted is not None:
        frame = only_metrics(frame, wanted)
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
            wanted = without_batches(wanted)
    if call is not None:
        wanted = wanted.where(events.c.call == call)
    if epoch is not None:
        wanted = wanted.where(events.c.epoch == epoch)
    return wanted


def _is_long(run: Run, kind: str | Sequence[str] | None) -> bool:
    """Whether columns are worth their while: not of a few events, nor of those without batches."""
    kinds = () if kind is None else check_kinds(kind if isinstance(kind, str) else list(kind))
    return run.state.last_seq >= LONG and (kind is None or any("batch" in one for one in kinds))


def _long_frame(
    store: SqlStore,
    run: Run,
    kind: str | Sequence[str] | None,
    call: int | None,
    epoch: int | None,
    after: int,
    until: int | None,
) -> pd.DataFrame | None:
    """A frame of events by way of columns; None where they cannot be."""
    from tracker.column_frames import event_frame_of
    from tracker.columns import Columns
    from tracker.store.chunks import read_columns  # pyarrow takes a while to load

    kinds = None if kind is None else check_kinds(kind if isinstance(kind, str) else list(kind))

    def wanted(piece: Columns) -> Columns:
        mask = np.ones(len(piece), bool) if kinds is None else piece.of_kinds(kinds)
        for name, value in (("call", call), ("epoch", epoch)):
            if value is not None:
                mask &= piece.is_equal(name, value)
        return piece.where(mask)

    with store.snapshot() as connection:
        pieces = read_columns(connection, run, wanted, after=after, until=until)
    return None if pieces is None else event_frame_of(pieces)


def _metrics_of(
    store: SqlStore,
    run: Run,
    kinds: Sequence[str],
    attempts: Attempts,
    names: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The tidy values of one run; of all metrics, or of these at least."""
    needed = sorted({"call_began", "train_batch_end", "epoch_end", *kinds})
    if _is_long(run, needed):
        from tracker.column_frames import METRIC_FIELDS, logged_of, metric_frame_of
        from tracker.column_steps import COARSE
        from tracker.store.chunks import read_columns

        with store.snapshot() as connection:
            coarse = coarse_of(connection, run, COARSE)
            parts = read_columns(
                connection,
                run,
                lambda piece: logged_of(piece, kinds),
                fields=METRIC_FIELDS,
                names=names,
            )
        if parts is not None:
            return metric_frame_of(run.name, parts, coarse, kinds, attempts)
    records = _fetch(store, run, _select_events(run.id, kind=needed))
    return metric_frame(run.name, records, kinds, attempts)


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


def _named(
    store: SqlStore,
    run: Run,
    kinds: Sequence[str],
    attempts: Attempts,
    names: Sequence[str] | None,
) -> pd.DataFrame:
    """The tidy values of one run: of these metrics, or where one is missing, of all."""
    frame = _metrics_of(store, run, kinds, attempts, names)
    if names is None or set(names) <= set(frame["metric"].unique()):
        return frame
    return _metrics_of(store, run, kinds, attempts)


def only_metrics(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows of a tidy frame that are of these metrics.

    Raises:
        UnknownColumn: One of them is nowhere in it.
    """
    there = sorted(frame["metric"].unique())
    for name in names:
        if name not in there:
            raise UnknownColumn.of_metric(name, there)
    return frame[frame["metric"].isin(names)].reset_index(drop=True)
