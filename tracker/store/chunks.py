"""Chunks: sealed ranges of streams, column by column, which long runs are read from.

They are a cache of the events and never the truth: dropped and made again at will, and read only
where their hash is right. Whoever ships a run makes them when a range is complete, with nothing
else to do; `tracker rebuild --chunks` makes those of all runs.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any, TypeVar

import pyarrow as pa
from sqlalchemy import Connection, Row, Text, delete, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from tracker.columns import (
    FORMAT,
    Columns,
    NotColumnar,
    columns_of_records,
    columns_of_texts,
    from_bytes,
)
from tracker.event import VERSION, Record
from tracker.store import schema
from tracker.store.port import PURGED, Run
from tracker.store.reading import select_records, upcaster
from tracker.store.rows import load_runs
from tracker.store.sealing import SIZE
from tracker.store.sql import SqlStore

_log = logging.getLogger("tracker")

_Made = TypeVar("_Made")

#: Rows that a database joins into one text for each column, at the most.
_PAGE = SIZE

#: Chunks that are unpacked at once, and by how many threads.
_AT_ONCE = 64
_THREADS = min(4, os.cpu_count() or 1)

# Both engines have it; SQLAlchemy's own form differs with the engine.
_INSERT = text(
    "INSERT INTO chunks (run_id, first_seq, last_seq, format, hash, body) "
    "VALUES (:run_id, :first_seq, :last_seq, :format, :hash, :body) "
    "ON CONFLICT (run_id, first_seq) DO UPDATE SET last_seq = excluded.last_seq, "
    "format = excluded.format, hash = excluded.hash, body = excluded.body"
)


class joined(FunctionElement[str]):  # noqa: N801 - SQL
    """All values of a column as one text, separated by commas; nothing where one is NULL."""

    type = Text()
    inherit_cache = True


@compiles(joined, "sqlite")
def _joined_sqlite(element: joined, compiler: Any, **keywords: Any) -> str:
    # With a separator of its own it takes twice as long.
    return f"group_concat(ifnull({compiler.process(element.clauses, **keywords)}, ''))"


@compiles(joined, "postgresql")
def _joined_postgresql(element: joined, compiler: Any, **keywords: Any) -> str:
    value = compiler.process(element.clauses, **keywords)
    return f"string_agg(coalesce(CAST({value} AS TEXT), ''), ',')"


def seal(
    store: SqlStore,
    uuid: str,
    *,
    after: int = 0,
    most: int | None = None,
    going_on: Callable[[], bool] = lambda: True,
) -> int:
    """Make the chunks that a run lacks.

    Args:
        store: The store.
        uuid: The run.
        after: Only of ranges that begin after this seq, which a caller knows to be done.
        most: At most so many.
        going_on: Asked before each.

    Returns:
        The seq up to which all is done: that of the last complete range, if `most` allowed it.

    Raises:
        TrackerError: The store refused.
    """
    with store.reading() as connection:
        run = _sealable(connection, uuid)
        there = set() if run is None else _good(connection, run, after)
    made = 0
    while run is not None and after + SIZE <= run.state.last_seq:
        if after + 1 not in there:
            if made == most or not going_on():
                break
            _make(store, run, after)
            made += 1
        after += SIZE
    return after


def chunked_runs(store: SqlStore) -> list[str]:
    """The UUIDs of the runs that are long enough for chunks, or that have some."""
    runs, chunks = schema.runs, schema.chunks
    chosen = (runs.c.last_seq >= SIZE) | runs.c.id.in_(select(chunks.c.run_id))
    with store.reading() as connection:
        found = connection.execute(select(runs.c.uuid).where(chosen).order_by(runs.c.id))
        return list(found.scalars())


def seal_again(store: SqlStore, uuid: str) -> int:
    """Drop a run's chunks and make them again; returns the seq up to which there are some."""
    with store.writing() as connection:
        run_id = select(schema.runs.c.id).where(schema.runs.c.uuid == uuid)
        found = connection.execute(run_id).scalar()
        connection.execute(delete(schema.chunks).where(schema.chunks.c.run_id == found))
    return seal(store, uuid)


def read_columns(
    connection: Connection,
    run: Run,
    each: Callable[[Columns], _Made],
    *,
    after: int = 0,
    until: int | None = None,
    fields: Collection[str] | None = None,
    names: Collection[str] | None = None,
) -> list[_Made] | None:
    """What is made of a run's events: of its chunks, and of its events where there are none.

    Args:
        connection: A transaction whose reads are all of one moment.
        run: The run.
        each: Called with one piece of the events after the other, several at once: what it does
            not keep of a piece takes no memory.
        after: Only those with `seq > after`.
        until: Only those with `seq <= until`.
        fields: These of their fields at least.
        names: Of what was logged only these.

    Returns:
        What `each` returned, in the order of the events; None where logs cannot be columns.
    """
    try:
        return list(
            stream_columns(
                connection, run, each, after=after, until=until, fields=fields, names=names
            )
        )
    except NotColumnar:
        return None


