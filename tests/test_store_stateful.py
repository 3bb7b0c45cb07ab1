"""SQL stores against the memory store, over generated lives of runs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from tests import strategies
from tests.postgres import PostgresServer
from tests.streams import START, identity
from tracker.errors import TrackerError
from tracker.event import Record
from tracker.store import stated
from tracker.store.auditing import audit
from tracker.store.memory import MemoryStore
from tracker.store.opening import connect_store, open_store, upgrade_store
from tracker.store.port import EventStore, Run
from tracker.store.rebuilding import rebuild
from tracker.store.sql import SqlStore

#: Statements that ruin projections, and nothing else.
RUIN = [
    "DELETE FROM run_params",
    "DELETE FROM run_tags",
    "UPDATE run_tags SET value = 'ruined'",
    "DELETE FROM run_metrics",
    "UPDATE run_metrics SET last = 0, minimum = 0",
    "UPDATE runs SET status = 'ruined', epochs = 99, calls = '{}', note = 'ruined', dropped = 7",
    "UPDATE runs SET name = 'ruined ' || id, experiment = 'ruined', by_hand = 0, last_at = 0",
]

#: What projections are in, with the order of their rows.
PROJECTIONS = {
    "runs": "id",
    "run_params": "run_id, key",
    "run_tags": "run_id, key",
    "run_metrics": "run_id, phase, metric",
}

numbers = st.integers(1, 3)
facts: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.one_of(
    st.tuples(
        st.just("tags_changed"),
        st.fixed_dictionaries(
            {
                "set": st.dictionaries(strategies.texts, strategies.texts, max_size=2),
                "removed": st.lists(strategies.texts | st.just("a"), max_size=2),
            }
        ),
    ),
    st.tuples(st.just("note_changed"), st.fixed_dictionaries({"note": st.none() | st.text()})),
    st.tuples(
        st.just("run_renamed"),
        st.fixed_dictionaries({"name": st.sampled_from(["a", "b", "a-2", "c"])}),
    ),
    st.tuples(
        st.just("experiment_changed"), st.fixed_dictionaries({"experiment": st.sampled_from("xy")})
    ),
    st.tuples(st.sampled_from(["run_archived", "run_restored"]), st.just({})),
)


class StoreMachine(RuleBasedStateMachine):
    """Does the same to both stores, and compares what they answer and what they have."""

    server: ClassVar[PostgresServer | None] = None
    #: What both stores take for the time, so that their facts are the same.
    now: ClassVar[int] = START

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.oracle = MemoryStore()
        self.store = self._open()
        self.planned: dict[int, list[Record]] = {}
        self.writers: dict[int, str] = {}

    def _open(self) -> SqlStore:
        if self.server is None:
            return open_store(f"sqlite:///{self.folder}/store.db", create=True)
        store = connect_store(self.server.create_database())
        upgrade_store(store)
        return store

    @rule(
        number=numbers,
        stream=strategies.streams(14),
        name=st.sampled_from(["a", "b"]),
        data=st.data(),
    )
    def append(self, number: int, stream: list[Record], name: str, data: st.DataObject) -> None:
        """Append the next piece of a run's stream, or one that was appended already."""
        records = self.planned.setdefault(number, stream)
        run = self.oracle.find(identity(number=number).uuid)
        shift = run.state.by_hand if run else 0
        done = run.state.last_seq - shift if run else 0
        first = data.draw(st.sampled_from([done, done, data.draw(st.integers(0, len(records)))]))
        last = data.draw(st.integers(min(first, len(records)), len(records)))
        piece = [one._replace(seq=one.seq + shift) for one in records[first:last]]
        self.append_to_both(number, piece, first + shift, name)

    @rule(number=numbers, stream=strategies.streams(6))
    def conflict(self, number: int, stream: list[Record]) -> None:
        """Append somebody else's stream."""
        self.append_to_both(number, stream, 0, "a")

    @rule(number=numbers, stream=strategies.streams(4))
    def intrude(self, number: int, stream: list[Record]) -> None:
        """Append with another writer's token."""
        self.append_to_both(number, stream, 0, "a", writer="other")

    @rule(number=numbers, replacing=st.sampled_from([None, "right", "wrong"]))
    def resume(self, number: int, replacing: str | None) -> None:
        """Take the run over, and go on with the next attempt where the old one's end is stored."""
        old, new = self.writers.get(number, "w"), f"w{StoreMachine.now}"
        expected = old if replacing == "right" else replacing
        uuid = identity(number=number).uuid
        claimed = self.both(lambda store: bool(store.claim(uuid, new, replacing=expected)))
        if claimed is True:
            self.writers[number] = new

    @rule(number=numbers, fact=facts)
    def declare(self, number: int, fact: tuple[str, dict[str, Any]]) -> None:
        """State a fact of a run, whoever writes it."""
        kind, data = fact
        uuid = identity(number=number).uuid
        self.both(lambda store: store.declare(uuid, kind, data).name)

    @rule(number=numbers, every=st.none() | st.integers(1, 3))
    def prune(self, number: int, every: int | None) -> None:
        """Drop batches."""
        uuid = identity(number=number).uuid
        self.both(lambda store: store.prune(uuid, {"by": "me"}, every=every))

    @rule(number=numbers, sure=st.integers(0, 3))
    def purge(self, number: int, sure: int) -> None:
        """Erase a run; not as often as other things, since nothing comes after it."""
        if sure == 0:
            self.both(lambda store: store.purge(identity(number=number).uuid, {"by": "me"}))

    @rule(ruin=st.lists(st.sampled_from(RUIN), max_size=3))
    def rebuild(self, ruin: list[str]) -> None:
        """Whatever happened to projections, folding the events again gives what they were."""
        live = self.projections()
        with self.store.writing() as connection:
            for statement in ruin:
                connection.execute(text(statement))
        rebuild(self.store)
        self.oracle.rebuild()
        assert self.projections() == live

    @rule()
    def verify(self) -> None:
        """Nothing of this is taken for tampering."""
        with self.store.snapshot() as connection:
            for run in self.store.runs():
                assert list(audit(connection, run)) == []

    @rule()
    def reopen(self) -> None:
        """Nothing depends on what the store's object remembers."""
        url = self.store.url
        self.store.close()
        self.store = open_store(url)

    @invariant()
    def alike(self) -> None:
        """Both have the same runs and streams."""
        StoreMachine.now += 1000
        runs = self.store.runs()
        assert [comparable(run) for run in runs] == [comparable(run) for run in self.oracle.runs()]
        for run in runs:
            assert list(self.store.read(run.uuid)) == list(self.oracle.read(run.uuid))

    def projections(self) -> dict[str, list[str]]:
        """Every row of every projection."""
        with self.store.reading() as connection:
            return {
                table: [
                    repr(tuple(row))
                    for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY {order}"))
                ]
                for table, order in PROJECTIONS.items()
            }

    def append_to_both(
        self,
        number: int,
        records: list[Record],
        expected: int,
        name: str,
        writer: str | None = None,
    ) -> None:
        """Append to both; the outcomes must be alike."""
        run = identity(name, number, writer or self.writers.get(number, "w"))
        self.both(lambda store: store.append(run, records, expected_seq=expected))

    def both(self, do: Callable[[EventStore], object]) -> object:
        """Do something to both; the outcomes must be alike."""
        first, second = (outcome(do, store) for store in (self.oracle, self.store))
        assert first == second
        return second

    def teardown(self) -> None:
        """Remove the store."""
        self.store.close()
        shutil.rmtree(self.folder)


