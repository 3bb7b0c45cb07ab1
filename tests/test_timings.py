"""Where the time went: right sums, and nothing where it was not recorded."""

from __future__ import annotations

import json
import time
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

import tracker
from tests.streams import START, identity
from tests.test_cli import tracker as command
from tracker.errors import InvalidArgument, RunNotFound
from tracker.event import VERSION, Record
from tracker.logs import encode
from tracker.store.opening import open_store

#: Where a hook is: call, epoch, batch.
Place = tuple[int, int | None, int | None]


def stored(*hooks: tuple[int, str, Place, dict[str, Any]] | tuple[int, str, Place]) -> None:
    """Store a run of these hooks: at which millisecond, what, where, with which data."""
    began = {"version": VERSION, "name": "made", "batches": "all"}
    records = [Record(1, START, "run_began", 1, None, None, None, encode(began))]
    attempt = 1
    for at, kind, (call, epoch, batch), *rest in hooks:
        attempt += kind == "run_resumed"
        number = None if kind == "run_resumed" else call
        when = START + at * 1000
        text = encode(rest[0] if rest else {})
        records.append(Record(len(records) + 1, when, kind, attempt, number, epoch, batch, text))
    store = open_store(create=True)
    store.append(identity("made"), records, expected_seq=0)
    store.close()


FIT: Place = (1, None, None)
EPOCH: Place = (1, 0, None)
EVALUATE: Place = (2, 0, None)


def ms(frame: pd.DataFrame, scope: str, row: int = 0) -> dict[str, Any]:
    """The times of a row in milliseconds."""
    found = frame[frame["scope"] == scope].iloc[row]
    names = ("total", "steps", "input", "validation", "callbacks")
    return {
        name: None if found[name] is pd.NaT else found[name] / pd.Timedelta(milliseconds=1)
        for name in names
    }


def test_the_sums() -> None:
    """Each stretch between two hooks is counted once, where it belongs."""
    stored(
        (0, "call_began", FIT, {"phase": "train", "params": {"steps": 2}}),
        (1, "train_begin", FIT),
        (3, "epoch_begin", EPOCH),
        (7, "train_batch_begin", (1, 0, 0)), (15, "train_batch_end", (1, 0, 0)),
        (31, "train_batch_begin", (1, 0, 1)), (63, "train_batch_end", (1, 0, 1)),
        (64, "train_batch_begin", (1, 0, 2)),  # Keras finds that the data is at its end
        (65, "test_begin", EPOCH),
        (70, "test_batch_begin", (1, 0, 0)), (171, "test_batch_end", (1, 0, 0)),
        (193, "test_end", EPOCH),
        (321, "epoch_end", EPOCH),
        (577, "epoch_begin", (1, 1, None)),
        (580, "train_end", FIT),
    )  # fmt: skip
    frame = tracker.timing("made")
    assert ms(frame, "epoch") == {
        "total": 574, "steps": 8 + 32, "input": 4 + 16 + 1, "validation": 128, "callbacks": 385,
    }  # fmt: skip
    assert ms(frame, "call") == {
        "total": 580, "steps": 40, "input": 21, "validation": 128, "callbacks": 391,
    }  # fmt: skip
    assert list(frame["batches"]) == [2, 0, 2]
    assert frame["steps_per_second"][0] == pytest.approx(2 / 0.061)
    assert pd.isna(frame["steps_per_second"][1])
    assert frame.attrs["notes"] == []
    slow = tracker.slowest_batches("made")
    assert list(slow["phase"]) == ["test", "train", "train"]
    assert [length.total_seconds() for length in slow["duration"]] == [0.101, 0.032, 0.008]
    assert slow["at"][1] == pd.Timestamp(START + 31_000, unit="us", tz="UTC")
    assert list(tracker.slowest_batches("made", 1)["batch"]) == [0]


