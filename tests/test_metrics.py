"""The best values, and figures over several runs: right, and with NaN in its place."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tracker
from tests.streams import START, Stream, fit_stream, identity
from tests.test_cli import tracker as command
from tracker.errors import InvalidArgument, InvalidFilter, RunNotFound, UnknownColumn
from tracker.event import VERSION
from tracker.store.opening import open_store

NAN = math.nan


def store_run(name: str, epochs: Sequence[dict[str, float]], number: int = 1, **began: Any) -> None:
    """Store a run of one fit with these logs of its epochs, of two batches each."""
    stream = Stream()
    stream.add("run_began", {"version": VERSION, "name": name, **began})
    stream.add("call_began", {"phase": "train", "params": {"steps": 2}}, call=1)
    stream.add("train_begin", call=1)
    for epoch, logs in enumerate(epochs):
        stream.add("epoch_begin", call=1, epoch=epoch)
        stream.add("epoch_end", logs, call=1, epoch=epoch)
    stream.add("train_end", call=1)
    store = open_store(create=True)
    store.append(identity(name, number), stream.records, expected_seq=0)
    store.close()


def losses(*values: float) -> list[dict[str, float]]:
    """Epochs with these values of `val_loss`."""
    return [{"val_loss": value} for value in values]


def test_the_best_and_where() -> None:
    """The value with its epoch, step, time, call, attempt and seq; the earliest of equal ones."""
    logs = [
        {"val_loss": 3.0, "val_accuracy": 0.2}, {"val_loss": 1.0, "val_accuracy": 0.9},
        {"val_loss": 1.0, "val_accuracy": 0.5},
    ]  # fmt: skip
    store_run("made", logs)
    frame = tracker.best_metrics("made", "val_loss")
    row = frame.iloc[0]
    assert (row["run"], row["phase"], row["mode"], row["best"]) == ("made", "train", "min", 1.0)
    assert (row["epoch"], row["step"], row["call"], row["attempt"], row["seq"]) == (1, 4, 1, 1, 7)
    assert row["at"] == pd.Timestamp(START + 7000, unit="us", tz="UTC")
    every = tracker.best_metrics("made")
    assert list(every["metric"]) == ["val_loss", "val_accuracy"]
    assert list(every["mode"]) == ["min", "max"]
    assert list(every["best"]) == [1.0, 0.9]
    assert list(tracker.best_metrics("made", mode="max")["best"]) == [3.0, 0.9]


def test_nan_is_never_the_best() -> None:
    """It counts only where there is nothing else, and then comes last, whatever the mode."""
    store_run("some", losses(NAN, 2.0, NAN))
    store_run("none", losses(NAN, NAN), 2)
    store_run("endless", losses(math.inf, 3.0), 3)
    for mode, best in (("min", [2.0, 3.0, NAN]), ("max", [math.inf, 2.0, NAN])):
        frame = tracker.best_metrics(["none", "some", "endless"], "val_loss", mode)  # type: ignore[arg-type]
        assert list(frame["best"]) == pytest.approx(best, nan_ok=True)
        assert frame["run"].iloc[-1] == "none"
        assert frame.iloc[-1][["epoch", "at", "seq"]].isna().all()
    store_run("mixed", [{"loss": NAN, "mae": 1.0}], 4)
    assert list(tracker.best_metrics("mixed")["metric"]) == ["mae", "loss"]


def test_evaluates_have_a_best_too() -> None:
    """`test_loss` is the loss of an evaluate, and `loss` is fit's own."""
    store = open_store(create=True)
    store.append(identity("made"), fit_stream(name="made"), expected_seq=0)
    store.close()
    frame = tracker.best_metrics("made", "test_loss")
    assert list(zip(frame["phase"], frame["best"], frame["call"], strict=True)) == [
        ("test", 0.25, 2)
    ]
    assert frame["epoch"].isna().all()
    ends = tracker.events("made", kind="test_end")
    assert frame["seq"][0] == ends["seq"].iloc[-1]
    assert list(tracker.best_metrics("made", "loss")["best"]) == [0.5]


def test_what_was_run_again() -> None:
    """A better value that a later attempt ran over does not count."""
    stream = Stream()
    for attempt, values in ((1, (0.5, 0.1)), (2, (0.3, 0.4))):
        kind = "run_began" if attempt == 1 else "run_resumed"
        stream.add(kind, {"version": VERSION, "name": "made"}, attempt=attempt)
        stream.add("call_began", {"phase": "train"}, call=1, attempt=attempt)
        for epoch, value in enumerate(values, attempt - 1):
            place: dict[str, Any] = {"call": 1, "epoch": epoch, "attempt": attempt}
            stream.add("epoch_begin", **place)
            stream.add("epoch_end", {"loss": value}, **place)
    store = open_store(create=True)
    store.append(identity("made"), stream.records, expected_seq=0)
    store.close()
    (row,) = tracker.best_metrics("made").to_dict("records")
    assert (row["best"], row["epoch"], row["attempt"]) == (0.3, 1, 2)
    assert row["seq"] == stream.records[-3].seq


