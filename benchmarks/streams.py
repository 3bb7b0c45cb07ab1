"""The streams that are measured: begin and end of batches, with metrics."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tracker.event import Record, canonical
from tracker.journal import JournalMeta, JournalWriter
from tracker.logs import encode
from tracker.names import uuid7

_NAMES = ("loss", "accuracy", "auc", "precision")
_random = random.Random(1)


def logs(metrics: int) -> dict[str, float]:
    """Logs of one batch end: floats with all their digits, as Keras gives them."""
    return {name: _random.random() for name in _NAMES[:metrics]}


def records(count: int, metrics: int = 2) -> list[Record]:
    """A run of so many events in all, 2,000 batches an epoch."""
    began = encode({"version": 1, "experiment": "bench", "params": {}})
    found = [Record(1, time.time_ns() // 1000, "run_began", 1, None, None, None, began)]
    while len(found) < count:
        seq = len(found) + 1
        epoch, batch = divmod(seq // 2, 2000)
        kind, text = ("train_batch_begin", "{}")
        if seq % 2:
            kind, text = "train_batch_end", encode(logs(metrics))
        found.append(Record(seq, time.time_ns() // 1000, kind, 1, 1, epoch, batch, text))
    return found


def journal(folder: Path, stream: list[Record]) -> JournalWriter:
    """A journal with these records, its writer still open."""
    meta = JournalMeta(
        uuid=uuid7(), name="bench", store="", writer="w", host="h", boot=None, pid=1, began_at=0
    )
    writer = JournalWriter([folder], meta)
    for record in stream:
        writer.append(record.seq, canonical(record))
    return writer
