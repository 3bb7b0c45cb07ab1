"""The SQL store: `EventStore` over SQLAlchemy Core, one transaction an append."""

from __future__ import annotations

import contextlib
import math
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update
from sqlalchemy.engine import URL

from tracker.errors import ConcurrencyConflict, StoreBusy, StoreRaced, WriterFenced
from tracker.event import VERSION, Record, chained
from tracker.logs import from_plain, to_plain
from tracker.names import nth_name
from tracker.projections import MetricState, RunState, fold
from tracker.store import schema
from tracker.store.dialects import BEGIN, StoreDialect
from tracker.store.faults import translated
from tracker.store.port import GENESIS, Run, RunIdentity, check_records

#: Records that `read` holds in memory at once.
_PAGE = 5_000

#: How often an append begins again after it lost a race for a run's row or name, and the
#: longest pause before, in seconds: random, so that those who raced do not meet again.
_TRIES = 20
_PAUSE_S = 0.02

#: Columns of `runs` that are fields of `RunState` as they stand.
_STATE_COLUMNS = (
    "last_seq",
    "last_at",
    "experiment",
    "status",
    "began_at",
    "ended_at",
    "attempt",
    "epochs",
    "error_type",
    "error_message",
    "host",
    "pid",
    "version",
)


class SqlStore:
    """An `EventStore` in a SQL database. `tracker.store.opening.open_store` makes one."""

    def __init__(self, url: URL, dialect: StoreDialect) -> None:
        #: The store's URL with its password: not for printing.
        self.url = url.render_as_string(hide_password=False)
        self._dialect = dialect
        with translated(self.url):
            self._engine = dialect.engine(url)

    def append(self, run: RunIdentity, records: Sequence[Record], *, expected_seq: int) -> None:
        """See `EventStore.append`."""
        check_records(records, expected_seq)
        if not records:
            return
        for _ in range(_TRIES):
            with contextlib.suppress(StoreRaced), self.writing() as connection:
                self._append(connection, run, records, expected_seq)
                return
            time.sleep(secrets.randbelow(1000) / 1000 * _PAUSE_S)
        raise StoreBusy(f"Others kept changing run {run.name!r} while it was being appended to.")

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
        self, connection: Connection, run: RunIdentity, records: Sequence[Record], expected: int
    ) -> None:
        found = load_runs(connection, [run.uuid])
        stored = found[0] if found else _create(connection, run)
        _check_place(connection, stored, run, records, expected)
        if stored.state.last_seq != expected:
            return  # stored already
        state = fold(stored.state, records)
        digest = chained(stored.head, records)
        moved = connection.execute(
            update(schema.runs)
            .where(schema.runs.c.id == stored.id)
            .where(schema.runs.c.last_seq == expected)
            .where(schema.runs.c.writer == run.writer)
            .values(head=digest, name=state.name or stored.given_name, **_state_values(state))
        )
        if moved.rowcount != 1:
            raise StoreRaced(f"Run {run.name!r} was changed by another writer meanwhile.")
        connection.execute(
            insert(schema.appends).values(
                run_id=stored.id,
                first_seq=expected + 1,
                last_seq=state.last_seq,
                version=VERSION,
                recorded_at=time.time_ns() // 1000,
                prev_hash=stored.head,
                hash=digest,
            )
        )
        self._dialect.insert_events(connection, stored.id, records)
        _store_changes(connection, stored.id, stored.state, state)


def load_runs(connection: Connection, uuids: Sequence[str] | None = None) -> list[Run]:
    """Runs with their projections, in id order; all of them, or those of `uuids`."""
    wanted = select(schema.runs).order_by(schema.runs.c.id)
    if uuids is not None:
        wanted = wanted.where(schema.runs.c.uuid.in_(uuids))
    rows = connection.execute(wanted).all()
    ids = None if uuids is None else [row.id for row in rows]
    parts: dict[int, dict[str, dict[Any, Any]]] = {
        row.id: {"params": {}, "tags": {}, "metrics": {}} for row in rows
    }
    if not rows:
        return []
    for row in _part(connection, schema.run_params, ids):
        parts[row.run_id]["params"][row.key] = from_plain(orjson.loads(row.value))
    for row in _part(connection, schema.run_tags, ids):
        parts[row.run_id]["tags"][row.key] = row.value
    for row in _part(connection, schema.run_metrics, ids):
        parts[row.run_id]["metrics"][row.phase, row.metric] = _metric_state(row)
    return [_run(row, parts[row.id]) for row in rows]


