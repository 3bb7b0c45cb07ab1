"""Wall time of real training: Dense(1) on 784 inputs, 2,000 batches of one sample."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

from benchmarks.table import Figure, interleaved

_BATCHES = 2000


def figures(repeat: int) -> list[Figure]:
    """With the tracker, with a no-op callback of the same hooks, and with none."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import numpy as np

    from tracker import TrackerCallback
    from tracker.event import HOOKS

    class NoOp(keras.callbacks.Callback):
        pass

    for hook in HOOKS:
        setattr(NoOp, f"on_{hook}", lambda *_, **__: None)
    random = np.random.default_rng(0)
    x = random.random((_BATCHES, 784), dtype="float32")
    y = random.random((_BATCHES, 1), dtype="float32")
    net = keras.Sequential([keras.layers.Input((784,)), keras.layers.Dense(1)])
    net.compile(optimizer="rmsprop", loss="mae")
    net.fit(x, y, batch_size=1, verbose=0)

    def timed(callbacks: list[Any]) -> float:
        start = time.perf_counter()
        net.fit(x, y, batch_size=1, verbose=0, callbacks=callbacks)
        return (time.perf_counter() - start) / _BATCHES * 1e6

    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRACKER_HOME"] = folder
        callback = TrackerCallback(name="bench")
        timed([callback])
        ours, noop, none = interleaved(
            [lambda: timed([callback]), lambda: timed([NoOp()]), lambda: timed([])], repeat
        )
        callback.close()
    return [
        Figure("fit, a batch, tracked", ours, "µs", noop, "a no-op callback of the same hooks"),
        Figure("fit, a batch, tracked", ours, "µs", none, "no callback"),
    ]
