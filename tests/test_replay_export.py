"""Replay as an exporter: TensorBoard's files are those that a live training writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracker

#: Fits of one model, one after the other: what each is given besides the data.
FITS: dict[str, list[dict[str, Any]]] = {
    "plain": [{"epochs": 3, "validation_split": 0.25}],
    "another": [{"epochs": 2}, {"epochs": 2, "validation_split": 0.25, "validation_freq": 2}],
}


def train(
    *callbacks: Any, fits: str = "plain", rate: Any = 0.05, name: str | None = None, **compiled: Any
) -> None:
    """Train in the same way every time; the callbacks are given to the last fit."""
    import keras

    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse", metrics=["mae"], **compiled)
    chance = np.random.default_rng(4)
    x, y = chance.normal(size=(24, 3)), chance.normal(size=(24, 1))
    with tracker.run(name=name or "live") as run:
        for number, one in enumerate(FITS[fits], 1):
            given = callbacks if number == len(FITS[fits]) else ()
            model.fit(x, y, batch_size=4, verbose=0, callbacks=[*given, run], **one)


def board(folder: Path, **more: Any) -> Any:
    """A TensorBoard callback."""
    import keras

    return keras.callbacks.TensorBoard(log_dir=str(folder), **{"write_graph": False} | more)


def scalars(folder: Path) -> dict[str, list[tuple[str, int, bytes]]]:
    """By directory, the tag, step and value (to the bit) of each scalar, in the order written."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    found: dict[str, list[tuple[str, int, bytes]]] = {}
    for path in sorted(folder.rglob("*tfevents*")):
        rows = found.setdefault(path.parent.name, [])
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name in ("scalars", ""):
                    rows.append((value.tag, event.step, make_ndarray(value.tensor).tobytes()))
    return found


@pytest.mark.parametrize("update_freq", ["epoch", "batch", 2])
def test_scalars_are_those_of_a_live_training(tmp_path: Path, update_freq: Any) -> None:
    """Tags, steps and values of train and validation, to the bit and in order."""
    train(board(tmp_path / "live", update_freq=update_freq), name="run")
    tracker.replay("run", [board(tmp_path / "again", update_freq=update_freq)])
    live = scalars(tmp_path / "live")
    assert scalars(tmp_path / "again") == live
    assert set(live) == {"train", "validation"}
    tags = {tag for tag, _, _ in live["train"]}
    assert {"epoch_loss", "epoch_mae", "epoch_learning_rate"} <= tags
    assert ("batch_loss" in tags) == (update_freq != "epoch")
    steps = [step for tag, step, _ in live["validation"] if tag.endswith("_loss_vs_iterations")]
    assert steps == [5, 10, 15]


def decay(epoch: int, rate: float) -> float:
    """A schedule by epochs."""
    return rate / 2 if epoch else rate


def cosine() -> Any:
    """A schedule by steps."""
    import keras

    return keras.optimizers.schedules.CosineDecay(0.1, decay_steps=12)


@pytest.mark.parametrize(
    "how",
    [
        {"rate": cosine},
        {"scheduler": True},
        {"fits": "another"},
        {"steps_per_execution": 2},
    ],
    ids=lambda how: next(iter(how)),
)
def test_steps_and_rates_are_counted_as_keras_does(tmp_path: Path, how: dict[str, Any]) -> None:
    """With schedules, a scheduler before, a fit that goes on, and several steps at once."""
    import keras

    asked = {key: value for key, value in how.items() if key not in {"scheduler", "rate"}}
    if "rate" in how:
        asked["rate"] = how["rate"]()
    schedulers = [keras.callbacks.LearningRateScheduler(decay)] if "scheduler" in how else []
    train(*schedulers, board(tmp_path / "live", update_freq=1), name="run", **asked)
    call = len(FITS[how.get("fits", "plain")])
    tracker.replay("run", [board(tmp_path / "again", update_freq=1)], call=call)
    live = scalars(tmp_path / "live")
    assert scalars(tmp_path / "again") == live
    rates = [value for tag, _, value in live["train"] if tag == "epoch_learning_rate"]
    assert (len(set(rates)) > 1) == bool({"rate", "scheduler"} & set(how))


def test_with_a_callback_that_stops(tmp_path: Path) -> None:
    """The files end where those of a live training with both end."""
    import keras

    def both(folder: str) -> list[Any]:
        stopping = keras.callbacks.EarlyStopping(monitor="mae", patience=0, mode="max")
        return [stopping, board(tmp_path / folder, update_freq="batch")]

    train(name="run")
    verdict = tracker.replay("run", both("again"))
    train(*both("live"))
    assert verdict.stopped
    assert scalars(tmp_path / "again") == scalars(tmp_path / "live")


def test_without_the_hooks_of_batches(tmp_path: Path) -> None:
    """What epochs and validations log is complete; graphs are never written."""
    import keras

    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with tracker.run(name="run", batches=None) as run:
        model.fit(
            np.ones((8, 3)), np.ones((8, 1)), batch_size=4, epochs=2, validation_split=0.5,
            verbose=0, callbacks=[board(tmp_path / "live"), run],
        )  # fmt: skip
    tracker.replay("run", [board(tmp_path / "again", write_graph=True)])
    assert scalars(tmp_path / "again") == scalars(tmp_path / "live")
    assert scalars(tmp_path / "live")["validation"]
