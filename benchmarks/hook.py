"""What a hook costs the calling thread, while the shipper works."""

from __future__ import annotations

import os
import resource
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.streams import logs, records
from benchmarks.table import Figure
from tracker.journal import JournalMeta, JournalWriter
from tracker.names import uuid7
from tracker.recorder import Recorder
from tracker.shipper import Shipper
from tracker.store.opening import open_store
from tracker.store.port import RunIdentity


def hook_cost(batches: int, url: str | None, pace: float | None) -> dict[str, float]:
    """Times of each recorded hook, four metrics at each batch end.

    Args:
        batches: How many.
        url: The store; None: a new SQLite file.
        pace: Seconds from batch to batch; None: as fast as it goes.

    Returns:
        Microseconds: `p50`, `p99`, `p999` over the hooks; `cpu` per event of the whole process
        until everything is stored.
    """
    with tempfile.TemporaryDirectory() as folder:
        identity = RunIdentity(uuid=uuid7(), name="bench", writer="w")
        meta = JournalMeta(
            uuid=identity.uuid,
            name="bench",
            store="",
            writer="w",
            host="h",
            boot=None,
            pid=1,
            began_at=0,
        )
        store = url or f"sqlite:///{folder}/bench.db"
        open_store(store, create=True).close()
        journal = JournalWriter([Path(folder) / "journals"], meta)
        recorder = Recorder(journal)
        recorder.fact("run_began", {"version": 1})
        shipper = Shipper(journal.folder, identity, store)
        shipper.flush(recorder.seq, 10)
        samples = [logs(4) for _ in range(1000)]
        recorder.begin_call("train", None, {})
        recorder.hook("train_begin", {})
        recorder.hook("epoch_begin", {}, 0)
        took: list[int] = []
        clock, batch = time.perf_counter_ns, recorder.batch
        cpu = _cpu()
        for number in range(batches):
            sample = samples[number % 1000]
            start = clock()
            batch("train_batch_begin", number, {})
            middle = clock()
            batch("train_batch_end", number, sample)
            took += (middle - start, clock() - middle)
            if pace:
                time.sleep(pace)
        shipper.flush(recorder.seq, 300)
        cpu = _cpu() - cpu
        journal.close()
        shipper.end(10)
    cuts = statistics.quantiles(took, n=1000)
    return {
        "p50": cuts[499] / 1000,
        "p99": cuts[989] / 1000,
        "p999": cuts[998] / 1000,
        "cpu": cpu / (2 * batches) * 1e6,
    }


def write_cost(count: int) -> float:
    """The floor: microseconds of one `os.write` of a line of that size."""
    line = b"x" * 190
    with tempfile.TemporaryDirectory() as folder:
        fd = os.open(f"{folder}/floor", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        took = []
        for _ in range(count):
            start = time.perf_counter_ns()
            os.write(fd, line)
            took.append(time.perf_counter_ns() - start)
        os.close(fd)
    return statistics.median(took) / 1000


def executemany_cpu(count: int) -> float:
    """The floor of CPU: microseconds an event of bare executemany of the same rows."""
    stream = records(count, 4)
    rows = [(1, *record) for record in stream]
    with tempfile.TemporaryDirectory() as folder:
        connection = bare_sqlite(Path(folder) / "floor.db")
        cpu = _cpu()
        for start in range(0, len(rows), 1000):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, rows[start : start + 1000])
            connection.execute("COMMIT")
        cpu = _cpu() - cpu
        connection.close()
    return cpu / count * 1e6


INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"


def bare_sqlite(path: Path) -> sqlite3.Connection:
    """A SQLite file with the table of events and nothing else."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(
        "CREATE TABLE events (run_id INTEGER, seq INTEGER, at INTEGER, kind TEXT, attempt INTEGER, "
        "call INTEGER, epoch INTEGER, batch INTEGER, logs TEXT, PRIMARY KEY (run_id, seq)) "
        "WITHOUT ROWID"
    )
    return connection


def figures(count: int, repeat: int, postgres: str) -> list[Figure]:
    """Hook cost at full speed and at the pace of training, on both engines."""
    batches = count // 2
    flat = [hook_cost(batches, None, None) for _ in range(repeat)]
    paced = [hook_cost(min(batches, 5000), None, 0.001) for _ in range(repeat)]
    remote = [hook_cost(batches, postgres, None) for _ in range(repeat)]
    floor = statistics.median(write_cost(count) for _ in range(repeat))
    cpu = statistics.median(executemany_cpu(count) for _ in range(repeat))
    write = "os.write of such a line"

    def median(results: list[dict[str, float]], name: str) -> float:
        return statistics.median(result[name] for result in results)

    return [
        Figure("hook, median, flat out", median(flat, "p50"), "µs", floor, write),
        Figure("hook, p99, flat out", median(flat, "p99"), "µs", floor, write),
        Figure("hook, median, 1,000 batches/s", median(paced, "p50"), "µs", floor, write),
        Figure("hook, p99, 1,000 batches/s", median(paced, "p99"), "µs", floor, write),
        Figure("hook, median, PostgreSQL", median(remote, "p50"), "µs", floor, write),
        Figure("hook, p99, PostgreSQL", median(remote, "p99"), "µs", floor, write),
        Figure("CPU an event until stored", median(flat, "cpu"), "µs", cpu, "sqlite3.executemany"),
    ]


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
