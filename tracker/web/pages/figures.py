"""What pages with curves have in common."""

from __future__ import annotations

from collections.abc import Sequence

from tracker.store.port import Run
from tracker.web.parameters import Parameter

LOG = Parameter("log", "Whether values are shown on a logarithmic scale.", "flag", False)


def metrics_of(runs: Sequence[Run]) -> list[str]:
    """The metrics of some runs by their full names, those that most have first."""
    counts: dict[str, int] = {}
    for run in runs:
        for phase, metric in run.state.metrics:
            name = metric if phase == "train" else f"test_{metric}"
            counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))
