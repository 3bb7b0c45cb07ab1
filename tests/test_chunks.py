"""Chunks and columns: frames made of them are those made of the events' rows."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from sqlalchemy import make_url, text

import tracker
from tests.strategies import logs as any_logs
from tests.strategies import streams
from tests.streams import START, Stream, fit_stream, identity
from tracker import column_frames, columns, frames, query
from tracker.column_spans import SPAN_FIELDS, spans_of
from tracker.column_steps import COARSE, FIELDS, Standing, standing_of
from tracker.columns import FORMAT, Columns, columns_of_records, from_bytes
from tracker.event import HOOKS, Record
from tracker.logs import encode
from tracker.plots import reading
from tracker.store import chunks, sealing
from tracker.store.chunks import seal, seal_again
from tracker.store.opening import connect_store, upgrade_store
from tracker.store.sql import SqlStore
from tracker.web.curve_cache import cached_curve

#: Of chunks here: streams of several are short then.
SIZE = 4_096

_CURVES: list[tuple[str, reading.Source]] = [
    *((metric, "batch") for metric in ("loss", "mae", "other", "none", "val_loss", "test_loss")),
    *((metric, "epoch") for metric in ("loss", "none", "val_loss", "test_loss", "test_none")),
]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "SIZE", SIZE)
    monkeypatch.setattr(chunks, "_PAGE", SIZE)


@pytest.fixture(params=["sqlite", "postgresql"])
def long_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """A new store on each engine."""
    url = f"sqlite:///{tmp_path}/long.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    store = connect_store(url, create=True)
    upgrade_store(store)
    yield store
    store.close()


def long_stream(epochs: int = 3, batches: int = 2_000) -> list[Record]:
    """More than two chunks, with what is awkward: NaN, whole numbers, keys that come and go."""
    stream = Stream()
    stream.add("run_began", {"version": 2, "experiment": "long"})
    stream.add("call_began", {"phase": "train", "params": {"steps": batches}}, call=1)
    stream.add("train_begin", call=1)
    for epoch in range(epochs):
        stream.add("epoch_begin", call=1, epoch=epoch)
        for batch in range(batches):
            logs: dict[str, Any] = {"loss": 1 / (1 + batch), "mae": batch / 7}
            if batch == 5:
                logs["loss"] = float("nan")
            if batch == 6 and epoch == 1:
                logs = {"mae": 1, "other": "text", "loss": None}
            stream.add("train_batch_begin", call=1, epoch=epoch, batch=batch)
            stream.add("train_batch_end", logs, call=1, epoch=epoch, batch=batch)
        for batch in range(3):
            stream.add("test_batch_begin", call=1, epoch=epoch, batch=batch)
            stream.add("test_batch_end", {"loss": batch / 3}, call=1, epoch=epoch, batch=batch)
        stream.add("test_end", {"loss": -0.0}, call=1, epoch=epoch)
        stream.add("epoch_end", {"loss": 0.5, "val_loss": -0.0}, call=1, epoch=epoch)
    stream.add("train_end", {"loss": 0.5}, call=1)
    stream.add("call_began", {"phase": "test"}, call=2)
    stream.add("test_batch_end", {"loss": 0.3}, call=2, batch=0)
    stream.add("test_end", {"loss": 0.3}, call=2)
    stream.add("run_ended", {"status": "finished"})
    return stream.records


def resumed_stream(batches: int = 1_000) -> list[Record]:
    """Three attempts: the second runs a part again of what the first did, the third an epoch."""
    stream = Stream()
    stream.add("run_began", {"version": 2, "experiment": "long"})
    for attempt, epochs in enumerate(([0, 1], [1], [1, 2]), 1):
        if attempt > 1:
            stream.add("run_resumed", {"version": 2}, attempt=attempt)
        began = {"phase": "train", "params": {"steps": batches}}
        stream.add("call_began", began, call=1, attempt=attempt)
        for epoch in epochs:
            ran = batches if attempt != 2 else batches // 3
            for batch in range(ran):
                place: dict[str, Any] = {"epoch": epoch, "batch": batch, "attempt": attempt}
                stream.add("train_batch_begin", call=1, **place)
                stream.add("train_batch_end", {"loss": attempt / (1 + batch)}, call=1, **place)
            if ran < batches:
                continue
            inside = {"phase": "test", "parent": 1}
            stream.add("call_began", inside, call=2, epoch=epoch, attempt=attempt)
            stream.add("test_batch_end", {"loss": 0.1}, call=2, batch=0, attempt=attempt)
            stream.add("test_end", {"loss": 0.1 * attempt}, call=2, attempt=attempt)
            stream.add("epoch_end", {"loss": 1.0}, call=1, epoch=epoch, attempt=attempt)
    return stream.records


def stored(store: SqlStore, records: list[Record]) -> str:
    """Append them; returns the run's UUID."""
    for first in range(0, len(records), 5_000):
        store.append(identity(), records[first : first + 5_000], expected_seq=first)
    return identity().uuid


