"""Many points → as many as a screen shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tsdownsample import MinMaxDownsampler

from tracker.plots.figure import pieces

#: Points of a line that are drawn at most, but two for each unbroken stretch.
MOST = 4000


def thinned(
    x: NDArray[np.float64], y: NDArray[np.float64], most: int = MOST
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A line with the lowest and highest point of each stretch; gaps stay gaps."""
    if len(y) <= most:
        return x, y
    keep = np.isnan(y)
    keep[1:] &= ~keep[:-1]  # one NaN breaks a line as well as many
    downsampler: Any = MinMaxDownsampler  # its constructor has no types
    downsampler = downsampler()
    whole = int(np.isfinite(y).sum())
    for piece in pieces(y):
        size = piece.stop - piece.start
        share = max(4, most * size // whole // 2 * 2)
        if size <= share:
            keep[piece] = True
            continue
        chosen = downsampler.downsample(np.ascontiguousarray(y[piece]), n_out=share)
        keep[piece.start + chosen.astype(np.intp)] = True
        keep[[piece.start, piece.stop - 1]] = True
    return x[keep], y[keep]
