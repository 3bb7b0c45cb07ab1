"""Rows of `events` → records of today's vocabulary."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, select

from tracker.event import VERSION, Record
from tracker.projections import HISTORY_KINDS, History
from tracker.store import schema
from tracker.store.port import Run
from tracker.upcast import upcast

#: What to do to records of one run, so that they are of today's vocabulary.
Upcaster = Callable[[Sequence[Record]], list[Record]]


def select_records(run_id: int) -> Select[Any]:
    """Every record of a run, in no order; columns as the fields of `Record`."""
    columns = [schema.events.c[name] for name in Record._fields]
    return select(*columns).where(schema.events.c.run_id == run_id)


def without_batches(wanted: Select[Any]) -> Select[Any]:
    """Of a select of events, those of no batch."""
    # SQLite has no statistics of a store that nobody analyzed, and goes by the primary key then:
    # 100 ms in a million events, and not 0.5.
    hint = f"INDEXED BY {schema.COARSE}"
    return wanted.where(schema.events.c.batch.is_(None)).with_hint(
        schema.events, hint, dialect_name="sqlite"
    )


def upcaster(connection: Connection, run: Run) -> Upcaster:
    """What makes today's records of those that the store has of a run."""
    if run.state.oldest_version >= VERSION:
        return list
    versions = connection.execute(
        select(schema.appends.c.first_seq, schema.appends.c.version)
        .where(schema.appends.c.run_id == run.id)
        .order_by(schema.appends.c.first_seq)
    ).all()
    return lambda records: list(_upcast(records, versions))


def _upcast(records: Iterable[Record], versions: Sequence[Any]) -> Iterator[Record]:
    firsts = [first for first, _ in versions]

    def version_of(record: Record) -> int:
        place = bisect_right(firsts, record.seq) - 1
        return int(versions[place].version) if place >= 0 else VERSION

    for version, piece in groupby(records, version_of):
        yield from upcast(list(piece), version)


def coarse_of(connection: Connection, run: Run, kinds: Sequence[str]) -> list[Record]:
    """The events of a run that are of these kinds, none of which is of batches."""
    seq, kind = schema.events.c.seq, schema.events.c.kind
    wanted = without_batches(select_records(run.id)).where(kind.in_(kinds)).order_by(seq)
    return upcaster(connection, run)([Record(*row) for row in connection.execute(wanted)])


def history_of(connection: Connection, run: Run) -> History:
    """What a fold may look back at: see `tracker.projections.fold`."""

    def load() -> list[Record]:
        events = schema.events
        wanted = (
            without_batches(select_records(run.id))
            .where(events.c.kind.in_(HISTORY_KINDS))
            .where(events.c.seq <= run.state.last_seq)
            .order_by(events.c.seq)
        )
        records = [Record(*row) for row in connection.execute(wanted)]
        return upcaster(connection, run)(records)

    return load
