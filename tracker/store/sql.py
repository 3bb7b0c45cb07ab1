"""The SQL store: `EventStore` over SQLAlchemy Core, one transaction an append."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.engine import URL

from tracker.errors import ConcurrencyConflict, StoreBusy, StoreRaced, WriterFenced
from tracker.event import VERSION, Record, chained
from tracker.names import nth_name
from tracker.projections import RunState, fold
from tracker.store import schema
from tracker.store.clock import server_now
from tracker.store.dialects import BEGIN, StoreDialect
from tracker.store.faults import translated
from tracker.store.port import GENESIS, Run, RunIdentity, check_records
from tracker.store.rows import load_runs, state_values, store_changes

#: Records that `read` holds in memory at once.
_PAGE = 5_000

#: How often an append begins again after it lost a race for a run's row or name, and the
#: longest pause before, in seconds: random, so that those who raced do not meet again.
_TRIES = 20
_PAUSE_S = 0.02


class SqlStore:
    """An `EventStore` in a SQL database. `tracker.store.opening.open_store` makes one."""

    def __init__(self, url: URL, dialect: StoreDialect) -> None:
        #: The store's URL with its password: not for printing.
        self.url = url.render_as_string(hide_password=False)
        self._dialect = dialect
        # Runs as our own last append left them: it need not read them again. Whether another
        # writer has changed one since is told by its head.
        self._appended: dict[str, Run] = {}
        with translated(self.url):
            self._engine = dialect.engine(url)

    def append(self, run: RunIdentity, records: Sequence[Record], *, expected_seq: int) -> None:
        """See `EventStore.append`."""
        check_records(records, expected_seq)
        if not records:
            return
        for _ in range(_TRIES):
            with contextlib.suppress(StoreRaced):
                known = self._appended.pop(run.uuid, None)
                with self.writing() as connection:
                    after = self._append(connection, run, records, expected_seq, known)
                self._appended[run.uuid] = after
                return
            time.sleep(secrets.randbelow(1000) / 1000 * _PAUSE_S)
        raise StoreBusy(f"Others kept changing run {run.name!r} while it was being appended to.")

    def beat(self, run: RunIdentity) -> None:
        """See `EventStore.beat`."""
        with self.writing() as connection:
            connection.execute(
                update(schema.runs)
                .where(schema.runs.c.uuid == run.uuid)
                .where(schema.runs.c.writer == run.writer)
                .values(heartbeat_at=server_now())
            )

    def claim(self, uuid: str, writer: str) -> Run | None:
        """See `EventStore.claim`."""
        with self.writing() as connection:
            mine = schema.runs.c.uuid == uuid
            connection.execute(update(schema.runs).where(mine).values(writer=writer))
            found = load_runs(connection, [uuid])
        return found[0] if found else None

    def find(self, uuid: str) -> Run | None:
        """See `EventStore.find`."""
        with self.reading() as connection:
            found = load_runs(connection, [uuid])
        return found[0] if found else None

    def runs(self) -> list[Run]:
        """See `EventStore.runs`."""
        with self.reading() as connection:
            return load_runs(connection)

    def read(self, uuid: str, *, after: int = 0, until: int | None = None) -> Iterator[Record]:
        """See `EventStore.read`."""
        columns = [schema.events.c[name] for name in Record._fields]
        condition = (schema.runs.c.uuid == uuid) & (schema.events.c.run_id == schema.runs.c.id)
        if until is not None:
            condition &= schema.events.c.seq <= until
        page = select(*columns).where(condition).order_by(schema.events.c.seq).limit(_PAGE)
        while True:
            # A stream only grows, so pages of different transactions fit together.
            with self.reading() as connection:
                rows = connection.execute(page.where(schema.events.c.seq > after)).all()
            yield from (Record(*row) for row in rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1].seq

    def close(self) -> None:
        """See `EventStore.close`."""
        self._engine.dispose()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a transaction that will not write."""
        with translated(self.url), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that is committed at the end."""
        with translated(self.url), self._engine.connect() as connection:
            immediate = connection.execution_options(**{BEGIN: "BEGIN IMMEDIATE"})
            with immediate.begin():
                yield immediate

    @contextlib.contextmanager
    def without_transaction(self) -> Iterator[Connection]:
        """A connection for what SQLite does only outside of transactions."""
        with translated(self.url), self._engine.connect() as connection:
            yield connection.execution_options(**{BEGIN: None})

    def _append(
        self,
        connection: Connection,
        run: RunIdentity,
        records: Sequence[Record],
        expected: int,
        known: Run | None,
    ) -> Run:
        """Append within a transaction; returns the run as it is then.

        Args:
            connection: The transaction.
            run: The run.
            records: The records.
            expected: The last seq before them.
            known: The run, if this store may still have it as it was after the last append.
        """
        if known and known.writer == run.writer and known.state.last_seq == expected:
            after = _moved(connection, known, records)
            if after:
                return self._store_batch(connection, known, after, records)
        found = load_runs(connection, [run.uuid])
        stored = found[0] if found else _create(connection, run)
        _check_place(connection, stored, run, records, expected)
        if stored.state.last_seq != expected:
            return stored  # the records are stored already
        after = _moved(connection, stored, records)
        if after is None:
            raise StoreRaced(f"Run {run.name!r} was changed by another writer meanwhile.")
        return self._store_batch(connection, stored, after, records)

    def _store_batch(
        self, connection: Connection, before: Run, after: Run, records: Sequence[Record]
    ) -> Run:
        append = {
            "run_id": before.id,
            "first_seq": before.state.last_seq + 1,
            "last_seq": after.state.last_seq,
            "version": VERSION,
            "recorded_at": time.time_ns() // 1000,
            "prev_hash": before.head,
            "hash": after.head,
        }
        connection.execute(_INSERT_APPEND, append)
        self._dialect.insert_events(connection, before.id, records)
        store_changes(connection, before.id, before.state, after.state)
        return after


# Statements of every append are built once: what SQLAlchemy takes to build one is more than
# what SQLite takes to run it.
_INSERT_APPEND = insert(schema.appends)
_MOVE_RUN = (
    update(schema.runs)
    .where(schema.runs.c.id == bindparam("old_id"))
    .where(schema.runs.c.last_seq == bindparam("old_seq"))
    .where(schema.runs.c.head == bindparam("old_head"))
    .where(schema.runs.c.writer == bindparam("old_writer"))
    .values(heartbeat_at=server_now())
)


def _moved(connection: Connection, before: Run, records: Sequence[Record]) -> Run | None:
    """The run after `records`, in the database too; None if it is not as it was thought to be."""
    state = fold(before.state, records)
    after = replace(before, head=chained(before.head, records), state=state)
    expected = {
        "old_id": before.id,
        "old_seq": before.state.last_seq,
        "old_head": before.head,
        "old_writer": before.writer,
    }
    values = {"head": after.head, "name": after.name, **state_values(state)}
    moved = connection.execute(_MOVE_RUN, expected | values)
    return after if moved.rowcount == 1 else None


def _create(connection: Connection, run: RunIdentity) -> Run:
    n = 1
    while _is_taken(connection, nth_name(run.name, n)):
        n += 1
    given = nth_name(run.name, n)
    identity: dict[str, Any] = {
        "uuid": run.uuid,
        "given_name": given,
        "writer": run.writer,
        "head": GENESIS,
    }
    state = RunState()
    new = insert(schema.runs).values(name=given, **identity, **state_values(state))
    run_id = connection.execute(new.returning(schema.runs.c.id)).scalar_one()
    return Run(id=run_id, state=state, **identity)


def _is_taken(connection: Connection, name: str) -> bool:
    taken = select(schema.runs.c.id).where(schema.runs.c.name == name)
    return connection.execute(taken).first() is not None


def _check_place(
    connection: Connection,
    stored: Run,
    run: RunIdentity,
    records: Sequence[Record],
    expected: int,
) -> None:
    """Refuse records that are not the next of the stream, nor stored already."""
    if stored.writer != run.writer:
        raise WriterFenced(
            f"Run {stored.name!r} is not this process's any more: another one has taken it over, "
            "or somebody has closed it. This process's events stay in its journal."
        )
    last = stored.state.last_seq
    if last == expected:
        return
    columns = [schema.events.c[name] for name in Record._fields]
    there = connection.execute(
        select(*columns)
        .where(schema.events.c.run_id == stored.id)
        .where(schema.events.c.seq.between(expected + 1, expected + len(records)))
        .order_by(schema.events.c.seq)
    ).all()
    if [Record(*row) for row in there] != list(records):
        raise ConcurrencyConflict(
            f"Run {stored.name!r} ends at seq {last} in the store, not at {expected}, and other "
            "events stand there."
        )
