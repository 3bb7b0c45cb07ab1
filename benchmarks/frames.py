"""Seconds from a stored run to its frame: from rows, and from sealed chunks."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy import delete

import tracker
from benchmarks.care import filled
from benchmarks.streams import records
from benchmarks.table import Figure, interleaved
from tracker.maintenance import rebuild_chunks
from tracker.store import schema
from tracker.store.sql import SqlStore


def seconds(do: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def fetchall(store: SqlStore) -> None:
    """The floor: every row, as the driver gives them, logs as text."""
    with store.reading() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(
            "SELECT seq, at, kind, attempt, call, epoch, batch, CAST(logs AS TEXT) "
            "FROM events WHERE run_id = 1 ORDER BY seq"
        )
        cursor.fetchall()
        cursor.close()


def without_chunks(store: SqlStore) -> None:
    """Have the run read from its rows."""
    with store.writing() as connection:
        connection.execute(delete(schema.chunks))


def measured(store: SqlStore, repeat: int) -> tuple[list[float], list[float]]:
    """Frame of events, tidy frame of batch metrics and floor, without chunks and with them."""
    candidates = [
        partial(seconds, partial(tracker.events, "bench-1", store=store)),
        partial(seconds, partial(tracker.metrics, "bench-1", source="batch", store=store)),
        partial(seconds, partial(fetchall, store)),
    ]
    without_chunks(store)
    cold = interleaved(candidates, repeat)
    rebuild_chunks(store=store)
    return cold, interleaved(candidates, repeat)


def figures(count: int, repeat: int, urls: Callable[[], str]) -> list[Figure]:
    """A run of so many events, and of a tenth, on each engine.

    Args:
        count: Events of the run.
        repeat: Measurements of each.
        urls: Makes an empty PostgreSQL database with our tables, and returns its URL.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (count, count // 10):
            stream = records(size, 2)
            for engine, url in (
                ("SQLite", f"sqlite:///{Path(folder) / f'{size}.db'}"),
                ("PostgreSQL", urls()),
            ):
                store = filled(url, [stream])
                cold, sealed = measured(store, repeat)
                store.close()
                for how, (events, metrics, floor) in (("rows", cold), ("chunks", sealed)):
                    name = f"{size:,} events, {engine}, from {how}"
                    found += [
                        Figure(f"events(), {name}", events, "s", floor, "cursor.fetchall"),
                        Figure(f"batch metrics(), {name}", metrics, "s", floor, "cursor.fetchall"),
                    ]
    return found
