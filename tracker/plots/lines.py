"""A curve → what is drawn of it on one axis: lines of as many points as there is room for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tracker.plots.bands import Floats, banded, smoothed
from tracker.plots.reading import Axis, Curve

#: What is greater has no room on an axis of doubles together with what is as small.
_GREATEST = 1e300


class Line(NamedTuple):
    """An unbroken way along the axis; NaN in y, low and high where there is a gap."""

    x: Floats
    y: Floats
    #: The least and the greatest value behind each point; None where each point is a value.
    low: Floats | None
    high: Floats | None
    #: Its number, from 1, where the axis begins again, as at another fit; None: there is one only.
    part: int | None
    #: Values behind it, how many of them cannot be drawn, and the last one.
    values: int
    lost: int
    last: float


def lines_of(
    curve: Curve,
    axis: Axis,
    *,
    points: int,
    smooth: float = 0.0,
    log: bool = False,
    begin: float | None = None,
    end: float | None = None,
) -> list[Line]:
    """The lines of a curve: one, or where its axis goes back, one each time it does.

    Args:
        curve: One metric of one run.
        axis: Which one.
        points: About so many of each line; where there are more values, a mean and a band.
        smooth: See `smoothed`; the band is that of the smoothed values.
        log: Leave out what a logarithmic scale has no place for.
        begin: Only from here on the axis on, and one point more.
        end: Only up to here on the axis, and one point more.
    """
    # Of a million values each copy takes as long as all the rest: only where there is need.
    at, values, piece = curve.at(axis), curve.value, curve.piece
    there = np.isfinite(at)
    if not there.all():
        at, values, piece = at[there], values[there], piece[there]
    fits = (values >= -_GREATEST) & (values <= _GREATEST)
    y = smoothed(_only(values, fits), smooth)
    if log:
        fits &= values > 0
        y = _only(y, fits)
    cuts = np.flatnonzero(at[1:] < at[:-1]) + 1
    parts = zip(*(np.split(array, cuts) for array in (at, y, piece, fits)), strict=True)
    lines = []
    for number, (x, own, pieces, drawn) in enumerate(parts, 1):
        if not len(x):
            continue
        band = banded(x, own, pieces, points, begin, end)
        low, high = (band.low, band.high) if band.reduced else (None, None)
        lines.append(
            Line(
                x=band.x,
                y=band.mean,
                low=low,
                high=high,
                part=number if len(cuts) else None,
                values=len(x),
                lost=len(drawn) - int(np.count_nonzero(drawn)),
                last=float(own[-1]),
            )
        )
    return lines


def _only(values: Floats, wanted: NDArray[np.bool_]) -> Floats:
    """The values, with gaps for others than the wanted ones."""
    return values if wanted.all() else np.where(wanted, values, np.nan)
