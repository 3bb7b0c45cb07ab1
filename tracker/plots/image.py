"""A figure → PNG or SVG, by matplotlib, which needs no display for it."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray

from tracker.plots.figure import PALETTE, Figure, decades, pieces

_DASHES = ("-", "--", ":", "-.")
#: Inches, and dots per inch.
_SIZE, _DENSITY = (8.0, 4.5), 150
#: More lines than these make a legend beside the plot.
_INSIDE = 6
#: Above and below values that are all the same, on a logarithmic axis.
_DECADES = 0.5
_INK, _RULE = "#333333", "#dddddd"


class _Decades(LogLocator):
    """Ticks without those beyond the axis that are beyond all doubles, too."""

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        with np.errstate(over="ignore"):
            ticks = super().tick_values(vmin, vmax)
        return [tick for tick in ticks if math.isfinite(tick)]


def image(figure: Figure, format: Literal["png", "svg"]) -> bytes:
    """The figure as a file of 8 by 4.5 inches; PNG has 150 dots an inch."""
    canvas = Canvas(figsize=_SIZE, layout="constrained")
    axes = canvas.add_subplot()
    handles = []
    for line in figure.series:
        x, y = line.x, line.y
        if line.low is not None and line.high is not None:
            axes.fill_between(x, line.low, line.high, color=PALETTE[line.colour], alpha=0.2, lw=0)
        alone = [piece.start for piece in pieces(y) if piece.stop - piece.start == 1]
        (handle,) = axes.plot(
            x,
            y,
            _DASHES[line.dash],
            color=PALETTE[line.colour],
            linewidth=1.6,
        )
        # A point between two gaps would be no line at all.
        axes.plot(x[alone], y[alone], "o", color=PALETTE[line.colour], markersize=3.5)
        handles.append(handle)
    drawn = [part for line in figure.series for part in (line.y, line.low, line.high)]
    if figure.log and (limits := _limits(drawn)):
        # Ends of matplotlib's own choice are beyond all doubles where values are near them.
        axes.set_autoscaley_on(False)
        axes.set_yscale("log")
        axes.set_ylim(*limits)
        axes.yaxis.set_major_locator(_Decades())
    texts = [
        axes.set_title(figure.title, loc="left", fontsize=12, color=_INK),
        axes.set_xlabel(figure.x_label, color=_INK),
        axes.set_ylabel(figure.y_label, color=_INK),
    ]
    if handles:
        beside = len(handles) > _INSIDE
        legend = axes.legend(
            handles,
            # Matplotlib leaves out labels that begin with an underscore.
            [" " + line.label for line in figure.series],
            frameon=False,
            fontsize=9,
            **({"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if beside else {"loc": "best"}),
        )
        texts += legend.get_texts()
    if figure.notes:
        texts.append(canvas.supxlabel("\n".join(figure.notes), fontsize=8, color=_INK))
    for text in texts:
        text.set_parse_math(False)  # a name may have dollars
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_RULE)
    axes.tick_params(colors=_INK)
    axes.grid(color=_RULE, linewidth=0.6)
    buffer = io.BytesIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "tracker"}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that the font does not have
        canvas.savefig(
            buffer,
            format=format,
            dpi=_DENSITY,
            metadata={"Date": None} if format == "svg" else None,
        )
    return buffer.getvalue()


def _limits(drawn: Iterable[NDArray[np.float64] | None]) -> tuple[float, float] | None:
    """The ends of a logarithmic axis; None where nothing is drawn."""
    every = np.concatenate([np.empty(0), *(part for part in drawn if part is not None)])
    every = every[np.isfinite(every)]
    if not len(every):
        return None
    low, high = float(np.log10(every.min())), float(np.log10(every.max()))
    room = (high - low) * mpl.rcParams["axes.ymargin"]
    first, last = decades(low, high, room or _DECADES)
    return 10**first, 10**last
