"""What two or more runs began with, and what they came to, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tracker.frames import objects_of, texts_of
from tracker.judging import better
from tracker.projections import flatten
from tracker.store.port import Run

#: Facts of the environment that differ from run to run and explain nothing: shown with all the
#: rest only.
NOISE = frozenset({"pid", "host", "folder", "command", "notebook"})

#: What `describe` tells of each run.
Described = Mapping[str, Any]


def facts(described: Described) -> dict[str, dict[str, Any]]:
    """What a run began with: section → name → value."""
    environment = dict(described["environment"])
    git = dict(environment.pop("git", None) or {})
    return {
        "params": flatten(described["params"]),
        "environment": flatten(environment),
        "git": git,
        "model": flatten(described["model"]),
    }


def side_by_side(
    sections: Sequence[Mapping[str, Any]], names: Sequence[str], *, noise: Collection[str] = ()
) -> pd.DataFrame:
    """One row a name, one column a run, None where a run has none; and whether they differ.

    Args:
        sections: Values by name, of each run.
        names: The columns of the runs.
        noise: First parts of names that are said never to differ.
    """
    keys = dict.fromkeys(key for section in sections for key in section)
    columns: dict[str, Any] = {"name": texts_of(keys)}
    for name, section in zip(names, sections, strict=True):
        columns[name] = objects_of([section.get(key) for key in keys])
    differs = [
        key.partition(".")[0] not in noise
        and any(not same(sections[0].get(key), other.get(key)) for other in sections[1:])
        for key in keys
    ]
    return pd.DataFrame({**columns, "differs": np.array(differs, dtype=bool)})


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same; NaN is, to NaN."""
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b):
        return True
    return bool(a == b) and type(a) is type(b)


def metric_frame(a: Run, b: Run, alike: Callable[[float, float], bool]) -> pd.DataFrame:
    """The last and the best value of each metric.

    Args:
        a: One run.
        b: The other.
        alike: Whether two values count as the same.

    Returns:
        `phase`, `metric`, `last_a`, `last_b` (None where a run has none), `best_a`, `best_b`,
        `best_epoch_a`, `best_epoch_b`, `gap` (of the last values), `differs`.
    """
    rows = []
    for key in sorted({*a.state.metrics, *b.state.metrics}):
        found = [_last_and_best(run, key) for run in (a, b)]
        (last_a, best_a, epoch_a), (last_b, best_b, epoch_b) = found
        if last_a is None or last_b is None:
            gap, differs = math.nan, True
        else:
            gap = abs(last_a - last_b)
            differs = not (alike(last_a, last_b) and alike(best_a, best_b))
        rows.append((*key, last_a, last_b, best_a, best_b, epoch_a, epoch_b, gap, differs))
    types = {
        "phase": "string",
        "metric": "string",
        # A last value may be NaN, which is not the same as none: only objects tell them apart.
        "last_a": "object",
        "last_b": "object",
        "best_a": "float64",
        "best_b": "float64",
        "best_epoch_a": "Int64",
        "best_epoch_b": "Int64",
        "gap": "float64",
        "differs": "bool",
    }
    columns = list(zip(*rows, strict=True)) or [()] * len(types)
    return pd.DataFrame(
        {
            name: pd.array(list(values), dtype=dtype)  # type: ignore[call-overload]
            for (name, dtype), values in zip(types.items(), columns, strict=True)
        }
    )


def _last_and_best(run: Run, key: tuple[str, str]) -> tuple[float | None, float, int | None]:
    state = run.state.metrics.get(key)
    if state is None:
        return None, math.nan, None
    low = better(key[1]) == "min"
    best = state.minimum if low else state.maximum
    epoch = state.minimum_epoch if low else state.maximum_epoch
    return state.last, math.nan if best is None else best, epoch
