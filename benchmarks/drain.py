"""Events per second from a ready journal into the store, projections included; and sizes."""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

from benchmarks.hook import INSERT, bare_sqlite
from benchmarks.streams import journal, records
from benchmarks.table import Figure, interleaved
from tracker.delivery import Delivery
from tracker.event import Record
from tracker.store.opening import open_store
from tracker.store.port import RunIdentity
from tracker.store.sql import SqlStore

_COLUMNS = (
    "run_id integer, seq bigint, at bigint, kind text, attempt integer, call integer, "
    "epoch bigint, batch bigint, logs json, PRIMARY KEY (run_id, seq)"
)


def drain(stream: list[Record], url: str | None) -> float:
    """Events per second through the shipper's delivery; SQLite in a new file without a URL."""
    with tempfile.TemporaryDirectory() as folder:
        writer = journal(Path(folder) / "journals", stream)
        store = open_store(url or f"sqlite:///{folder}/bench.db", create=True)
        identity = RunIdentity(uuid=writer.meta.uuid, name=writer.meta.name, writer="w")
        delivery = Delivery(writer.folder, identity, store)
        gc.freeze()  # the stream that is measured is not the program's to look through
        start = time.perf_counter()
        while delivery.step():
            pass
        took = time.perf_counter() - start
        delivery.close()
        store.close()
        writer.close()
    return len(stream) / took


def executemany(stream: list[Record]) -> float:
    """The floor on SQLite: rows per second, in batches of 1,000."""
    rows = [(1, *record) for record in stream]
    with tempfile.TemporaryDirectory() as folder:
        connection = bare_sqlite(Path(folder) / "floor.db")
        start = time.perf_counter()
        for place in range(0, len(rows), 1000):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, rows[place : place + 1000])
            connection.execute("COMMIT")
        took = time.perf_counter() - start
        connection.close()
    return len(rows) / took


def copy(stream: list[Record], url: str) -> float:
    """The floor on PostgreSQL: rows per second of COPY, in batches of 1,000."""
    import psycopg

    rows = [(1, *record) for record in stream]
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS floor")
        connection.execute(f"CREATE TABLE floor ({_COLUMNS})".encode())
        start = time.perf_counter()
        for place in range(0, len(rows), 1000):
            with connection.cursor().copy("COPY floor FROM STDIN") as block:
                for row in rows[place : place + 1000]:
                    block.write_row(row)
        took = time.perf_counter() - start
        connection.execute("DROP TABLE floor")
    return len(rows) / took


def size(stream: list[Record], metrics: int) -> list[Figure]:
    """Bytes an event in SQLite, in the journal and in a bare table."""
    with tempfile.TemporaryDirectory() as folder:
        writer = journal(Path(folder) / "journals", stream)
        (segment, *_) = sorted(writer.folder.glob("*.jsonl"))
        in_journal = segment.stat().st_size / len(stream)
        path = Path(folder) / "bench.db"
        store = open_store(f"sqlite:///{path}", create=True)
        empty = _settled(store, path)
        identity = RunIdentity(uuid=writer.meta.uuid, name=writer.meta.name, writer="w")
        delivery = Delivery(writer.folder, identity, store)
        while delivery.step():
            pass
        ours = (_settled(store, path) - empty) / len(stream)
        delivery.close()
        store.close()
        writer.close()
        connection = bare_sqlite(Path(folder) / "floor.db")
        connection.executemany(INSERT, [(1, *record) for record in stream])
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        floor = (Path(folder) / "floor.db").stat().st_size / len(stream)
    name = f"{metrics} metrics"
    return [
        Figure(f"SQLite, {name}", ours, "bytes/event", floor, "a bare table of the same rows"),
        Figure(f"journal, {name}", in_journal, "bytes/event", floor, "a bare table in SQLite"),
    ]


def size_postgres(stream: list[Record], url: str) -> Figure:
    """Bytes an event in PostgreSQL, indexes included."""
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        measure = "SELECT pg_total_relation_size('events') + pg_total_relation_size('appends')"
        before = connection.execute(measure).fetchone()
        drain(stream, url)
        after = connection.execute(measure).fetchone()
        connection.execute("DROP TABLE IF EXISTS floor")
        connection.execute(f"CREATE TABLE floor ({_COLUMNS})".encode())
        with connection.cursor().copy("COPY floor FROM STDIN") as block:
            for record in stream:
                block.write_row((1, *record))
        floor = connection.execute("SELECT pg_total_relation_size('floor')").fetchone()
        connection.execute("DROP TABLE floor")
    assert before is not None
    assert after is not None
    assert floor is not None
    ours = (after[0] - before[0]) / len(stream)
    bare = floor[0] / len(stream)
    return Figure(
        "PostgreSQL, 2 metrics", ours, "bytes/event", bare, "a bare table of the same rows"
    )


def figures(count: int, repeat: int, postgres: str) -> list[Figure]:
    """Drain rates and sizes."""
    stream = records(count, 2)
    sqlite, bare, remote, copied = interleaved(
        [
            lambda: drain(stream, None),
            lambda: executemany(stream),
            lambda: drain(stream, postgres),
            lambda: copy(stream, postgres),
        ],
        repeat,
    )
    return [
        Figure("drain into SQLite", sqlite, "events/s", bare, "sqlite3.executemany"),
        Figure("drain into PostgreSQL", remote, "events/s", copied, "COPY, row by row"),
        *size(stream, 2),
        *size(records(count, 4), 4),
        size_postgres(stream, postgres),
    ]


def _settled(store: SqlStore, path: Path) -> int:
    """The file's size with everything in it."""
    with store.without_transaction() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size
