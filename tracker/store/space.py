"""How much room runs take in a database, and returning it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import Connection, Text, case, cast, func, select, text

from tracker.errors import StoreFull, StoreUnreachable
from tracker.location import sqlite_path
from tracker.masking import mask_url
from tracker.store import schema
from tracker.store.sql import SqlStore

_log = logging.getLogger("tracker")

#: What a row takes beside its logs, roughly: it only has to be right between runs of one store.
_ROW = 40


@dataclass(frozen=True, slots=True)
class Share:
    """What one run takes."""

    run_id: int
    events: int
    batch_events: int
    bytes: int
    #: What pruning (without `every`) would drop, were the run over.
    prunable_events: int
    prunable_bytes: int


def shares(store: SqlStore) -> list[Share]:
    """What each run takes of the store; reads all of its events."""
    events = schema.events
    weight = func.length(cast(events.c.logs, Text)) + _ROW
    batch = events.c.batch.is_not(None)
    with store.reading() as connection:
        rows = connection.execute(
            select(
                events.c.run_id,
                func.count().label("events"),
                func.sum(weight).label("weight"),
                func.sum(case((batch, 1), else_=0)).label("batch_events"),
                func.sum(case((batch, weight), else_=0)).label("batches"),
            ).group_by(events.c.run_id)
        ).all()
        groups = (
            select(events.c.run_id)
            .where(batch)
            .group_by(events.c.run_id, events.c.attempt, events.c.call, events.c.epoch,
                      events.c.kind)
            .subquery()
        )  # fmt: skip
        counted = select(groups.c.run_id, func.count()).group_by(groups.c.run_id)
        kept = {int(run_id): int(count) for run_id, count in connection.execute(counted)}
        size = _size(connection)
    total = sum(int(row.weight) for row in rows) or 1
    found = []
    for row in rows:
        batches = int(row.batch_events)
        prunable = batches - kept.get(row.run_id, 0)
        share = int(row.batches) * prunable / batches if batches else 0
        found.append(
            Share(
                run_id=row.run_id,
                events=row.events,
                batch_events=batches,
                bytes=round(size * int(row.weight) / total),
                prunable_events=prunable,
                prunable_bytes=round(size * share / total),
            )
        )
    return found


def give_back(store: SqlStore) -> None:
    """Return what was deleted to the file system, where the engine does not see to it itself."""
    if not sqlite_path(store.url):
        return  # autovacuum does
    try:
        with store.without_transaction() as connection:
            connection.execute(text("VACUUM"))
            # Of the log, which VACUUM wrote all pages to.
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    except (StoreUnreachable, StoreFull) as error:
        _log.warning(
            "The space that was freed in %s is used again by new events, but not given back to "
            "the disk: %s",
            mask_url(store.url),
            error,
        )


def _size(connection: Connection) -> int:
    """The bytes of the tables of history, or of the whole file."""
    if connection.dialect.name == "sqlite":
        pages = (
            "SELECT (page_count - freelist_count) * page_size FROM pragma_page_count(), "
            "pragma_freelist_count(), pragma_page_size()"
        )
        return int(connection.execute(text(pages)).scalar_one())
    tables = [table.name for table in schema.APPEND_ONLY]
    return sum(
        int(connection.execute(select(func.pg_total_relation_size(name))).scalar_one())
        for name in tables
    )
