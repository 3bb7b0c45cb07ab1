"""One metric of one run as arrays: what curves are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.errors import UnknownColumn
from tracker.plots.bands import Floats
from tracker.query import metrics
from tracker.store.port import Run
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
    try:
        frame = metrics(run.id, source=source, names=name, store=store)
    except UnknownColumn:
        frame = metrics(run.id, source=source, store=store).iloc[:0]
    frame = frame[(frame["phase"] == phase) & (frame["metric"] == name)]
    if inside is not None:
        frame = frame[frame["epoch"].notna() == inside]
    return _curve(frame, run.state.began_at)


def _logged_as(metric: str, source: Source) -> tuple[str, str, bool | None]:
    """The name in logs, the phase, and whether it is inside an epoch (None: wherever)."""
    if metric.startswith("test_"):
        return metric.removeprefix("test_"), "test", False
    if source == "batch" and metric.startswith("val_"):
        return metric.removeprefix("val_"), "test", True
    return metric, "train", None


def _curve(frame: pd.DataFrame, began: int | None) -> Curve:
    epoch = frame["epoch"].to_numpy(np.float64, na_value=np.nan)
    batch = frame["batch"].to_numpy(np.float64, na_value=np.nan)
    call = frame["call"].to_numpy(np.int64, na_value=0)
    at = frame["at"].astype("int64").to_numpy()
    piece = np.zeros(len(frame), np.int64)
    if len(frame):
        ends = (np.diff(call) != 0) | (np.isfinite(batch[1:]) & (np.diff(epoch) != 0))
        piece[1:] = np.cumsum(ends)
    if np.isfinite(batch).any():
        # Batches lie between their epoch and the next: the last one just before it.
        many = np.maximum.reduceat(batch, np.flatnonzero(np.diff(piece, prepend=-1))) + 1
        epoch = epoch + np.nan_to_num(batch / many[piece])
    return Curve(
        step=frame["step"].to_numpy(np.float64, na_value=np.nan),
        epoch=epoch,
        time=(at - (began or 0)) / 1e6,
        value=frame["value"].to_numpy(np.float64),
        piece=piece,
    )
