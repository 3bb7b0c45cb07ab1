"""One metric of one run as arrays: what curves are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tracker.column_spans import NONE, starts_of
from tracker.column_steps import (
    COARSE,
    FIELDS,
    Standing,
    places_of,
    standing_of,
)
from tracker.errors import UnknownColumn
from tracker.event import PHASES
from tracker.plots.bands import Floats
from tracker.query import LONG, METRIC_KINDS, metrics
from tracker.store.port import Run
from tracker.store.reading import coarse_of
from tracker.store.sql import SqlStore

if TYPE_CHECKING:  # pyarrow takes a while to load
    from tracker.columns import Columns

Axis = Literal["epoch", "step", "time"]
Source = Literal["epoch", "batch"]

_NO_TIMES = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Values in their order, and what tells where each stands."""

    value: Floats
    #: Training batches since the run began; NaN where unknown.
    step: Floats
    #: The number of the batch or `NONE`.
    batch: NDArray[np.int64]
    #: Microseconds since 1970; None: they were not asked for.
    moment: NDArray[np.int64] | None
    #: Where another call or epoch begins, and from there on: the epoch or `NONE`; the number of
    #: the unbroken stretch, which of batches is an epoch of one phase.
    starts: NDArray[np.intp]
    epochs: NDArray[np.int64]
    pieces: NDArray[np.int32]
    #: When the run began, as `moment`.
    began_at: int

    def at(self, axis: Axis) -> Floats:
        """Places on one axis, NaN where a value has none.

        They are steps, epochs (batches between theirs and the next), or seconds since the run
        began.
        """
        if axis == "step":
            return self.step
        if axis == "time":
            if self.moment is None:
                raise ValueError("The times of this curve were not read: read it with timed=True.")
            return (self.moment - self.began_at) / 1e6
        epoch = self._each(np.where(self.epochs == NONE, np.nan, self.epochs))
        batched = self.batch != NONE
        if batched.any():
            # Batches lie between their epoch and the next: the last one just before it.
            first = np.flatnonzero(np.diff(self.pieces, prepend=-1))
            many = np.maximum.reduceat(self.batch, self.starts[first]) + 1
            epoch += np.where(batched, self.batch / self._each(many[self.pieces]), 0.0)
        return epoch

    @property
    def piece(self) -> NDArray[np.int32]:
        """The number of each value's unbroken stretch."""
        return self._each(self.pieces)

    def _each(self, those: NDArray[Any]) -> NDArray[Any]:
        """For each value what is said of its start."""
        return np.repeat(those, np.diff(np.append(self.starts, len(self.value))))

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        arrays = (self.value, self.step, self.batch, self.moment)
        return sum(array.nbytes for array in arrays if array is not None)


