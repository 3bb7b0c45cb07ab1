"""Event-sourced experiment tracking for Keras.

>>> import tracker
>>> callback = tracker.TrackerCallback(experiment="digits")  # in fit(callbacks=[callback])
>>> tracker.runs()  # and tracker.events("@last"), tracker.metrics("@last")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.aggregates import aggregate_metrics
    from tracker.best import best_metrics
    from tracker.callback import TrackerCallback, run
    from tracker.comparing import compare, diff
    from tracker.errors import TrackerError
    from tracker.event import Event
    from tracker.facts import (
        archive_run,
        close_run,
        note_run,
        rename_run,
        restore_run,
        tag_run,
        untag_run,
    )
    from tracker.grouping import experiment_runs, experiments, rename_experiment
    from tracker.maintenance import heads, prune_runs, purge_runs, rebuild, store_stats, verify
    from tracker.plots import plot
    from tracker.query import events, history, metrics, runs, stream
    from tracker.readonly import sql
    from tracker.replaying.driver import replay
    from tracker.replaying.moment import state
    from tracker.replaying.sweeping import sweep
    from tracker.store.opening import open_store
    from tracker.timings import slowest_batches, timing

__all__ = [
    "Event",
    "TrackerCallback",
    "TrackerError",
    "__version__",
    "aggregate_metrics",
    "archive_run",
    "best_metrics",
    "close_run",
    "compare",
    "diff",
    "events",
    "experiment_runs",
    "experiments",
    "heads",
    "history",
    "metrics",
    "note_run",
    "open_store",
    "plot",
    "prune_runs",
    "purge_runs",
    "rebuild",
    "rename_experiment",
    "rename_run",
    "replay",
    "restore_run",
    "run",
    "runs",
    "slowest_batches",
    "sql",
    "state",
    "store_stats",
    "stream",
    "sweep",
    "tag_run",
    "timing",
    "untag_run",
    "verify",
]

# Loading keras takes seconds and pandas half a second: each name loads what it needs.
_HOMES = {
    "Event": "tracker.event",
    "TrackerCallback": "tracker.callback",
    "TrackerError": "tracker.errors",
    "aggregate_metrics": "tracker.aggregates",
    "archive_run": "tracker.facts",
    "best_metrics": "tracker.best",
    "close_run": "tracker.facts",
    "compare": "tracker.comparing",
    "diff": "tracker.comparing",
    "events": "tracker.query",
    "experiment_runs": "tracker.grouping",
    "experiments": "tracker.grouping",
    "heads": "tracker.maintenance",
    "history": "tracker.query",
    "metrics": "tracker.query",
    "note_run": "tracker.facts",
    "open_store": "tracker.store.opening",
    "plot": "tracker.plots",
    "prune_runs": "tracker.maintenance",
    "purge_runs": "tracker.maintenance",
    "rebuild": "tracker.maintenance",
    "rename_experiment": "tracker.grouping",
    "rename_run": "tracker.facts",
    "replay": "tracker.replaying.driver",
    "restore_run": "tracker.facts",
    "run": "tracker.callback",
    "runs": "tracker.query",
    "slowest_batches": "tracker.timings",
    "sql": "tracker.readonly",
    "state": "tracker.replaying.moment",
    "store_stats": "tracker.maintenance",
    "stream": "tracker.query",
    "sweep": "tracker.replaying.sweeping",
    "tag_run": "tracker.facts",
    "timing": "tracker.timings",
    "untag_run": "tracker.facts",
    "verify": "tracker.maintenance",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("keras-event-tracker")
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
