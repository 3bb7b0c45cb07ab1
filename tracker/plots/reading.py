"""One metric of one run as arrays: what curves are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracker.column_steps import COARSE, FIELDS, NONE, places_of, whole
from tracker.errors import UnknownColumn
from tracker.event import PHASES
from tracker.plots.bands import Floats
from tracker.query import LONG, METRIC_KINDS, metrics
from tracker.store.port import Run
from tracker.store.reading import coarse_of
from tracker.store.sql import SqlStore

Axis = Literal["epoch", "step", "time"]
Source = Literal["epoch", "batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Values in their order, and where each stands on every axis."""

    #: Training batches since the run began; epochs (batches between theirs and the next); seconds
    #: since the run began. NaN where it has no such place.
    step: Floats
    epoch: Floats
    time: Floats
    value: Floats
    #: The number of the unbroken stretch that a value is of: of batches, an epoch of one phase.
    piece: NDArray[np.int64]

    def at(self, axis: Axis) -> Floats:
        """Places on one axis."""
        places: Floats = getattr(self, axis)
        return places

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        arrays = (self.step, self.epoch, self.time, self.value, self.piece)
        return sum(array.nbytes for array in arrays)


def read_curve(run: Run, metric: str, source: Source, store: SqlStore) -> Curve:
    """One metric of one run.

    Args:
        run: The run.
        metric: By its full name: `val_loss`, `test_loss` for evaluates of their own.
        source: At the ends of epochs and evaluates, or of batches.
        store: The store.

    Returns:
        Its values; none where the run has no such metric.
    """
    name, phase, inside = _logged_as(metric, source)
    values = _of_columns(run, name, phase, source, store) or _of_frame(
        run, name, phase, source, store
    )
    if inside is not None:
        values = values.where((values.epoch != NONE) == inside)
    return _curve(values, run.state.began_at)


@dataclass(frozen=True, slots=True)
class _Values:
    """What was logged of a metric, and when; `NONE` for no call, epoch or batch."""

    call: NDArray[np.int64]
    epoch: NDArray[np.int64]
    batch: NDArray[np.int64]
    step: Floats
    at: NDArray[np.int64]
    value: Floats

    def where(self, mask: NDArray[np.bool_]) -> _Values:
        return _Values(*(getattr(self, one.name)[mask] for one in fields(self)))


def _of_columns(run: Run, name: str, phase: str, source: Source, store: SqlStore) -> _Values | None:
    """By way of chunks; None for short runs, and for those that cannot be columns."""
    if run.state.last_seq < LONG:
        return None
    from tracker.column_frames import numbers_of
    from tracker.store.chunks import read_columns  # pyarrow takes a while to load

    kinds = [kind for kind in METRIC_KINDS[source] if PHASES[kind] == phase]
    with store.snapshot() as connection:
        coarse = coarse_of(connection, run, COARSE)
        pieces = read_columns(connection, run, fields=(*FIELDS, "at"), names=[name])
    if pieces is None:
        return None
    places = places_of(pieces, coarse, kinds)
    there = np.zeros(sum(map(len, pieces)), bool)
    value = np.empty(len(there))
    begin = 0
    for piece in pieces:
        own, numbers = numbers_of(piece.of(name))
        there[begin + own] = True
        value[begin + own] = numbers
        begin += len(piece)
    wanted = places.of_kinds(kinds) & there[places.row]
    if "test_end" in kinds:  # that of a fit's own validation says what its epoch's end says
        wanted &= places.evaluates
    chosen = places.order[wanted[places.order]]
    row = places.row[chosen]
    return _Values(
        places.call[chosen],
        places.epoch[chosen],
        places.batch[chosen],
        places.step[chosen],
        whole([piece.fields["at"] for piece in pieces])[row],
        value[row],
    )


def _of_frame(run: Run, name: str, phase: str, source: Source, store: SqlStore) -> _Values:
    try:
        frame = metrics(run.id, source=source, names=name, store=store)
    except UnknownColumn:
        frame = metrics(run.id, source=source, store=store).iloc[:0]
    frame = frame[(frame["phase"] == phase) & (frame["metric"] == name)]
    call, epoch, batch = (
        frame[field].to_numpy(np.int64, na_value=NONE) for field in ("call", "epoch", "batch")
    )
    step = frame["step"].to_numpy(np.float64, na_value=np.nan)
    at = np.asarray(frame["at"].astype("int64"), np.int64)
    return _Values(call, epoch, batch, step, at, frame["value"].to_numpy(np.float64))


def _logged_as(metric: str, source: Source) -> tuple[str, str, bool | None]:
    """The name in logs, the phase, and whether it is inside an epoch (None: wherever)."""
    if metric.startswith("test_"):
        return metric.removeprefix("test_"), "test", False
    if source == "batch" and metric.startswith("val_"):
        return metric.removeprefix("val_"), "test", True
    return metric, "train", None


def _curve(values: _Values, began: int | None) -> Curve:
    batched = values.batch != NONE
    epoch = np.where(values.epoch == NONE, np.nan, values.epoch)
    piece = np.zeros(len(epoch), np.int64)
    if len(piece):
        ends = (np.diff(values.call) != 0) | (batched[1:] & (np.diff(values.epoch) != 0))
        piece[1:] = np.cumsum(ends)
    if batched.any():
        # Batches lie between their epoch and the next: the last one just before it.
        starts = np.flatnonzero(np.diff(piece, prepend=-1))
        many = np.maximum.reduceat(values.batch, starts) + 1
        epoch += np.where(batched, values.batch / many[piece], 0.0)
    return Curve(
        step=values.step,
        epoch=epoch,
        time=(values.at - (began or 0)) / 1e6,
        value=values.value,
        piece=piece,
    )
