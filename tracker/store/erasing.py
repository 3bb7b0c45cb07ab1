"""Deleting from the history, which nothing but pruning and purging may."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import Connection, delete, func, insert, select, update

from tracker.event import Record
from tracker.store import schema
from tracker.store.auditing import check_whole
from tracker.store.port import Run
from tracker.store.reading import select_records

_PARTS = (schema.chunks, schema.run_params, schema.run_tags, schema.run_metrics)


def drop_batches(connection: Connection, run: Run, every: int | None) -> int:
    """Delete a run's batch events but those that `EventStore.prune` keeps; returns how many.

    Raises:
        IntegrityFailure: The stream is not what was appended.
    """
    check_whole(connection, run)
    events = schema.events
    of_batches = (events.c.run_id == run.id) & events.c.batch.is_not(None)
    row_of_batches = (events.c.attempt, events.c.call, events.c.epoch, events.c.kind)
    last = select(func.max(events.c.seq)).where(of_batches).group_by(*row_of_batches)
    doomed = delete(events).where(of_batches).where(events.c.seq.not_in(last))
    if every:
        doomed = doomed.where(events.c.batch % every != 0)
    with _permitted(connection, run):
        dropped = connection.execute(doomed).rowcount
    if dropped:
        connection.execute(delete(schema.chunks).where(schema.chunks.c.run_id == run.id))
    return dropped


def kept(connection: Connection, run: Run) -> Iterator[Record]:
    """What is left of a run's stream, in order."""
    seq = schema.events.c.seq
    wanted = select_records(run.id).where(seq <= run.state.last_seq).order_by(seq)
    rows = connection.execute(wanted.execution_options(yield_per=5_000))
    return (Record(*row) for row in rows)


def drop_all(connection: Connection, run: Run) -> None:
    """Delete all of a run but its row."""
    with _permitted(connection, run):
        for table in (schema.events, schema.appends, *_PARTS):
            connection.execute(delete(table).where(table.c.run_id == run.id))


def forget(connection: Connection, run: Run) -> None:
    """Take from a purged run's row what no event says: its name, its writer, its life."""
    connection.execute(
        update(schema.runs)
        .where(schema.runs.c.id == run.id)
        .values(given_name=run.uuid, name=run.uuid, writer="", heartbeat_at=None)
    )


@contextlib.contextmanager
def _permitted(connection: Connection, run: Run) -> Iterator[None]:
    """Have the triggers that guard the history let deletions of one run's pass."""
    connection.execute(insert(schema.erasures).values(run_id=run.id))
    yield
    connection.execute(delete(schema.erasures).where(schema.erasures.c.run_id == run.id))
