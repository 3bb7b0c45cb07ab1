"""Metrics of runs → a figure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from tracker.errors import InvalidArgument, UnknownColumn
from tracker.legibility import printable
from tracker.plots.bands import Floats
from tracker.plots.figure import PALETTE, Figure, Series
from tracker.plots.lines import Line, lines_of
from tracker.plots.naming import metrics_of
from tracker.plots.reading import Axis, Source, read_curve
from tracker.query import run_of
from tracker.store.port import Run
from tracker.store.sql import SqlStore

_AXES = {"epoch": "epoch", "step": "training step", "time": "seconds since the run began"}
_DASHES = 4
#: Of one line: more than a picture has columns.
_POINTS = 2_000
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
    if source not in ("epoch", "batch"):
        raise InvalidArgument(f"source must be 'epoch' or 'batch'. Received: {source!r}.")
    if not 0 <= smooth < 1:
        raise InvalidArgument(f"smooth must be at least 0 and less than 1. Received: {smooth!r}.")
    found = {run.name: run for run in (run_of(one, store=store) for one in runs)}
    if not found:
        raise InvalidArgument("Which runs? Give at least one.")
    notes = [
        f"Run {printable(name)} was pruned: of its batches only some are left."
        for name, run in found.items()
        if run.state.dropped and source == "batch"
    ]
    names = _chosen(found.values(), wanted)
    series, lost = [], 0
    for which, run in enumerate(found.values()):
        for number, metric in enumerate(names):
            curve = read_curve(run, metric, source, store, timed=x == "time")
            lines = lines_of(curve, x, points=_POINTS, smooth=smooth, log=log)
            if not lines:
                continue
            lost += sum(line.lost for line in lines)
            joined = _joined(lines)
            turn, row = (which, number) if len(found) > 1 else (number, 0)
            series.append(
                Series(
                    run=run.name,
                    metric=metric,
                    label=_label(run.name, metric, len(found), len(names)),
                    colour=turn % len(PALETTE),
                    dash=(row + turn // len(PALETTE)) % _DASHES,
                    x=joined.x,
                    y=joined.y,
                    low=joined.low,
                    high=joined.high,
                )
            )
    if lost:
        what = "not finite, too great, or not above 0" if log else "not finite, or too great"
        notes.append(f"{lost} value{' is' if lost == 1 else 's are'} {what}: not drawn.")
    if not series:
        which_values = "of batches " if source == "batch" else ""
        notes.append(f"No value {which_values}has a place on the axis {x}.")
    shown = [printable(name) for name in names]
    return Figure(
        title=printable(next(iter(found))) if len(found) == 1 else ", ".join(shown),
        x_label=_AXES[x],
        y_label=shown[0] if len(shown) == 1 else "value",
        log=log,
        series=tuple(series),
        notes=tuple(notes),
    )


def _joined(lines: Sequence[Line]) -> Line:
    """The lines of one curve as one, with gaps between them."""
    x, y, low, high = (
        np.concatenate([_ended(getattr(line, name), line, name) for line in lines])[:-1]
        for name in ("x", "y", "low", "high")
    )
    joined = lines[-1]._replace(x=x, y=y, low=None, high=None)
    is_band = any(line.low is not None for line in lines)
    return joined._replace(low=low, high=high) if is_band else joined


def _ended(values: Floats | None, line: Line, name: str) -> Floats:
    """One array of a line, and what breaks it off from the next."""
    own = line.y if values is None else values  # without a band, each point is its own
    return np.append(own, own[-1] if name == "x" else np.nan)


def _chosen(runs: Collection[Run], wanted: Sequence[str] | None) -> list[str]:
    there = metrics_of(runs)
    if wanted is None:
        if not there:
            raise UnknownColumn("There is nothing to plot: no metric was logged.")
        return [name for name in _USUAL if name in there] or there[:2]
    for name in wanted:
        if name not in there:
            raise UnknownColumn.of_metric(name, sorted(there))
    return list(dict.fromkeys(wanted))


def _label(run: str, metric: str, runs: int, metrics: int) -> str:
    if runs == 1:
        return printable(metric)
    return printable(run) if metrics == 1 else f"{printable(run)} {printable(metric)}"