def frames_of(store: SqlStore, **more: Any) -> list[pd.DataFrame]:
    """Frames that a long run is asked for."""
    return [
        tracker.events("run", store=store, **more),
        tracker.events("run", kind=["train_batch_end", "epoch_end"], store=store, **more),
        tracker.events("run", kind="train_batch_end", epoch=1, store=store, **more),
        tracker.events("run", after=SIZE - 3, until=2 * SIZE + 5, call=1, store=store, **more),
        tracker.metrics("run", source="batch", store=store),
        tracker.metrics("run", source="batch", wide=True, store=store),
        tracker.metrics("run", store=store),
        tracker.metrics("run", source="batch", attempts="all", store=store),
        *(curve_frame(store, *one) for one in _CURVES),
    ]


def curve_frame(store: SqlStore, metric: str, source: reading.Source) -> pd.DataFrame:
    """What a curve is drawn from."""
    (run,) = store.runs()
    curve = reading.read_curve(run, metric, source, store)
    bare = reading.read_curve(run, metric, source, store, timed=False)
    for axis in ("step", "epoch"):
        np.testing.assert_array_equal(bare.at(axis), curve.at(axis))
    np.testing.assert_array_equal(bare.value, curve.value)
    return pd.DataFrame(
        {"value": curve.value, "batch": curve.batch, "moment": curve.moment, "piece": curve.piece}
        | {axis: curve.at(axis) for axis in get_args(reading.Axis)}
    )


