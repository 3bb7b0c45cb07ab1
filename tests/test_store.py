"""One contract for every store: memory, SQLite, PostgreSQL."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from tests import strategies
from tests.conftest import PostgresServers
from tests.postgres import installations
from tests.streams import Stream, fit_stream, identity
from tracker.errors import (
    ConcurrencyConflict,
    InvalidEvents,
    StoreUnreachable,
    TrackerError,
    WriterFenced,
)
from tracker.event import VERSION, Record, canonical
from tracker.projections import HISTORY_KINDS, RunState, fold
from tracker.store import schema
from tracker.store.memory import MemoryStore
from tracker.store.opening import connect_store, open_store, upgrade_store
from tracker.store.port import GENESIS, EventStore
from tracker.store.sql import SqlStore

#: Versions of PostgreSQL to test on; there is always one.
VERSIONS = [one.version for one in installations()]


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[SqlStore]:
    """A new SQLite store."""
    store = open_store(f"sqlite:///{tmp_path}/store.db", create=True)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", *VERSIONS])
def sql_store(request: pytest.FixtureRequest) -> Iterator[SqlStore]:
    """A new store on SQLite, and on each version of PostgreSQL that there is."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_store")
        return
    servers: PostgresServers = request.getfixturevalue("postgres_servers")
    store = connect_store(servers.of(request.param).create_database())
    upgrade_store(store)
    yield store
    store.close()


@pytest.fixture(params=["memory", "sql"])
def store(request: pytest.FixtureRequest, sql_store: SqlStore) -> EventStore:
    """Each kind of store."""
    return MemoryStore() if request.param == "memory" else sql_store


def test_what_is_appended_is_read(store: EventStore) -> None:
    """A stream comes back as it was appended, whole or in part."""
    records = fit_stream()
    store.append(identity(), records, expected_seq=0)
    uuid = identity().uuid
    assert list(store.read(uuid)) == records
    assert list(store.read(uuid, after=3, until=7)) == records[3:7]
    assert list(store.read(uuid, after=len(records))) == []
    assert list(store.read("unknown")) == []


def test_a_run_is_found_with_its_projections(store: EventStore) -> None:
    """The run that a store has is the fold of its events."""
    records = fit_stream()
    store.append(identity("mine"), records, expected_seq=0)
    run = store.find(identity().uuid)
    assert run is not None
    assert run.name == "mine"
    assert run.state == replace(fold(RunState(), records), version=VERSION)
    assert run.state.status == "finished"
    assert run.state.epochs == 2
    assert run.state.params == {"lr": 0.1, "model.name": "net", "model.optimizer.class": "Adam"}
    assert run.state.metrics["train", "val_loss"].minimum_epoch == 0
    assert run.state.metrics["test", "loss"].last == 0.25
    assert store.find("unknown") is None
    assert store.runs() == [run]


def test_nothing_appended_changes_nothing(store: EventStore) -> None:
    """An empty append creates no run."""
    store.append(identity(), [], expected_seq=0)
    assert store.runs() == []


def test_the_same_events_twice_are_stored_once(store: EventStore) -> None:
    """After an answer that was lost, the same batch again is a no-op; cut otherwise too."""
    records = fit_stream()
    store.append(identity(), records[:10], expected_seq=0)
    store.append(identity(), records[:10], expected_seq=0)
    store.append(identity(), records[2:7], expected_seq=2)
    store.append(identity(), records[10:], expected_seq=10)
    before = store.find(identity().uuid)
    store.append(identity(), records, expected_seq=0)
    assert list(store.read(identity().uuid)) == records
    assert store.find(identity().uuid) == before


def test_other_events_in_the_same_place_are_refused(store: EventStore) -> None:
    """A second truth is a conflict, and changes nothing."""
    records = fit_stream()
    store.append(identity(), records, expected_seq=0)
    changed = records[4]._replace(logs='{"loss":1.0}')
    for batch, expected in (
        ([changed], 4),
        ([*records[:4], changed], 0),
        ([records[-1]._replace(seq=len(records) + 2)], len(records) + 1),
    ):
        with pytest.raises(ConcurrencyConflict):
            store.append(identity(), batch, expected_seq=expected)
    more = records[-1]._replace(seq=len(records) + 1)
    with pytest.raises(ConcurrencyConflict):
        store.append(identity(), [records[-1], more], expected_seq=len(records) - 1)
    assert list(store.read(identity().uuid)) == records