@pytest.mark.parametrize("ended", [True, False])
def test_an_evaluate_inside(ended: bool) -> None:
    """Its time is its own, and the fit's callbacks'; one that died lasts until its last hook."""
    end = [(60, "test_end", EVALUATE)] if ended else []
    stored(
        (0, "call_began", FIT, {"phase": "train"}),
        (0, "train_begin", FIT),
        (0, "epoch_begin", EPOCH),
        (1, "train_batch_begin", (1, 0, 0)), (3, "train_batch_end", (1, 0, 0)),
        (10, "call_began", EVALUATE, {"phase": "test", "parent": 1}),
        (11, "test_begin", EVALUATE),
        (20, "test_batch_begin", (2, 0, 0)), (50, "test_batch_end", (2, 0, 0)),
        *end,
        (70, "train_batch_begin", (1, 0, 1)), (80, "train_batch_end", (1, 0, 1)),
        (81, "epoch_end", EPOCH), (82, "train_end", FIT),
    )  # fmt: skip
    frame = tracker.timing("made")
    inner = 50 if ended else 40
    assert ms(frame, "epoch") == {
        "total": 82, "steps": 12, "input": 1 + 67 - inner, "validation": 0,
        "callbacks": 2 + inner,
    }  # fmt: skip
    assert ms(frame, "call", 1) == {
        "total": inner, "steps": 30, "input": 9, "validation": None, "callbacks": inner - 39,
    }  # fmt: skip


def test_a_run_that_was_resumed() -> None:
    """Both attempts' times are there; the time between them is in neither."""
    stored(
        (0, "call_began", FIT, {"phase": "train"}),
        (0, "epoch_begin", EPOCH),
        (1, "train_batch_begin", (1, 0, 0)), (3, "train_batch_end", (1, 0, 0)),
        (5000, "run_resumed", FIT, {"version": VERSION}),
        (5000, "call_began", FIT, {"phase": "train"}),
        (5000, "epoch_begin", EPOCH),
        (5001, "train_batch_begin", (1, 0, 0)), (5010, "train_batch_end", (1, 0, 0)),
        (5011, "epoch_end", EPOCH),
    )  # fmt: skip
    frame = tracker.timing("made")
    assert list(frame["attempt"]) == [1, 1, 2, 2]
    assert [ms(frame, "call", row)["total"] for row in (0, 1)] == [3, 11]


def test_what_is_not_known() -> None:
    """Skipped batches leave steps and input missing, a clock that was set back everything."""
    stored(
        (0, "call_began", FIT, {"phase": "train"}),
        (0, "epoch_begin", EPOCH),
        (1, "train_batch_begin", (1, 0, 0)), (3, "train_batch_end", (1, 0, 0)),
        (8, "train_batch_begin", (1, 0, 5)), (9, "train_batch_end", (1, 0, 5)),
        (9, "test_begin", EPOCH), (29, "test_end", EPOCH), (30, "epoch_end", EPOCH),
        (31, "epoch_begin", (1, 1, None)), (11, "epoch_end", (1, 1, None)),
    )  # fmt: skip
    frame = tracker.timing("made")
    assert ms(frame, "epoch") == {
        "total": 31, "steps": None, "input": None, "validation": 20, "callbacks": None,
    }  # fmt: skip
    assert set(ms(frame, "epoch", 1).values()) == {None}
    assert list(frame["batches"][:2]) == [6, 0]
    assert "clock was set back" in frame.attrs["notes"][0]
    assert len(tracker.slowest_batches("made")) == 2


def test_frames_have_fixed_columns() -> None:
    """Without any event of a call the columns and dtypes are the same."""
    stored()
    empty, none = tracker.timing("made"), tracker.slowest_batches("made")
    assert len(empty) == len(none) == 0
    assert str(empty["total"].dtype) == str(none["duration"].dtype) == "timedelta64[us]"
    assert str(empty["epoch"].dtype) == "Int64"
    assert str(empty["began"].dtype) == "datetime64[us, UTC]"
    with pytest.raises(RunNotFound):
        tracker.timing("other")
    with pytest.raises(InvalidArgument, match="1 or more"):
        tracker.slowest_batches("made", 0)


