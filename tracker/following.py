"""How far runs are: what those who follow them ask again and again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from sqlalchemy import func, select

from tracker.liveness import LOST, with_lost
from tracker.logs import decode
from tracker.store import schema
from tracker.store.reading import without_batches
from tracker.store.rows import load_runs
from tracker.store.sql import SqlStore


class Progress(NamedTuple):
    """How far a run is."""

    uuid: str
    name: str
    status: str
    #: The seq of its last event.
    seq: int
    #: Epochs that ended.
    epochs: int


def progress_of(uuids: Collection[str], store: SqlStore) -> dict[str, Progress]:
    """How far these runs are, by UUID; unknown ones are left out.

    That a running one is lost is not told: see `lost_among`.
    """
    runs = schema.runs.c
    wanted = select(runs.uuid, runs.name, runs.status, runs.last_seq, runs.epochs).where(
        runs.uuid.in_(sorted(uuids))
    )
    with store.reading() as connection:
        return {row.uuid: Progress(*row) for row in connection.execute(wanted)}


def lost_among(uuids: Collection[str], store: SqlStore) -> set[str]:
    """Which of these runs are lost."""
    with store.reading() as connection:
        found = with_lost(load_runs(connection, sorted(uuids)))
    return {run.uuid for run in found if run.state.status == LOST}


def last_epochs(
    uuids: Collection[str], most: int, store: SqlStore
) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the last ends of epochs of these runs logged, in order: UUID and logs.

    Args:
        uuids: The runs.
        most: Ends of epochs of each run.
        store: The store.
    """
    runs, events = schema.runs.c, schema.events.c
    place = func.row_number().over(partition_by=events.run_id, order_by=events.seq.desc())
    ends = (
        without_batches(select(events.run_id, events.seq, events.logs, place.label("place")))
        .where(events.kind == "epoch_end")
        .where(events.run_id.in_(select(runs.id).where(runs.uuid.in_(sorted(uuids)))))
        .subquery()
    )
    wanted = (
        select(runs.uuid, ends.c.logs)
        .join(ends, ends.c.run_id == runs.id)
        .where(ends.c.place <= most)
        .order_by(ends.c.run_id, ends.c.seq)
    )
    with store.reading() as connection:
        rows = connection.execute(wanted).all()
    for row in rows:
        yield row.uuid, decode(row.logs)
