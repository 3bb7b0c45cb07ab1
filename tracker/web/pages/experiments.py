"""Experiments: their best runs, and curves of groups as bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracker.grouping import experiments, ranked_runs
from tracker.judging import better
from tracker.plots.figure import PALETTE
from tracker.store.port import Run
from tracker.store.sql import SqlStore
from tracker.web.pages.page import page
from tracker.web.pages.tables import records
from tracker.web.parameters import Parameter
from tracker.where.tokens import quoted

#: Runs that are listed, groups that are drawn, and curves where there are no groups.
_ROWS, _GROUPS, _CURVES = 100, 14, 7

_NAME = Parameter("name", "The experiment. Default: the list of all.")
_METRIC = Parameter("metric", "What runs are judged by.", default="val_loss")


def _experiments(store: SqlStore, name: str | None, metric: str) -> tuple[str, Mapping[str, Any]]:
    if name is not None:
        return _experiment(store, name, metric)
    frame = experiments(metric=metric, store=store)
    return "experiments.html", {
        "rows": records(frame),
        "direction": better(metric),
    }


def _experiment(store: SqlStore, name: str, metric: str) -> tuple[str, Mapping[str, Any]]:
    ranked = ranked_runs(name, metric=metric, store=store)
    groups = _groups(name, ranked)
    return "experiment.html", {
        "name": name,
        "runs": [
            {
                "run": run,
                "best": value,
                "params": {
                    key: item
                    for key, item in run.state.params.items()
                    if not key.startswith("model.")
                },
            }
            for run, value in ranked[:_ROWS]
        ],
        "count": len(ranked),
        "where": f"experiment = {quoted(name)}",
        "groups": groups[:_GROUPS],
        "drawn": [run.uuid for run, value in ranked if value is not None][:_CURVES],
        "palette": PALETTE,
        "direction": better(metric),
    }


def _groups(experiment: str, ranked: Sequence[tuple[Run, float | None]]) -> list[dict[str, Any]]:
    """The groups of an experiment, that of the best run first."""
    found: dict[str, list[float | None]] = {}
    for run, value in ranked:
        if run.state.group is not None:
            found.setdefault(run.state.group, []).append(value)
    return [
        {
            "name": group,
            "runs": len(values),
            "best": values[0],
            "where": f"experiment = {quoted(experiment)} and group = {quoted(group)}",
        }
        for group, values in found.items()
    ]


ROUTES = [page("/experiments", _experiments, (_NAME, _METRIC))]
