"""Curves: one metric of several runs, as many points as a screen shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker.errors import InvalidArgument
from tracker.plots.figure import PALETTE
from tracker.plots.lines import lines_of
from tracker.plots.sparks import last_values
from tracker.query import run_of
from tracker.store.port import Run
from tracker.store.sql import SqlStore
from tracker.web.curve_cache import cached_curve
from tracker.web.endpoints import Endpoint
from tracker.web.parameters import Parameter

_MOST_RUNS, _MOST_POINTS, _MOST_SPARKS = 50, 4_000, 200
_ANY = 1e15
_GREATEST_SINGLE = 3e38


def _curves(
    store: SqlStore,
    run: list[str],
    metric: str,
    source: str,
    x: str,
    smooth: float,
    points: int,
    begin: float | None,
    end: float | None,
) -> dict[str, Any]:
    if begin is not None and end is not None and begin >= end:
        raise InvalidArgument(f"begin must be less than end. Received: {begin:g} and {end:g}.")
    runs = {found.uuid: found for found in (run_of(one, store=store) for one in run)}
    lines: list[dict[str, Any]] = []
    for number, one in enumerate(runs.values()):
        lines += [
            {"run": one.name, "uuid": one.uuid, "colour": number % len(PALETTE), **line}
            for line in _lines(one, metric, source, x, smooth, points, begin, end, store)
        ]
    return {"metric": metric, "x": x, "source": source, "palette": PALETTE, "lines": lines}


def _sparks(store: SqlStore, run: list[str], metric: str) -> dict[str, list[float]]:
    return last_values(run, metric, store)


def _lines(
    run: Run,
    metric: str,
    source: Any,
    x: Any,
    smooth: float,
    points: int,
    begin: float | None,
    end: float | None,
    store: SqlStore,
) -> list[dict[str, Any]]:
    curve = cached_curve(run, metric, source, store, timed=x == "time")
    found = lines_of(curve, x, points=points, smooth=smooth, begin=begin, end=end)
    return [
        {
            "part": line.part,
            "x": np.round(line.x, 6),
            "y": _single(line.y),
            "low": None if line.low is None else _single(line.low),
            "high": None if line.high is None else _single(line.high),
            "values": line.values,
            "not_finite": line.lost,
            "last": line.last,
        }
        for line in found
    ]


def _single(values: NDArray[np.float64]) -> NDArray[Any]:
    """As short as a screen needs them, unless they are too great for that."""
    if np.nanmax(np.abs(values), initial=0.0) > _GREATEST_SINGLE:
        return values
    return values.astype(np.float32)


AXIS = Parameter("x", "The axis.", default="step", choices=("step", "epoch", "time"))
SMOOTH = Parameter("smooth", "Weight of the past.", "number", 0.0, least=0.0, most=0.999)
SOURCE = Parameter(
    "source", "Values of epochs or of batches.", default="epoch", choices=("epoch", "batch")
)
_POINTS = Parameter("points", "About so many a line.", "integer", 1000, least=10, most=_MOST_POINTS)
_BEGIN = Parameter("begin", "Only from here on the axis on.", "number", least=-_ANY, most=_ANY)
_END = Parameter("end", "Only up to here on the axis.", "number", least=-_ANY, most=_ANY)
_RUNS = Parameter("run", "The runs.", required=True, many=_MOST_RUNS)
_METRIC = Parameter("metric", "By its full name: val_loss, test_loss.", required=True)

ENDPOINTS = (
    Endpoint(
        path="/curves",
        summary="One metric of several runs, reduced to what a screen shows",
        answer=_curves,
        parameters=(_RUNS, _METRIC, SOURCE, AXIS, SMOOTH, _POINTS, _BEGIN, _END),
    ),
    Endpoint(
        path="/sparks",
        summary="The last values of one metric of many runs",
        answer=_sparks,
        parameters=(Parameter("run", "The runs.", required=True, many=_MOST_SPARKS), _METRIC),
    ),
)
