"""Many points → a mean, and the least and greatest value beside it, as wide as a screen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Points that a stretch has to have on the screen, for the gap behind it to be shown.
_SHOWN = 8


class Band(NamedTuple):
    """A reduced line: NaN in all three where it breaks."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    #: Whether several values stand behind some of the points.
    reduced: bool


def banded(
    x: Floats,
    y: Floats,
    piece: NDArray[np.int64],
    points: int,
    begin: float | None = None,
    end: float | None = None,
) -> Band:
    """At most about so many points of a line, none of whose extremes is lost.

    Args:
        x: Places, never going back.
        y: Values; NaN and infinities are gaps.
        piece: The stretch that each is of: between two of them the line breaks, as long as there
            is room to show it.
        points: How many stretches of equal width the axis is cut into.
        begin: Only what stands from here on, and the last point before.
        end: Only what stands up to here, and the first point behind.
    """
    if len(x) and begin is not None:
        first = max(int(np.searchsorted(x, begin, "left")) - 1, 0)
        x, y, piece = x[first:], y[first:], piece[first:]
    if len(x) and end is not None:
        last = int(np.searchsorted(x, end, "right")) + 1
        x, y, piece = x[:last], y[:last], piece[:last]
    if not len(x):
        empty = np.empty(0)
        return Band(empty, empty, empty, empty, reduced=False)
    starts = np.arange(len(x)) if len(x) <= points else _starts(x, piece, points)
    ends = np.append(starts[1:], len(x)) - 1
    there = np.isfinite(y)
    if there.all():
        count, total = ends - starts + 1, np.add.reduceat(y, starts)
    else:
        y = np.where(there, y, np.nan)
        count = np.add.reduceat(there, starts, dtype=np.int64)
        total = np.add.reduceat(np.where(there, y, 0.0), starts)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    band = Band(
        (x[starts] + x[ends]) / 2,
        mean,
        np.fmin.reduceat(y, starts),
        np.fmax.reduceat(y, starts),
        reduced=len(starts) < len(x),
    )
    return _with_gaps(band, piece[starts], piece[ends], points)


def smoothed(y: Floats, weight: float) -> Floats:
    """An exponential moving mean without the bias of its beginning, as TensorBoard's.

    Args:
        y: NaN and infinities stay gaps, and do not count.
        weight: Of the past, from 0 to less than 1.
    """
    if not weight or not len(y):
        return y
    there = np.isfinite(y)
    series = pd.Series(np.where(there, y, np.nan))
    mean = series.ewm(alpha=1 - weight, adjust=True, ignore_na=True).mean().to_numpy()
    return np.where(there, mean, np.nan)


def _starts(x: Floats, piece: NDArray[np.int64], points: int) -> NDArray[np.intp]:
    """Where stretches of equal width begin, and unbroken ones if they are few enough to be seen."""
    edges = np.linspace(x[0], x[-1], points, endpoint=False)
    starts = np.searchsorted(x, edges)
    if piece[-1] - piece[0] < points / _SHOWN:
        broken = np.flatnonzero(piece[1:] != piece[:-1]) + 1
        starts = np.concatenate((starts, broken))
    return np.unique(starts)


def _with_gaps(band: Band, first: NDArray[np.int64], last: NDArray[np.int64], points: int) -> Band:
    """The band with a break where one stretch ends and another begins."""
    breaks = np.flatnonzero(first[1:] != last[:-1]) + 1
    if not len(breaks) or len(breaks) >= points / _SHOWN:
        return band
    middle = (band.x[breaks - 1] + band.x[breaks]) / 2
    mean, low, high = (
        np.insert(values, breaks, np.nan) for values in (band.mean, band.low, band.high)
    )
    return Band(np.insert(band.x, breaks, middle), mean, low, high, band.reduced)
