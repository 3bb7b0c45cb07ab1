"""A run at any event of its stream: what was known then, and what had just happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.plots.naming import metrics_of, usual_of
from tracker.query import events, run_of
from tracker.replaying.moment import state
from tracker.store.sql import SqlStore
from tracker.web.api.runs import RUN
from tracker.web.api.streams import MOST
from tracker.web.pages.page import page
from tracker.web.pages.tables import records
from tracker.web.parameters import Parameter

#: Events that are listed: the one that had just happened, and those before it.
_SHOWN = 14

_SEQ = Parameter("seq", "The event.", "integer", least=1, most=MOST)
_SEQ_IN_PATH = _SEQ._replace(in_path=True)
_AT = Parameter("at", "seq:N, epoch:E, end, or a time.")


def _travel(store: SqlStore, run: str, seq: int | None) -> tuple[str, Mapping[str, Any]]:
    found = run_of(run, store=store)
    metrics = [name for name in metrics_of([found]) if not name.startswith("test_")]
    return "travel.html", {
        "metrics": metrics,
        "metric": usual_of(metrics),
        **_at(store, found.uuid, None if seq is None else f"seq:{seq}"),
    }


def _moment(store: SqlStore, run: str, at: str | None) -> tuple[str, Mapping[str, Any]]:
    """The part of the page that changes."""
    return "moment.html", _at(store, run, at)


def _at(store: SqlStore, run: str, at: str | None) -> Mapping[str, Any]:
    found = run_of(run, store=store)
    moment = state(found.uuid, at, store=store)
    past = events(
        found.uuid,
        after=max(moment.seq - _SHOWN, 0),
        until=moment.seq,
        logs="dict",
        store=store,
    )
    return {"run": found, "moment": moment, "past": records(past[::-1])}


ROUTES = [
    page("/runs/{run}/at", _travel, (RUN, _SEQ)),
    page("/runs/{run}/at/{seq}", _travel, (RUN, _SEQ_IN_PATH)),
    page("/runs/{run}/moment", _moment, (RUN, _AT)),
]
