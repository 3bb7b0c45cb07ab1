"""Frames: fixed columns and dtypes, right values, also when there is nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import tracker
from tests.streams import Stream, fit_stream, identity
from tracker.errors import (
    EventsTooNew,
    InvalidArgument,
    RunNotFound,
    UnknownColumn,
    UnknownKind,
)
from tracker.query import count, describe
from tracker.store.opening import open_store
from tracker.store.sql import SqlStore

EVENT_TYPES = {
    "seq": "Int64",
    "at": "datetime64[us, UTC]",
    "kind": "string",
    "attempt": "Int64",
    "call": "Int64",
    "epoch": "Int64",
    "batch": "Int64",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """A store with one run."""
    opened = open_store(str(tmp_path / "store.db"), create=True)
    opened.append(identity(), fit_stream(), expected_seq=0)
    yield opened
    opened.close()


def types(frame: pd.DataFrame) -> dict[str, str]:
    """Columns and dtypes."""
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def test_runs_have_fixed_columns(store: SqlStore, tmp_path: Path) -> None:
    """The frame of runs has the same columns and dtypes, with and without runs."""
    full = types(tracker.runs(store=store))
    empty = types(tracker.runs())
    assert list(full) == [*empty, "loss", "val_loss", "test_loss"]
    assert {name: full[name] for name in empty} == empty
    assert empty["started"] == "datetime64[us, UTC]"
    assert empty["duration"] == "timedelta64[us]"
    assert (empty["id"], empty["name"]) == ("Int64", "string")
    assert full["loss"] == "float64"
    row = tracker.runs(store=store).iloc[0]
    assert row["started"] == pd.Timestamp("2026-01-01 00:00:00.001", tz="UTC")
    assert row["duration"] == pd.Timedelta(milliseconds=30)
    assert len(tracker.runs(limit=1, store=store)) == 1


@pytest.mark.parametrize("logs", ["columns", "dict", "json"])
def test_events_have_fixed_columns(store: SqlStore, logs: str) -> None:
    """The frame of events has the same columns and dtypes, with and without events."""
    full = tracker.events("run", logs=logs, store=store)  # type: ignore[arg-type]
    empty = tracker.events("run", after=10**6, logs=logs, store=store)  # type: ignore[arg-type]
    extra = {} if logs == "columns" else {"logs": {"dict": "object", "json": "string"}[logs]}
    assert types(empty) == EVENT_TYPES | extra
    columns = {"loss": "float64", "val_loss": "float64"} if logs == "columns" else extra
    assert types(full) == EVENT_TYPES | columns


def test_events_can_be_chosen(store: SqlStore) -> None:
    """By kind, call, epoch, seq, first and last."""

    def seqs(**arguments: object) -> list[int]:
        frame = tracker.events("run", store=store, **arguments)  # type: ignore[arg-type]
        return list(frame["seq"])

    assert seqs(after=3, until=6) == [4, 5, 6]
    assert seqs(limit=2) == [1, 2]
    assert seqs(tail=2) == [31, 32]
    assert seqs(kind="epoch_end") == [15, 27]
    assert seqs(kind=["train_begin", "train_end"]) == [3, 28]
    assert seqs(call=2) == [29, 30, 31]
    assert seqs(epoch=1) == list(range(16, 28))
    with pytest.raises(UnknownKind, match="Did you mean 'epoch_end'"):
        seqs(kind="on_epoch_end")
    with pytest.raises(InvalidArgument, match="not both"):
        seqs(limit=1, tail=1)
    with pytest.raises(InvalidArgument, match="'columns', 'dict' or 'json'"):
        seqs(logs="rows")


def test_logged_values_that_share_a_name_with_a_column(tmp_path: Path) -> None:
    """A metric called `batch` does not hide the batch; odd values stay what they are."""
    stream = Stream()
    stream.add("run_began", {})
    stream.add("epoch_end", {"batch": 0.5, "n": 3, "text": "x", "loss": math.nan}, epoch=0)
    stream.add("epoch_end", {"n": 4, "text": None}, epoch=1)
    with_odd = open_store(str(tmp_path / "odd.db"), create=True)
    with_odd.append(identity(), stream.records, expected_seq=0)
    frame = tracker.events("run", kind="epoch_end", store=with_odd)
    assert frame["logs.batch"].iloc[0] == 0.5
    assert list(frame["n"]) == [3, 4]
    assert str(frame["n"].dtype) == "Int64"
    assert frame["text"].iloc[0] == "x"
    metrics = tracker.metrics("run", store=with_odd)
    assert set(metrics["metric"]) == {"batch", "n", "loss"}
    wide = tracker.metrics("run", wide=True, store=with_odd)
    assert wide["logs.batch"].iloc[0] == 0.5
    with_odd.close()


def test_metrics_long_and_wide(store: SqlStore) -> None:
    """Each logged value once, with its place; wide has a column for each metric."""
    long = tracker.metrics("run", store=store)
    assert types(long) == {
        "run": "string",
        "phase": "string",
        "attempt": "Int64",
        "call": "Int64",
        "epoch": "Int64",
        "batch": "Int64",
        "step": "Int64",
        "at": "datetime64[us, UTC]",
        "metric": "string",
        "value": "float64",
    }
    assert list(long["value"]) == [1.0, 0.5, 0.5, 1.5, 0.25]
    assert list(long["phase"]) == ["train"] * 4 + ["test"]
    assert list(long["step"]) == [3, 3, 6, 6, 6]
    wide = tracker.metrics("run", wide=True, store=store)
    assert list(wide["loss"]) == [1.0, 0.5, 0.25]
    assert math.isnan(wide["val_loss"].iloc[2])
    batches = tracker.metrics("run", source="batch", store=store)
    train = batches[batches["phase"] == "train"]
    assert list(train["step"]) == [1, 2, 3, 4, 5, 6]
    assert list(train["batch"]) == [0, 1, 2, 0, 1, 2]
    assert list(batches[batches["phase"] == "test"]["step"]) == [3, 6]


def test_metrics_of_several_runs_and_of_none(store: SqlStore) -> None:
    """Several runs make one frame; a run without metrics an empty one of the same columns."""
    bare = Stream()
    bare.add("run_began", {})
    store.append(identity("bare", 2), bare.records, expected_seq=0)
    both = tracker.metrics(["run", "bare", "@last"], store=store)
    assert set(both["run"]) == {"run"}
    empty = tracker.metrics("bare", store=store)
    assert types(empty) == types(both)
    assert tracker.metrics("bare", wide=True, store=store).empty
    assert len(tracker.metrics("run", names=["val_loss"], store=store)) == 2
    with pytest.raises(UnknownColumn, match="There are: loss, val_loss"):
        tracker.metrics("run", names="accuracy", store=store)
    with pytest.raises(InvalidArgument, match="'epoch' or 'batch'"):
        tracker.metrics("run", source="step", store=store)  # type: ignore[arg-type]


def test_later_attempts_win(tmp_path: Path) -> None:
    """An epoch that was run again counts once, with the later attempt's values."""
    stream = Stream()
    stream.add("run_began", {})
    for attempt, epochs in ((1, (0, 1, 2)), (2, (2, 3))):
        stream.add("call_began", {"phase": "train"}, call=1, attempt=attempt)
        for epoch in epochs:
            for batch in (0, 1):
                logs = {"loss": attempt + epoch / 10}
                place = {"call": 1, "epoch": epoch, "batch": batch, "attempt": attempt}
                stream.add("train_batch_end", logs, **place)
            stream.add("epoch_end", logs, call=1, epoch=epoch, attempt=attempt)
    store = open_store(str(tmp_path / "attempts.db"), create=True)
    store.append(identity(), stream.records, expected_seq=0)
    frame = tracker.metrics("run", store=store)
    assert list(frame["value"]) == [1.0, 1.1, 2.2, 2.3]
    assert list(frame["step"]) == [2, 4, 6, 8]
    assert len(tracker.metrics("run", source="batch", store=store)) == 8
    store.close()


