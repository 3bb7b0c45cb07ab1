"""The SQL store: `EventStore` over SQLAlchemy Core, one transaction an append."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, insert, null, select, update
from sqlalchemy.engine import URL

from tracker.errors import ConcurrencyConflict, NameTaken, StoreBusy, StoreRaced
from tracker.event import VERSION, Record, chained, marks_of
from tracker.logs import encode
from tracker.names import nth_name
from tracker.projections import RunState, fold
from tracker.store import erasing, schema
from tracker.store.clock import server_now
from tracker.store.dialects import BEGIN, StoreDialect
from tracker.store.faults import translated
from tracker.store.port import (
    GENESIS,
    PURGED,
    Run,
    RunIdentity,
    check_declarable,
    check_records,
    check_writer,
    ends,
)
from tracker.store.reading import history_of, select_records, upcaster, without_batches
from tracker.store.rows import load_runs, state_values, store_changes
from tracker.store.stated import fact, pruned_data, purged_data
from tracker.upcast import upcast

T = TypeVar("T")

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

        def once() -> Run:
            known = self._appended.pop(run.uuid, None)
            with self.writing() as connection:
                return self._append(connection, run, records, expected_seq, known)

        self._appended[run.uuid] = _tried(once, run.name)

    def beat(self, run: RunIdentity) -> None:
        """See `EventStore.beat`."""
        with self.writing() as connection:
            connection.execute(
                update(schema.runs)
                .where(schema.runs.c.uuid == run.uuid)
                .where(schema.runs.c.writer == run.writer)
                .values(heartbeat_at=server_now())
            )

    def claim(self, uuid: str, writer: str, *, replacing: str | None = None) -> Run | None:
        """See `EventStore.claim`."""
        with self.writing() as connection:
            mine = update(schema.runs).where(schema.runs.c.uuid == uuid)
            mine = mine.where(schema.runs.c.status != PURGED)
            if replacing is not None:
                mine = mine.where(schema.runs.c.writer == replacing)
            new = mine.values(writer=writer, heartbeat_at=server_now())
            claimed = connection.execute(new).rowcount
            found = load_runs(connection, [uuid]) if claimed else []
        return found[0] if found else None

    def declare(self, uuid: str, kind: str, data: Mapping[str, Any]) -> Run:
        """See `EventStore.declare`."""

        def once() -> Run:
            with self.writing() as connection:
                stored = _declarable(connection, uuid)
                if kind == "run_renamed":
                    _check_free(connection, str(data["name"]))
                return self._state(connection, stored, fact(stored, kind, encode(data)))

        return _tried(once, uuid)

    def prune(self, uuid: str, data: Mapping[str, Any], *, every: int | None = None) -> int:
        """See `EventStore.prune`."""

        def once() -> int:
            with self.writing() as connection:
                stored = _declarable(connection, uuid, lock=True)
                dropped = erasing.drop_batches(connection, stored, every)
                if dropped:
                    kept = erasing.kept(connection, stored)
                    pruned = {**data, **pruned_data(kept, stored.state.last_seq, dropped)}
                    self._state(connection, stored, fact(stored, "events_pruned", encode(pruned)))
                return dropped

        return _tried(once, uuid)

    def purge(self, uuid: str, data: Mapping[str, Any]) -> None:
        """See `EventStore.purge`."""

        def once() -> None:
            with self.writing() as connection:
                stored = _declarable(connection, uuid, lock=True)
                erasing.drop_all(connection, stored)
                erased = encode({**data, **purged_data(stored)})
                self._state(connection, stored, fact(stored, "run_purged", erased))
                erasing.forget(connection, stored)

        _tried(once, uuid)

    def find(self, uuid: str) -> Run | None:
        """See `EventStore.find`."""
        with self.reading() as connection:
            found = load_runs(connection, [uuid])
        return found[0] if found else None

    def runs(self) -> list[Run]:
        """See `EventStore.runs`."""
        with self.reading() as connection:
            return load_runs(connection)

    def read(
        self, uuid: str, *, after: int = 0, until: int | None = None, batches: bool = True
    ) -> Iterator[Record]:
        """See `EventStore.read`."""
        with self.reading() as connection:
            found = load_runs(connection, [uuid])
            if not found:
                return
            as_today = upcaster(connection, found[0])
        seq = schema.events.c.seq
        page = select_records(found[0].id).order_by(seq).limit(_PAGE)
        if until is not None:
            page = page.where(seq <= until)
        if not batches:
            page = without_batches(page)
        while True:
            # A stream only grows, so pages of different transactions fit together.
            with self.reading() as connection:
                rows = connection.execute(page.where(seq > after)).all()
            yield from as_today([Record(*row) for row in rows])
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
    def snapshot(self) -> Iterator[Connection]:
        """As `reading`; all that is read is of one moment, whatever others write meanwhile."""
        with translated(self.url), self._engine.connect() as connection:
            still = connection.execution_options(**self._dialect.snapshot)
            with still.begin():
                yield still

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
            after = _moved(connection, known, records, run.version)
            if after:
                return self._store_batch(connection, known, after, records, run.version)
        found = load_runs(connection, [run.uuid])
        stored = found[0] if found else _create(connection, run)
        check_writer(stored, run)
        if stored.state.last_seq != expected:
            _check_same(connection, stored, records, expected)
            return stored
        after = _moved(connection, stored, records, run.version, writer=run.writer)
        if after is None:
            raise StoreRaced(f"Run {run.name!r} was changed by another writer meanwhile.")
        return self._store_batch(connection, stored, after, records, run.version)

    def _state(self, connection: Connection, stored: Run, record: Record) -> Run:
        """Append a fact by hand within a transaction."""
        after = _moved(connection, stored, [record], VERSION, statement=_STATE_OF_RUN)
        if after is None:
            raise StoreRaced(f"Run {stored.name!r} was changed by its writer meanwhile.")
        return self._store_batch(connection, stored, after, [record], VERSION)

    def _store_batch(
        self,
        connection: Connection,
        before: Run,
        after: Run,
        records: Sequence[Record],
        version: int,
    ) -> Run:
        append = {
            "run_id": before.id,
            "first_seq": before.state.last_seq + 1,
            "last_seq": after.state.last_seq,
            "version": version,
            "recorded_at": time.time_ns() // 1000,
            "prev_hash": before.head,
            "hash": after.head,
            "marks": marks_of(records),
        }
        connection.execute(_INSERT_APPEND, append)
        self._dialect.insert_events(connection, before.id, records)
        store_changes(connection, before.id, before.state, after.state)
        return after


# Statements of every append are built once: what SQLAlchemy takes to build one is more than
# what SQLite takes to run it.
_INSERT_APPEND = insert(schema.appends)
_STATE_OF_RUN = (
    update(schema.runs)
    .where(schema.runs.c.id == bindparam("old_id"))
    .where(schema.runs.c.last_seq == bindparam("old_seq"))
    .where(schema.runs.c.head == bindparam("old_head"))
    .where(schema.runs.c.writer == bindparam("old_writer"))
)
_MOVE_RUN = _STATE_OF_RUN.values(heartbeat_at=server_now())
_END_RUN = _STATE_OF_RUN.values(heartbeat_at=null())


def _tried(once: Callable[[], T], name: str) -> T:
    """What `once` returns, at last, if others keep changing the same rows first."""
    for _ in range(_TRIES):
        with contextlib.suppress(StoreRaced):
            return once()
        time.sleep(secrets.randbelow(1000) / 1000 * _PAUSE_S)
    raise StoreBusy(f"Others kept changing run {name!r} while it was being appended to.")


def _moved(
    connection: Connection,
    before: Run,
    records: Sequence[Record],
    version: int,
    *,
    writer: str | None = None,
    statement: Any = None,
) -> Run | None:
    """The run after `records`, in the database too; None if it is not as it was thought to be."""
    folded = fold(before.state, upcast(records, version), history_of(connection, before))
    state = replace(
        folded,
        version=max(folded.version, version),
        oldest_version=min(folded.oldest_version, version),
    )
    head = chained(before.head, records, version)
    after = replace(before, head=head, state=state, writer=writer or before.writer)
    expected = {
        "old_id": before.id,
        "old_seq": before.state.last_seq,
        "old_head": before.head,
        "old_writer": before.writer,
    }
    values = {"head": head, "writer": after.writer, "name": after.name, **state_values(state)}
    if statement is None:
        statement = _END_RUN if ends(records) else _MOVE_RUN
    moved = connection.execute(statement, expected | values)
    return after if moved.rowcount == 1 else None


def _create(connection: Connection, run: RunIdentity) -> Run:
    given = free_name(connection, run.name)
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


def free_name(connection: Connection, name: str) -> str:
    """The name that a new run gets which asks for this one."""
    n = 1
    while _holder(connection, nth_name(name, n)):
        n += 1
    return nth_name(name, n)


def _holder(connection: Connection, name: str) -> str | None:
    """The UUID of the run that has a name."""
    taken = select(schema.runs.c.uuid).where(schema.runs.c.name == name)
    return connection.execute(taken).scalar()


def _check_free(connection: Connection, name: str) -> None:
    holder = _holder(connection, name)
    if holder:
        (owner,) = load_runs(connection, [holder])
        raise NameTaken(
            f"Run {owner.id} is called {name!r} already (begun on {owner.state.host}, uuid "
            f"{owner.uuid}). Names are unique: choose another, or rename that one first."
        )


def _declarable(connection: Connection, uuid: str, *, lock: bool = False) -> Run:
    if lock:  # SQLite has one writer at a time anyway
        wanted = select(schema.runs.c.id).where(schema.runs.c.uuid == uuid)
        connection.execute(wanted.with_for_update())
    found = load_runs(connection, [uuid])
    return check_declarable(found[0] if found else None, uuid)


def _check_same(
    connection: Connection, stored: Run, records: Sequence[Record], expected: int
) -> None:
    """Refuse records that are not stored already in the place that they are meant for."""
    seq = schema.events.c.seq
    there = connection.execute(
        select_records(stored.id)
        .where(seq.between(expected + 1, expected + len(records)))
        .order_by(seq)
    ).all()
    if [Record(*row) for row in there] != list(records):
        raise ConcurrencyConflict(
            f"Run {stored.name!r} ends at seq {stored.state.last_seq} in the store, not at "
            f"{expected}, and other events stand there."
        )
