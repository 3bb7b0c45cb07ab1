"""Runs side by side: what differs, and where they part."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tracker.comparing import compare, diff
from tracker.store.sql import SqlStore
from tracker.web.endpoints import Endpoint
from tracker.web.parameters import Parameter

#: Runs that are compared at once, at most.
MOST_RUNS = 50


def _diff(store: SqlStore, **asked: Any) -> dict[str, Any]:
    return diff(store=store, **asked).to_dict()


def _compare(store: SqlStore, run: list[str], all: bool) -> pd.DataFrame:
    return compare(run, all=all, store=store)


_ALL = Parameter("all", "What is the same, too.", "flag", False)

ENDPOINTS = (
    Endpoint(
        path="/diff",
        summary="What differs between two runs, and the first event at which they part",
        answer=_diff,
        parameters=(
            Parameter("a", "A run.", required=True),
            Parameter("b", "The other.", required=True),
            Parameter("rtol", "Relative tolerance.", "number", 0.0, least=0.0, most=1e300),
            Parameter("atol", "Absolute tolerance.", "number", 0.0, least=0.0, most=1e300),
            _ALL,
        ),
    ),
    Endpoint(
        path="/compare",
        summary="Several runs, a column each",
        answer=_compare,
        parameters=(Parameter("run", "The runs.", required=True, many=MOST_RUNS), _ALL),
        is_table=True,
        schema={"type": "array", "items": {"type": "object"}},
    ),
)