def outcome(do: Callable[[EventStore], object], store: EventStore) -> object:
    """What came of it."""
    try:
        return do(store)
    except TrackerError as error:
        return type(error)


def comparable(run: Run) -> tuple[object, ...]:
    """A run without its id, dicts in order of keys, NaN like NaN."""
    state = run.state
    skipped = {"params", "tags", "metrics", "open_calls", "spans", "name"}
    parts = [
        repr(sorted(getattr(state, name).items(), key=repr)) for name in skipped if name != "name"
    ]
    fields = [repr(getattr(state, name)) for name in type(state).__slots__ if name not in skipped]
    return (run.uuid, run.name, run.given_name, run.writer, run.head, *fields, *parts)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both stores state facts at the same time."""
    monkeypatch.setattr(stated, "time", SimpleNamespace(time_ns=lambda: StoreMachine.now * 1000))


def test_sqlite_is_like_memory(clock: None) -> None:
    """SQLite does what the memory store does, over any history."""
    run_state_machine_as_test(
        StoreMachine, settings=settings(max_examples=40, stateful_step_count=20)
    )


def test_postgresql_is_like_memory(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, clock: None
) -> None:
    """PostgreSQL does what the memory store does, over any history."""
    monkeypatch.setattr(StoreMachine, "server", postgres_server)
    run_state_machine_as_test(
        StoreMachine, settings=settings(max_examples=15, stateful_step_count=20)
    )
