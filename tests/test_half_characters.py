"""Halves of characters, as file names have that are no UTF-8: kept, and shown as escapes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from starlette.testclient import TestClient

import tracker
from tests.streams import Stream, fit_stream, identity
from tests.test_cli import tracker as command
from tracker.errors import InvalidArgument
from tracker.query import describe
from tracker.store.opening import open_store
from tracker.web.application import application
from tracker.web.settings import Settings

_HALF, _SHOWN = "data-\udcff", r"data-\udcff"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of a plain run, and of one that has them wherever a text can be."""
    stream = Stream()
    stream.add(
        "run_began",
        {
            "version": 2,
            "experiment": _HALF,
            "params": {"path": _HALF, _HALF: 1, "mixed": {_HALF: [_HALF]}},
            "tags": {"from": _HALF},
            "note": _HALF,
            "environment": {"host": _HALF},
        },
    )
    stream.add("call_began", {"phase": "train"}, call=1)
    for epoch in range(2):
        for batch in range(2):
            logs = {"loss": 0.5, _HALF: 1.5, "file": _HALF}
            stream.add("train_batch_end", logs, call=1, epoch=epoch, batch=batch)
        stream.add("epoch_end", {"loss": 0.5, _HALF: 1.5, "file": _HALF}, call=1, epoch=epoch)
    error = {"type": "FileNotFoundError", "message": _HALF, "traceback": _HALF}
    stream.add("run_ended", {"status": "failed", "error": error})
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/half.db"
    with closing(open_store(url, create=True)) as store:
        store.append(identity("half", 1), stream.records, expected_seq=0)
        store.append(identity("plain", 2), fit_stream(), expected_seq=0)
    return url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[TestClient]:
    """A client of its page."""
    with TestClient(application(Settings(store=url)), base_url="http://127.0.0.1") as made:
        yield made


def test_frames(url: str) -> None:
    """Values are what was logged; names and columns of texts have the escape."""
    frame = tracker.events("half", kind="epoch_end", store=url)
    assert list(frame["file"]) == [_HALF] * 2
    assert list(frame[_SHOWN]) == [1.5] * 2
    assert str(frame["file"].dtype) == "object"
    plain = tracker.events("half", kind="epoch_end", logs="dict", store=url)
    assert plain["logs"].iloc[0] == {"loss": 0.5, _HALF: 1.5, "file": _HALF}
    assert set(tracker.metrics("half", source="batch", store=url)["metric"]) == {"loss", _SHOWN}
    assert describe("half", store=url)["params"]["path"] == _HALF
    assert "path" in set(tracker.diff("half", "plain", store=url).sections()["params"]["name"])
    for kind in ("arrow", "polars"):
        with pytest.raises(InvalidArgument, match=r"'\\udcff', half a character.*logs='json'"):
            tracker.events("half", as_=kind, store=url)


@pytest.mark.parametrize(
    "arguments",
    [
        ["events", "list", "half"],
        ["metrics", "list", "half", "--source", "batch"],
        ["metrics", "best", "half"],
        ["runs", "diff", "half", "plain"],
        ["runs", "list", "--only-changed"],
    ],
)
def test_commands(url: str, tmp_path: Path, arguments: list[str]) -> None:
    """Each format, in a pipe and in a file."""
    for form in ("table", "json", "md"):
        path = tmp_path / f"it.{form}"
        command(*arguments, "-f", form, "-o", str(path), "--store", url)
        assert any(shown in path.read_text() for shown in (r"\udcff", '{"$utf8":'))
    assert r"\udcff" in command(*arguments, "--store", url).stdout


def test_parquet(url: str, tmp_path: Path) -> None:
    """Texts have the escape; columns that it has no type for are refused."""
    path = str(tmp_path / "it.parquet")
    command("events", "list", "half", "-o", path, "--store", url)
    assert r"$utf8" in pd.read_parquet(path)["logs"].iloc[-2]
    command("metrics", "list", "half", "-o", path, "--store", url)
    assert set(pd.read_parquet(path)["metric"]) == {"loss", _SHOWN}
    done = command("runs", "list", "--only-changed", "-o", path, "--store", url, code=2)
    assert "Parquet has no type for one of the columns" in done.stderr


def test_pages(client: TestClient) -> None:
    """All pages of such a run, and all that the API says of it."""
    metric = quote(_SHOWN)
    pages = ["/runs", "/runs?cols=params.path", "/experiments", "/runs/1", "/runs/1/at/5"]
    for path in [*pages, "/compare?runs=1,2", "/compare/differences?runs=1,2"]:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert r"\udcff" in answer.content.decode() or path.startswith("/compare?"), path
    for path in [
        "/runs",
        "/runs/1",
        "/runs/1/history",
        "/runs/1/events",
        "/runs/1/state?at=seq:5",
        "/metrics",
        "/diff?a=1&b=2",
        f"/curves?run=1&metric={metric}&source=batch",
    ]:
        answer = client.get(f"/api/v1{path}")
        assert answer.status_code == 200, (path, answer.text)
        assert answer.json()
