"""Experiments, and groups of runs."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tracker.aggregates import aggregate_metrics
from tracker.grouping import experiments
from tracker.store.sql import SqlStore
from tracker.web.api.runs import WHERE
from tracker.web.endpoints import Endpoint
from tracker.web.parameters import Parameter


def _experiments(store: SqlStore) -> pd.DataFrame:
    return experiments(store=store)


def _aggregate(store: SqlStore, run: list[str], metric: list[str], **asked: Any) -> pd.DataFrame:
    return aggregate_metrics(run or None, names=metric or None, store=store, **asked)


ENDPOINTS = (
    Endpoint(
        path="/experiments",
        summary="The experiments, and their best runs",
        answer=_experiments,
        is_table=True,
        schema={"type": "array", "items": {"type": "object"}},
    ),
    Endpoint(
        path="/aggregate",
        summary="Mean, deviation and ends of metrics over several runs, epoch by epoch",
        answer=_aggregate,
        parameters=(
            Parameter("run", "The runs.", many=50),
            Parameter("group", "Those of a group."),
            WHERE,
            Parameter("metric", "Only these.", many=20),
        ),
        is_table=True,
        schema={"type": "array", "items": {"type": "object"}},
    ),
)
