"""What runs are judged by: a metric, and which of its ends is the better one."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import ColumnElement, FromClause, case

from tracker.errors import InvalidArgument
from tracker.projections import RunState
from tracker.store import schema

#: Which end of a metric is the better one; None: as its name tells.
Mode = Literal["min", "max"]

#: How words end in the names of metrics that are better when they are greater, and of others.
_GREATER = tuple(
    "acc accuracy auc correlation dice f1 fbeta iou precision r2 recall score sensitivity "
    "similarity specificity".split()
)
_LESS = ("loss", "error", "brier")

#: How the names of metrics of evaluates begin.
TEST = "test_"
#: The column of a metric's better end.
END: dict[Mode, str] = {"min": "minimum", "max": "maximum"}


def better(metric: str, mode: Mode | None = None) -> Mode:
    """Whether less or more of a metric is better.

    Args:
        metric: Its name, such as `val_loss`.
        mode: What the user says, which counts.

    Raises:
        InvalidArgument: The mode is none.
    """
    if mode is None:
        # Keras numbers metrics of one name: auc_1. IoU is two words to it: mean_io_u.
        words = metric.lower().replace("io_u", "iou").split("_")
        words += [word.rstrip("0123456789") for word in words]
        greater = any(word.endswith(_GREATER) for word in words)
        return "max" if greater and not any(word.endswith(_LESS) for word in words) else "min"
    if mode not in ("min", "max"):
        raise InvalidArgument(f"mode must be 'min' or 'max'. Received: {mode!r}.")
    return mode


def best_of(state: RunState, metric: str, direction: Mode) -> float | None:
    """The better end of what a run is judged by; None where it has none."""
    found = state.metrics.get(("train", metric))
    if found is None and metric.startswith(TEST):
        found = state.metrics.get(("test", metric.removeprefix(TEST)))
    if found is None:
        return None
    value: float | None = getattr(found, END[direction])
    return value


def judged(metric: str, direction: Mode) -> tuple[FromClause, ColumnElement[float]]:
    """Runs with what they are judged by, and its value: NULL where they have none."""
    run, own = schema.runs.c.id, schema.run_metrics.alias("own")
    joined = schema.runs.outerjoin(
        own, (own.c.run_id == run) & (own.c.phase == "train") & (own.c.metric == metric)
    )
    value: ColumnElement[float] = own.c[END[direction]]
    if not metric.startswith(TEST):
        return joined, value
    test, evaluates = schema.run_metrics.alias("test"), metric.removeprefix(TEST)
    both = joined.outerjoin(
        test, (test.c.run_id == run) & (test.c.phase == "test") & (test.c.metric == evaluates)
    )
    # A fit's own metric of that name counts first, whether it has a number or not.
    return both, case((own.c.metric.is_not(None), value), else_=test.c[END[direction]])
