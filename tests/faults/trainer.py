"""A trainer as fast as it goes: Keras's own callback list, and our callback, without a model.

`python -m tests.faults.trainer JSON`, or `fork` from a process that has loaded it. How many hooks
have returned is in a file that is mapped into memory, which survives the trainer in any way.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from tracker.event import HOOKS, Record

ROOT = Path(__file__).parent.parent.parent

#: Hooks before the first batch's: `train_begin`, `epoch_begin`.
_BEFORE = 2


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to train."""

    store: str
    name: str
    witness: str
    #: Batches; None: until something ends it.
    batches: int | None = None
    #: Seconds from batch to batch.
    pace: float = 0.0
    #: After which batch to do something (-1: after each), and what: Python code.
    at: int | None = None
    action: str = "pass"
    #: Whether to end the run at the end, or to leave that to Python.
    close: bool = True

    def start(self, *prefix: str, **environment: str) -> subprocess.Popen[str]:
        """Train in another process."""
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "tests.faults.trainer", json.dumps(asdict(self))],
            cwd=ROOT,
            env={**os.environ, "KERAS_BACKEND": "numpy", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def returned(self) -> int:
        """How many hooks have returned so far."""
        try:
            data = Path(self.witness).read_bytes()
        except FileNotFoundError:
            return 0
        return int(struct.unpack("<q", data[:8])[0]) if len(data) >= 8 else 0

    def wait_for(self, returned: int) -> None:
        """Wait until so many hooks have returned."""
        deadline = time.monotonic() + 60
        while self.returned() < returned:
            assert time.monotonic() < deadline, f"{self.name} recorded {self.returned()} hooks"
            time.sleep(0.01)


def train(task: Task) -> None:
    """Call hooks as `fit` does, and count those that returned."""
    import keras

    from tracker import TrackerCallback

    callback = TrackerCallback(store=task.store, name=task.name)
    callbacks = keras.callbacks.CallbackList([callback], epochs=1, steps=None, model=_model())
    with open(task.witness, "w+b") as file:  # noqa: PTH123 - to be mapped
        file.write(bytes(8))
        file.flush()
        count = mmap.mmap(file.fileno(), 8)
    hooks = 0

    def note() -> None:
        nonlocal hooks
        hooks += 1
        count[:] = struct.pack("<q", hooks)

    callbacks.on_train_begin()
    note()
    callbacks.on_epoch_begin(0)
    note()
    batch = 0
    while task.batches is None or batch < task.batches:
        callbacks.on_train_batch_begin(batch)
        note()
        callbacks.on_train_batch_end(batch, {"loss": float(batch)})
        note()
        if task.at in (batch, -1):
            exec(task.action, {"batch": batch, "callback": callback})
        if task.pace:
            time.sleep(task.pace)
        batch += 1
    callbacks.on_epoch_end(0, {"loss": float(batch)})
    note()
    callbacks.on_train_end({"loss": float(batch)})
    note()
    if task.close:
        callback.close()


def check_content(records: list[Record]) -> None:
    """The hooks of a run are those that `train` calls, values to the bit."""
    hooks = [record for record in records if record.kind in HOOKS]
    for record, (kind, batch) in zip(hooks, _expected(), strict=False):
        if record.kind in ("epoch_end", "train_end"):
            break
        assert (record.kind, record.batch) == (kind, batch)
        if kind == "train_batch_end":
            assert record.logs == f'{{"loss":{float(batch or 0)}}}'


def shipping_process(trainer: int) -> psutil.Process | None:
    """The process that ships for a trainer."""
    for child in psutil.Process(trainer).children():
        if any("tracker.ship" in word for word in child.cmdline()):
            return child
    return None


def _expected() -> Iterator[tuple[str, int | None]]:
    yield "train_begin", None
    yield "epoch_begin", None
    batch = 0
    while True:
        yield "train_batch_begin", batch
        yield "train_batch_end", batch
        batch += 1


def _model() -> Any:
    import keras

    net = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    net.compile(loss="mse")
    return net


def main() -> None:
    """Train what the argument says."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    train(Task(**json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
