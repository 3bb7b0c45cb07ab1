"""Where a run's time went, from the times of its begin and end hooks."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nlargest
from typing import Any

import pandas as pd

from tracker.errors import InvalidArgument
from tracker.event import HOOKS
from tracker.frames import typed
from tracker.logs import decode
from tracker.query import Store, events, opened_store, run_of
from tracker.spans import Span, Stopwatch, TimedBatch

_TYPES = {
    "scope": "string",
    "attempt": "Int64",
    "call": "Int64",
    "phase": "string",
    "epoch": "Int64",
    "began": "datetime64[us, UTC]",
    "total": "timedelta64[us]",
    "steps": "timedelta64[us]",
    "input": "timedelta64[us]",
    "validation": "timedelta64[us]",
    "callbacks": "timedelta64[us]",
    "batches": "Int64",
    "steps_per_second": "float64",
}

_BATCH_TYPES = {
    "attempt": "Int64",
    "call": "Int64",
    "phase": "string",
    "epoch": "Int64",
    "batch": "Int64",
    "seq": "Int64",
    "at": "datetime64[us, UTC]",
    "duration": "timedelta64[us]",
}

_KINDS = ("run_began", "run_resumed", "call_began", *HOOKS)


def timing(run: str | int, *, store: Store = None) -> pd.DataFrame:
    """Where the time of a run went: in steps, between them, in validation, and in the rest.

    An epoch lasts until the next one begins. With the TensorFlow backend a step reads its own
    batch, so that a slow input pipeline shows in the steps.

    Args:
        run: A RUN (see `tracker.events`).
        store: The store.

    Returns:
        One row an epoch, then one a call, of every attempt: `scope` (epoch or call), `attempt`,
        `call`, `phase` (train, test, predict), `epoch`, `began`, `total`, and what it is the sum
        of: `steps` (from each batch's begin hook to its end hook), `input` (from one batch, or the
        epoch's beginning, to the next batch: input pipeline and what callbacks do at batches),
        `validation` (of fits), `callbacks` (the rest: hooks of epochs, calls inside them). Then
        `batches` and `steps_per_second` (of steps and input together). What was not recorded is
        missing: steps and input where batches were skipped or pruned, everything where the clock
        was set back; `attrs["notes"]` has texts that say so.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one.
        EventsTooNew: Its events are of a later version of the tracker.
    """
    watch, notes = _watched(run, store)
    rows = [_row(span) for span in watch.spans()]
    columns = list(zip(*rows, strict=True)) or [()] * len(_TYPES)
    frame = typed(dict(zip(_TYPES, columns, strict=True)), _TYPES)
    frame.attrs["notes"] = notes
    return frame


def slowest_batches(run: str | int, n: int = 10, *, store: Store = None) -> pd.DataFrame:
    """The batches whose steps took the longest, the slowest first.

    The first batch of a call mostly is among them: Keras compiles its step then.

    Args:
        run: A RUN (see `tracker.events`).
        n: How many.
        store: The store.

    Returns:
        One row a batch: `attempt`, `call`, `phase` (of the hooks: train, test, predict), `epoch`,
        `batch`, `seq` (of its end hook), `at` (when it began), `duration`. `attrs["notes"]` is as
        in `timing`.

    Raises:
        RunNotFound, AmbiguousRun: It is not exactly one.
        InvalidArgument: `n` is less than 1.
    """
    if n < 1:
        raise InvalidArgument(f"n must be 1 or more. Received: {n!r}.")
    watch, notes = _watched(run, store)
    found: list[TimedBatch] = nlargest(n, watch.batches, key=lambda one: (one.duration, -one.seq))
    columns = list(zip(*found, strict=True)) or [()] * len(_BATCH_TYPES)
    frame = typed(dict(zip(_BATCH_TYPES, columns, strict=True)), _BATCH_TYPES)
    frame.attrs["notes"] = notes
    return frame


def _watched(run: str | int, store: Store) -> tuple[Stopwatch, list[str]]:
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        frame = events(found.uuid, kind=_KINDS, logs="json", store=opened)
    watch = Stopwatch()
    policies: list[Any] = []
    for seq, at, kind, attempt, call, epoch, batch, logs in _records(frame):
        if kind in ("run_began", "run_resumed"):
            data = decode(logs)
            policy = data.get("batches", "all")
            policies += [policy] if policy not in ("all", 1, *policies) else []
            watch.begin_attempt(batches=policy is not None)
        elif kind == "call_began":
            watch.begin_call(at, attempt, call, decode(logs))
        elif call is not None:
            watch.take(seq, at, kind, attempt, call, epoch, batch)
    unknown = "how long steps and input took is known of none, or not of all"
    notes = [f"Run {found.name} was recorded with batches={one}: {unknown}." for one in policies]
    if found.state.dropped:
        notes.append(f"Run {found.name} was pruned: {unknown}.")
    if any(span.broken for span in watch.spans()):
        notes.append(f"While run {found.name} went on, the clock was set back.")
    return watch, notes


def _records(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The rows of a frame of events; times in microseconds, None where a value is missing."""
    columns: list[list[Any]] = []
    for name in frame.columns:
        column = frame[name]
        if name == "at":
            columns.append(column.astype("int64").tolist())
        else:
            columns.append([None if value is pd.NA else value for value in column.array])
    return zip(*columns, strict=True)


def _row(span: Span) -> tuple[Any, ...]:
    head = (span.scope, span.attempt, span.call, span.phase, span.epoch, span.began)
    if span.broken:
        return (*head, *[None] * 5, span.batches, None)
    known = span.steps is not None and span.input is not None
    busy = (span.steps or 0) + (span.input or 0)
    rate = span.batches / busy * 1e6 if known and busy and span.batches is not None else None
    rest = span.total - busy - (span.validation or 0) if known else None
    return (
        *head, span.total, span.steps, span.input, span.validation, rest, span.batches, rate,
    )  # fmt: skip
