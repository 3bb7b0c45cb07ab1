"""What a hook costs the calling thread, while its events are shipped."""

from __future__ import annotations

import os
import resource
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from benchmarks.streams import began_recorder, logs, records
from benchmarks.table import Figure, interleaved_dicts
from tests.faults.trainer import shipping_process
from tracker import ship
from tracker.shipper import Shipper
from tracker.store.opening import open_store
from tracker.store.port import RunIdentity

#: Flush and end, of what ships.
Shipping = tuple[Callable[[int], bool], Callable[[], bool]]


def by_process(folder: Path, identity: RunIdentity, store: str) -> Shipping:
    """Ship as the tracker does: from a process beside this one."""
    shipper = Shipper(folder, identity, store)
    return lambda seq: shipper.flush(seq, 300), lambda: shipper.end(300)


def by_thread(folder: Path, identity: RunIdentity, store: str) -> Shipping:
    """Ship by the same program in a thread of this process: the design that was not taken."""
    orders, answers = os.pipe(), os.pipe()
    thread = threading.Thread(target=ship.serve, args=(orders[0], answers[1]), daemon=True)
    thread.start()

    def order(what: str, **fields: object) -> None:
        os.write(orders[1], orjson.dumps({"do": what, "uuid": identity.uuid, **fields}) + b"\n")

    def ask(what: str, **fields: object) -> bool:
        order(what, **fields)
        while not (answer := orjson.loads(os.read(answers[0], 2**16).splitlines()[-1])).get("done"):
            continue
        return bool(answer["done"])

    def end() -> bool:
        done = ask("end")
        os.close(orders[1])
        thread.join()
        for fd in (orders[0], *answers):
            os.close(fd)
        return done

    order(
        "ship",
        folder=str(folder),
        name=identity.name,
        writer=identity.writer,
        replaces=None,
        store=store,
        durability="process",
        trainer=os.getpid(),
    )
    return lambda seq: ask("flush", seq=seq), end


def hook_cost(
    batches: int,
    url: str | None,
    pace: float | None,
    shipping: Callable[[Path, RunIdentity, str], Shipping] = by_process,
) -> dict[str, float]:
    """Times of each recorded hook, four metrics at each batch end.

    Args:
        batches: How many.
        url: The store; None: a new SQLite file.
        pace: Seconds from batch to batch; None: as fast as it goes.
        shipping: What ships.

    Returns:
        Microseconds: `p50`, `p99`, `p999` over the hooks; `cpu` per event until everything is
        stored, of this process and the one that ships.
    """
    # The process that ships makes chunks for a moment longer.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = url or f"sqlite:///{folder}/bench.db"
        open_store(store, create=True).close()
        recorder, identity = began_recorder(Path(folder) / "journals")
        flush, end = shipping(recorder.journal.folder, identity, store)
        flush(recorder.seq)
        samples = [logs(4) for _ in range(1000)]
        recorder.begin_call("train", None, {})
        recorder.hook("train_begin", {})
        recorder.hook("epoch_begin", {}, 0)
        took: list[int] = []
        clock, batch = time.perf_counter_ns, recorder.batch
        for number in range(batches):
            sample = samples[number % 1000]
            start = clock()
            batch("train_batch_begin", number, {})
            middle = clock()
            batch("train_batch_end", number, sample)
            took += (middle - start, clock() - middle)
            if pace:
                time.sleep(pace)
        flush(recorder.seq)
        # Again, without what looking at the clock costs.
        cpu = _cpu()
        for number in range(batches):
            batch("train_batch_begin", number, {})
            batch("train_batch_end", number, samples[number % 1000])
        flush(recorder.seq)
        cpu = _cpu() - cpu
        recorder.journal.close()
        end()
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
    """Hook cost at full speed and at the pace of training, on both engines, both ways to ship."""
    batches, paced = count // 2, min(count // 2, 5000)
    flat, slow, remote, flat_thread, slow_thread, floors = interleaved_dicts(
        [
            lambda: hook_cost(batches, None, None),
            lambda: hook_cost(paced, None, 0.001),
            lambda: hook_cost(batches, postgres, None),
            lambda: hook_cost(batches, None, None, by_thread),
            lambda: hook_cost(paced, None, 0.001, by_thread),
            lambda: {"write": write_cost(count), "cpu": executemany_cpu(count)},
        ],
        repeat,
    )
    write = "os.write of such a line"
    rows = [
        ("flat out", flat),
        ("1,000 batches/s", slow),
        ("PostgreSQL", remote),
        ("flat out, shipped by a thread", flat_thread),
        ("1,000 batches/s, shipped by a thread", slow_thread),
    ]
    return [
        *(
            Figure(f"hook, {title}, {name}", result[key], "µs", floors["write"], write)
            for name, result in rows
            for title, key in (("median", "p50"), ("p99", "p99"), ("p99.9", "p999"))
        ),
        *(
            Figure(f"CPU an event until stored{how}", result["cpu"], "µs", floors["cpu"],
                   "sqlite3.executemany")
            for how, result in (("", flat), (", shipped by a thread", flat_thread))
        ),
    ]  # fmt: skip


def _cpu() -> float:
    """CPU seconds of this process, and of the one that ships for it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    shipper = shipping_process(os.getpid())
    times = shipper.cpu_times() if shipper else None
    return usage.ru_utime + usage.ru_stime + (times.user + times.system if times else 0.0)
