"""One run: how it went, its curves, params, model, environment, and where its time went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from tracker.liveness import with_lost
from tracker.plots.figure import PALETTE
from tracker.plots.naming import metrics_of
from tracker.projections import flatten
from tracker.query import describe, history, run_of
from tracker.replaying.moment import state
from tracker.store.sql import SqlStore
from tracker.timings import timing
from tracker.web.api.curves import AXIS, SMOOTH, SOURCE
from tracker.web.api.replaying import CALLBACKS
from tracker.web.api.runs import RUN
from tracker.web.pages.figures import LOG
from tracker.web.pages.page import page

#: Metrics that are drawn, and epochs whose times are listed.
_CARDS, _EPOCHS = 24, 200

#: Offered first, in this order, where a callback watches a metric.
_USUAL = ("val_loss", "loss")


def _run(store: SqlStore, run: str, **_: Any) -> tuple[str, Mapping[str, Any]]:
    (found,) = with_lost([run_of(run, store=store)])
    facts = describe(found.uuid, store=store)
    metrics = metrics_of([found])
    watched = [name for name in metrics if not name.startswith("test_")]
    return "run.html", {
        "run": found,
        "facts": facts,
        "metrics": metrics[:_CARDS],
        "watched": sorted(watched, key=lambda name: [name != one for one in _USUAL]),
        "params": flatten(facts["params"]),
        "model": flatten({key: item for key, item in facts["model"].items() if key != "layers"}),
        "layers": facts["model"].get("layers") or [],
        "environment": flatten(facts["environment"]),
        "story": _records(history(found.uuid, store=store)),
        "callbacks": CALLBACKS,
        "palette": PALETTE,
        **_progress(store, found.uuid),
    }


def _now(store: SqlStore, run: str) -> tuple[str, Mapping[str, Any]]:
    """How far a run is: asked for again whenever it has gone on."""
    return "now.html", _progress(store, run)


def _progress(store: SqlStore, run: str) -> Mapping[str, Any]:
    (found,) = with_lost([run_of(run, store=store)])
    return {"run": found, "moment": state(found.uuid, store=store)}


def _time(store: SqlStore, run: str) -> tuple[str, Mapping[str, Any]]:
    """Where the time went: read by itself, since it looks at all hooks."""
    frame = timing(run, store=store)
    epochs = frame[frame["scope"] == "epoch"]
    return "time.html", {
        "calls": _records(frame[frame["scope"] == "call"]),
        "epochs": _records(epochs.tail(_EPOCHS)),
        "hidden": max(len(epochs) - _EPOCHS, 0),
    }


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows whose missing values are None, and whose lengths are seconds."""
    plain = frame.copy()
    for name in plain.columns:
        if pd.api.types.is_timedelta64_dtype(plain[name]):
            plain[name] = plain[name].dt.total_seconds()
    plain = plain.astype(object)
    records: list[dict[Any, Any]] = plain.where(plain.notna(), None).to_dict("records")
    return records


ROUTES = [
    page("/runs/{run}/now", _now, (RUN,)),
    page("/runs/{run}/time", _time, (RUN,)),
    page("/runs/{run}", _run, (RUN, SOURCE, AXIS, SMOOTH, LOG)),
]
