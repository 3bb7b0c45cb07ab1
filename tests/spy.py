"""An independent witness of Keras's hooks, and the comparison of a run with what it saw."""

from __future__ import annotations

import copy
from typing import Any

import keras
import numpy as np

import tracker
from tests.test_logs import same
from tracker.event import HOOKS
from tracker.logs import ArraySummary


class Spy(keras.callbacks.Callback):
    """Notes every hook: kind, epoch or batch as passed, and a deep copy of its logs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, int | None, dict[str, Any]]] = []


def _witness(kind: str) -> Any:
    if kind.startswith("epoch") or "batch" in kind:

        def hook(self: Spy, index: int, logs: Any = None) -> None:
            self.seen.append((kind, index, copy.deepcopy(logs)))

    else:

        def hook(self: Spy, logs: Any = None) -> None:  # type: ignore[misc]
            self.seen.append((kind, None, copy.deepcopy(logs)))

    return hook


for _kind in HOOKS:
    setattr(Spy, f"on_{_kind}", _witness(_kind))


def recorded(run: str | None, store: str | None = None) -> list[tuple[str, int | None, Any]]:
    """The hooks of a run, as the spy notes them."""
    assert run is not None
    frame = tracker.events(run, kind=list(HOOKS), logs="dict", store=store)
    rows = frame.to_dict("records")
    return [
        (
            row["kind"],
            int(row["epoch"])
            if row["kind"].startswith("epoch")
            else int(row["batch"])
            if "batch" in row["kind"]
            else None,
            row["logs"],
        )
        for row in rows
    ]


def assert_alike(run: str | None, spy: Spy, store: str | None = None) -> None:
    """A run's hooks are those that the spy saw, in order, values to the bit."""
    events = recorded(run, store)
    assert [event[:2] for event in events] == [seen[:2] for seen in spy.seen]
    for (kind, _, logs), (_, _, seen) in zip(events, spy.seen, strict=True):
        assert list(logs) == list(seen), kind
        for name, value in seen.items():
            assert alike(logs[name], value), (kind, name)


def alike(stored: Any, seen: Any) -> bool:
    """Scalars to the bit; arrays by their summary, or all values."""
    if isinstance(seen, list):
        return all(alike(a, b) for a, b in zip(stored, seen, strict=True))
    if hasattr(seen, "shape"):
        array = np.asarray(seen)
        if isinstance(stored, ArraySummary):
            return stored.shape == array.shape and stored.max == float(array.max())
        return bool(stored.tobytes() == array.tobytes())
    return same(stored, seen)


def shorthand(run: str | None) -> str:
    """A run's hooks as in the table of Keras's orders: `tb[0` is on_train_batch_begin(0)."""
    words = {"train": "TRAIN", "test": "TEST", "predict": "PRED", "epoch": "E"}
    short = {"train": "tb", "test": "vb", "predict": "pb"}
    parts = []
    for kind, index, _ in recorded(run):
        phase, *_ = kind.split("_")
        side = "[" if kind.endswith("begin") else "]"
        name = short[phase] if "batch" in kind else words[phase]
        parts.append(f"{name}{side}{'' if index is None else index}")
    return " ".join(parts)
