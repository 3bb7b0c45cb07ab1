"""Event-sourced experiment tracking for Keras.

>>> import tracker
>>> callback = tracker.TrackerCallback(experiment="digits")  # in fit(callbacks=[callback])
>>> tracker.runs()  # and tracker.events("@last"), tracker.metrics("@last")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracker.callback import TrackerCallback, run
    from tracker.errors import TrackerError
    from tracker.event import Event
    from tracker.facts import close_run
    from tracker.query import events, metrics, runs, stream
    from tracker.store.opening import open_store

__all__ = [
    "Event",
    "TrackerCallback",
    "TrackerError",
    "__version__",
    "close_run",
    "events",
    "metrics",
    "open_store",
    "run",
    "runs",
    "stream",
]

# Loading keras takes seconds and pandas half a second: each name loads what it needs.
_HOMES = {
    "Event": "tracker.event",
    "TrackerCallback": "tracker.callback",
    "TrackerError": "tracker.errors",
    "close_run": "tracker.facts",
    "events": "tracker.query",
    "metrics": "tracker.query",
    "open_store": "tracker.store.opening",
    "run": "tracker.callback",
    "runs": "tracker.query",
    "stream": "tracker.query",
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