def test_counts_and_descriptions(store: SqlStore) -> None:
    """Counts in the order of hooks, and a description for showing."""
    counted = count("run", store=store)
    assert types(counted) == {"kind": "string", "count": "Int64"}
    assert dict(counted.itertuples(index=False, name=None))["train_batch_begin"] == 6
    facts = describe("run", store=store)
    assert facts["params"] == {"lr": 0.1}
    assert facts["metrics"][2]["max_epoch"] == 1


def test_a_stream_of_events(store: SqlStore) -> None:
    """Events one by one are frozen records with decoded logs."""
    events = list(tracker.stream("run", after=14, until=16, store=store))
    assert [event.seq for event in events] == [15, 16]
    assert isinstance(events[0], tracker.Event)
    assert (events[0].kind, events[0].epoch, events[0].batch) == ("epoch_end", 0, None)
    assert events[0].logs == {"loss": 1.0, "val_loss": 0.5}
    with pytest.raises(AttributeError):
        events[0].seq = 1  # type: ignore[misc]
    with pytest.raises(RunNotFound):
        next(tracker.stream("none", store=store))


def test_more_runs_than_a_statement_has_parameters(store: SqlStore) -> None:
    """A list of 70,000 runs is no statement of 70,000 parameters."""
    with store.writing() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE numbers (n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM numbers "
            "WHERE n < 70099) INSERT INTO runs (id, uuid, given_name, name, writer, head, "
            "last_seq, status, attempt, epochs, version) SELECT n, 'u' || n, 'n' || n, 'n' || n, "
            "'w', zeroblob(32), 0, 'finished', 1, 0, 2 FROM numbers"
        )
    assert len(tracker.runs(store=store)) >= 70_000
    assert len(tracker.runs(limit=40_000, store=store)) == 40_000
    assert len(tracker.runs(where='name like "n1%"', limit=3, store=store)) == 3