def rows_frames(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> list[pd.DataFrame]:
    """The same frames, made of rows."""
    with monkeypatch.context() as patched:
        patched.setattr(query, "LONG", 10**12)
        patched.setattr(reading, "LONG", 10**12)
        return frames_of(store)


def comparable(frame: pd.DataFrame) -> pd.DataFrame:
    """Objects as their text: pandas cannot compare what is nested in them, such as NaN."""
    frame = frame.copy()
    for name in frame.select_dtypes(object).columns:
        frame[name] = frame[name].map(repr)
    return frame


def assert_equal(ours: list[pd.DataFrame], expected: list[pd.DataFrame]) -> None:
    """Equal to the bit: values, order, columns, dtypes."""
    for one, other in zip(ours, expected, strict=True):
        assert_frame_equal(one, other, check_exact=True)
        for name in one:
            if one[name].dtype == "float64":
                assert one[name].to_numpy().tobytes() == other[name].to_numpy().tobytes(), name


def chunk_rows(store: SqlStore) -> list[tuple[Any, ...]]:
    """Where the chunks lie."""
    with store.reading() as connection:
        found = connection.execute(
            text("SELECT first_seq, last_seq FROM chunks ORDER BY run_id, first_seq")
        )
        return [tuple(row) for row in found]


def test_frames_from_chunks_are_those_from_rows(
    long_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without chunks, with all, and with a tail behind them: the same frames, on every engine."""
    records = long_stream()
    uuid = stored(long_store, records[: 2 * SIZE + 100])
    expected = rows_frames(long_store, monkeypatch)
    assert_equal(frames_of(long_store), expected)
    assert seal(long_store, uuid) == 2 * SIZE
    assert chunk_rows(long_store) == [(1, SIZE), (SIZE + 1, 2 * SIZE)]
    assert_equal(frames_of(long_store), expected)
    long_store.append(identity(), records[2 * SIZE + 100 :], expected_seq=2 * SIZE + 100)
    assert_equal(frames_of(long_store), rows_frames(long_store, monkeypatch))


def test_frames_of_a_resumed_run(long_store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What later attempts ran again is passed over by way of columns, too."""
    uuid = stored(long_store, resumed_stream())
    assert_equal(frames_of(long_store), rows_frames(long_store, monkeypatch))
    assert seal(long_store, uuid) >= SIZE
    assert_equal(frames_of(long_store), rows_frames(long_store, monkeypatch))
    values = tracker.metrics("run", source="batch", names="loss", store=long_store)
    assert values["attempt"].unique().tolist() == [1, 3]


def test_a_curve_that_was_read_without_times_has_none(long_store: SqlStore) -> None:
    """It says how to read them."""
    seal(long_store, stored(long_store, long_stream()))
    (run,) = long_store.runs()
    curve = reading.read_curve(run, "loss", "batch", long_store, timed=False)
    with pytest.raises(ValueError, match="timed=True"):
        curve.at("time")


def test_a_curve_is_read_again_for_times_only(long_store: SqlStore) -> None:
    """One that was read with times serves every axis from then on."""
    seal(long_store, stored(long_store, long_stream()))
    (run,) = long_store.runs()
    bare, again, timed, last = (
        cached_curve(run, "loss", "batch", long_store, timed=one)
        for one in (False, False, True, False)
    )
    assert bare.moment is None
    assert again is bare
    assert timed.moment is not None
    assert last is timed


def test_sealed_ranges_are_not_read_as_rows(long_store: SqlStore) -> None:
    """What a chunk says is believed, so rows of its range are not what is read."""
    uuid = stored(long_store, long_stream())
    seal(long_store, uuid)
    run = long_store.runs()[0]
    with long_store.snapshot() as connection:
        pieces = chunks.read_columns(connection, run, lambda piece: piece)
    assert pieces is not None
    assert [len(piece) for piece in pieces] == [SIZE] * (run.state.last_seq // SIZE) + [
        run.state.last_seq % SIZE
    ] * bool(run.state.last_seq % SIZE)


def test_rows_that_lie_in_another_order_are_read_as_columns(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL keeps events where there is room: their order is asked for, not hoped for."""
    store = connect_store(postgres_url, create=True)
    upgrade_store(store)
    stored(store, long_stream())
    expected = rows_frames(store, monkeypatch)
    with store.writing() as connection:
        for statement in (
            "CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT * FROM events",
            "SET LOCAL session_replication_role = replica",
            "DELETE FROM events",
            "INSERT INTO events SELECT * FROM mine ORDER BY seq DESC",
            f'ALTER DATABASE "{make_url(postgres_url).database}" SET enable_indexscan = off',
        ):
            connection.execute(text(statement))
    store.close()
    store = connect_store(postgres_url)
    monkeypatch.setattr(chunks, "columns_of_records", None)
    assert_equal(frames_of(store), expected)
    store.close()


def test_a_damaged_chunk_is_passed_over_and_made_again(
    long_store: SqlStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are not what was sealed are not believed, nor what is no chunk at all."""
    uuid = stored(long_store, long_stream())
    expected = rows_frames(long_store, monkeypatch)
    seal(long_store, uuid)
    with long_store.writing() as connection:
        connection.execute(
            text("UPDATE chunks SET body = :body WHERE first_seq = 1"), {"body": b"nonsense"}
        )
    assert_equal(frames_of(long_store), expected)
    assert "is damaged" in caplog.text
    caplog.clear()
    assert seal_again(long_store, uuid) == seal(long_store, uuid) > 0
    assert_equal(frames_of(long_store), expected)
    assert not caplog.text


def test_a_chunk_of_another_format_is_not_read(
    long_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of an earlier program are passed over, and replaced by whoever seals next."""
    uuid = stored(long_store, long_stream())
    expected = rows_frames(long_store, monkeypatch)
    seal(long_store, uuid)
    with long_store.writing() as connection:
        connection.execute(text("UPDATE chunks SET format = 1, body = hash"))
    assert_equal(frames_of(long_store), expected)
    seal(long_store, uuid)
    with long_store.reading() as connection:
        formats = set(connection.execute(text("SELECT format FROM chunks")).scalars())
    assert formats == {FORMAT}


def test_pruning_and_purging_take_chunks_along(
    long_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a prune frames show what is left, sealed again or not; after a purge nothing is."""
    uuid = stored(long_store, long_stream())
    seal(long_store, uuid)
    tracker.prune_runs(["run"], store=long_store)
    assert chunk_rows(long_store) == []
    left = rows_frames(long_store, monkeypatch)
    assert_equal(frames_of(long_store), left)
    seal(long_store, uuid)
    assert_equal(frames_of(long_store), left)
    tracker.purge_runs(["run"], store=long_store)
    assert chunk_rows(long_store) == []
    assert seal(long_store, uuid) == 0


def test_a_prune_that_came_between_leaves_no_chunk_of_before(
    long_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has read a range before it was pruned does not store it afterwards."""
    uuid = stored(long_store, long_stream())
    packed = Columns.to_bytes

    def slow(columns: Columns) -> bytes:
        tracker.prune_runs(["run"], store=long_store.url)
        return packed(columns)

    monkeypatch.setattr(Columns, "to_bytes", slow)
    seal(long_store, uuid, most=1)
    assert chunk_rows(long_store) == []


def test_readers_sealers_and_a_writer_at_once(
    long_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two who seal, one who appends and one who reads: every frame is a beginning of the run."""
    records = long_stream()
    stored(long_store, records[:6_000])
    failed: list[BaseException] = []
    done = threading.Event()

    def sealing() -> None:
        other = tracker.open_store(long_store.url)
        try:
            while not done.is_set():
                seal(other, identity().uuid)
                time.sleep(0.01)
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)
        other.close()

    threads = [threading.Thread(target=sealing) for _ in range(2)]
    for thread in threads:
        thread.start()
    seen = []
    for first in range(6_000, len(records), 2_000):
        long_store.append(identity(), records[first : first + 2_000], expected_seq=first)
        seen.append(tracker.events("run", store=long_store))
    done.set()
    for thread in threads:
        thread.join()
    assert not failed
    whole = rows_frames(long_store, monkeypatch)[0]
    for frame in seen:
        assert frame["seq"].tolist() == list(range(1, len(frame) + 1))
        assert_frame_equal(frame.iloc[:, :7], whole.iloc[: len(frame), :7])


def test_a_real_training_seals_its_chunks_in_the_background() -> None:
    """The process beside the trainer makes them, unless it is told not to."""
    import keras
    import numpy as np

    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((4_400, 1))
    with tracker.run(name="long") as run:
        model.fit(x, x[:, 0], batch_size=1, epochs=2, verbose=0, callbacks=[run])
    store = tracker.open_store()
    deadline = time.monotonic() + 30
    while not chunk_rows(store) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert chunk_rows(store) == [(1, sealing.SIZE)]
    ours = tracker.events("long", store=store)
    with sqlite3.connect(store.url.removeprefix("sqlite:///")) as connection:
        count = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    assert len(ours) == count > sealing.SIZE
    store.close()


def test_chunks_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRACKER_CHUNKS=0 or off."""
    assert sealing.is_on()
    for value in ("0", "off", " OFF "):
        monkeypatch.setenv("TRACKER_CHUNKS", value)
        assert not sealing.is_on()


@settings(max_examples=80)
@given(streams(by_hand=True), st.lists(any_logs, max_size=6), st.data())
def test_columns_hold_whatever_hooks_logged(
    records: list[Record], more: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Frames of any stream are alike from columns, through bytes, in pieces, and from records."""
    for logs in more:
        seq = len(records) + 1
        records.append(
            Record(seq, START, "train_batch_end", records[-1].attempt, 1, 0, seq, encode(logs))
        )
    cut = data.draw(st.integers(0, len(records)))
    pieces = [columns_of_records(part) for part in (records[:cut], records[cut:])]
    expected = frames.event_frame(records, "columns")
    if any(piece is None for piece in pieces):
        assert any("$" in record.logs for record in records)
        return
    through = [from_bytes(piece.to_bytes()) for piece in pieces if piece is not None]
    found = column_frames.event_frame_of(through)
    assert_frame_equal(comparable(found), comparable(expected), check_exact=True)
    coarse = [record for record in records if record.kind in COARSE]
    for kinds in query.METRIC_KINDS.values():
        known = [one for one in records if one.kind in {*COARSE, "train_batch_end", *kinds}]
        for attempts in ("latest", "all"):
            parts = [column_frames.logged_of(piece, kinds) for piece in through]
            ours = column_frames.metric_frame_of("r", parts, coarse, kinds, attempts)
            rows = frames.metric_frame("r", known, kinds, attempts)
            assert_frame_equal(ours, rows, check_exact=True)


@settings(max_examples=60)
@given(streams(), st.sampled_from([0, 3, 200]))
def test_spans_are_told_or_worked_out(records: list[Record], most: int) -> None:
    """Where events stand is the same whether a chunk tells its spans, or has too many for that."""
    piece = columns_of_records(records)
    assume(piece is not None)
    assert piece is not None
    spans = spans_of(*(piece.fields[name] for name in SPAN_FIELDS))
    of_each = [(one.attempt, one.call, one.epoch) for one in records]
    changes = [place for place, one in enumerate(of_each) if not place or one != of_each[place - 1]]
    assert spans.starts.tolist() == changes
    with mock.patch.object(columns, "_MOST_SPANS", most):
        body = piece.to_bytes()
    read = from_bytes(body, FIELDS)
    assert ("epoch" in read.fields) == (len(spans) > most)
    for kinds in query.METRIC_KINDS.values():
        expected, found = (
            [getattr(standing_of(one, kinds), field.name) for field in fields(Standing)]
            for one in (piece, read)
        )
        assert all(map(np.array_equal, found, expected))


@settings(max_examples=40)
@given(st.data())
def test_masks_of_columns_are_filters_of_records(data: st.DataObject) -> None:
    """Events chosen from columns are the frame of those records."""
    records = fit_stream()
    kinds = data.draw(st.lists(st.sampled_from(HOOKS), min_size=1))
    epoch = data.draw(st.integers(0, 2))
    whole = columns_of_records(records)
    assert whole is not None
    ours = whole.where(whole.of_kinds(kinds) & whole.is_equal("epoch", epoch))
    chosen = [one for one in records if one.kind in kinds and one.epoch == epoch]
    assert_frame_equal(column_frames.event_frame_of([ours]), frames.event_frame(chosen, "columns"))


def test_the_file_holds_parquet(tmp_path: Path) -> None:
    """A chunk's body is a Parquet file, which other programs read."""
    from pyarrow import BufferReader, parquet

    store = tracker.open_store(f"sqlite:///{tmp_path}/a.db", create=True)
    seal(store, stored(store, long_stream()))
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        (body,) = connection.execute("SELECT body FROM chunks LIMIT 1").fetchone()
    assert parquet.read_table(BufferReader(body)).num_rows == SIZE
    store.close()
