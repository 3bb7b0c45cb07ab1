"""One run: how it went, its curves, params, model, environment, and where its time went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.plots.figure import PALETTE
from tracker.plots.naming import metrics_of
from tracker.projections import flatten
from tracker.query import account, run_of
from tracker.replaying.moment import state
from tracker.store.sql import SqlStore
from tracker.timings import timing
from tracker.web.api.curves import AXIS, SMOOTH, SOURCE
from tracker.web.api.replaying import CALLBACKS
from tracker.web.api.runs import RUN
from tracker.web.pages.figures import LOG
from tracker.web.pages.page import page
from tracker.web.pages.tables import records

#: Metrics that are drawn, and epochs whose times are listed.
_CARDS, _EPOCHS = 24, 200

#: Offered first, in this order, where a callback watches a metric.
_USUAL = ("val_loss", "loss")


def _run(store: SqlStore, run: str, **_: Any) -> tuple[str, Mapping[str, Any]]:
    progress = _progress(store, run)
    found = progress["run"]
    facts, story = account(found.uuid, store=store)
    metrics = metrics_of([found])
    watched = [name for name in metrics if not name.startswith("test_")]
    return "run.html", {
        "facts": facts,
        "metrics": metrics[:_CARDS],
        "watched": sorted(watched, key=lambda name: [name != one for one in _USUAL]),
        "params": flatten(facts["params"]),
        "model": flatten({key: item for key, item in facts["model"].items() if key != "layers"}),
        "layers": facts["model"].get("layers") or [],
        "environment": flatten(facts["environment"]),
        "story": records(story),
        "callbacks": CALLBACKS,
        "palette": PALETTE,
        **progress,
    }


def _now(store: SqlStore, run: str) -> tuple[str, Mapping[str, Any]]:
    """How far a run is: asked for again whenever it has gone on."""
    return "now.html", _progress(store, run)


def _progress(store: SqlStore, run: str) -> Mapping[str, Any]:
    found = run_of(run, store=store)
    return {"run": found, "moment": state(found.uuid, store=store)}


def _time(store: SqlStore, run: str) -> tuple[str, Mapping[str, Any]]:
    """Where the time went: read by itself, since it looks at all hooks."""
    frame = timing(run, store=store)
    epochs = frame[frame["scope"] == "epoch"]
    return "time.html", {
        "calls": records(frame[frame["scope"] == "call"]),
        "epochs": records(epochs.tail(_EPOCHS)),
        "hidden": max(len(epochs) - _EPOCHS, 0),
    }


ROUTES = [
    page("/runs/{run}/now", _now, (RUN,)),
    page("/runs/{run}/time", _time, (RUN,)),
    page("/runs/{run}", _run, (RUN, SOURCE, AXIS, SMOOTH, LOG)),
]