def read_curve(
    run: Run, metric: str, source: Source, store: SqlStore, *, timed: bool = True
) -> Curve:
    """One metric of one run.

    Args:
        run: The run.
        metric: By its full name: `val_loss`, `test_loss` for evaluates of their own.
        source: At the ends of epochs and evaluates, or of batches.
        store: The store.
        timed: Whether its values are wanted on the axis of time.

    Returns:
        Its values; none where the run has no such metric.
    """
    wanted = _logged_as(metric, source)
    return _of_columns(run, wanted, store, timed=timed) or _of_frame(run, wanted, store)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is looked for: a name in logs of this phase."""

    name: str
    phase: str
    #: Whether inside an epoch; None: wherever.
    inside: bool | None
    source: Source


def _of_columns(run: Run, wanted: _Wanted, store: SqlStore, *, timed: bool) -> Curve | None:
    """By way of chunks; None for short runs, and for those that cannot be columns."""
    if run.state.last_seq < LONG:
        return None
    import pyarrow as pa  # which takes a while to load

    from tracker.column_frames import numbers_of
    from tracker.store.chunks import read_columns

    kinds = [kind for kind in METRIC_KINDS[wanted.source] if PHASES[kind] == wanted.phase]

    fields = (*FIELDS, "at") if timed else FIELDS

    def part(piece: Columns) -> tuple[Standing, NDArray[np.bool_], Floats, NDArray[np.int64]]:
        standing = standing_of(piece, kinds)
        own = np.flatnonzero(standing.of_kinds(kinds))
        logged = piece.of(wanted.name).take(pa.array(standing.row[own]))
        there, value = numbers_of(logged)
        chosen = np.zeros(len(standing.row), bool)
        chosen[own[there]] = True
        moment = piece.fields["at"].to_numpy()[standing.row[chosen]] if timed else _NO_TIMES
        return standing, chosen, value, moment

    with store.snapshot() as connection:
        coarse = coarse_of(connection, run, COARSE)
        parts = read_columns(connection, run, part, fields=fields, names=[wanted.name])
    if parts is None:
        return None
    standings, *arrays = zip(*parts, strict=True)
    chosen, value, times = map(np.concatenate, arrays)
    moment = times if timed else None
    places = places_of(standings, coarse)
    of_spans = np.ones(len(places.starts), bool)
    if "test_end" in kinds:  # that of a fit's own validation says what its epoch's end says
        of_spans &= places.evaluates
    if wanted.inside is not None:
        of_spans &= (places.epoch != NONE) == wanted.inside
    if not of_spans.all():
        kept = places.each(of_spans, chosen)
        value, moment = value[kept], None if moment is None else moment[kept]
        chosen[chosen] = kept
    step, batch = places.step(chosen), places.batch[chosen]
    span = places.each(np.arange(len(places.starts), dtype=np.int32), chosen)
    if places.resumed:
        # Some count no more, and they have an order of their own.
        number = np.full(len(places), -1)
        number[chosen] = np.arange(len(value))
        order = number[places.order]
        order = order[order >= 0]
        value, step, batch, span = value[order], step[order], batch[order], span[order]
        moment = None if moment is None else moment[order]
    starts = starts_of(span)
    spans = span[starts]
    return _curve(run, value, step, batch, moment, starts, places.call[spans], places.epoch[spans])


def _of_frame(run: Run, wanted: _Wanted, store: SqlStore) -> Curve:
    try:
        frame = metrics(run.id, source=wanted.source, names=wanted.name, store=store)
    except UnknownColumn:
        frame = metrics(run.id, source=wanted.source, store=store).iloc[:0]
    frame = frame[(frame["phase"] == wanted.phase) & (frame["metric"] == wanted.name)]
    if wanted.inside is not None:
        frame = frame[frame["epoch"].notna() == wanted.inside]
    call, epoch, batch = (
        frame[field].to_numpy(np.int64, na_value=NONE) for field in ("call", "epoch", "batch")
    )
    step = frame["step"].to_numpy(np.float64, na_value=np.nan)
    at = np.asarray(frame["at"].astype("int64"), np.int64)
    starts = starts_of(call, epoch)
    value = frame["value"].to_numpy(np.float64)
    return _curve(run, value, step, batch, at, starts, call[starts], epoch[starts])


def _logged_as(metric: str, source: Source) -> _Wanted:
    """What hooks say instead of the full name of a metric."""
    if metric.startswith("test_"):
        return _Wanted(metric.removeprefix("test_"), "test", False, source)
    if source == "batch" and metric.startswith("val_"):
        return _Wanted(metric.removeprefix("val_"), "test", True, source)
    return _Wanted(metric, "train", None, source)


def _curve(
    run: Run,
    value: Floats,
    step: Floats,
    batch: NDArray[np.int64],
    moment: NDArray[np.int64] | None,
    starts: NDArray[np.intp],
    call: NDArray[np.int64],
    epoch: NDArray[np.int64],
) -> Curve:
    """A curve; `call` and `epoch` are of the starts."""
    broken = np.diff(call) != 0
    broken |= (batch[starts[1:]] != NONE) & (np.diff(epoch) != 0)
    pieces = np.zeros(len(starts), np.int32)
    pieces[1:] = np.cumsum(broken)
    return Curve(
        value=value,
        step=step,
        batch=batch,
        moment=moment,
        starts=starts,
        epochs=epoch,
        pieces=pieces,
        began_at=run.state.began_at or 0,
    )
