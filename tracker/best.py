"""The best value of each metric over a run's epochs, and where it was."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from tracker.errors import UnknownColumn
from tracker.event import metric_name
from tracker.frames import typed
from tracker.judging import Mode, better
from tracker.query import Store, events, metrics, opened_store

_TYPES = {
    "run": "string",
    "phase": "string",
    "metric": "string",
    "mode": "string",
    "best": "float64",
    "epoch": "Int64",
    "step": "Int64",
    "at": "datetime64[us, UTC]",
    "attempt": "Int64",
    "call": "Int64",
    "seq": "Int64",
}

#: What tells the events of epochs and evaluates apart, but for their seq.
_PLACE = ["attempt", "call", "epoch", "phase"]


def best_metrics(
    run: str | int | Iterable[str | int],
    metric: str | None = None,
    mode: Mode | None = None,
    *,
    store: Store = None,
) -> pd.DataFrame:
    """The best value of each metric of one run or several, and where it was.

    Over the ends of epochs, and of evaluates of their own; of what a later attempt ran again, the
    latest counts. NaN is never the best; where there is nothing else, the value is NaN and its
    place missing.

    Args:
        run: A RUN (see `tracker.events`), or several.
        metric: Only this one; `test_loss` is an evaluate's `loss`, and `val_loss` fit's own.
        mode: Which end is better, `"min"` or `"max"`; by default as the metric's name tells.
        store: The store.

    Returns:
        One row a run and metric: `run`, `phase` (train, or test for evaluates), `metric`, `mode`,
        `best` (the value; the earliest of equal ones), `epoch`, `step` (training batches since the
        run began), `at`, `attempt`, `call`, `seq` (of the event). In the order of the runs; of one
        metric, the best run first. NaN comes last.

    Raises:
        RunNotFound, AmbiguousRun: A run is not exactly one.
        UnknownColumn: None of the runs logged the metric.
        InvalidArgument: `mode` is wrong.
    """
    better(metric or "loss", mode)
    asked = [run] if isinstance(run, str | int) else list(run)
    with opened_store(store) as opened:
        parts = [_placed(one, opened) for one in asked]
    rows = [
        _best_row(group, mode)
        for part in parts
        for (phase, name), group in part.groupby(["phase", "metric"], sort=False)
        if metric is None or _is_named(metric, str(phase), str(name), part)
    ]
    if metric is not None and not rows:
        names = {metric_name(*pair) for part in parts for pair in _pairs(part)}
        raise UnknownColumn.of_metric(metric, sorted(names))
    columns = list(zip(*rows, strict=True)) or [()] * len(_TYPES)
    frame = typed(dict(zip(_TYPES, columns, strict=True)), _TYPES)
    return _ordered(frame, metric)


def _placed(run: str | int, store: Store) -> pd.DataFrame:
    """A run's values at the ends of epochs and evaluates, with the seq of their events."""
    values = metrics(run, store=store)
    ends = events(run, kind=["epoch_end", "test_end"], logs="json", store=store)
    ends["phase"] = ends["kind"].map({"epoch_end": "train", "test_end": "test"}).astype("string")
    ends = ends.drop_duplicates(_PLACE, keep="last")
    return values.merge(ends[[*_PLACE, "seq"]], on=_PLACE, how="left")


def _best_row(values: pd.DataFrame, mode: Mode | None) -> tuple[Any, ...]:
    first = values.iloc[0]
    direction = better(str(first["metric"]), mode)
    head = (first["run"], first["phase"], first["metric"], direction)
    numbers = values["value"].to_numpy()
    if np.isnan(numbers).all():
        return (*head, np.nan, *[None] * (len(_TYPES) - len(head) - 1))
    place = int(np.nanargmin(numbers) if direction == "min" else np.nanargmax(numbers))
    where = values.iloc[place]
    at = None if where["at"] is pd.NaT else where["at"].value // 1000
    numbered = (where[name] for name in ("attempt", "call", "seq"))
    return (*head, numbers[place], where["epoch"], where["step"], at, *numbered)


def _ordered(frame: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    if metric is None:
        lost = frame["best"].isna().to_numpy()
        places = pd.factorize(frame["run"])[0]
        return frame.iloc[np.lexsort((np.arange(len(frame)), lost, places))].reset_index(drop=True)
    descending = len(frame) > 0 and frame["mode"].iloc[0] == "max"
    return frame.sort_values(
        "best", ascending=not descending, na_position="last", kind="stable", ignore_index=True
    )


def _is_named(metric: str, phase: str, name: str, values: pd.DataFrame) -> bool:
    """Whether a metric is the one that is asked for; one of fit's own counts first."""
    if phase == "train":
        return metric == name
    return metric == metric_name(phase, name) and ("train", metric) not in _pairs(values)


def _pairs(values: pd.DataFrame) -> set[tuple[str, str]]:
    pairs = values[["phase", "metric"]].drop_duplicates()
    return set(zip(pairs["phase"], pairs["metric"], strict=True))
