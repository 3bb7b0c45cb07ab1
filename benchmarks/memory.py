"""Memory over millions of events: of the trainer and of what ships, the store there or away."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psutil

from benchmarks.streams import began_recorder, logs
from benchmarks.table import Figure
from tests.faults.trainer import shipping_process
from tracker.shipper import Shipper

_MEGABYTE = 2**20


def growth(events: int, store: str | None) -> tuple[float, float]:
    """Megabytes that the trainer and the shipping process take more, from a fifth to the end.

    Args:
        events: How many.
        store: The URL of a store that is away; None: a new SQLite file.
    """
    with tempfile.TemporaryDirectory() as folder:
        recorder, identity = began_recorder(Path(folder) / "journals")
        shipper = Shipper(
            recorder.journal.folder, identity, store or f"sqlite:///{folder}/bench.db"
        )
        shipper.flush(recorder.seq, 20)
        recorder.begin_call("train", None, {})
        samples = [logs(4) for _ in range(1000)]
        before = (0.0, 0.0)
        for number in range(events // 2):
            recorder.batch("train_batch_begin", number, {})
            recorder.batch("train_batch_end", number, samples[number % 1000])
            if number == events // 10:
                shipper.flush(recorder.seq, 300)
                before = _memory()
        shipper.flush(recorder.seq, 300)
        after = _memory()
        recorder.journal.close()
        if store is None:
            shipper.end(300)
        else:
            process = shipping_process(os.getpid())
            assert process is not None
            process.kill()  # it would try for as long as this process lives
    return after[0] - before[0], after[1] - before[1]


def _memory() -> tuple[float, float]:
    shipper = shipping_process(os.getpid())
    assert shipper is not None
    own = psutil.Process().memory_info().rss / _MEGABYTE
    return own, shipper.memory_info().rss / _MEGABYTE


def figures(events: int) -> list[Figure]:
    """What memory grows by."""
    found = []
    for where, store in (("", None), (", store away", "postgresql+psycopg://u@127.0.0.1:1/d")):
        trainer, shipper = growth(events, store)
        what = f"{events // 5:,} to {events:,} events{where}"
        found += [
            Figure(f"trainer grows, {what}", trainer, "MB", None, ""),
            Figure(f"shipping process grows, {what}", shipper, "MB", None, ""),
        ]
    return found
