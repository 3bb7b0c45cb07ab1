"""Streams of records as a recorder would make them, without Keras."""

from __future__ import annotations

from typing import Any

from tracker.event import VERSION, Record
from tracker.logs import encode
from tracker.store.port import RunIdentity

#: 2026-01-01 00:00:00 UTC in microseconds.
START = 1_767_225_600_000_000


def identity(name: str = "run", number: int = 1, writer: str = "w") -> RunIdentity:
    """The n-th run that a test needs."""
    return RunIdentity(uuid=f"01900000-0000-7000-8000-{number:012d}", name=name, writer=writer)


class Stream:
    """Numbers what is added to it."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(
        self,
        kind: str,
        logs: dict[str, Any] | None = None,
        *,
        call: int | None = None,
        epoch: int | None = None,
        batch: int | None = None,
        attempt: int = 1,
    ) -> None:
        """Add one record."""
        seq = len(self.records) + 1
        at = START + seq * 1000
        self.records.append(Record(seq, at, kind, attempt, call, epoch, batch, encode(logs)))


def fit_stream(
    epochs: int = 2,
    batches: int = 3,
    *,
    name: str = "run",
    params: dict[str, Any] | None = None,
    ended: bool = True,
) -> list[Record]:
    """A run of one fit with validation, and one evaluate."""
    stream = Stream()
    stream.add(
        "run_began",
        {
            "version": VERSION,
            "name": name,
            "experiment": "tests",
            "params": params or {"lr": 0.1},
            "tags": {"kind": "made"},
            "model": {"name": "net", "optimizer": {"class": "Adam"}},
            "environment": {"host": "here", "pid": 7},
        },
    )
    stream.add("call_began", {"phase": "train", "params": {"steps": batches}}, call=1)
    stream.add("train_begin", call=1)
    for epoch in range(epochs):
        stream.add("epoch_begin", call=1, epoch=epoch)
        for batch in range(batches):
            loss = {"loss": 1.0 / (1 + epoch * batches + batch)}
            stream.add("train_batch_begin", call=1, epoch=epoch, batch=batch)
            stream.add("train_batch_end", loss, call=1, epoch=epoch, batch=batch)
        stream.add("test_begin", call=1, epoch=epoch)
        stream.add("test_batch_begin", call=1, epoch=epoch, batch=0)
        stream.add("test_batch_end", {"loss": 0.5}, call=1, epoch=epoch, batch=0)
        stream.add("test_end", {"loss": 0.5}, call=1, epoch=epoch)
        logs = {"loss": 1.0 / (1 + epoch), "val_loss": 0.5 + epoch}
        stream.add("epoch_end", logs, call=1, epoch=epoch)
    stream.add("train_end", {"loss": 0.1}, call=1)
    stream.add("call_began", {"phase": "test"}, call=2)
    stream.add("test_begin", call=2)
    stream.add("test_end", {"loss": 0.25}, call=2)
    if ended:
        stream.add("run_ended", {"status": "finished"})
    return stream.records