def test_a_second_writer_is_fenced(store: EventStore) -> None:
    """Only the token that began the run appends to it."""
    records = fit_stream()
    store.append(identity(), records[:5], expected_seq=0)
    with pytest.raises(WriterFenced):
        store.append(identity(writer="other"), records[5:], expected_seq=5)
    assert list(store.read(identity().uuid)) == records[:5]


def test_gaps_and_unknown_kinds_are_refused(store: EventStore) -> None:
    """A piece that does not fit behind the last event is not stored."""
    records = fit_stream()
    with pytest.raises(InvalidEvents, match="seq 1"):
        store.append(identity(), records[1:], expected_seq=0)
    with pytest.raises(InvalidEvents, match="seq 3"):
        store.append(identity(), [*records[:2], *records[3:]], expected_seq=0)
    with pytest.raises(InvalidEvents, match="on_train_begin"):
        store.append(identity(), [records[0]._replace(kind="on_train_begin")], expected_seq=0)
    with pytest.raises(InvalidEvents, match="by hand, 'run_renamed'"):
        store.append(identity(), [records[0]._replace(kind="run_renamed")], expected_seq=0)
    assert store.runs() == []


def test_names_are_unique(store: EventStore) -> None:
    """The second run of a name gets a suffix, and so does one whose name was taken by renaming."""
    for number in (1, 2, 3):
        store.append(identity("same", number), fit_stream(), expected_seq=0)
    store.append(identity("other", 4), fit_stream(), expected_seq=0)
    store.declare(identity("other", 4).uuid, "run_renamed", {"name": "taken"})
    store.append(identity("taken", 5), fit_stream(), expected_seq=0)
    store.append(identity("other", 6), fit_stream(), expected_seq=0)
    names = [run.name for run in store.runs()]
    assert names == ["same", "same-2", "same-3", "taken", "taken-2", "other"]


@given(strategies.streams(by_hand=True), st.data())
def test_a_fold_does_not_depend_on_batches(records: list[Record], data: st.DataObject) -> None:
    """However a stream is cut, the state after it is the same."""
    whole = fold(RunState(), records)
    state, before = RunState(), 0
    for place in data.draw(strategies.cuts(len(records))):
        earlier = [one for one in records[:before] if one.kind in HISTORY_KINDS]
        state = fold(state, records[before:place], earlier.copy)
        before = place
    assert repr(state) == repr(whole)
    without_batches = [one for one in records[:-1] if one.batch is None]
    assert repr(fold(RunState(), [*without_batches, records[-1]])) == repr(whole)


@settings(max_examples=40)
@given(logs=st.lists(strategies.logs, min_size=1, max_size=8))
def test_logs_come_back_to_the_letter(sql_store: SqlStore, logs: list[dict[str, Any]]) -> None:
    """No engine changes the JSON text of logs: not -0.0, key order, NUL or big numbers."""
    stream = Stream()
    stream.add("run_began", {})
    for one in logs:
        stream.add("epoch_end", one)
    number = len(sql_store.runs()) + 1
    sql_store.append(identity(number=number), stream.records, expected_seq=0)
    assert list(sql_store.read(identity(number=number).uuid)) == stream.records


def test_raw_json_is_not_normalised(sql_store: SqlStore) -> None:
    """Spaces, repeated keys, trailing zeros and huge exponents of JSON text stay."""
    odd = '{"a": 1e400, "b":-0.0 , "a":1.10,"c":"\\u0000"}'
    records = [*fit_stream(ended=False)]
    records.append(records[-1]._replace(seq=len(records) + 1, kind="predict_end", logs=odd))
    sql_store.append(identity(), records, expected_seq=0)
    assert list(sql_store.read(identity().uuid))[-1].logs == odd


def test_the_chain_links_every_append(sql_store: SqlStore) -> None:
    """Hashes can be computed again from the rows, and the run has the last one as its head."""
    records = fit_stream()
    for before, after in ((0, 4), (4, 5), (5, len(records))):
        sql_store.append(identity(), records[before:after], expected_seq=before)
    with sql_store.reading() as connection:
        rows = connection.execute(select(schema.appends).order_by("first_seq")).all()
    head = GENESIS
    for row in rows:
        piece = list(sql_store.read(identity().uuid, after=row.first_seq - 1, until=row.last_seq))
        assert bytes(row.prev_hash) == head
        text = b"[" + b",".join(map(canonical, piece)) + b"]"
        head = hashlib.sha256(head + row.version.to_bytes(4) + text).digest()
        assert bytes(row.hash) == head
    run = sql_store.find(identity().uuid)
    assert run is not None
    assert run.head == head


