"""A small fit that is made up, as hooks and their logs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tracker.errors import InvalidArgument
from tracker.event import Record
from tracker.logs import encode
from tracker.replaying.fit import Fit


def stream(
    *,
    epochs: int | None = None,
    steps: int = 3,
    validation_steps: int | None = None,
    validation_freq: int = 1,
    metrics: Mapping[str, float | Sequence[float]] | None = None,
    nan_at: int | tuple[int, int] | None = None,
    initial_epoch: int = 0,
    learning_rate: float = 0.01,
) -> Fit:
    """A small fit, made up: the same one for the same arguments.

    Its hooks and the keys of their logs are those of `model.fit` on data of known size. A batch
    has the running means, which reach the epoch's value in its last batch.

    Args:
        epochs: How many. By default as many as `metrics` has values, else 3.
        steps: Batches of an epoch.
        validation_steps: Batches of its validation; 0: there is none. By default 2, or none if
            `metrics` has names but no `val_…`.
        validation_freq: Validation is in every n-th epoch.
        metrics: By name (`loss`, `val_loss`, `mae`), the values that the epochs end with, one for
            each or one for all. Keras has `loss`, and each metric with and without `val_`: what is
            not given has the other's values. A loss by default: 1, 1/2, 1/3 …
        nan_at: An epoch, or an epoch and a batch, from which on all values are NaN.
        initial_epoch: The number of the first epoch.
        learning_rate: What the optimizer begins with.

    Raises:
        InvalidArgument: These cannot be arguments of one fit; the message says why.
    """
    given = {name: _numbers(name, value) for name, value in (metrics or {}).items()}
    if validation_steps is None:
        wanted = not given or any(name.startswith("val_") for name in given)
        validation_steps = 2 if wanted else 0
    if epochs is None:
        epochs = max((len(one) for one in given.values() if one.ndim), default=3)
    for name, value, least in (
        ("epochs", epochs, 0),
        ("steps", steps, 1),
        ("validation_steps", validation_steps, 0),
        ("validation_freq", validation_freq, 1),
        ("initial_epoch", initial_epoch, 0),
    ):
        if not isinstance(value, int) or value < least:
            raise InvalidArgument(f"{name} must be an integer of at least {least}: {value!r}.")
    if not validation_steps and any(name.startswith("val_") for name in given):
        raise InvalidArgument("Metrics named val_… need validation_steps of at least 1.")
    train, validation = _completed(
        {name: _each(name, given[name], epochs) for name in given}, epochs
    )
    broken = (nan_at, 0) if isinstance(nan_at, int) else nan_at or (math.inf, 0)

    def values(of: Mapping[str, Sequence[float]], number: int, part: float, batch: float) -> Any:
        """Means after a part of the epoch: on the way from the last one's value to its own."""
        lost = (initial_epoch + number, batch) >= broken
        return {
            name: math.nan if lost else _between(series[max(number - 1, 0)], series[number], part)
            for name, series in sorted(of.items())
        }

    def hooks() -> Iterator[tuple[str, int | None, int | None, dict[str, float]]]:
        ended: dict[str, float] = {}
        yield "train_begin", None, None, {}
        for number in range(epochs):
            epoch = initial_epoch + number
            yield "epoch_begin", epoch, None, {}
            for batch in range(steps):
                yield "train_batch_begin", epoch, batch, {}
                logs = values(train, number, (batch + 1) / steps, batch)
                yield "train_batch_end", epoch, batch, logs
            ended = values(train, number, 1, steps - 1)
            if validation_steps and (epoch + 1) % validation_freq == 0:
                yield "test_begin", epoch, None, {}
                for batch in range(validation_steps):
                    yield "test_batch_begin", epoch, batch, {}
                    logs = values(validation, number, (batch + 1) / validation_steps, steps)
                    yield "test_batch_end", epoch, batch, logs
                logs = values(validation, number, 1, steps)
                yield "test_end", epoch, None, logs
                ended |= {f"val_{name}": value for name, value in logs.items()}
                ended = dict(sorted(ended.items()))
            yield "epoch_end", epoch, None, ended
        yield "train_end", None, None, ended

    records = [
        Record(seq, seq * 1000, kind, 1, 1, epoch, batch, encode(logs))
        for seq, (kind, epoch, batch, logs) in enumerate(hooks(), 1)
    ]
    return Fit(
        run="stream",
        call=1,
        asked={
            "params": {"verbose": 0, "epochs": initial_epoch + epochs, "steps": steps},
            "learning_rate": learning_rate,
        },
        model={
            "optimizer": {"class": "SGD", "learning_rate": learning_rate},
            "metrics": sorted(set(train) - {"loss"}),
        },
        hooks=records,
        steady=True,
        ending="finished",
    )


def _numbers(name: str, value: Any) -> np.ndarray[Any, Any]:
    """One for all epochs, or one for each."""
    try:
        found = np.asarray(value, dtype=float)
    except (ValueError, TypeError):
        found = np.empty((0, 0))
    if found.ndim > 1:
        raise InvalidArgument(
            f"metrics[{name!r}] must be a number, or one for each epoch. Received: {value!r}."
        )
    return found


def _each(name: str, values: np.ndarray[Any, Any], epochs: int) -> list[float]:
    if values.ndim and len(values) != epochs:
        raise InvalidArgument(f"metrics[{name!r}] has {len(values)} values for {epochs} epochs.")
    return [float(one) for one in np.broadcast_to(values, epochs)]


def _completed(
    given: Mapping[str, list[float]], epochs: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Those of training, and of validation, under the same names."""
    train = {name: one for name, one in given.items() if not name.startswith("val_")}
    validation = {name[4:]: one for name, one in given.items() if name.startswith("val_")}
    if "loss" not in {*train, *validation}:
        train["loss"] = [1 / (1 + number) for number in range(epochs)]
    return validation | train, train | validation


def _between(start: float, end: float, part: float) -> float:
    # Exactly the end at the end, and finite only between finite values.
    return end if part == 1 or start == end else start + (end - start) * part
