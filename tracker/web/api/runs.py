"""Runs: the list, and one of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tracker import query
from tracker.grouping import metric_names
from tracker.store.sql import SqlStore
from tracker.timings import timing
from tracker.web.endpoints import Endpoint
from tracker.web.parameters import Parameter

RUN = Parameter("run", "A name, id, UUID, unique beginning, @last or @last~2.", in_path=True)
WHERE = Parameter("where", 'A filter, such as: status = "failed" and params.lr > 0.01')
_ROWS = {"type": "array", "items": {"type": "object"}}


def _runs(store: SqlStore, **asked: Any) -> pd.DataFrame:
    return query.runs(store=store, **asked)


def _run(store: SqlStore, run: str) -> dict[str, Any]:
    return query.describe(run, store=store)


def _history(store: SqlStore, run: str) -> pd.DataFrame:
    return query.history(run, store=store)


def _timing(store: SqlStore, run: str) -> pd.DataFrame:
    return timing(run, store=store)


def _metrics(store: SqlStore) -> list[str]:
    return metric_names(store=store)


ENDPOINTS = (
    Endpoint(
        path="/runs",
        summary="The runs, the latest first",
        answer=_runs,
        parameters=(
            WHERE,
            Parameter("sort", "Fields, - before one for the greatest first: -started,val_loss:min"),
            Parameter("limit", "At most so many.", "integer", 100, least=1, most=1000),
            Parameter("after", "A run: those that follow it in the order."),
            Parameter("columns", "Only these, with commas between them."),
            Parameter("only_changed", "Only columns in which they differ.", "flag", False),
            Parameter("archived", "Archived ones, too.", "flag", False),
            Parameter("workers", "All processes that trained together.", "flag", False),
        ),
        is_table=True,
        schema=_ROWS,
    ),
    Endpoint(
        path="/runs/{run}",
        summary="One run: how it went, params, model, environment, metrics",
        answer=_run,
        parameters=(RUN,),
    ),
    Endpoint(
        path="/runs/{run}/history",
        summary="What happened to a run, and who stated what of it",
        answer=_history,
        parameters=(RUN,),
        is_table=True,
        schema=_ROWS,
    ),
    Endpoint(
        path="/runs/{run}/timing",
        summary="Where the time went, per epoch and call",
        answer=_timing,
        parameters=(RUN,),
        is_table=True,
        schema=_ROWS,
    ),
    Endpoint(
        path="/metrics",
        summary="Names of all metrics of the store",
        answer=_metrics,
        schema={"type": "array", "items": {"type": "string"}},
    ),
)
