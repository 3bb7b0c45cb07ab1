"""The list of runs, as a table or as a grid of curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tracker.errors import InvalidFilter, UnknownColumn
from tracker.listing import LENGTH, TIME, Column, Listing, param_columns
from tracker.plots.figure import PALETTE
from tracker.plots.naming import metrics_of
from tracker.search import found_listing, found_runs
from tracker.store.port import Run
from tracker.store.sql import SqlStore
from tracker.web.api.curves import AXIS, SMOOTH
from tracker.web.pages.figures import LOG
from tracker.web.pages.page import page
from tracker.web.parameters import Parameter

#: Rows that a page has at first, and that each scroll adds; and how many of them its first answer
#: has, which are more than a screen shows: a browser draws them in half the time of all.
ROWS, _AT_ONCE = 100, 40
#: Runs and metrics that the grid of curves draws.
_CURVES, _CARDS = 10, 24

STATUSES = ("running", "finished", "failed", "interrupted", "crashed", "lost")
_USUAL = ("status", "name", "experiment", "started", "duration", "epochs")
_HIDDEN = frozenset({"id", "events", "attempt", "error", "host", "uuid", "heartbeat", "group",
                     "rank", "note", "archived"})  # fmt: skip
_METRICS = 6

_WHERE = Parameter("where", "A filter.")
_STATUS = Parameter("status", "Only of this status.", choices=STATUSES)
_SORT = Parameter("sort", "Fields, - before one for the greatest first.")
_COLUMNS = Parameter("cols", "Columns, with commas between them.")
_AFTER = Parameter("after", "The run behind which the rows begin.")
_LIMIT = Parameter("limit", "At most so many rows.", "integer", ROWS, least=1, most=ROWS)
_LIKE = Parameter("like", "The columns of the rows before.", many=500)
_VIEW = Parameter("view", "A table, or curves.", default="table", choices=("table", "charts"))
_METRIC = Parameter("metric", "Whose small curve each row has.", default="val_loss")


class Cell(NamedTuple):
    """A value, and how it is shown."""

    value: Any
    #: text, number, time (microseconds), length (seconds), status or name.
    kind: str


class _More(NamedTuple):
    """The rows that follow."""

    after: str
    limit: int
    #: When they are asked for: `load`, at once, or `revealed`, when somebody scrolls there.
    when: str


class Row(NamedTuple):
    """A run in the table."""

    uuid: str
    name: str
    cells: Sequence[Cell]


def _runs(store: SqlStore, **asked: Any) -> tuple[str, Mapping[str, Any]]:
    shown, more = _page(store, asked, ROWS)
    listing, columns = _listing(store, shown, asked["cols"])
    is_table = asked["view"] == "table"
    rows = _rows(listing, columns, shown)
    values: dict[str, Any] = {
        "rows": rows[:_AT_ONCE] if is_table else rows,
        "columns": columns,
        "numbers": {name for name in columns if _kind(listing, name) in ("number", "length")},
        "more": more,
        "statuses": STATUSES,
        "choices": _choices(listing, shown),
    }
    if is_table:
        if len(rows) > _AT_ONCE:
            rest = len(rows) - _AT_ONCE
            values["more"] = _More(rows[_AT_ONCE - 1].uuid, rest, "load")
    else:
        values["metrics"] = metrics_of(shown[:_CURVES])[:_CARDS]
        values |= {"drawn": _CURVES, "palette": PALETTE}
    return "runs.html", values


def _more(store: SqlStore, **asked: Any) -> tuple[str, Mapping[str, Any]]:
    """The rows behind those that a page has."""
    shown, more = _page(store, asked, asked["limit"])
    columns: Sequence[str] = asked["like"]
    if columns:
        listing = _like(store, shown, columns)
    else:
        listing, columns = _listing(store, shown, asked["cols"])
    return "runs_rows.html", {
        "rows": _rows(listing, columns, shown),
        "columns": columns,
        "more": more,
    }


def _page(store: SqlStore, asked: Mapping[str, Any], limit: int) -> tuple[list[Run], _More | None]:
    """So many runs at the most, and what follows them."""
    found = _found(store, asked, limit + 1)
    shown = found[:limit]
    return shown, _More(shown[-1].uuid, ROWS, "revealed") if len(found) > limit else None


def _found(store: SqlStore, asked: Mapping[str, Any], limit: int) -> list[Run]:
    where, status = asked["where"], asked["status"]
    if status is not None:
        if where is not None:
            found_runs(store, where=where, limit=0)  # a mistake is shown in what was written
        own = f'status = "{status}"'
        where = own if where is None else f"({where}) and {own}"
    return found_runs(store, where=where, sort=asked["sort"], limit=limit, after=asked["after"])


def _listing(
    store: SqlStore, runs: Sequence[Run], columns: str | None
) -> tuple[Listing, Sequence[str]]:
    """The runs as columns, and which of them are shown."""
    listing = found_listing(store, runs)
    if columns is None:
        # A metric without a name could be no part of an address.
        metrics = [name for name in listing.columns if name not in {*_USUAL, *_HIDDEN, ""}]
        return listing, [*_USUAL, *metrics[:_METRICS]]
    chosen = found_listing(store, runs, columns=columns)
    names = list(chosen.columns)
    # Whatever is chosen, a row has its run's name and status.
    names = [*(name for name in ("status", "name") if name not in names), *names]
    return Listing({**listing.columns, **chosen.columns}, listing.rows), names


def _like(store: SqlStore, runs: Sequence[Run], names: Sequence[str]) -> Listing:
    """The runs as these columns, which may be of what none of them has."""
    columns = dict(found_listing(store, runs).columns)
    for name in names:
        if name not in columns:
            try:
                (found,) = found_listing(store, runs, columns=[name]).columns.values()
            except (InvalidFilter, UnknownColumn):
                found = Column([None] * len(runs), "float64")
            columns[name] = found
    return Listing(columns, len(runs))


def _rows(listing: Listing, columns: Sequence[str], runs: Sequence[Run]) -> list[Row]:
    cells = [
        [Cell(value, kind) for value in listing.columns[name].data]
        for name, kind in ((name, _kind(listing, name)) for name in columns)
    ]
    return [
        Row(run.uuid, run.name, [column[place] for column in cells])
        for place, run in enumerate(runs)
    ]


def _kind(listing: Listing, name: str) -> str:
    if name in ("status", "name"):
        return name
    dtype = listing.columns[name].dtype
    kinds = {TIME: "time", LENGTH: "length", "Int64": "number", "float64": "number"}
    return kinds.get(dtype, "text")


def _choices(listing: Listing, runs: Sequence[Run]) -> list[str]:
    """What the column chooser offers, of the runs that are shown."""
    own = [name for name in listing.columns if name not in ("status", "name")]
    return list(dict.fromkeys([*own, *param_columns(runs)]))[:300]


_PARAMETERS = (_WHERE, _STATUS, _SORT, _COLUMNS, _METRIC, _AFTER, _VIEW, AXIS, SMOOTH, LOG)

ROUTES = [
    page("/runs", _runs, _PARAMETERS),
    page("/runs/more", _more, (*_PARAMETERS, _LIMIT, _LIKE)),
]
