"""Stores that are opened for reading only."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.streams import fit_stream, identity
from tracker.errors import QueryTimeout, StoreUnreachable, TrackerError
from tracker.store import schema
from tracker.store.opening import connect_store, open_store, upgrade_store
from tracker.store.reading import select_records, without_batches

#: What takes each engine for ever.
_ENDLESS = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
    "SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store with one run, on each engine."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'runs.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    with contextlib.closing(connect_store(url, create=True)) as store:
        upgrade_store(store)
        store.append(identity(), fit_stream(), expected_seq=0)
    return str(url)


def test_it_reads_and_refuses_to_write(url: str) -> None:
    """Runs are there; an append fails, and so does SQL that writes."""
    with contextlib.closing(open_store(url, reading_for=5.0)) as store:
        assert [run.name for run in store.runs()] == ["run"]
        with pytest.raises(TrackerError):
            store.append(identity("other", 2), fit_stream(), expected_seq=0)
        with pytest.raises(TrackerError), store.writing() as connection:
            connection.execute(text("DELETE FROM events"))
    with contextlib.closing(open_store(url)) as store:
        assert [run.name for run in store.runs()] == ["run"]
        assert len(list(store.read(identity().uuid))) == len(fit_stream())


def test_what_takes_too_long_is_given_up(url: str) -> None:
    """The error says so, and the connection serves on."""
    with contextlib.closing(open_store(url, reading_for=0.3)) as store:
        endless = _ENDLESS["sqlite" if url.startswith("sqlite") else "postgresql"]
        with pytest.raises(QueryTimeout, match="gave a query up"), store.reading() as connection:
            connection.execute(text(endless)).all()
        assert [run.name for run in store.runs()] == ["run"]


def test_events_without_batches_are_read_by_their_index(tmp_path: Path) -> None:
    """SQLite would go through all of a long run by the primary key: it has no statistics."""
    with contextlib.closing(open_store(f"sqlite:///{tmp_path}/a.db", create=True)) as store:
        wanted = without_batches(select_records(1)).where(schema.events.c.seq <= 10)
        with store.reading() as connection:
            literal = {"literal_binds": True}
            sql = wanted.compile(connection, compile_kwargs=literal)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all()
        assert [schema.COARSE in row[3] for row in plan] == [True]


def test_no_store_is_made(tmp_path: Path) -> None:
    """A file that is not there stays so."""
    with pytest.raises(StoreUnreachable):
        open_store(f"sqlite:///{tmp_path / 'none.db'}", reading_for=5.0)
    assert not list(tmp_path.iterdir())