def stream_columns(
    connection: Connection,
    run: Run,
    each: Callable[[Columns], _Made],
    *,
    after: int = 0,
    until: int | None = None,
    fields: Collection[str] | None = None,
    names: Collection[str] | None = None,
) -> Iterator[_Made]:
    """As `read_columns`, one after the other, in bounded memory.

    Raises:
        NotColumnar: In place of the first piece whose logs cannot be columns.
    """
    last = run.state.last_seq if until is None else min(until, run.state.last_seq)
    chunks = schema.chunks
    chosen = (
        select(chunks.c.first_seq, chunks.c.last_seq, chunks.c.hash, chunks.c.body)
        .where(chunks.c.run_id == run.id)
        .where(chunks.c.format == FORMAT)
        .where(chunks.c.first_seq <= last)
        .order_by(chunks.c.first_seq)
        .limit(_AT_ONCE)
    )
    reached, looked_at = after, after

    def opened(row: Row[Any, Any, Any, Any]) -> tuple[_Made] | None:
        is_inside = after < row.first_seq and row.last_seq <= last
        piece = _opened(run, row, fields if is_inside else None, names)
        if piece is None:
            return None
        if not is_inside:
            seq = piece.fields["seq"].to_numpy()
            piece = piece.where((seq > after) & (seq <= last))
        return (each(piece),)

    def from_events(begin: int, end: int) -> Iterator[_Made]:
        for piece in _from_events(connection, run, begin, end):
            yield each(piece if names is None else piece.named(names))

    # Hashing and unpacking leave Python to others meanwhile.
    pool = ThreadPoolExecutor(_THREADS)
    try:
        more = True
        while more:
            found = connection.execute(chosen.where(chunks.c.last_seq > looked_at))
            # The first ones are unpacked while the others are on their way.
            opening = deque((row, pool.submit(opened, row)) for row in found)
            more = len(opening) == _AT_ONCE
            while opening:
                row, future = opening.popleft()
                looked_at = row.last_seq
                made = future.result()
                del future  # and what it made, as soon as the caller has done with that
                if made is None:
                    continue
                yield from from_events(reached, row.first_seq - 1)
                yield made[0]
                reached = row.last_seq
    finally:
        pool.shutdown(cancel_futures=True)
    yield from from_events(reached, last)


def _opened(
    run: Run,
    row: Row[Any, Any, Any, Any],
    fields: Collection[str] | None,
    names: Collection[str] | None,
) -> Columns | None:
    """A chunk's columns, if they are what was sealed."""
    try:
        if sha256(row.body).digest() == row.hash:
            return from_bytes(row.body, fields, names)
    except (TypeError, ValueError, KeyError, OSError, pa.ArrowException):
        pass
    _log.warning(
        "The chunk of events %d to %d of run %r is damaged; they are read one by one instead. "
        "Make it again: tracker rebuild --chunks",
        row.first_seq,
        row.last_seq,
        run.name,
    )
    return None


def _from_events(connection: Connection, run: Run, after: int, last: int) -> Iterator[Columns]:
    """Events with `after < seq <= last`, from their rows."""
    while after < last:
        end = min(after + _PAGE, last)
        piece = _read_rows(connection, run, after, end)
        if piece is None:
            raise NotColumnar
        yield piece
        after = end


def _read_rows(connection: Connection, run: Run, after: int, last: int) -> Columns | None:
    events = schema.events
    in_range = (events.c.run_id == run.id) & events.c.seq.between(after + 1, last)
    rows = select_records(run.id).where(in_range).order_by(events.c.seq)
    if run.state.oldest_version < VERSION:
        records = [Record(*row) for row in connection.execute(rows)]
        return columns_of_records(upcaster(connection, run)(records))
    texts = select(*(joined(events.c[name]) for name in Record._fields)).where(in_range)
    if connection.dialect.name != "sqlite":
        # What an index has found is read page by page, and pages are in an order of their own.
        ordered = rows.subquery()
        texts = select(*(joined(ordered.c[name]) for name in Record._fields))
    found = connection.execute(texts).one()
    if found[0] is None:
        return columns_of_records([])
    columns = columns_of_texts(
        {name: [piece] for name, piece in zip(Record._fields, found, strict=True)}
    )
    # Both engines join rows in the order in which they come, which none of them promises.
    return columns or columns_of_records([Record(*row) for row in connection.execute(rows)])


def _sealable(connection: Connection, uuid: str) -> Run | None:
    found = load_runs(connection, [uuid])
    if not found or found[0].state.status == PURGED or found[0].state.version > VERSION:
        return None
    return found[0]


def _good(connection: Connection, run: Run, after: int) -> set[int]:
    """Where the chunks begin that are there."""
    chunks = schema.chunks
    found = connection.execute(
        select(chunks.c.first_seq)
        .where(chunks.c.run_id == run.id)
        .where(chunks.c.first_seq > after)
        .where(chunks.c.format == FORMAT)
    )
    return set(found.scalars())


def _make(store: SqlStore, run: Run, after: int) -> None:
    with store.snapshot() as connection:
        columns = _read_rows(connection, run, after, after + SIZE)
    if columns is None:
        return
    body = columns.to_bytes()
    runs = schema.runs
    # Pruning and purging lock the run's row; appending need not wait for this.
    unchanged = (
        select(runs.c.dropped)
        .where(runs.c.id == run.id)
        .where(runs.c.status != PURGED)
        .with_for_update(read=True, key_share=True)
    )
    with store.writing() as connection:
        if connection.execute(unchanged).scalar() == run.state.dropped:
            connection.execute(
                _INSERT,
                {
                    "run_id": run.id,
                    "first_seq": after + 1,
                    "last_seq": after + SIZE,
                    "format": FORMAT,
                    "hash": sha256(body).digest(),
                    "body": body,
                },
            )
