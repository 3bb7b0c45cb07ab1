"""What a plot shows, whatever draws it."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Okabe and Ito's colours, told apart whatever the eyes; their yellow is too pale on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

#: Common logarithms of the least double above 0 and, less its rounding, of the greatest.
_LEAST, _GREATEST = math.log10(math.ulp(0.0)), math.nextafter(math.log10(sys.float_info.max), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line."""

    run: str
    #: As it is asked for: `val_loss` is fit's own, `test_loss` an evaluate's.
    metric: str
    #: In the legend: what tells this line from the others; printable.
    label: str
    x: NDArray[np.float64]
    #: As many; NaN where the line breaks.
    y: NDArray[np.float64]
    #: As many, or None: the least and the greatest of the values that stand behind each point.
    low: NDArray[np.float64] | None
    high: NDArray[np.float64] | None
    #: Which of `PALETTE`; a run has one colour, or each metric where there is one run only.
    colour: int
    #: Which style of line: 0 solid, 1 dashed, 2 dotted, 3 dashes and dots.
    dash: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Lines and their axes; all text is printable."""

    title: str
    x_label: str
    y_label: str
    #: Whether the y axis is logarithmic.
    log: bool
    series: tuple[Series, ...]
    #: What people should know: how many values could not be drawn, and the like.
    notes: tuple[str, ...]


def decades(low: float, high: float, room: float) -> tuple[float, float]:
    """The ends of a logarithmic axis that has so much room beside what is drawn.

    Args:
        low: The least that is drawn, as its common logarithm.
        high: The greatest, likewise.
        room: Likewise.

    Returns:
        Common logarithms of doubles above 0: no room is taken beyond those.
    """
    return max(low - room, _LEAST), min(high + room, _GREATEST)


def pieces(y: NDArray[np.float64]) -> list[slice]:
    """The unbroken stretches of a line."""
    there = np.concatenate(([False], np.isfinite(y), [False]))
    edges = np.flatnonzero(there[1:] != there[:-1])
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
