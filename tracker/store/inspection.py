"""What a store is, and whether it is whole."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select, text

from tracker.location import sqlite_path
from tracker.masking import mask_url
from tracker.store import migrate, schema
from tracker.store.opening import connect_store
from tracker.store.port import PURGED
from tracker.store.sql import SqlStore


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFacts:
    """A store, whatever the revision of its tables."""

    #: Password masked.
    url: str
    engine: str
    server: str
    #: Of its tables; None: it has none of ours.
    revision: str | None
    #: That this program needs.
    needed: str
    runs: int | None
    events: int | None
    #: Size of the database in bytes.
    bytes: int | None


def inspect_store(url: str) -> StoreFacts:
    """Look at the store at a full URL.

    Raises:
        TrackerError: It cannot be reached.
    """
    store = connect_store(url)
    try:
        with store.reading() as connection:
            found = migrate.revision(connection)
            runs = events = None
            if found is not None:
                runs = connection.execute(select(func.count()).select_from(schema.runs)).scalar()
                # Streams have no gaps but those that are known: no need to count rows.
                known = found == schema.REVISION
                there = schema.runs.c.last_seq - (schema.runs.c.dropped if known else 0)
                length = func.coalesce(func.sum(there), 0)
                events = int(connection.execute(select(length)).scalar_one())
            engine = connection.dialect.name
            version = ".".join(map(str, connection.dialect.server_version_info or ()))
            size = connection.execute(text(_SIZES[engine])).scalar()
    finally:
        store.close()
    return StoreFacts(
        url=mask_url(url),
        engine=engine,
        server=f"{engine} {version}",
        revision=found,
        needed=schema.REVISION,
        runs=runs,
        events=events,
        bytes=size,
    )


def check_store(store: SqlStore, *, quick: bool = False) -> list[str]:
    """Problems of a store's file and of its streams, one sentence each.

    Args:
        store: An open store of this program's revision.
        quick: Leave SQLite's own check of the file out, which reads all of it.
    """
    problems = []
    runs, events, appends = schema.runs, schema.events, schema.appends
    with store.reading() as connection:
        if sqlite_path(store.url) and not quick:
            answers = connection.execute(text("PRAGMA integrity_check")).scalars()
            problems += [f"The file: {answer}" for answer in answers if answer != "ok"]
        counted = (
            select(
                events.c.run_id,
                func.count().label("number"),
                func.min(events.c.seq).label("first"),
                func.max(events.c.seq).label("last"),
            )
            .group_by(events.c.run_id)
            .subquery()
        )
        covered = (
            select(
                appends.c.run_id,
                func.sum(appends.c.last_seq - appends.c.first_seq + 1).label("number"),
            )
            .group_by(appends.c.run_id)
            .subquery()
        )
        streams = connection.execute(
            select(
                runs.c.name,
                runs.c.status,
                runs.c.last_seq,
                runs.c.dropped,
                counted,
                covered.c.number.label("covered"),
            )
            .outerjoin(counted, counted.c.run_id == runs.c.id)
            .outerjoin(covered, covered.c.run_id == runs.c.id)
            .order_by(runs.c.id)
        ).all()
    for row in streams:
        number, first, last = row.number or 0, row.first or 0, row.last or 0
        begin = row.dropped + 1 if row.status == PURGED else 1
        wanted = row.last_seq - row.dropped
        if (number, first, last) != (wanted, begin, row.last_seq):
            problems.append(
                f"Run {row.name!r} should have {wanted} events from {begin} to {row.last_seq}, and "
                f"has {number} from {first} to {last}."
            )
        elif (row.covered or 0) != row.last_seq - begin + 1:
            problems.append(
                f"Run {row.name!r} has events up to {row.last_seq}, but appends of "
                f"{row.covered or 0}."
            )
    return problems


_SIZES = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    "postgresql": "SELECT pg_database_size(current_database())",
}
