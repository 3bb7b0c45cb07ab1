"""Milliseconds of a page of 100 runs, of ten thousand and of a hundred thousand."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.table import Figure, interleaved
from tracker.search import found_runs
from tracker.store import schema
from tracker.store.opening import open_store
from tracker.store.sql import SqlStore

_AT_ONCE = 10_000
_PAGE = 100
_BEGAN = 1_767_225_600_000_000
_BARE = f"SELECT * FROM runs ORDER BY began_at DESC LIMIT {_PAGE}"
_METRICS = ("loss", "val_loss", "accuracy", "val_accuracy")

#: What a page is asked for with.
PAGES: dict[str, dict[str, Any]] = {
    "the latest": {},
    "by val_loss:min": {"sort": "val_loss:min"},
    "by val_loss:min, a later page": {"sort": "val_loss:min", "after": "bench-77"},
    "by params.lr": {"sort": "-params.lr"},
    "of a status": {"where": "status = 'failed'"},
    "of a range of a param": {"where": "params.lr > 0.09"},
    "of a text among params": {"where": "params.optimizer = 'adam'"},
    "of a text that none has": {"where": "params.optimizer = 'none'"},
    "of a text, and of few by a metric": {
        "where": "params.optimizer = 'adam' and val_loss < 0.0001"
    },
    "of one run in a thousand by a metric": {"where": "min(val_loss) < 0.0005"},
    "of half by a metric, by another": {"where": "loss < 0.5", "sort": "-val_accuracy:max"},
}


def fill(store: SqlStore, count: int) -> None:
    """So many runs with 3 params and 4 metrics each: projections only, since no event is read."""
    chance = random.Random(0)
    with store.writing() as connection:
        for first in range(1, count + 1, _AT_ONCE):
            ids = range(first, min(first + _AT_ONCE, count + 1))
            connection.execute(insert(schema.runs), [_run(run_id) for run_id in ids])
            params = [row for run_id in ids for row in _params(run_id, chance)]
            connection.execute(insert(schema.run_params), params)
            metrics = [row for run_id in ids for row in _metrics(run_id, chance)]
            connection.execute(insert(schema.run_metrics), metrics)


def _run(run_id: int) -> dict[str, Any]:
    began = _BEGAN + run_id * 60_000_000
    name = f"bench-{run_id}"
    return {
        "id": run_id, "uuid": f"01900000-0000-7000-9000-{run_id:012d}", "given_name": name,
        "writer": "w", "head": bytes(32), "last_seq": 1_000, "last_at": began, "name": name,
        "experiment": f"experiment-{run_id % 20}", "began_at": began, "ended_at": began + 10**8,
        "status": "finished" if run_id % 50 else "failed", "attempt": 1, "epochs": 10, "version": 2,
    }  # fmt: skip


def _params(run_id: int, chance: random.Random) -> list[dict[str, Any]]:
    rate, size = chance.random() / 10, chance.choice([32.0, 64.0])
    kind = chance.choice(['"adam"', '"sgd"'])
    values = [("lr", repr(rate), rate), ("batch_size", repr(size), size), ("optimizer", kind, None)]
    return [{"run_id": run_id, "key": key, "value": value, "number": number}
            for key, value, number in values]  # fmt: skip


def _metrics(run_id: int, chance: random.Random) -> list[dict[str, Any]]:
    rows = []
    for metric in _METRICS:
        value = chance.random()
        numbers = {"last": value, "minimum": value / 2, "maximum": value * 2, "first": value * 2}
        seqs = dict.fromkeys(("last_seq", "minimum_seq", "maximum_seq", "first_seq"), 500)
        rows.append({"run_id": run_id, "phase": "train", "metric": metric, **numbers, **seqs})
    return rows


def milliseconds(do: Callable[[], object]) -> float:
    """How long it takes."""
    start = time.perf_counter()
    do()
    return (time.perf_counter() - start) * 1e3


def bare(store: SqlStore) -> None:
    """The floor: rows of the table of runs alone, as the driver gives them."""
    with store.reading() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(_BARE)
        cursor.fetchall()
        cursor.close()


def figures(count: int, repeat: int, urls: Callable[[], str]) -> list[Figure]:
    """Pages of so many runs and of a tenth of them.

    Args:
        count: How many runs.
        repeat: Measurements of each, interleaved.
        urls: Makes URLs of new PostgreSQL databases with our tables.
    """
    found = []
    for runs in (count // 10, count):
        with tempfile.TemporaryDirectory() as folder:
            for engine, url in (
                ("SQLite", f"sqlite:///{Path(folder) / 'runs.db'}"),
                ("PostgreSQL", urls()),
            ):
                store = open_store(url, create=True)
                fill(store, runs)
                if engine == "PostgreSQL":  # which does it by itself, a while later
                    with store.writing() as connection:
                        connection.exec_driver_sql("ANALYZE")
                pages = [
                    partial(milliseconds, partial(found_runs, store, limit=_PAGE, **asked))
                    for asked in PAGES.values()
                ]
                for page in pages:
                    page()  # the first one makes the parser
                *ours, floor = interleaved(
                    [*pages, partial(milliseconds, partial(bare, store))], repeat
                )
                store.close()
                found += [
                    Figure(
                        f"page of {_PAGE} of {runs:,} runs, {engine}, {name}",
                        value, "ms", floor, _BARE,
                    )
                    for name, value in zip(PAGES, ours, strict=True)
                ]  # fmt: skip
    return found
