"""What metrics are over several runs, such as those of one model with other seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from tracker.errors import InvalidArgument, RunNotFound
from tracker.frames import typed
from tracker.query import Store, latest_runs, metrics, only_metrics, opened_store, run_of
from tracker.store.sql import SqlStore

_TYPES = {
    "phase": "string",
    "call": "Int64",
    "epoch": "Int64",
    "metric": "string",
    "count": "Int64",
    "nan": "Int64",
    "mean": "float64",
    "std": "float64",
    "min": "float64",
    "max": "float64",
}

_KEYS = ["phase", "call", "epoch", "metric"]


def aggregate_metrics(
    runs: str | int | Iterable[str | int] | None = None,
    *,
    group: str | None = None,
    where: str | None = None,
    names: str | Sequence[str] | None = None,
    store: Store = None,
) -> pd.DataFrame:
    """Metrics over several runs, epoch by epoch: the mean, how far runs lie apart, the ends.

    Values belong together that are of the same call (the first fit, the second …), epoch and
    metric; of what a later attempt ran again, the latest counts. NaN takes no part in the figures
    and is counted beside them.

    Args:
        runs: RUNs (see `tracker.events`); or give one of the next two.
        group: The runs of this group that are listed: not archived, of workers the chief.
        where: The runs that are listed and that it holds for: see docs/how-to/where.md.
        names: Only these metrics.
        store: The store.

    Returns:
        One row for each `phase` (train, or test for evaluates), `call`, `epoch` and `metric`:
        `count` (runs with a number there), `nan` (runs with NaN), `mean`, `std` (of a sample, n-1;
        NaN of one run), `min`, `max`. The frame's `attrs["runs"]` has the names of the runs.

    Raises:
        InvalidArgument: Not exactly one of `runs`, `group` and `where` was given.
        RunNotFound, AmbiguousRun: A run is not exactly one, or none is chosen.
        InvalidFilter: `where` cannot be understood.
        UnknownColumn: None of the runs logged a metric of `names`.
    """
    if sum(one is not None for one in (runs, group, where)) != 1:
        raise InvalidArgument("Which runs? Give one of runs, group and where.")
    wanted = [names] if isinstance(names, str) else None if names is None else list(names)
    with opened_store(store) as opened:
        chosen = _chosen(opened, runs, group, where)
        values = metrics(list(chosen), store=opened)
    if wanted is not None:
        values = only_metrics(values, wanted)
    frame = _aggregated(values)
    frame.attrs["runs"] = list(chosen.values())
    return frame


def _chosen(
    store: SqlStore,
    runs: str | int | Iterable[str | int] | None,
    group: str | None,
    where: str | None,
) -> dict[str, str]:
    """UUIDs and names of the runs; each once, however often it was named."""
    if runs is not None:
        asked = [runs] if isinstance(runs, str | int) else list(runs)
        found = [run_of(one, store=store) for one in asked]
    else:
        found = latest_runs(where=where if group is None else _of_group(group), store=store)
    if not found:
        raise RunNotFound(
            f"There is no group {group!r}." if group is not None else "No run is chosen by that."
        )
    return {run.uuid: run.name for run in found}


def _of_group(group: str) -> str:
    """The filter for the runs of a group."""
    text = group.replace("\\", "\\\\").replace('"', '\\"')
    return f'group = "{text}"'


def _aggregated(values: pd.DataFrame) -> pd.DataFrame:
    groups = values.groupby(_KEYS, dropna=False, sort=False)
    rows = []
    with np.errstate(invalid="ignore"):  # infinities have no deviation
        for key, group in groups:
            every = group["value"].to_numpy()
            known = every[~np.isnan(every)]
            one = known.size == 1
            figures = (
                (known.mean(), np.nan if one else known.std(ddof=1), known.min(), known.max())
                if known.size
                else (np.nan,) * 4
            )
            place = (None if part is pd.NA or part != part else part for part in key)
            rows.append((*place, known.size, every.size - known.size, *figures))
    rows.sort(key=lambda row: tuple(-1 if part is None else part for part in row[1:3]))
    columns = list(zip(*rows, strict=True)) or [()] * len(_TYPES)
    return typed(dict(zip(_TYPES, columns, strict=True)), _TYPES)