class Slow(keras.callbacks.Callback):
    """Sleeps in some hooks."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Inside the step: after the tracker's own hook."""
        time.sleep(0.1 if batch == 1 else 0)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Between the steps."""
        time.sleep(0.05)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """In the validation."""
        time.sleep(0.07)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """After the epoch."""
        time.sleep(0.2)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A small model."""
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def test_a_real_training(model: keras.Model) -> None:
    """What sleeps in a hook shows where that hook is; the parts make up the whole."""
    x, y = np.zeros((8, 3)), np.zeros((8, 1))
    with tracker.run() as callback:
        validation = {"validation_data": (x[:4], y[:4])}
        options = {"batch_size": 2, "verbose": 0, "callbacks": [callback, Slow()]}
        model.fit(x, y, epochs=3, **validation, **options)
        model.evaluate(x, y, **options)
        model.predict(x, **options)
    frame = tracker.timing("@last")
    assert list(frame["scope"]) == ["epoch"] * 3 + ["call"] * 3
    assert list(frame["phase"][3:]) == ["train", "test", "predict"]
    assert list(frame["batches"]) == [4, 4, 4, 12, 4, 4]
    for row in range(1, 3):
        times = ms(frame, "epoch", row)
        assert times["steps"] >= 100
        assert times["input"] >= 150
        assert times["validation"] >= 140
        assert times["callbacks"] >= 200
        parts = [times[name] for name in ("steps", "input", "validation", "callbacks")]
        assert sum(parts) == pytest.approx(times["total"])
    assert ms(frame, "call", 1)["steps"] >= 280
    slowest = tracker.slowest_batches("@last", 100)
    assert len(slowest) == 12 + 3 * 2 + 4 + 4
    later = slowest[(slowest["phase"] == "train") & (slowest["epoch"] > 0)]
    assert set(later["batch"][:2]) == {1}


@pytest.mark.parametrize("batches", [3, None])
def test_policies_of_batches(model: keras.Model, batches: int | None) -> None:
    """Where batches are skipped, or none recorded, a note says so."""
    x, y = np.zeros((20, 3)), np.zeros((20, 1))
    with tracker.run(name="thin", batches=batches) as callback:
        model.fit(x, y, batch_size=2, validation_split=0.2, verbose=0, callbacks=[callback])
    frame = tracker.timing("thin")
    assert frame["steps"].isna().all()
    assert frame["callbacks"].isna().all()
    assert (frame["validation"] > pd.Timedelta(0)).all()
    assert list(frame["batches"].isna()) == [batches is None] * 2
    assert f"batches={batches}" in frame.attrs["notes"][0]
    assert f"batches={batches}" in command("runs", "timing", "thin").stderr


def test_steps_per_execution() -> None:
    """An event of several batches is a step; batches that were not there are not counted."""
    made = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    made.compile("sgd", "mse", steps_per_execution=2)
    with tracker.run() as callback:
        made.fit(np.zeros((10, 3)), np.zeros((10, 1)), batch_size=2, verbose=0,
                 callbacks=[callback])  # fmt: skip
    frame = tracker.timing("@last")
    assert list(frame["batches"]) == [5, 5]
    assert frame["steps"].notna().all()
    tracker.prune_runs("@last")
    pruned = tracker.timing("@last")
    assert list(pruned["batches"]) == [5, 5]
    assert pruned["steps"].isna().all()
    assert "was pruned" in pruned.attrs["notes"][0]


def test_the_command() -> None:
    """It prints the frame, or the slowest batches."""
    stored(
        (0, "call_began", FIT, {"phase": "train"}),
        (0, "epoch_begin", EPOCH),
        (1, "train_batch_begin", (1, 0, 0)), (3, "train_batch_end", (1, 0, 0)),
        (5, "epoch_end", EPOCH), (7, "train_end", FIT),
    )  # fmt: skip
    lines = command("runs", "timing", "made").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["scope", "epoch", "call"]
    (row,) = json.loads(command("runs", "timing", "made", "--slowest", "3", "-f", "json").stdout)
    assert (row["batch"], row["duration"]) == (0, 0.002)