@pytest.mark.parametrize("meant", ["a\x00b", "\udcff", "@last\x00"])
def test_what_is_no_text_is_no_run(store: SqlStore, meant: str) -> None:
    """A RUN that no database could have is not found, on any of them."""
    with pytest.raises(RunNotFound):
        tracker.events(meant, store=store)


def test_events_of_a_later_vocabulary(store: SqlStore) -> None:
    """An older program says that it is older, instead of guessing."""
    stream = Stream()
    stream.add("run_began", {"version": 99})
    store.append(replace(identity("future", 9), version=99), stream.records, expected_seq=0)
    with pytest.raises(EventsTooNew, match="vocabulary 99"):
        tracker.events("future", store=store)
    assert "future" in list(tracker.runs(store=store)["name"])


def test_runs_by_name_id_and_place(store: SqlStore) -> None:
    """A name that looks like an id is a name first; @last is the run that began last."""
    early = [one._replace(at=one.at - 10**9) for one in fit_stream()]
    store.append(identity("1", 2), early, expected_seq=0)
    assert describe("1", store=store)["id"] == 2
    assert describe(2, store=store)["name"] == "1"
    assert describe("@last", store=store)["name"] == "run"
    assert describe("@last~1", store=store)["name"] == "1"
    with pytest.raises(RunNotFound):
        describe("@last~2", store=store)


def test_durability(tmp_path: Path) -> None:
    """durability="power" makes SQLite flush each commit."""
    for durability, level in (("process", 1), ("power", 2)):
        opened = open_store(str(tmp_path / "d.db"), create=True, durability=durability)  # type: ignore[arg-type]
        with opened.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        opened.close()
