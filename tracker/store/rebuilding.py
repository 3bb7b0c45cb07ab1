"""Making every projection again from the events, run by run, while others read and write.

A run's rows change in one transaction, so nobody sees half of them. How far it came is kept in the
store with every step: an interrupted rebuild goes on there.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, desc, func, insert, select, update

from tracker.event import VERSION, Record, chained, marks_of
from tracker.logs import decode
from tracker.names import uuid7
from tracker.projections import RunState, fold
from tracker.store import auditing, schema
from tracker.store.port import GENESIS, PURGED, Run
from tracker.store.reading import select_records, upcaster
from tracker.store.rows import state_values, store_changes
from tracker.store.sql import SqlStore, free_name
from tracker.upcast import upcast

_log = logging.getLogger("tracker")

#: Facts that carry the vocabulary of what follows.
_SAYING = ("run_began", "run_resumed")

_PARTS = (schema.run_params, schema.run_tags, schema.run_metrics)

#: Runs whose rows are made again in one transaction, and events (not of batches) at the most.
_RUNS, _EVENTS = 100, 50_000

#: Events of one append, where a run has lost all of its own.
_PIECE = 5_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rebuild has come."""

    runs: int
    #: Events of these runs.
    events: int
    #: The id of the run that was done last.
    reached: int


