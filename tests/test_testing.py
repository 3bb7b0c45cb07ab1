"""Callbacks in users' unit tests: made-up fits are as Keras's, and exported ones as stored."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracker
from tests.spy import Spy
from tests.test_cli import tracker as command
from tracker.errors import InvalidArgument, ModelNeeded
from tracker.replaying.fit import stored_fit
from tracker.testing import Fit, replay, stream, stream_from


def trained(
    *callbacks: Any,
    validation: int = 8,
    metrics: Any = ("mae",),
    rate: float = 0.01,
    **arguments: Any,
) -> None:
    """Train a real model on 12 samples, in batches of four."""
    import keras

    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse", metrics=list(metrics))
    chance = np.random.default_rng(1)
    x, y = chance.normal(size=(12, 2)), chance.normal(size=(12, 1))
    model.fit(
        x, y, batch_size=4, verbose=0, callbacks=list(callbacks),
        validation_data=(x[:validation], y[:validation]) if validation else None, **arguments,
    )  # fmt: skip


class Shapes(Spy):
    """Notes what a fit hands to its callbacks, without values."""

    @property
    def shape(self) -> Any:
        """Hooks, their indices and the keys of their logs, in order; and the parameters."""
        return [(kind, index, list(logs)) for kind, index, logs in self.seen], self.params


@pytest.mark.parametrize(
    ("live", "made"),
    [
        ({"epochs": 3}, {"metrics": {"mae": 1.0, "val_mae": 2.0}}),
        ({"epochs": 2, "validation": 0}, {"metrics": {"loss": [1, 2], "mae": [1, 2]}}),
        (
            {"epochs": 5, "validation_freq": 2, "validation": 4},
            {"metrics": {"val_mae": 2.0}, "epochs": 5, "validation_freq": 2, "validation_steps": 1},
        ),
        (
            {"epochs": 5, "initial_epoch": 3, "metrics": ()},
            {"epochs": 2, "initial_epoch": 3, "nan_at": 4},
        ),
        ({"epochs": 0}, {"epochs": 0}),
    ],
    ids=["validated", "plain", "every second epoch", "begun later", "no epoch"],
)
def test_a_stream_has_the_hooks_of_a_real_fit(live: dict[str, Any], made: dict[str, Any]) -> None:
    """The same hooks in the same order, with the same keys in the same order, and parameters."""
    real, driven = Shapes(), Shapes()
    trained(real, **live)
    result = replay(driven, stream(**made))
    assert driven.shape == real.shape
    assert not result.stopped
    assert result.epochs == len([1 for kind, *_ in real.seen if kind == "epoch_end"])


def test_values_are_consistent_as_those_of_a_real_fit() -> None:
    """An epoch ends with what its last batch and its validation had, and so does the fit."""
    real, driven = Spy(), Spy()
    trained(real, epochs=3)
    given: dict[str, Any] = {"loss": [3, math.inf, 1], "val_loss": [4, 5, 0.1], "mae": np.arange(3)}
    replay([driven], stream(metrics=given))
    for spy in (real, driven):
        last: dict[str, Any] = {}
        for kind, _, logs in spy.seen:
            if kind == "epoch_end":
                expected = dict(last["train_batch_end"])
                expected |= {f"val_{name}": value for name, value in last["test_end"].items()}
                assert logs == expected
                assert last["test_end"] == last["test_batch_end"]
            last[kind] = logs
        assert last["train_end"] == last["epoch_end"]
    ends = [logs for kind, _, logs in driven.seen if kind == "epoch_end"]
    assert [one["val_loss"] for one in ends] == [4, 5, 0.1]
    assert [one["loss"] for one in ends] == [3, math.inf, 1]
    assert [one["val_mae"] for one in ends] == [0, 1, 2]


def test_a_callback_that_stops() -> None:
    """When, and what it did; the same stream does the same again."""
    import keras

    fit = stream(metrics={"val_loss": [3.0, 2.0, 2.5, 2.6, 1.0]})
    for _ in range(2):
        stopping = keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)
        result = replay(stopping, fit)
        assert result.stopped
        assert result.model.stop_training
        assert (result.epoch, result.batch, result.epochs) == (3, None, 4)
        assert [one.act for one in result.acts][-2:] == ["stop_training", "set_weights"]
        assert result.verdict.restored_epoch == 1


@pytest.mark.parametrize("nan_at", [1, (1, 0), (1, 2)])
def test_a_diverging_fit(nan_at: Any) -> None:
    """From a batch on all is NaN; nothing before is."""
    import keras

    spy = Spy()
    result = replay([keras.callbacks.TerminateOnNaN(), spy], stream(nan_at=nan_at))
    batch = nan_at[1] if isinstance(nan_at, tuple) else 0
    assert (result.epoch, result.batch) == (1, batch)
    lost = [any(map(math.isnan, logs.values())) for kind, _, logs in spy.seen if "end" in kind]
    assert lost == sorted(lost)
    assert lost.count(False) == 7 + batch  # an epoch: three batches, two of validation, two ends
    assert len([1 for kind, *_ in spy.seen if kind == "epoch_end"]) == 2


def test_a_learning_rate_that_is_set() -> None:
    """It is there on the model, and the acts have each one."""
    import keras

    plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=1, factor=0.5, min_delta=0)
    result = replay(plateau, stream(metrics={"loss": [1, 2, 3]}, learning_rate=0.5))
    assert [(one.act, one.epoch, one.detail) for one in result.acts] == [
        ("learning_rate", 1, 0.25), ("learning_rate", 2, 0.125),
    ]  # fmt: skip
    assert result.model.optimizer.learning_rate == 0.125


def test_steps_are_counted() -> None:
    """The stand-in's optimizer is where a real one is, in each hook."""
    import keras

    class Counts(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def _note(self, *_arguments: Any, **_more: Any) -> None:
            self.seen.append(int(self.model.optimizer.iterations))

        on_train_batch_begin = on_train_batch_end = on_epoch_begin = on_epoch_end = _note
        on_test_begin = on_test_end = on_train_begin = on_train_end = _note

    real, driven = Counts(), Counts()
    trained(real, epochs=2)
    replay(driven, stream(epochs=2))
    assert driven.seen == real.seen


def test_a_callback_that_fails_or_asks_for_the_model() -> None:
    """Its own errors come through with the place; what is not there is named."""
    import keras

    class Fails(keras.callbacks.Callback):
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            raise KeyError("mine")

    class Looks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.predict([1])

    class LooksDeeper(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            assert isinstance(self.model.optimizer, keras.optimizers.Optimizer)
            self.model.optimizer.apply([])

    with pytest.raises(KeyError, match="mine") as raised:
        replay(Fails())
    assert "on_test_batch_end of Fails, at event" in raised.value.__notes__[0]
    with pytest.raises(ModelNeeded, match=r"needs model\.predict of the real model"):
        replay(Looks())
    with pytest.raises(ModelNeeded, match=r"needs model\.optimizer\.apply of the real model"):
        replay(LooksDeeper())


def test_stored_and_exported_runs(tmp_path: Path) -> None:
    """A run of the store, and its export beside a test, are the same fit; NaN and all."""
    import keras

    with tracker.run(name="run") as run:
        trained(run, epochs=2, rate=1e30)
        trained(run, epochs=1)
    command("events", "list", "run", "--output", f"{tmp_path}/run.jsonl")
    for call in (1, 2):
        exported = stream_from(tmp_path / "run.jsonl", call=call)
        stored = stored_fit("run", call=call)
        assert exported._replace(run="run") == stored
    # A run without a call is its first fit.
    results = [
        replay(keras.callbacks.TerminateOnNaN(), stream_from(tmp_path / "run.jsonl")),
        replay(keras.callbacks.TerminateOnNaN(), run="run"),
    ]
    assert results[0].acts == results[1].acts
    assert all(one.stopped for one in results)
    with pytest.raises(InvalidArgument, match=r"run\.jsonl' has no fit 3; its fits: 1, 2"):
        stream_from(tmp_path / "run.jsonl", call=3)


def test_files_that_are_no_export(tmp_path: Path) -> None:
    """The line, and what is expected."""
    path = tmp_path / "run.jsonl"
    with pytest.raises(InvalidArgument, match="cannot be read"):
        stream_from(path)
    for text in ("{}", "[1]", '{"seq": 1, "at": "now", "logs": {}}', "seq,at", "\xff"):
        path.write_text(text, encoding="latin-1")
        with pytest.raises(InvalidArgument, match=r"line 1, is no event.*jsonl"):
            stream_from(path)
    path.write_text("")
    with pytest.raises(InvalidArgument, match="has no fit; its fits: none"):
        stream_from(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metrics": {"loss": [1, 2], "mae": [1]}}, r"\['mae'\] has 1 values for 2 epochs"),
        ({"metrics": {"loss": [1, 2]}, "epochs": 3}, "2 values for 3 epochs"),
        ({"metrics": {"loss": "low"}}, "must be a number, or one for each epoch"),
        ({"metrics": {"loss": [[1]]}}, "must be a number, or one for each epoch"),
        ({"metrics": {"val_loss": 1}, "validation_steps": 0}, "need validation_steps"),
        ({"steps": 0}, "steps must be an integer of at least 1: 0"),
        ({"epochs": 1.5}, "epochs must be an integer"),
    ],
    ids=str,
)
def test_streams_that_cannot_be(arguments: dict[str, Any], message: str) -> None:
    """What was wrong, and with what."""
    with pytest.raises(InvalidArgument, match=message):
        stream(**arguments)


def test_what_is_to_be_replayed() -> None:
    """One stream, and one callback or more."""
    with pytest.raises(InvalidArgument, match="must be one Keras callback or more"):
        replay([])
    for wrong in (Spy, print, [Spy(), None]):
        with pytest.raises(InvalidArgument, match=r"must be Keras callbacks\. Received"):
            replay(wrong)
    named: Any = "run"
    with pytest.raises(InvalidArgument, match="named with run="):
        replay(Spy(), named)
    with pytest.raises(InvalidArgument, match="not both"):
        replay(Spy(), stream(), run="run")
    assert isinstance(stream(), Fit)
    assert stream() == stream()


def test_it_needs_no_test_framework() -> None:
    """To import it loads neither pytest nor Keras."""
    program = (
        "import sys, tracker.testing as t; t.stream(); print({'pytest', 'keras'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_the_page_is_a_test_file(tmp_path: Path) -> None:
    """The example of the documentation is run by pytest as it stands."""
    page = Path(__file__).parent.parent / "docs" / "how-to" / "testing-callbacks.md"
    program = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[0]
    (tmp_path / "test_overfit.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_overfit.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr
