"""Values of single batches, worked out from running means: right, or refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

import tracker
from tests.streams import Stream, identity
from tests.test_cli import tracker as command
from tracker.errors import InvalidArgument, NotEstimable, UnknownColumn
from tracker.event import VERSION
from tracker.means import standing
from tracker.store.opening import open_store

rng = np.random.default_rng(1)
X = rng.normal(size=(24, 3)).astype("float32")
Y = rng.normal(size=(24, 1)).astype("float32")


def data(samples: int = 24, batch: int = 4) -> dict[str, Any]:
    """Arguments of fit: the same batches in each epoch."""
    return {
        "x": X[:samples], "y": Y[:samples], "batch_size": batch, "shuffle": False, "verbose": 0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A model that learns nothing: each epoch's batches have the same losses."""
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    made.compile(keras.optimizers.SGD(0.0), "mse", metrics=["mae"])
    return made


def by_hand(model: keras.Model, samples: int = 24, batch: int = 4) -> dict[str, list[float]]:
    """The true values of each batch, in double precision."""
    errors = (model.predict(X, verbose=0) - Y).astype("float64")[:samples, 0]
    parts = [errors[start : start + batch] for start in range(0, samples, batch)]
    return {
        "loss": [float((part**2).mean()) for part in parts],
        "mae": [float(abs(part).mean()) for part in parts],
    }


class Evaluating(keras.callbacks.Callback):
    """Evaluates inside the epoch, after some batch."""

    def __init__(self, *callbacks: Any, hook: str = "on_train_batch_end", **data: Any) -> None:
        """Remember what to evaluate on, and with which callbacks."""
        super().__init__()
        self.arguments = {"verbose": 0, "callbacks": list(callbacks), **data}
        setattr(self, hook, self.evaluate)

    def evaluate(self, batch: int, logs: Any = None) -> None:
        """After the third batch."""
        if batch == 2:
            self.model.evaluate(**self.arguments)


def values(frame: pd.DataFrame, metric: str, epoch: int = 0) -> list[float]:
    """A metric's values of training batches in one epoch."""
    rows = frame[(frame["metric"] == metric) & (frame["epoch"] == epoch)]
    return list(rows.loc[rows["phase"] == "train", "value"])


def estimates(**options: Any) -> pd.DataFrame:
    """Of the latest run."""
    return tracker.metrics("@last", source="batch", estimate=True, **options)


def test_estimates_are_the_losses_of_batches(model: keras.Model) -> None:
    """In every epoch and in its validation they agree with what each batch has by itself."""
    with tracker.run() as callback:
        model.fit(**data(), epochs=3, validation_data=(X[:8], Y[:8]), callbacks=[callback])
    frame, true = estimates(), by_hand(model)
    for metric in ("loss", "mae"):
        for epoch in range(3):
            assert values(frame, metric, epoch) == pytest.approx(true[metric], rel=1e-5)
    validation = frame[(frame["phase"] == "test") & (frame["metric"] == "loss")]
    assert list(validation["value"]) == pytest.approx(true["loss"][:2] * 3, rel=1e-5)
    train = frame[(frame["phase"] == "train") & (frame["metric"] == "loss")]
    assert list(train["estimated"]) == [False, True, True, True, True, True] * 3
    assert list(train["assumed"]) == [False, False, False, False, False, True] * 3
    off = np.abs(train["value"] - np.array(true["loss"] * 3))
    assert (off <= train["rounding"] + 1e-6).all()
    assert train["rounding"].max() < 1e-4


def test_a_smaller_last_batch_is_labelled(model: keras.Model) -> None:
    """Only the last value of the epoch is off, and it is marked as resting on an assumption."""
    with tracker.run() as callback:
        model.fit(**data(samples=22), callbacks=[callback])
    frame, true = estimates(names="loss"), by_hand(model, samples=22)["loss"]
    off = np.abs(frame["value"] - true) > 1e-4
    assert list(off) == list(frame["assumed"]) == [False] * 5 + [True]


@pytest.mark.parametrize("size", [2, 4, 8])
def test_an_evaluate_inside_an_epoch(model: keras.Model, size: int) -> None:
    """Its batches stay in Keras's metrics, and are taken out, whatever their size is."""
    with tracker.run() as callback:
        inside = Evaluating(callback, x=X[:16], y=Y[:16], batch_size=size)
        model.fit(**data(), epochs=2, callbacks=[callback, inside])
    frame, true = estimates(), by_hand(model)
    train = frame[(frame["phase"] == "train") & (frame["metric"] == "loss")]
    for epoch in range(2):
        for metric in ("loss", "mae"):
            assert values(frame, metric, epoch) == pytest.approx(true[metric], rel=1e-5)
    assert list(train["assumed"]) == [False, False, False, True, True, True] * 2
    logged = tracker.metrics("@last", source="batch", names="loss")
    assert values(logged, "loss")[3:] != pytest.approx(true["loss"][3:], rel=1e-2)


def test_an_evaluate_between_epochs(model: keras.Model) -> None:
    """In an epoch's end it changes nothing, whichever callback comes first."""
    for first in (True, False):
        with tracker.run() as callback:
            outside = Evaluating(callback, hook="on_epoch_end", x=X[:10], y=Y[:10])
            both = [outside, callback] if first else [callback, outside]
            model.fit(**data(), epochs=4, callbacks=both)
        for epoch in range(4):
            found = values(estimates(), "loss", epoch)
            assert found == pytest.approx(by_hand(model)["loss"], rel=1e-5)


def test_an_evaluate_of_a_callback_that_comes_first(model: keras.Model) -> None:
    """Before or after the batch's step: that cannot be told, and is refused."""
    with tracker.run(name="unclear") as callback:
        inside = Evaluating(callback, x=X, y=Y, batch_size=4)
        model.fit(**data(), callbacks=[inside, callback])
    with pytest.raises(NotEstimable, match=r"'unclear'.*epoch 0, train batch 2.*inside a batch"):
        estimates()


def test_an_unseen_evaluate(model: keras.Model) -> None:
    """One without the tracker's callback shows in values that cannot be, and is refused."""
    with tracker.run() as callback:
        inside = Evaluating(x=X[:4], y=Y[:4] * 0 + 50, batch_size=4)
        model.fit(**data(), callbacks=[callback, inside])
    with pytest.raises(NotEstimable, match="unseen"):
        estimates()


def test_the_wrong_cases_of_keras() -> None:
    """Several steps an event, skipped batches, and metrics that are no means are refused."""
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"steps_per_execution": 2}, {}, "steps_per_execution=2"),
        ({}, {"batches": 3}, "batches=3"),
        ({"metrics": ["mae", keras.metrics.RootMeanSquaredError(name="mse")]}, {},
         "mse: no mean over batches. Known to be means: loss, mae"),
    ]  # fmt: skip
    for compiled, options, message in cases:
        made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        made.compile(keras.optimizers.SGD(0.0), "mse", **compiled)
        with tracker.run(**options) as callback:
            made.fit(**data(), callbacks=[callback])
        with pytest.raises(NotEstimable, match=message):
            estimates()
    assert values(estimates(names=["loss", "mae"]), "mae")


def test_a_subclassed_model() -> None:
    """Its train_step may log what it likes: whoever names a metric says that it is a mean."""

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    own = Own()
    own.compile(keras.optimizers.SGD(0.0), "mse")
    with tracker.run() as callback:
        own.fit(**data(), callbacks=[callback])
    with pytest.raises(NotEstimable, match="loss: the run does not tell"):
        estimates()
    assert values(estimates(names="loss"), "loss") == pytest.approx(by_hand(own)["loss"], rel=1e-5)


MODEL = {"class": "Functional", "loss": {"a": "mse", "b": "mae"}, "layers": [["a", "Dense"]]}


@pytest.mark.parametrize(
    ("name", "metrics", "expected"),
    [
        ("loss", None, "mean"),
        ("a_loss", None, "mean"),
        ("c_loss", None, "unknown"),
        ("a_mae", {"a": ["mae"]}, "mean"),
        ("b_mae", {"a": ["mae"]}, "unknown"),
        ("a_mae", [["mae"], ["mse"]], "mean"),
        ("accuracy", ["accuracy"], "mean"),
        ("accuracy", None, "unknown"),
        ("accuracy", [{"class": "Precision", "name": "accuracy"}], "other"),
        ("mean_io_u", [{"class": "MeanIoU", "name": "mean_io_u"}], "other"),
        ("auc", None, "other"),
        ("AUC", ["AUC"], "other"),
        ("root_mean_squared_error", None, "other"),
        ("my_own", ["my_own"], "unknown"),
        ("balanced_accuracy", None, "unknown"),
        ("learning_rate", None, "unknown"),
        ("weighted_mae", ["mae"], "unknown"),
    ],
)
def test_which_metrics_are_means(name: str, metrics: Any, expected: str) -> None:
    """As the model that was compiled says, not as names sound."""
    assert standing(name, {**MODEL, "metrics": metrics}) == expected


def stored(losses: list[tuple[int, float]], end: float | None = None, **began: Any) -> None:
    """Store a run of one fit, one epoch, with these batches and running means."""
    stream = Stream()
    described = {"class": "Sequential", "loss": "mse"}
    stream.add("run_began", {"version": VERSION, "name": "made", "model": described, **began})
    stream.add("call_began", {"phase": "train", "method": "fit"}, call=1)
    stream.add("train_begin", call=1)
    stream.add("epoch_begin", call=1, epoch=0)
    for batch, loss in losses:
        stream.add("train_batch_begin", call=1, epoch=0, batch=batch)
        stream.add("train_batch_end", {"loss": loss}, call=1, epoch=0, batch=batch)
    if end is not None:
        stream.add("epoch_end", {"loss": end}, call=1, epoch=0)
    opened = open_store(create=True)
    opened.append(identity("made"), stream.records, expected_seq=0)
    opened.close()


def test_the_formula() -> None:
    """Of n batches with the mean mₙ the last one has n·mₙ - (n-1)·mₙ₋₁."""
    stored([(0, 1.0), (1, 2.0), (2, 1.5)])
    frame = estimates(wide=True)
    assert list(frame["loss"]) == [1.0, 3.0, 0.5]
    assert list(frame.columns)[-3:] == ["estimated", "assumed", "loss"]
    assert (str(frame["estimated"].dtype), list(frame["assumed"])) == ("boolean", [False] * 3)


@pytest.mark.parametrize(
    ("losses", "end", "message"),
    [
        ([(0, 1.0), (2, 1.0)], None, "batch 1 is missing"),
        ([(4, 1.0)], None, "batch 0 is missing"),
        ([(1, 1.0), (3, 1.0)], None, "batch 0 is missing"),
        ([(0, 1.0), (1, 0.4)], None, "loss would be -0.2"),
        ([(0, 1.0), (1, 1.0)], 0.0, "ended with loss 0, and its last batch with loss 1"),
    ],
)
def test_streams_that_are_refused(
    losses: list[tuple[int, float]], end: float | None, message: str
) -> None:
    """Batches that are missing, and values that no running mean can have."""
    stored(losses, end)
    with pytest.raises(NotEstimable, match=message):
        estimates()


def test_other_calls_inside_an_epoch() -> None:
    """What their batches left in the metrics has to be known, or the next batch is refused."""
    sizes = {"batch_size": 4}
    evaluate = ("call_began", 2, {"phase": "test", "method": "evaluate", "parent": 1, **sizes})
    begin: tuple[str, int, dict[str, Any]] = ("test_begin", 2, {})
    end = ("test_end", 2, {"loss": 3.0})
    batch = ("test_batch_end", 2, {"loss": 3.0})
    unsized = ("call_began", 2, {"phase": "test", "method": "evaluate", "parent": 1})
    alone = ("call_began", 2, {"phase": "test", "method": "evaluate"})
    other = ("test_batch_end", 2, {"mae": 3.0})
    cases: list[tuple[list[tuple[str, int, dict[str, Any]]], str | None]] = [
        ([evaluate, begin, batch, end], None),
        ([evaluate, begin, end], None),
        ([("call_began", 2, {"phase": "predict", "parent": 1})], None),
        ([evaluate, begin, batch], "an evaluate inside the epoch did not end"),
        ([unsized, begin, batch, end], "the sizes of batches are not known"),
        ([evaluate, begin, other, ("test_end", 2, {"mae": 3.0})], "loss was not logged by all"),
        ([alone, begin, batch, end], "at the same time"),
        ([("call_began", 2, {"phase": "train", "parent": 1}), ("train_begin", 2, {})],
         "another fit ran inside"),
    ]  # fmt: skip
    for number, (inside, message) in enumerate(cases, 1):
        stream = Stream()
        described = {"class": "Sequential", "loss": "mse", "metrics": ["mae"]}
        stream.add("run_began", {"version": VERSION, "model": described})
        stream.add("call_began", {"phase": "train", "method": "fit", **sizes}, call=1)
        stream.add("epoch_begin", call=1, epoch=0)
        stream.add("train_batch_end", {"loss": 1.0}, call=1, epoch=0, batch=0)
        for kind, call, logs in inside:
            index = 0 if "batch" in kind else None
            stream.add(kind, logs, call=call, epoch=0, batch=index)
        stream.add("train_batch_end", {"loss": 2.5}, call=1, epoch=0, batch=1)
        store = open_store(create=True)
        store.append(identity(f"run{number}", number), stream.records, expected_seq=0)
        store.close()
        if message:
            with pytest.raises(NotEstimable, match=message):
                tracker.metrics(f"run{number}", source="batch", estimate=True)
        else:
            frame = tracker.metrics(f"run{number}", source="batch", estimate=True)
            # One batch of 3.0 is in the mean; or none; or predict left the first one, of 1.0.
            assert values(frame, "loss")[1] == {1: 2.0, 2: 2.5, 3: 4.0}[number]


def test_values_that_are_no_numbers() -> None:
    """A NaN stays in the mean; what came before it is estimated."""
    stored([(0, 1.0), (1, float("nan")), (2, float("nan"))], float("nan"))
    assert values(estimates(), "loss") == pytest.approx([1.0, np.nan, np.nan], nan_ok=True)


def test_estimates_need_batches() -> None:
    """Of epochs there is nothing to estimate; names that were not logged are told."""
    stored([(0, 1.0)])
    with pytest.raises(InvalidArgument, match="source='batch'"):
        tracker.metrics("made", estimate=True)
    with pytest.raises(UnknownColumn, match="There are: loss"):
        estimates(names="los")


def test_a_run_without_batches(model: keras.Model) -> None:
    """It gives an empty frame with the same columns and dtypes."""
    stored([(0, 1.0), (1, 2.0)])
    full = estimates()
    with tracker.run(name="coarse", batches=None) as callback:
        model.fit(**data(), callbacks=[callback])
    empty = tracker.metrics("coarse", source="batch", estimate=True)
    assert len(empty) == 0
    assert dict(empty.dtypes) == dict(full.dtypes)


def test_an_epoch_that_was_run_again(model: keras.Model) -> None:
    """Each attempt's batches are estimated by themselves; the latest count."""
    stream = Stream()
    described = {"class": "Sequential", "loss": "mse"}
    for attempt, losses in ((1, [1.0, 2.0, 3.0]), (2, [4.0, 5.0])):
        kind = "run_began" if attempt == 1 else "run_resumed"
        data = {"version": VERSION, "name": "made", "model": described}
        stream.add(kind, data, attempt=attempt)
        place: dict[str, Any] = {"call": 1, "attempt": attempt}
        stream.add("call_began", {"phase": "train", "method": "fit"}, **place)
        stream.add("train_begin", **place)
        stream.add("epoch_begin", epoch=0, **place)
        for batch, loss in enumerate(losses):
            stream.add("train_batch_end", {"loss": loss}, epoch=0, batch=batch, **place)
    opened = open_store(create=True)
    opened.append(identity("made"), stream.records, expected_seq=0)
    opened.close()
    assert values(estimates(), "loss") == [4.0, 6.0, 5.0]
    assert values(estimates(attempts="all"), "loss") == [1.0, 3.0, 5.0, 4.0, 6.0]


def test_the_command() -> None:
    """It shows the estimates, labelled, and refuses with a message."""
    stored([(0, 1.0), (1, 2.0)])
    shown = command("metrics", "list", "made", "--source", "batch", "--estimate")
    assert shown.stdout.splitlines()[0].split()[-5:] == [
        "metric", "value", "estimated", "assumed", "rounding",
    ]  # fmt: skip
    assert " 3 " in shown.stdout
    wide = command("metrics", "list", "made", "--source", "batch", "--estimate", "--wide")
    assert wide.stdout.splitlines()[0].split()[-3:] == ["estimated", "assumed", "loss"]
    assert "source" in command("metrics", "list", "made", "--estimate", code=2).stderr
