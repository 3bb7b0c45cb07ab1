"""A figure → characters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from uniplot import plot_to_string
from uniplot.colors import Color

from tracker.plots.figure import Figure, decades

#: The terminal's own colours: they suit its background, and every terminal has them.
_COLOURS = ["blue", "yellow", "magenta", "cyan", "green", "red"]
#: Where colours cannot tell lines apart.
_MARKS = list("+xo*#@%&=~abcdefghijklmnpqrstuvwyz")
#: Columns of the frame and of the labels of the y axis; lines of the frame and of the x axis.
_BESIDE, _BELOW = 12, 3
_LEAST_WIDTH, _LEAST_HEIGHT = 30, 8
#: Above and below values that are all the same, on a logarithmic axis.
_DECADES = 0.5


def drawn(figure: Figure, width: int = 80, height: int = 20, *, colour: bool = False) -> str:
    """The figure as lines of text: title, plot, legend, notes.

    Args:
        figure: What to draw.
        width: Columns at most, but 30 at least.
        height: Lines of the plot with its frame and x axis, but 8 at least.
        colour: With ANSI codes for up to 6 lines; else each has a character of its own.
    """
    width, height = max(width, _LEAST_WIDTH), max(height, _LEAST_HEIGHT)
    lines = [line for line in figure.series if np.isfinite(line.y).any()]
    colour = colour and len(lines) <= len(_COLOURS)
    marks = not colour and len(lines) > 1
    texts = [figure.title.center(width - _BESIDE)]
    if lines:
        xs = [line.x for line in lines]
        ys = [np.log10(line.y) if figure.log else line.y for line in lines]
        (left, right), (low, high) = _ends(xs), _ends(ys, log=figure.log)
        plotted = plot_to_string(
            ys,
            xs,
            lines=True,
            width=width - _BESIDE,
            height=height - _BELOW,
            character_set="ascii" if marks else "block",
            force_ascii_characters=_MARKS,
            color=_COLOURS if colour else False,
            x_min=left, x_max=right, y_min=low, y_max=high,
            # Its labels are rounded until they differ: 0.5, 1, 1.5 would be 0, 1, 2.
            x_labels=False, y_labels=False, x_gridlines=[], y_gridlines=[],
        ).split("\n")  # fmt: skip
        for row, value in _labels(low, high, height - _BELOW, log=figure.log).items():
            plotted[1 + row] += f" {value:.4g}"
        first, last = f"{left:.6g}", f"{right:.6g}"
        axis = figure.x_label.center(width - _BESIDE - len(first) - len(last))
        texts += [*plotted, f" {first}{axis}{last}"]
    for number, line in enumerate(lines):
        sign = _MARKS[number % len(_MARKS)] * 2 if marks else "██"
        if colour:
            sign = str(Color.from_terminal(_COLOURS[number]).colorize(sign))
        texts.append(f"  {sign} {_cut(line.label, width - 5)}")
    texts += figure.notes if lines else [*figure.notes, "There is nothing to draw."]
    texts[0] = _cut(texts[0], width)
    return "".join(text.rstrip() + "\n" for text in texts)


def _ends(parts: list[NDArray[np.float64]], *, log: bool = False) -> tuple[float, float]:
    """The least and greatest value, apart from each other."""
    every = np.concatenate(parts)
    low, high = float(np.nanmin(every)), float(np.nanmax(every))
    if log:
        return (low, high) if high > low else decades(low, high, _DECADES)
    room = (high - low) * 0.001 or abs(low) * 0.1 or 1.0
    return (low, high) if high - low > room else (low - room, high + room)


def _labels(low: float, high: float, rows: int, *, log: bool) -> dict[int, float]:
    """Row → the value at its middle, for some rows from the top to the bottom."""
    many = max(2, rows // 4)
    chosen = {round(place * (rows - 1) / many) for place in range(many + 1)}
    values = {row: high - (row + 0.5) / rows * (high - low) for row in sorted(chosen)}
    return {row: 10**value if log else value for row, value in values.items()}


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
