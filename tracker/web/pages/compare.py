"""Runs over each other: a curve of each, what differs, and where two of them part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.comparing import compare, diff
from tracker.comparing.difference import SECTIONS
from tracker.errors import InvalidArgument
from tracker.plots.figure import PALETTE
from tracker.plots.naming import metrics_of, usual_of
from tracker.query import run_of
from tracker.store.port import Run
from tracker.store.sql import SqlStore
from tracker.web.api.comparing import MOST_RUNS
from tracker.web.api.curves import AXIS, SMOOTH, SOURCE
from tracker.web.pages.figures import LOG
from tracker.web.pages.page import page
from tracker.web.pages.tables import records
from tracker.web.parameters import Parameter

_RUNS = Parameter("runs", "Runs, with commas between them.", required=True)
_METRIC = Parameter("metric", "The metric that is drawn.")
_A = Parameter("a", "A run.", required=True)
_B = Parameter("b", "The other.", required=True)


def _compare(store: SqlStore, **asked: Any) -> tuple[str, Mapping[str, Any]]:
    runs = _named(store, asked["runs"])
    metrics = metrics_of(runs)
    metric = asked["metric"] or usual_of(metrics)
    return "compare.html", {
        "runs": runs,
        "metrics": metrics if metric in metrics else [metric, *metrics],
        "metric": metric,
        "palette": PALETTE,
        "joined": ",".join(run.uuid for run in runs),
        "without": {
            run.uuid: ",".join(other.uuid for other in runs if other is not run) for run in runs
        },
    }


def _parting(store: SqlStore, a: str, b: str) -> tuple[str, Mapping[str, Any]]:
    """Where two runs part: read by itself, since it may take seconds."""
    found = diff(a, b, store=store)
    return "parting.html", {
        "found": found,
        "first": found.first,
        "a": run_of(a, store=store),
        "b": run_of(b, store=store),
        "events": records(found.events),
    }


def _differences(store: SqlStore, runs: str) -> tuple[str, Mapping[str, Any]]:
    """The facts in which runs differ, a column each."""
    found = _named(store, runs)
    frame = compare([run.uuid for run in found], store=store)
    names = list(frame.columns[2:])
    rows = [
        (section, [(row[1], row[2:]) for row in part.itertuples(index=False, name=None)])
        for section, part in frame.groupby("section", sort=False)
    ]
    order = {name: place for place, name in enumerate(SECTIONS)}
    return "differences.html", {
        "names": names,
        "runs": found,
        "sections": sorted(rows, key=lambda one: order.get(one[0], len(order))),
    }


def _named(store: SqlStore, text: str) -> list[Run]:
    names = list(dict.fromkeys(filter(None, text.split(","))))
    if len(names) > MOST_RUNS:
        raise InvalidArgument(
            f"{MOST_RUNS} runs can be compared at once. Received: {len(names)}. Choose some."
        )
    found = {run.uuid: run for run in (run_of(name, store=store) for name in names)}
    if not found:
        raise InvalidArgument("Which runs? Name them: /compare?runs=first,second")
    return list(found.values())


ROUTES = [
    page("/compare", _compare, (_RUNS, _METRIC, SOURCE, AXIS, SMOOTH, LOG)),
    page("/compare/parting", _parting, (_A, _B)),
    page("/compare/differences", _differences, (_RUNS,)),
]
