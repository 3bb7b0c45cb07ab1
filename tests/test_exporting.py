"""Long runs to files and to other libraries' frames."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

import tracker
from tests.streams import Stream, fit_stream, identity
from tests.test_chunks import long_stream, stored
from tests.test_cli import tracker as command
from tracker.errors import DriverMissing, InvalidArgument
from tracker.exporting import write_events
from tracker.store.opening import open_store


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store with a run of more than two pages."""
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/long.db"
    store = open_store(url, create=True)
    stored(store, long_stream(2, 5_000))
    store.append(identity("short", 2), fit_stream(), expected_seq=0)
    store.close()
    return url


def test_a_file_is_the_frame(url: str, tmp_path: Path) -> None:
    """What is streamed in pages is what pandas writes at once: values, dtypes, choices."""
    choices: list[dict[str, Any]] = [
        {},
        {"kind": "train_batch_end", "epoch": 1},
        {"after": 10, "limit": 9_000},
    ]
    for choice in choices:
        path = tmp_path / "events.parquet"
        seen: list[int] = []
        count = write_events("run", path, progress=seen.append, store=url, **choice)
        frame = tracker.events("run", logs="json", store=url, **choice)
        assert_frame_equal(pd.read_parquet(path), frame)
        assert count == len(frame) == seen[-1]
        assert len(frame) <= 8_192 or pq.ParquetFile(path).num_row_groups > 1
    assert [one.name for one in tmp_path.iterdir() if "events" in one.name] == ["events.parquet"]


def test_the_command_streams(url: str, tmp_path: Path) -> None:
    """`tracker events list -o FILE.parquet`, and nothing of a file that cannot be."""
    path = tmp_path / "it.parquet"
    done = command("events", "list", "run", "-o", str(path), "--store", url)
    assert done.returncode == 0, done.stderr
    assert "rows written to" in done.stderr
    assert len(pd.read_parquet(path)) == len(tracker.events("run", store=url))
    nowhere = str(tmp_path / "no" / "x.parquet")
    done = command("events", "list", "run", "-o", nowhere, "--store", url, code=2)
    assert "cannot be written" in done.stderr


def test_frames_of_other_libraries(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`as_="arrow"` is a table of the same; what is not there is said, and so are mixed values."""
    table = tracker.events("short", as_="arrow", store=url)
    assert isinstance(table, pa.Table)
    frame = tracker.events("short", store=url)
    assert table.column_names == list(frame.columns)
    import polars as pl

    other = tracker.events("short", as_="polars", store=url)
    assert isinstance(other, pl.DataFrame)
    assert other["seq"].to_list() == frame["seq"].to_list()
    assert table["loss"].to_pylist()[5] == frame["loss"][5]
    with pytest.raises(InvalidArgument, match="'pandas', 'arrow' or 'polars'"):
        tracker.events("short", as_="numpy", store=url)  # type: ignore[arg-type]
    monkeypatch.setattr("tracker.frames.find_spec", lambda _: None)
    with pytest.raises(DriverMissing, match="pip install polars"):
        tracker.events("short", as_="polars", store=url)


def test_values_of_no_one_type_have_no_arrow_column(url: str) -> None:
    """Texts between numbers are refused, with what to do."""
    stream = Stream()
    stream.add("run_began", {"version": 2})
    for batch, loss in enumerate((0.5, "broken")):
        stream.add("train_batch_end", {"loss": loss}, call=1, epoch=0, batch=batch)
    with contextlib.closing(open_store(url)) as store:
        store.append(identity("mixed", 3), stream.records, expected_seq=0)
    with pytest.raises(InvalidArgument, match="logs='json'"):
        tracker.events("mixed", as_="arrow", store=url)
    assert len(tracker.events("run", logs="json", as_="arrow", store=url)) > 20_000


def test_chunks_are_rebuilt_by_command(url: str) -> None:
    """`tracker rebuild --chunks` says what it made."""
    done = command("rebuild", "--chunks", "--store", url)
    assert done.returncode == 0, done.stderr
    assert "16384 events are in chunks" in done.stderr
