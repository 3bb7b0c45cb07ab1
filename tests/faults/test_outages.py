"""The database goes away, comes back, or comes back with less: the journal makes it good."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.faults.ledger import Ledger
from tests.faults.proxy import Place, commit_proxy
from tests.faults.stores import account, finish, made, wait_until
from tests.faults.trainer import Task
from tests.postgres import PostgresServer, installations, running_server
from tracker.errors import TrackerError
from tracker.query import run_of
from tracker.store.opening import open_store


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of this test's own, to be mistreated."""
    with running_server(installations()[0]) as one:
        yield one


def paced(url: str, folder: Path, *, seconds: float, name: str = "run") -> Task:
    """A trainer that takes about so long, at 500 batches a second."""
    return Task(
        store=url,
        name=name,
        witness=str(folder / f"witness-{name}"),
        batches=int(seconds * 500),
        pace=0.002,
    )


def stored(name: str, url: str) -> int:
    """The last seq that the store has of a run; 0 when it cannot be asked."""
    try:
        return run_of(name, store=url).state.last_seq
    except TrackerError:
        return 0


def test_a_server_that_is_stopped_for_30_seconds(
    server: PostgresServer, tmp_path: Path, ledger: Ledger
) -> None:
    """Training goes on at its pace meanwhile; afterwards everything is there."""
    url = made(server.create_database())
    task = paced(url, tmp_path, seconds=34)
    trainer = task.start()
    wait_until(lambda: stored("run", url) > 100)
    server.stop()
    before, start = task.returned(), time.monotonic()
    time.sleep(30)
    pace = (task.returned() - before) / (time.monotonic() - start)
    server.start()
    out = finish(trainer)
    assert pace > 100, "training stood still"
    assert out.count("cannot be reached") == 1
    assert "The store answers again" in out
    account(ledger, "PostgreSQL stopped for 30 s", task, url)


def test_a_server_that_is_killed(server: PostgresServer, tmp_path: Path, ledger: Ledger) -> None:
    """All of the server's processes are killed three times, and it is started again."""
    url = made(server.create_database())
    task = paced(url, tmp_path, seconds=8)
    trainer = task.start()
    for _ in range(3):
        seen = stored("run", url)
        wait_until(lambda seen=seen: stored("run", url) > seen)  # type: ignore[misc]
        server.stop(kill=True)
        server.start()
    finish(trainer)
    account(ledger, "PostgreSQL killed with -9", task, url)


def test_connections_that_are_terminated(
    postgres_server: PostgresServer, tmp_path: Path, ledger: Ledger
) -> None:
    """An administrator ends all connections, again and again."""
    url = made(postgres_server.create_database())
    task = paced(url, tmp_path, seconds=6)
    trainer = task.start()
    while trainer.poll() is None:
        postgres_server.terminate_connections()
        time.sleep(0.15)
    finish(trainer)
    account(ledger, "connections terminated", task, url)


@pytest.mark.parametrize("place", ["before", "after"])
def test_connections_that_are_cut_at_commit(
    place: Place, postgres_server: PostgresServer, tmp_path: Path, ledger: Ledger
) -> None:
    """Whether the server has done it or not is not known: the same batch is sent again."""
    url = made(postgres_server.create_database())
    with commit_proxy(postgres_server.port, place) as proxy:
        by_proxy = url.replace(f":{postgres_server.port}/", f":{proxy.port}/")
        task = paced(by_proxy, tmp_path, seconds=8)
        finish(task.start())
        account(ledger, f"connection cut {place} COMMIT", task, url)
        assert proxy.cuts > 5


def test_a_failover_that_lost_the_last_events(
    server: PostgresServer, tmp_path: Path, ledger: Ledger
) -> None:
    """The database is replaced by an older copy of it under the trainer."""
    url = made(server.create_database())
    database = url.rpartition("/")[2]
    task = paced(url, tmp_path, seconds=8)
    trainer = task.start()
    wait_until(lambda: stored("run", url) > 200)
    # A copy takes a database without connections: the trainer's are ended, and kept out.
    _replace(server, database, "older", keep=True)
    copied = stored("run", url)
    wait_until(lambda: stored("run", url) > copied + 1000)
    _replace(server, "older", database, keep=False)
    assert stored("run", url) <= copied + 500
    finish(trainer)
    account(ledger, "failover that lost acknowledged events", task, url)


def _replace(server: PostgresServer, source: str, target: str, *, keep: bool) -> None:
    """Make the database `target` a copy of `source`; without `keep`, in the place of another."""
    with psycopg.connect(server.url("postgres").replace("+psycopg", ""), autocommit=True) as admin:
        for name in (source, target):
            admin.execute(f"UPDATE pg_database SET datallowconn = false WHERE datname = '{name}'")
            admin.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
        time.sleep(0.2)
        if not keep:
            admin.execute(f'DROP DATABASE "{target}"')
        admin.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"')
        for name in (source, target):
            admin.execute(f"UPDATE pg_database SET datallowconn = true WHERE datname = '{name}'")


def test_a_store_that_is_away_from_the_start(
    server: PostgresServer, tmp_path: Path, ledger: Ledger
) -> None:
    """The run begins, and a part of it passes, before there is a store at all."""
    url = made(server.create_database())
    server.stop()
    task = paced(url, tmp_path, seconds=4)
    trainer = task.start()
    task.wait_for(1000)
    server.start()
    finish(trainer)
    account(ledger, "a store that is away from the start", task, url)


def test_a_store_that_is_away_to_the_end(
    server: PostgresServer, tmp_path: Path, ledger: Ledger
) -> None:
    """The trainer ends without ever having reached the store; it does not wait long for it."""
    url = made(server.create_database())
    server.stop()
    task = paced(url, tmp_path, seconds=2)
    start = time.monotonic()
    out = finish(task.start())
    assert time.monotonic() - start < 25
    assert "tracker journal ship" in out
    server.start()
    account(ledger, "a store that is away to the end", task, url)


def test_a_sqlite_file_that_is_replaced_by_an_older_one(tmp_path: Path, ledger: Ledger) -> None:
    """A backup is put back under the trainer; what it lacks comes from the journal."""
    file, older = tmp_path / "runs.db", tmp_path / "older.db"
    url = f"sqlite:///{file}"
    task = paced(url, tmp_path, seconds=6)
    trainer = task.start()
    wait_until(lambda: stored("run", url) > 200)
    store = open_store(url)
    with store.without_transaction() as connection:
        connection.exec_driver_sql("VACUUM INTO ?", (str(older),))
    store.close()
    copied = stored("run", url)
    wait_until(lambda: stored("run", url) > copied + 1000)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file}{suffix}").unlink(missing_ok=True)
    older.rename(file)
    finish(trainer)
    account(ledger, "an older copy of the SQLite file", task, url)