def _part(connection: Connection, table: Any, ids: list[int] | None) -> Sequence[Row[Any]]:
    wanted = select(table)
    if ids is not None:
        wanted = wanted.where(table.c.run_id.in_(ids))
    return connection.execute(wanted).all()


def _run(row: Row[Any], parts: dict[str, dict[Any, Any]]) -> Run:
    fields: dict[str, Any] = {name: getattr(row, name) for name in _STATE_COLUMNS}
    open_calls = orjson.loads(row.open_calls).items()
    calls = {int(call): (phase, parent) for call, (phase, parent) in open_calls}
    name = None if row.name == row.given_name else row.name
    state = RunState(name=name, open_calls=calls, **(fields | parts))
    return Run(
        id=row.id,
        uuid=row.uuid,
        given_name=row.given_name,
        writer=row.writer,
        head=bytes(row.head),
        state=state,
    )


def _metric_state(row: Row[Any]) -> MetricState:
    fields = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    for name in ("run_id", "phase", "metric"):
        del fields[name]
    last = fields.pop("last")
    return MetricState(last=math.nan if last is None else last, **fields)


def _state_values(state: RunState) -> dict[str, Any]:
    calls = {str(number): call for number, call in state.open_calls.items()}
    values = {name: getattr(state, name) for name in _STATE_COLUMNS}
    return values | {"open_calls": orjson.dumps(calls).decode()}


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
    new = insert(schema.runs).values(name=given, **identity, **_state_values(state))
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
            f"Run {stored.name!r} is being written by another process, which has taken it over. "
            "This process's events stay in its journal."
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


def _store_changes(connection: Connection, run_id: int, before: RunState, after: RunState) -> None:
    """Write those rows of the projections that the fold changed."""
    params = {
        key: {"value": orjson.dumps(to_plain(value)).decode(), "number": _number(value)}
        for key, value in after.params.items()
    }
    if after.params != before.params:
        _replace(connection, schema.run_params, run_id, before.params, params)
    if after.tags != before.tags:
        tags = {key: {"value": value} for key, value in after.tags.items()}
        _replace(connection, schema.run_tags, run_id, before.tags, tags)
    changed = {
        key: state for key, state in after.metrics.items() if before.metrics.get(key) is not state
    }
    if changed:
        _store_metrics(connection, run_id, before, changed)


def _replace(
    connection: Connection, table: Any, run_id: int, before: Any, rows: dict[str, dict[str, Any]]
) -> None:
    if before:
        connection.execute(table.delete().where(table.c.run_id == run_id))
    if rows:
        values = [{"run_id": run_id, "key": key, **row} for key, row in rows.items()]
        connection.execute(insert(table), values)


def _store_metrics(
    connection: Connection,
    run_id: int,
    before: RunState,
    changed: dict[tuple[str, str], MetricState],
) -> None:
    table = schema.run_metrics
    known = [
        {"old_phase": phase, "old_metric": metric}
        for phase, metric in changed
        if (phase, metric) in before.metrics
    ]
    if known:
        old = (table.c.phase == bindparam("old_phase")) & (
            table.c.metric == bindparam("old_metric")
        )
        connection.execute(delete(table).where(table.c.run_id == run_id).where(old), known)
    connection.execute(
        insert(table),
        [
            {"run_id": run_id, "phase": phase, "metric": metric, **_metric_values(state)}
            for (phase, metric), state in changed.items()
        ],
    )


def _metric_values(state: MetricState) -> dict[str, Any]:
    values = {name: getattr(state, name) for name in MetricState.__slots__}
    return values | {"last": None if math.isnan(state.last) else state.last}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
