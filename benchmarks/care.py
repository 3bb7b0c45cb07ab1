"""Events per second of making projections again, and of checking the hash chain."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.streams import records
from benchmarks.table import Figure, interleaved
from tracker.event import Record
from tracker.maintenance import verify
from tracker.store.opening import open_store
from tracker.store.port import RunIdentity
from tracker.store.rebuilding import rebuild
from tracker.store.sql import SqlStore

_BATCH = 5_000


def filled(url: str, streams: list[list[Record]]) -> SqlStore:
    """A store with these runs."""
    store = open_store(url, create=True)
    for number, stream in enumerate(streams, 1):
        identity = RunIdentity(
            uuid=f"01900000-0000-7000-9000-{number:012d}", name=f"bench-{number}", writer="w"
        )
        for place in range(0, len(stream), _BATCH):
            store.append(identity, stream[place : place + _BATCH], expected_seq=place)
    return store


def rate(count: int, do: Callable[[], object]) -> float:
    """Events per second."""
    start = time.perf_counter()
    do()
    return count / (time.perf_counter() - start)


def fetchall(store: SqlStore) -> None:
    """The floor: every row, as the driver gives them."""
    with store.reading() as connection:
        cursor = connection.connection.cursor()
        cursor.execute("SELECT * FROM events ORDER BY run_id, seq")
        cursor.fetchall()
        cursor.close()


def figures(count: int, repeat: int, postgres: str) -> list[Figure]:
    """One long run, and a hundred short ones, on SQLite; one long run on PostgreSQL."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        long = records(count, 2)
        short = [records(count // 100, 2) for _ in range(100)]
        cases = [
            ("SQLite, 1 run", f"sqlite:///{Path(folder) / 'long.db'}", [long]),
            ("SQLite, 100 runs", f"sqlite:///{Path(folder) / 'short.db'}", short),
            ("PostgreSQL, 1 run", postgres, [long]),
        ]
        for name, url, streams in cases:
            store = filled(url, streams)
            events = sum(map(len, streams))
            folded, checked, bare = interleaved(
                [
                    partial(rate, events, partial(rebuild, store)),
                    partial(rate, events, partial(verify, store=store)),
                    partial(rate, events, partial(fetchall, store)),
                ],
                repeat,
            )
            store.close()
            found += [
                Figure(f"rebuild, {name}", folded, "events/s", bare, "cursor.fetchall"),
                Figure(f"verify, {name}", checked, "events/s", bare, "cursor.fetchall"),
            ]
    return found