def rebuild(
    store: SqlStore,
    *,
    restart: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Drop and fold again the projections of every run.

    Args:
        store: The store.
        restart: Begin with the first run, also where an earlier rebuild was interrupted.
        progress: Called after each transaction.

    Returns:
        What was done now.
    """
    done = Progress(0, 0, _begin(store, restart=restart))
    while runs := _fold_next(store, done.reached):
        with store.writing() as connection:
            for run in runs:
                _replace(connection, run)
            connection.execute(update(schema.rebuilds).values(reached=runs[-1].id))
        events = sum(run.state.last_seq for run in runs)
        done = Progress(done.runs + len(runs), done.events + events, runs[-1].id)
        if progress:
            progress(done)
    with store.writing() as connection:
        connection.execute(delete(schema.rebuilds))
    return done


def interrupted(store: SqlStore) -> int | None:
    """The id of the last run that an unfinished rebuild has done; None: there is none."""
    with store.reading() as connection:
        return connection.execute(select(schema.rebuilds.c.reached)).scalar()


def _begin(store: SqlStore, *, restart: bool) -> int:
    with store.writing() as connection:
        reached = connection.execute(select(schema.rebuilds.c.reached)).scalar()
        if reached is not None and not restart:
            return int(reached)
        connection.execute(delete(schema.rebuilds))
        connection.execute(
            insert(schema.rebuilds).values(began_at=time.time_ns() // 1000, reached=0)
        )
        return 0


def _fold_next(store: SqlStore, reached: int) -> list[Run]:
    """The next runs as their events tell them."""
    runs: list[Run] = []
    events = 0
    with store.snapshot() as connection:
        for run_id in _ids_after(connection, reached):
            try:
                run, count = _folded(connection, run_id)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                _log.warning(
                    "Run %d cannot be rebuilt, and stays as it is: its events cannot be read (%s). "
                    "See: tracker verify",
                    run_id,
                    error,
                )
                continue
            if run.state.version > VERSION:
                _log.warning(
                    "Run %r has events of vocabulary %d, which this program does not know: it "
                    "stays as it is.",
                    run.name,
                    run.state.version,
                )
                continue
            runs.append(run)
            events += count
            if len(runs) >= _RUNS or events >= _EVENTS:
                break
    return runs


def _ids_after(connection: Connection, reached: int) -> Iterator[int]:
    """Runs that have events, whether or not they have a row: an index look-up for each."""
    wanted = select(func.min(schema.events.c.run_id))
    while True:
        found = connection.execute(wanted.where(schema.events.c.run_id > reached)).scalar()
        if found is None:
            return
        reached = int(found)
        yield reached


def _folded(connection: Connection, run_id: int) -> tuple[Run, int]:
    """A run as its events tell it, and how many of them had to be looked at."""
    stored = connection.execute(select(schema.runs).where(schema.runs.c.id == run_id)).first()
    appends, events = schema.appends, schema.events
    oldest, newest = connection.execute(
        select(func.min(appends.c.version), func.max(appends.c.version)).where(
            appends.c.run_id == run_id
        )
    ).one()
    head = connection.execute(
        select(appends.c.hash)
        .where(appends.c.run_id == run_id)
        .order_by(desc(appends.c.first_seq))
        .limit(1)
    ).scalar()
    run = Run(
        id=run_id,
        uuid=stored.uuid if stored else "",
        given_name=stored.given_name if stored else "",
        writer=stored.writer if stored else secrets.token_hex(8),
        head=_head(stored.head if stored else head),
        state=RunState(version=newest or VERSION, oldest_version=oldest or VERSION),
    )
    # Batches say nothing to the fold but where the stream ends.
    rows = connection.execute(
        select_records(run_id).where(events.c.batch.is_(None)).order_by(events.c.seq)
    )
    records = [Record(*row) for row in rows]
    if oldest is None:  # its seals are gone; its facts tell of which vocabulary it was
        said = [decode(one.logs).get("version", 1) for one in records if one.kind in _SAYING]
        run = replace(run, state=RunState(version=max(said, default=VERSION),
                                          oldest_version=min(said, default=VERSION)))  # fmt: skip
        records = list(upcast(records, run.state.oldest_version))
    else:
        records = upcaster(connection, run)(records)
    last = connection.execute(select_records(run_id).order_by(desc(events.c.seq)).limit(1)).first()
    assert last is not None
    state = replace(fold(run.state, records), last_seq=last.seq, last_at=last.at)
    state = replace(state, version=run.state.version, oldest_version=run.state.oldest_version)
    if stored is None:
        run = replace(run, **_identity(records, state))
    return replace(run, state=state), len(records)


def _head(stored: object) -> bytes:
    return bytes(stored) if isinstance(stored, bytes | memoryview) else GENESIS


def _identity(records: Sequence[Record], state: RunState) -> dict[str, Any]:
    """What a run's row was, as far as its first event tells."""
    data = decode(records[0].logs) if records else {}
    uuid = str(data.get("uuid") or uuid7())
    purged = state.status == PURGED
    return {"uuid": uuid, "given_name": uuid if purged else str(data.get("name") or uuid)}


def _replace(connection: Connection, run: Run) -> None:
    """Make a run's rows those of its events."""
    runs = schema.runs
    locked = select(runs.c.last_seq, runs.c.head).where(runs.c.id == run.id).with_for_update()
    there = connection.execute(locked).first()
    if there and there.head != run.head:  # its writer was faster
        run, _ = _folded(connection, run.id)
    if there is None:
        run = replace(run, given_name=free_name(connection, run.given_name))
    # Names that were mixed up are given back one by one.
    mixed_up = update(runs).where(runs.c.name == run.name).where(runs.c.id != run.id)
    connection.execute(mixed_up.values(name=runs.c.uuid))
    values = {"name": run.name, **state_values(run.state)}
    if there is None:
        identity = {name: getattr(run, name) for name in ("id", "uuid", "given_name", "writer")}
        connection.execute(insert(runs).values(**identity, head=run.head, **values))
    else:
        connection.execute(update(runs).where(runs.c.id == run.id).values(**values))
    for table in _PARTS:
        connection.execute(delete(table).where(table.c.run_id == run.id))
    store_changes(connection, run.id, RunState(), run.state)
    has_appends = select(schema.appends.c.first_seq).where(schema.appends.c.run_id == run.id)
    if connection.execute(has_appends.limit(1)).first() is None:
        _seal(connection, run)


def _seal(connection: Connection, run: Run) -> None:
    """Seal a run's stream as it is now, where nothing is left of what sealed it."""
    head, first, version = GENESIS, 1, run.state.oldest_version
    seq = schema.events.c.seq
    pruned_until = auditing.pruned_until(connection, run)
    while True:
        wanted = select_records(run.id).where(seq >= first).order_by(seq).limit(_PIECE)
        if first <= pruned_until:  # what pruning left is vouched for in another way
            wanted = wanted.where(seq <= pruned_until)
        records = [Record(*row) for row in connection.execute(wanted)]
        if not records:
            break
        if first == 1 and records[0].kind == "run_purged":
            head = bytes.fromhex(str(decode(records[0].logs).get("head") or ""))
            first = records[0].seq
        after = chained(head, records, version)
        connection.execute(
            insert(schema.appends).values(
                run_id=run.id,
                first_seq=first,
                last_seq=records[-1].seq,
                version=version,
                recorded_at=time.time_ns() // 1000,
                prev_hash=head,
                hash=after,
                marks=marks_of(records),
            )
        )
        head, first = after, records[-1].seq + 1
    connection.execute(update(schema.runs).where(schema.runs.c.id == run.id).values(head=head))
