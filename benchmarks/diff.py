"""Seconds to find where two runs part, and all that differs."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import tracker
from benchmarks.care import filled
from benchmarks.frames import seconds
from benchmarks.streams import records
from benchmarks.table import Figure, interleaved
from tracker.event import Record
from tracker.logs import encode
from tracker.maintenance import rebuild_chunks
from tracker.store.sql import SqlStore


def fetchall(store: SqlStore) -> None:
    """The floor: the rows of both runs, as the driver gives them."""
    with store.reading() as connection:
        for run_id in (1, 2):
            cursor = connection.connection.cursor()
            cursor.execute(f"SELECT * FROM events WHERE run_id = {run_id} ORDER BY seq")
            cursor.fetchall()
            cursor.close()


def reseeded(stream: list[Record]) -> list[Record]:
    """The same run with other values in every batch."""
    chance = random.Random(2)
    return [
        one._replace(logs=encode({"loss": chance.random(), "accuracy": chance.random()}))
        if one.kind == "train_batch_end"
        else one
        for one in stream
    ]


def figures(count: int, repeat: int) -> list[Figure]:
    """Two runs of so many events that are equal, and two that differ in every batch; SQLite."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for size in (count, count // 10):
            stream = records(size, 2)
            for name, other in (("equal", stream), ("all differs", reseeded(stream))):
                url = f"sqlite:///{Path(folder) / f'{size}-{name[:3]}.db'}"
                store = filled(url, [stream, other])
                compare: Callable[[], float] = partial(
                    seconds, partial(tracker.diff, "bench-1", "bench-2", store=store)
                )
                floor = partial(seconds, partial(fetchall, store))
                rows, bare = interleaved([compare, floor], repeat)
                rebuild_chunks(store=store)
                (chunks,) = interleaved([compare], repeat)
                store.close()
                for how, value in (("rows", rows), ("chunks", chunks)):
                    label = f"diff, {size:,} against {size:,}, {name}, from {how}"
                    found.append(Figure(label, value, "s", bare, "cursor.fetchall of both"))
    return found
