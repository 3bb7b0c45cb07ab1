"""Which runs a store has: found, in order, page by page, and listed; without pandas."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tracker.errors import InvalidArgument
from tracker.listing import Listing, param_columns, run_listing
from tracker.liveness import with_lost
from tracker.ordering import LATEST_FIRST
from tracker.selection import listed, select_run
from tracker.store.port import Run
from tracker.store.rows import load_runs_in_order
from tracker.store.sql import SqlStore


def found_runs(
    store: SqlStore,
    *,
    where: str | None = None,
    sort: str | None = None,
    limit: int | None = None,
    after: str | int | None = None,
    archived: bool = False,
    workers: bool = False,
    described: bool = True,
) -> list[Run]:
    """The runs of a store with what its projections say; see `tracker.query.runs`.

    `described` as for `tracker.store.rows.load_runs`.

    Raises:
        InvalidArgument: `limit` is negative.
        InvalidFilter: `where` or `sort` cannot be understood.
        RunNotFound, AmbiguousRun: `after` is not exactly one.
    """
    if limit is not None and limit < 0:
        raise InvalidArgument(f"limit must be 0 or more, or None. Received: {limit}.")
    condition = listed(archived=archived, workers=workers)
    if where is not None:
        from tracker.where import compile_where  # loads a parser, which others need not wait for

        condition &= compile_where(where)
    anchor = None if after is None else select_run(store, after)
    with store.snapshot() as connection:
        order = LATEST_FIRST
        if sort is not None:
            from tracker.where import compile_order

            order = compile_order(connection, sort)
        rarely = None
        # PostgreSQL knows whether an index soon finds what the filter is true for.
        if where is not None and connection.dialect.name != "postgresql":
            from tracker.where import by_sets

            rarely = partial(by_sets, connection)
        ids = order.ids(connection, condition, limit=limit, after=anchor, rarely=rarely)
        return with_lost(load_runs_in_order(connection, ids, described=described))


def listed_runs(
    store: SqlStore,
    *,
    columns: str | Sequence[str] | None = None,
    only_changed: bool = False,
    **asked: Any,
) -> Listing:
    """What `found_listing` shows of what `found_runs` finds; arguments and errors of both."""
    # Nothing else shows params or tags.
    described = columns is not None or only_changed
    found = found_runs(store, described=described, **asked)
    return found_listing(store, found, columns=columns, only_changed=only_changed)


def found_listing(
    store: SqlStore,
    runs: Sequence[Run],
    *,
    columns: str | Sequence[str] | None = None,
    only_changed: bool = False,
) -> Listing:
    """The runs as columns; see `tracker.query.runs`.

    Raises:
        UnknownColumn: There is no such column.
        InvalidFilter: One of the columns cannot be understood.
    """
    listing = run_listing(runs)
    if columns is not None:
        if not _are_known(listing, columns):
            from tracker.where import shown_columns

            with store.reading() as connection:
                listing = shown_columns(connection, runs, listing, columns)
        else:
            listing = listing.picked(_names(columns))
    elif only_changed:
        listing = Listing({**listing.columns, **param_columns(runs)}, len(runs))
    return listing.changed() if only_changed else listing


def _names(columns: str | Sequence[str]) -> list[str]:
    names = columns.split(",") if isinstance(columns, str) else columns
    return [name.strip() for name in names]


def _are_known(listing: Listing, columns: str | Sequence[str]) -> bool:
    """Whether all are columns that every list has: then no parser need be loaded."""
    return all(name in listing.columns for name in _names(columns))