def test_wrong_questions() -> None:
    """Each is answered with what was expected."""
    store_run("made", losses(1.0))
    with pytest.raises(UnknownColumn, match="There are: val_loss"):
        tracker.best_metrics("made", "val_los")
    with pytest.raises(InvalidArgument, match="'min' or 'max'"):
        tracker.best_metrics("made", mode="least")  # type: ignore[arg-type]
    for options in ({}, {"group": "a", "where": "id = 1"}, {"runs": "made", "group": "a"}):
        with pytest.raises(InvalidArgument, match="Give one of"):
            tracker.aggregate_metrics(**options)
    with pytest.raises(RunNotFound, match="no group 'x'"):
        tracker.aggregate_metrics(group="x")
    with pytest.raises(RunNotFound, match="No run"):
        tracker.aggregate_metrics(where='name = "x"')
    with pytest.raises(InvalidFilter):
        tracker.aggregate_metrics(where="name ===")
    with pytest.raises(UnknownColumn, match="There are: val_loss"):
        tracker.aggregate_metrics("made", names="loss")


def test_frames_have_fixed_columns() -> None:
    """Of runs without metrics the frames are empty, with the same columns and dtypes."""
    store_run("empty", [])
    store_run("made", losses(1.0), 2)
    for function in (tracker.best_metrics, tracker.aggregate_metrics):
        empty, full = function("empty"), function("made")
        assert (len(empty), len(full)) == (0, 1)
        assert dict(empty.dtypes) == dict(full.dtypes)


def test_figures_over_seeds() -> None:
    """Count, mean, deviation and ends of each epoch, of the runs that came so far."""
    seeds = {"one": (3.0, 2.0), "two": (5.0, 4.0, 1.0), "three": (7.0,)}
    for number, (name, values) in enumerate(seeds.items(), 1):
        store_run(name, losses(*values), number, group='the "seeds" \\ all')
    store_run("other", losses(100.0), 4, group="others")
    frame = tracker.aggregate_metrics(group='the "seeds" \\ all')
    assert set(frame.attrs["runs"]) == set(seeds)
    assert list(frame["epoch"]) == [0, 1, 2]
    assert list(frame["count"]) == [3, 2, 1]
    assert list(frame["mean"]) == [5.0, 3.0, 1.0]
    deviations = [float(np.std([3, 5, 7], ddof=1)), math.sqrt(2), NAN]
    assert list(frame["std"]) == pytest.approx(deviations, nan_ok=True)
    assert list(frame["min"]) == [3.0, 2.0, 1.0]
    assert list(frame["max"]) == [7.0, 4.0, 1.0]
    assert list(frame["nan"]) == [0, 0, 0]
    by_name = tracker.aggregate_metrics(["one", "two", "three", "one"])
    pd.testing.assert_frame_equal(by_name, frame)
    by_filter = tracker.aggregate_metrics(where='group like "the%"', names=["val_loss"])
    pd.testing.assert_frame_equal(by_filter, frame)


def test_nan_and_infinity_in_figures() -> None:
    """NaN is counted beside the figures; infinities take part, without a deviation."""
    for number, values in enumerate(((NAN, 1.0, NAN), (2.0, math.inf, NAN)), 1):
        store_run(f"run{number}", losses(*values), number)
    frame = tracker.aggregate_metrics(["run1", "run2"])
    assert list(frame["count"]) == [1, 2, 0]
    assert list(frame["nan"]) == [1, 0, 2]
    assert list(frame["mean"]) == pytest.approx([2.0, math.inf, NAN], nan_ok=True)
    assert frame["std"].isna().all()
    assert list(frame["max"]) == pytest.approx([2.0, math.inf, NAN], nan_ok=True)


def test_calls_are_kept_apart() -> None:
    """The first epochs of two fits, and an evaluate, are rows of their own."""
    store = open_store(create=True)
    for number in (1, 2):
        made = identity(f"run{number}", number)
        store.append(made, fit_stream(name=made.name), expected_seq=0)
    store.close()
    frame = tracker.aggregate_metrics(["run1", "run2"], names="loss")
    places = zip(frame["phase"], frame["call"], frame["epoch"].fillna(-1), strict=True)
    assert list(places) == [("train", 1, 0), ("train", 1, 1), ("test", 2, -1)]
    assert list(frame["count"]) == [2, 2, 2]


def test_the_commands() -> None:
    """They print the frames; NaN is a value, and wrong options end with 2."""
    store_run("one", losses(2.0, 1.0), 1, group="seeds")
    store_run("two", losses(NAN, NAN), 2, group="seeds")
    done = command("metrics", "best", "two", "one", "--metric", "val_loss", "-f", "json")
    rows = json.loads(done.stdout)
    assert [(row["run"], row["best"], row["epoch"]) for row in rows] == [
        ("one", 1.0, 1), ("two", "NaN", None),
    ]  # fmt: skip
    table = command("metrics", "best", "one", "--mode", "max").stdout.splitlines()
    assert table[0].split() == [
        "run", "phase", "metric", "mode", "best", "epoch", "step", "call", "seq",
    ]  # fmt: skip
    assert table[1].split()[:6] == ["one", "train", "val_loss", "max", "2", "0"]
    done = command("metrics", "aggregate", "--group", "seeds", "--names", "val_loss")
    assert done.stderr == "Of 2 runs: two, one\n"
    assert done.stdout.splitlines()[1].split() == ["train", "1", "0", "val_loss", "1", "1", "2",
                                                   "2", "2"]  # fmt: skip
    assert "Give one of" in command("metrics", "aggregate", code=2).stderr
    assert "aggregate" in command("metrics", "--help").stdout