@pytest.mark.parametrize("table", ["events", "appends"])
def test_history_cannot_be_changed(sql_store: SqlStore, table: str) -> None:
    """UPDATE, DELETE and TRUNCATE of history are refused by the database itself."""
    sql_store.append(identity(), fit_stream(), expected_seq=0)
    statements = [f"UPDATE {table} SET run_id = run_id", f"DELETE FROM {table}"]
    if sql_store.url.startswith("postgresql"):
        statements.append(f"TRUNCATE {table}")
    for statement in statements:
        with pytest.raises(TrackerError, match="append-only"), sql_store.writing() as connection:
            connection.execute(text(statement))
    assert list(sql_store.read(identity().uuid)) == fit_stream()


def test_racing_writers_of_one_run_never_mix(sql_store: SqlStore) -> None:
    """Of two threads that append other events to the same place, one wins, whole."""
    base = fit_stream(ended=False)
    sql_store.append(identity(), base, expected_seq=0)
    outcomes: list[str] = []

    def append(loss: str) -> None:
        piece = [
            base[-1]._replace(seq=len(base) + number, logs=f'{{"loss":{loss}}}')
            for number in range(1, 50)
        ]
        try:
            sql_store.append(identity(), piece, expected_seq=len(base))
        except ConcurrencyConflict:
            outcomes.append("conflict")
        else:
            outcomes.append(loss)

    in_threads([lambda: append("1.0"), lambda: append("2.0")])
    assert sorted(outcomes)[1] == "conflict"
    winner = min(outcomes)
    tail = list(sql_store.read(identity().uuid, after=len(base)))
    assert [one.logs for one in tail] == [f'{{"loss":{winner}}}'] * 49


def test_racing_runs_of_one_name_get_names_of_their_own(sql_store: SqlStore) -> None:
    """Runs that begin at the same time with the same name are all stored."""
    streams = [fit_stream() for _ in range(8)]
    in_threads(
        [
            lambda number=number, records=records: sql_store.append(  # type: ignore[misc]
                identity("same", number), records, expected_seq=0
            )
            for number, records in enumerate(streams, 1)
        ]
    )
    names = {run.name for run in sql_store.runs()}
    assert names == {"same", *(f"same-{n}" for n in range(2, 9))}


def test_nan_and_infinity_in_projections(sql_store: SqlStore) -> None:
    """A diverged metric's last value is NaN, its least and greatest are of the other values."""
    stream = Stream()
    stream.add("run_began", {})
    for value in (1.0, float("inf"), float("nan")):
        stream.add("epoch_end", {"loss": value}, call=1, epoch=0)
    sql_store.append(identity(), stream.records, expected_seq=0)
    run = sql_store.find(identity().uuid)
    assert run is not None
    metric = run.state.metrics["train", "loss"]
    assert repr(metric.last) == "nan"
    assert (metric.minimum, metric.maximum) == (1.0, float("inf"))


def test_a_failed_append_leaves_nothing(
    sql_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append that the database refuses in the middle changes no table."""
    sql_store.append(identity(), fit_stream(), expected_seq=0)
    before = sql_store.find(identity().uuid)
    assert before is not None
    insert = sql_store._dialect.insert_events

    def insert_and_fail(*arguments: Any) -> None:
        insert(*arguments)
        raise StoreUnreachable

    monkeypatch.setattr(sql_store._dialect, "insert_events", insert_and_fail)
    more = fit_stream()[-1]._replace(seq=before.state.last_seq + 1)
    with pytest.raises(StoreUnreachable):
        sql_store.append(identity(), [more], expected_seq=before.state.last_seq)
    assert sql_store.find(identity().uuid) == before
    assert list(sql_store.read(identity().uuid)) == fit_stream()


def in_threads(calls: list[Callable[[], Any]]) -> None:
    """Run all at the same time; raise what any of them raised."""
    errors: list[BaseException] = []

    def guarded(call: Callable[[], Any]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
