"""The stream of one run: its events, and its state at one of them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tracker import query
from tracker.event import KINDS
from tracker.replaying.moment import state
from tracker.store.sql import SqlStore
from tracker.web.api.runs import RUN
from tracker.web.endpoints import Endpoint
from tracker.web.parameters import Parameter

#: Greater seqs are in no store.
MOST = 2**53
#: Events that are answered where nobody says how many.
_USUAL = 1000


def _events(
    store: SqlStore, run: str, kind: list[str], limit: int | None, tail: int | None, **asked: Any
) -> pd.DataFrame:
    if limit is None and tail is None:
        limit = _USUAL
    frame: pd.DataFrame = query.events(
        run, kind=kind or None, limit=limit, tail=tail, logs="dict", store=store, **asked
    )
    return frame


def _state(store: SqlStore, run: str, at: str | None) -> dict[str, Any]:
    return state(run, at, store=store).to_dict()


def _counts(store: SqlStore, run: str) -> pd.DataFrame:
    return query.count(run, store=store)


ENDPOINTS = (
    Endpoint(
        path="/runs/{run}/events",
        summary="Events of a run, in order",
        answer=_events,
        parameters=(
            RUN,
            Parameter("kind", "Only of these kinds.", choices=KINDS, many=len(KINDS)),
            Parameter("after", "Only those behind this seq.", "integer", 0, least=0, most=MOST),
            Parameter("until", "Only those up to this seq.", "integer", least=0, most=MOST),
            Parameter("call", "Only of this call.", "integer", least=0, most=2**31 - 1),
            Parameter("epoch", "Only of this epoch.", "integer", least=0, most=2**53),
            Parameter(
                "limit",
                f"The first ones, so many; default: {_USUAL}.",
                "integer",
                least=1,
                most=10_000,
            ),
            Parameter("tail", "Only the last ones, so many.", "integer", least=1, most=10_000),
        ),
        is_table=True,
        schema={"type": "array", "items": {"type": "object"}},
    ),
    Endpoint(
        path="/runs/{run}/state",
        summary="What a run looked like at some point",
        answer=_state,
        parameters=(RUN, Parameter("at", "seq:N, epoch:E, end, or a time. Default: the end.")),
    ),
    Endpoint(
        path="/runs/{run}/counts",
        summary="How many events of each kind a run has",
        answer=_counts,
        parameters=(RUN,),
        is_table=True,
        schema={"type": "array", "items": {"type": "object"}},
    ),
)
