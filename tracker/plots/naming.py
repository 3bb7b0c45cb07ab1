"""Which metrics runs have, by the names that plots and pages use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tracker.event import metric_name
from tracker.store.port import Run


def metrics_of(runs: Iterable[Run]) -> list[str]:
    """The metrics of some runs by their full names, those that most have first.

    A fit's own are called as they are logged (`val_loss`), an evaluate's begin with `test_`.
    """
    counts: dict[str, int] = {}
    for run in runs:
        for phase, metric in run.state.metrics:
            name = metric_name(phase, metric)
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))


def usual_of(metrics: Sequence[str]) -> str:
    """The metric that people look at first."""
    return next((one for one in ("val_loss", "loss", *metrics) if one in metrics), "loss")
