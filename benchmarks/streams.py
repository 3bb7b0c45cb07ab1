"""The streams that are measured: begin and end of batches, with metrics."""

from __future__ import annotations

import random
import time
from pathlib import Path

from tracker.event import Record, canonical
from tracker.journal import JournalMeta, JournalWriter
from tracker.logs import encode
from tracker.names import uuid7
from tracker.recorder import Recorder
from tracker.store.port import RunIdentity

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


def empty_journal(folder: Path) -> JournalWriter:
    """A journal without records."""
    meta = JournalMeta(
        uuid=uuid7(),
        name=f"bench-{uuid7()}",
        store="",
        writer="w",
        host="h",
        boot=None,
        pid=1,
        began_at=0,
    )
    return JournalWriter([folder], meta)


def began_recorder(folder: Path) -> tuple[Recorder, RunIdentity]:
    """A recorder of a run that has begun, with its journal in the folder."""
    writer = empty_journal(folder)
    recorder = Recorder(writer)
    recorder.fact("run_began", {"version": 1})
    meta = writer.meta
    return recorder, RunIdentity(uuid=meta.uuid, name=meta.name, writer=meta.writer)


def journal(folder: Path, stream: list[Record]) -> JournalWriter:
    """A journal with these records, its writer still open."""
    writer = empty_journal(folder)
    for record in stream:
        writer.append(record.seq, canonical(record))
    return writer
