"""Metrics of runs → a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.errors import InvalidArgument, UnknownColumn
from tracker.plots.figure import PALETTE, Figure, Series, legible
from tracker.query import metrics, run_of
from tracker.store.sql import SqlStore

Axis = Literal["epoch", "step", "time"]
Source = Literal["epoch", "batch"]

_AXES = {"epoch": "epoch", "step": "training step", "time": "seconds since the run began"}
_DASHES = 4
#: Drawn where no metric is asked for, if they are there.
_USUAL = ("loss", "val_loss")


def make_figure(
    runs: Sequence[str | int],
    wanted: Sequence[str] | None,
    *,
    x: Axis,
    source: Source,
    smooth: float,
    log: bool,
    store: SqlStore,
) -> Figure:
    """The figure of these metrics of these runs; see `tracker.plot`."""
    if x not in _AXES:
        raise InvalidArgument(f"x must be 'epoch', 'step' or 'time'. Received: {x!r}.")
    if not 0 <= smooth < 1:
        raise InvalidArgument(f"smooth must be at least 0 and less than 1. Received: {smooth!r}.")
    found = {run.name: run for run in (run_of(one, store=store) for one in runs)}
    if not found:
        raise InvalidArgument("Which runs? Give at least one.")
    frame = metrics([run.id for run in found.values()], source=source, store=store)
    notes = [f"Run {legible(name)} was pruned: of its batches only some are left."
             for name in frame.attrs["thinned"]]  # fmt: skip
    began = {name: run.state.began_at for name, run in found.items()}
    frame = frame.assign(name=_full_names(frame), place=_places(frame, x, began))
    names = _chosen(frame, wanted)
    lines, dropped = [], 0
    for which, run in enumerate(found):
        for number, metric in enumerate(names):
            part = frame[(frame["run"] == run) & (frame["name"] == metric)]
            part = part[part["place"].notna()]
            if part.empty:
                continue
            at, values, lost = _line(part, smooth, log=log)
            dropped += lost
            turn, row = (which, number) if len(found) > 1 else (number, 0)
            lines.append(
                Series(
                    run=run,
                    metric=metric,
                    label=_label(run, metric, len(found), len(names)),
                    x=at,
                    y=values,
                    colour=turn % len(PALETTE),
                    dash=(row + turn // len(PALETTE)) % _DASHES,
                )
            )
    if dropped:
        what = "not finite, or not above 0" if log else "not finite"
        notes.append(f"{dropped} value{' is' if dropped == 1 else 's are'} {what}: not drawn.")
    if not lines:
        notes.append(f"No value has a place on the axis {x}.")
    shown = [legible(name) for name in names]
    return Figure(
        title=legible(next(iter(found))) if len(found) == 1 else ", ".join(shown),
        x_label=_AXES[x],
        y_label=shown[0] if len(shown) == 1 else "value",
        log=log,
        series=tuple(lines),
        notes=tuple(notes),
    )


def smoothed(values: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """An exponential moving mean without the bias of its beginning, as TensorBoard's.

    Args:
        values: NaN stays, and does not count.
        weight: Of the past, from 0 to less than 1.
    """
    if not weight:
        return values
    mean, left, out = 0.0, 1.0, []
    for value in values.tolist():
        if math.isfinite(value):
            mean, left = mean * weight + (1 - weight) * value, left * weight
            out.append(mean / (1 - left))
        else:
            out.append(math.nan)
    return np.array(out, dtype=np.float64)


def _full_names(frame: pd.DataFrame) -> pd.Series:
    """`val_` and `test_` before what validation batches and evaluates of their own logged."""
    test = frame["phase"] == "test"
    own = np.where(frame["epoch"].isna(), "test_", "val_")
    return frame["metric"].where(~test, pd.Series(own, index=frame.index) + frame["metric"])


def _places(frame: pd.DataFrame, x: Axis, began: dict[str, int | None]) -> pd.Series:
    """Where each value stands on the x axis; NaN: nowhere."""
    if x == "step":
        return frame["step"].astype("float64")
    if x == "time":
        starts = pd.to_datetime(frame["run"].map(began).astype("Int64"), unit="us", utc=True)
        return (frame["at"] - starts).dt.total_seconds().astype("float64")
    epoch = frame["epoch"].astype("float64")
    if frame["batch"].isna().all():
        return epoch
    # Batches lie between their epoch and the next: the last one of an epoch just before it.
    group = [frame[name] for name in ("run", "attempt", "call", "epoch", "phase")]
    batch = frame["batch"].astype("float64")
    many = batch.groupby(group, dropna=False).transform("max") + 1
    return epoch + (batch / many).fillna(0.0)


def _chosen(frame: pd.DataFrame, wanted: Sequence[str] | None) -> list[str]:
    there = list(dict.fromkeys(frame["name"]))
    if wanted is None:
        if not there:
            raise UnknownColumn("There is nothing to plot: no metric was logged.")
        return [name for name in _USUAL if name in there] or there[:2]
    for name in wanted:
        if name not in there:
            listed = ", ".join(sorted(there)) or "none"
            raise UnknownColumn(f"No metric {name!r} was logged. There are: {listed}.")
    return list(dict.fromkeys(wanted))


def _line(
    part: pd.DataFrame, smooth: float, *, log: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """The x and y of one line, and how many values cannot be drawn."""
    at = part["place"].to_numpy(np.float64)
    values = part["value"].to_numpy(np.float64)
    bad = ~np.isfinite(values)
    values = smoothed(np.where(bad, np.nan, values), smooth)
    if log:
        bad |= ~(values > 0)
        values = np.where(bad, np.nan, values)
    # A later fit may count its epochs from 0 again: another line of the same colour.
    back = np.flatnonzero(np.diff(at) < 0) + 1
    lost = int(bad.sum())
    return np.insert(at, back, at[back]), np.insert(values, back, np.nan), lost


def _label(run: str, metric: str, runs: int, metrics: int) -> str:
    if runs == 1:
        return legible(metric)
    return legible(run) if metrics == 1 else f"{legible(run)} {legible(metric)}"
