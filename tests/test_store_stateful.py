"""SQL stores against the memory store, over generated histories."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from tests import strategies
from tests.postgres import PostgresServer
from tests.streams import identity
from tracker.errors import TrackerError
from tracker.event import Record
from tracker.store.memory import MemoryStore
from tracker.store.opening import connect_store, open_store, upgrade_store
from tracker.store.port import EventStore, Run
from tracker.store.sql import SqlStore


class StoreMachine(RuleBasedStateMachine):
    """Does the same to both stores, and compares what they answer and what they have."""

    server: ClassVar[PostgresServer | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.oracle = MemoryStore()
        self.store = self._open()
        self.planned: dict[int, list[Record]] = {}

    def _open(self) -> SqlStore:
        if self.server is None:
            return open_store(f"sqlite:///{self.folder}/store.db", create=True)
        store = connect_store(self.server.create_database())
        upgrade_store(store)
        return store

    @rule(
        number=st.integers(1, 3),
        stream=strategies.streams(12),
        name=st.sampled_from(["a", "b"]),
        data=st.data(),
    )
    def append(self, number: int, stream: list[Record], name: str, data: st.DataObject) -> None:
        """Append the next piece of a run's stream, or one that was appended already."""
        records = self.planned.setdefault(number, stream)
        first = data.draw(st.integers(0, len(records)))
        last = data.draw(st.integers(first, len(records)))
        self.both(number, records[first:last], first, name)

    @rule(number=st.integers(1, 3), stream=strategies.streams(6))
    def conflict(self, number: int, stream: list[Record]) -> None:
        """Append somebody else's stream."""
        self.both(number, stream, 0, "a")

    @rule(number=st.integers(1, 3), stream=strategies.streams(4))
    def intrude(self, number: int, stream: list[Record]) -> None:
        """Append with another writer's token."""
        self.both(number, stream, 0, "a", writer="other")

    @rule()
    def reopen(self) -> None:
        """Nothing depends on what the store's object remembers."""
        url = self.store.url
        self.store.close()
        self.store = open_store(url)

    @invariant()
    def alike(self) -> None:
        """Both have the same runs and streams."""
        runs = self.store.runs()
        assert [comparable(run) for run in runs] == [comparable(run) for run in self.oracle.runs()]
        for run in runs:
            assert list(self.store.read(run.uuid)) == list(self.oracle.read(run.uuid))

    def both(
        self, number: int, records: list[Record], expected: int, name: str, writer: str = "w"
    ) -> None:
        """Append to both; the outcomes must be alike."""
        first, second = (
            outcome(store, number, records, expected, name, writer)
            for store in (self.oracle, self.store)
        )
        assert first == second

    def teardown(self) -> None:
        """Remove the store."""
        self.store.close()
        shutil.rmtree(self.folder)


def outcome(
    store: EventStore, number: int, records: list[Record], expected: int, name: str, writer: str
) -> type[TrackerError] | None:
    """What an append came to."""
    try:
        store.append(identity(name, number, writer), records, expected_seq=expected)
    except TrackerError as error:
        return type(error)
    return None


def comparable(run: Run) -> tuple[object, ...]:
    """A run without its id, dicts in order of keys, NaN like NaN."""
    state = run.state
    parts = [
        repr(sorted(part.items(), key=repr))
        for part in (state.params, state.tags, state.metrics, state.open_calls)
    ]
    skipped = {"params", "tags", "metrics", "open_calls"}
    fields = [repr(getattr(state, name)) for name in type(state).__slots__ if name not in skipped]
    return (run.uuid, run.name, run.writer, run.head, *fields, *parts)


def test_sqlite_is_like_memory() -> None:
    """SQLite does what the memory store does, over any history."""
    run_state_machine_as_test(
        StoreMachine, settings=settings(max_examples=40, stateful_step_count=12)
    )


def test_postgresql_is_like_memory(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL does what the memory store does, over any history."""
    monkeypatch.setattr(StoreMachine, "server", postgres_server)
    run_state_machine_as_test(
        StoreMachine, settings=settings(max_examples=15, stateful_step_count=12)
    )
