"""The API: what it says, in JSON and Arrow, and to whom it says no; as OpenAPI describes it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pyarrow as pa
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.testclient import TestClient

import tracker
from tests.browser import served
from tests.streams import Stream, fit_stream, identity
from tracker.plots.bands import banded, smoothed
from tracker.store.opening import connect_store, open_store, upgrade_store
from tracker.web.api import ENDPOINTS
from tracker.web.application import application
from tracker.web.parameters import Parameter, values_of
from tracker.web.settings import Settings


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store of three runs; the last one has no epochs."""
    url = f"sqlite:///{tmp_path_factory.mktemp('api') / 'runs.db'}"
    store = connect_store(url, create=True)
    upgrade_store(store)
    for number, epochs in enumerate((2, 4), 1):
        one = identity(f"run-{number}", number)
        records = fit_stream(epochs, 40, name=one.name, params={"lr": 0.1 * number})
        store.append(one, records, expected_seq=0)
    stream = Stream()
    stream.add("run_began", {"version": 2, "name": "empty"})
    store.append(identity("empty", 3), stream.records, expected_seq=0)
    store.close()
    return url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[TestClient]:
    """A client of its server."""
    with TestClient(application(Settings(store=url)), base_url="http://127.0.0.1") as made:
        yield made


def test_the_list_is_that_of_the_library(client: TestClient, url: str) -> None:
    """The same rows, filtered, sorted and page by page; as Arrow the same frame."""
    rows = client.get("/api/v1/runs").json()
    frame = tracker.runs(store=url)
    assert [row["name"] for row in rows] == list(frame["name"])
    assert [row["loss"] for row in rows] == [
        None if np.isnan(value) else value for value in frame["loss"]
    ]
    rows = client.get("/api/v1/runs", params={"where": "epochs > 2", "limit": 1}).json()
    assert [row["name"] for row in rows] == ["run-2"]
    after = client.get("/api/v1/runs", params={"sort": "name", "after": "run-1"}).json()
    assert [row["name"] for row in after] == ["run-2"]
    for asked in (
        {"params": {"format": "arrow"}},
        {"headers": {"Accept": "application/vnd.apache.arrow.stream"}},
    ):
        answer = client.get("/api/v1/runs", **asked)  # type: ignore[arg-type]
        assert answer.headers["Content-Type"] == "application/vnd.apache.arrow.stream"
        table = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all()
        assert table.column("name").to_pylist() == list(frame["name"])


def test_one_run(client: TestClient) -> None:
    """What is known of it, its history, time, events, counts, and its state at any of them."""
    facts = client.get("/api/v1/runs/run-1").json()
    assert (facts["name"], facts["status"], facts["epochs"]) == ("run-1", "finished", 2)
    assert client.get("/api/v1/runs/run-1/history").json()[0]["kind"] == "run_began"
    assert client.get("/api/v1/runs/run-1/timing").json()
    events = client.get(
        "/api/v1/runs/run-1/events", params={"kind": ["epoch_end", "train_end"]}
    ).json()
    assert [one["kind"] for one in events] == ["epoch_end", "epoch_end", "train_end"]
    page = client.get("/api/v1/runs/run-1/events", params={"after": 10, "limit": 5}).json()
    assert [one["seq"] for one in page] == [11, 12, 13, 14, 15]
    counts = {row["kind"]: row["count"] for row in client.get("/api/v1/runs/run-1/counts").json()}
    assert counts["epoch_end"] == 2
    state = client.get("/api/v1/runs/run-1/state", params={"at": "epoch:0"}).json()
    assert (state["kind"], state["epoch"]) == ("epoch_end", 0)


def test_curves(client: TestClient, url: str) -> None:
    """All values where there are few; else no more than asked for, and no extreme is lost."""
    asked: dict[str, Any] = {"run": ["run-1", "run-2", "empty"], "metric": "loss"}
    lines = client.get("/api/v1/curves", params=asked).json()["lines"]
    assert [(line["run"], line["values"], line["colour"]) for line in lines] == [
        ("run-1", 2, 0),
        ("run-2", 4, 1),
    ]
    assert lines[0]["x"] == [40, 80]
    assert lines[0]["low"] is None
    batches = client.get("/api/v1/curves", params={**asked, "source": "batch", "points": 10}).json()
    line = batches["lines"][1]
    whole = tracker.metrics("run-2", source="batch", store=url)
    values = whole[whole["phase"] == "train"]["value"]
    assert len(line["x"]) <= 16
    assert min(one for one in line["low"] if one is not None) == pytest.approx(values.min())
    assert max(one for one in line["high"] if one is not None) == pytest.approx(values.max())
    part = client.get(
        "/api/v1/curves", params={**asked, "source": "batch", "begin": 50, "end": 60}
    ).json()["lines"][0]
    assert [x for x, y in zip(part["x"], part["y"], strict=True) if y is not None] == list(
        range(49, 62)
    )
    uuid = identity("run-1", 1).uuid
    sparks = client.get("/api/v1/sparks", params={"run": [uuid], "metric": "loss"}).json()
    assert len(sparks[uuid]) == 2


def test_bands_lose_no_extreme_and_keep_gaps() -> None:
    """Buckets hold the least and greatest value; stretches break where there is room."""
    chance = np.random.default_rng(1)
    y = chance.normal(size=10_000)
    y[[7, 5_000]] = [50, -50]
    y[100:110] = np.nan
    x = np.arange(10_000.0)
    piece = np.repeat(np.arange(4), 2_500)
    band = banded(x, y, piece, 200)
    assert band.reduced
    assert np.nanmax(band.high) == 50
    assert np.nanmin(band.low) == -50
    assert np.isnan(band.mean).sum() == 3
    assert (np.diff(band.x) >= 0).all()
    one_piece = banded(x, y, np.zeros(10_000, np.int64), 200)
    assert not np.isnan(one_piece.mean).any()
    everything = banded(x, y, piece, 20_000)
    assert not everything.reduced
    assert np.isnan(everything.mean).sum() == 10 + 3
    inside = banded(x, y, piece, 200, 2_000.5, 2_010.5)
    assert list(inside.x) == list(range(2_000, 2_012))
    empty = banded(np.empty(0), np.empty(0), np.empty(0, np.int64), 200, 0, 1)
    assert len(empty.x) == 0


def test_smoothing_is_without_the_bias_of_its_beginning() -> None:
    """As TensorBoard's: the first value is itself; gaps stay, and do not count."""
    y = np.array([1.0, 3.0, np.nan, 5.0])
    got = smoothed(y, 0.5)
    assert got[0] == 1
    assert got[1] == pytest.approx((0.5 * 1 + 3) / 1.5)
    assert np.isnan(got[2])
    assert got[3] == pytest.approx((0.25 * 1 + 0.5 * 3 + 5) / 1.75)
    assert smoothed(y, 0.0) is y


def test_runs_side_by_side(client: TestClient) -> None:
    """The first divergence, and what differs."""
    found = client.get("/api/v1/diff", params={"a": "run-1", "b": "run-2"}).json()
    assert not found["equal"]
    assert found["first"]["what"] == "only in b"
    rows = client.get("/api/v1/compare", params={"run": ["run-1", "run-2"]}).json()
    lr = next(row for row in rows if row["name"] == "lr")
    assert (lr["run-1"], lr["run-2"]) == (0.1, 0.2)


def test_what_if(client: TestClient) -> None:
    """The answer of a replay."""
    asked: dict[str, Any] = {
        "callback": "EarlyStopping",
        "monitor": "val_loss",
        "mode": "max",
        "patience": 0,
    }
    found = client.get("/api/v1/runs/run-2/what-if", params=asked).json()
    assert found["epochs"] == 4
    assert found["text"].startswith("EarlyStopping would")
    answer = client.get("/api/v1/runs/empty/what-if", params=asked)
    assert (answer.status_code, "no fit" in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/runs/nobody", 404, "There is no run 'nobody'"),
        ("/runs?where=los+<", 400, "^"),
        ("/runs?limit=0", 400, "limit must be an integer from 1 to 1000"),
        ("/runs?limit=2000000", 400, "limit must be"),
        ("/runs?limit=1&limit=2", 400, "given once"),
        ("/runs?lmit=1", 400, "There is no parameter 'lmit' here"),
        ("/runs?archived=yes", 400, "true or false"),
        ("/runs/run-1/events?kind=nothing", 400, "kind must be one of"),
        ("/runs/run-1/state?at=seq:0", 400, "has events 1 to"),
        ("/runs/run-1/state?at=nonsense", 400, "is no point of a run"),
        ("/curves?run=run-1", 400, "metric is missing"),
        ("/curves?run=run-1&metric=loss&points=2000000", 400, "points must be"),
        ("/curves?run=run-1&metric=loss&begin=5&end=1", 400, "begin must be less than end"),
        ("/curves?run=run-1&metric=loss&begin=nan", 400, "begin must be a number"),
        ("/curves?run=run-1&metric=loss&smooth=1", 400, "smooth must be"),
        ("/diff?a=run-1", 400, "b is missing"),
        ("/diff?a=run-1&b=empty", 400, "no hook in common"),
        ("/compare?run=run-1", 400, "two runs or more"),
        ("/aggregate", 400, "Which runs?"),
        ("/nothing", 404, "nothing at this address"),
        ("/live", 400, "Name 1 to"),
    ],
)
def test_bad_requests_are_told(client: TestClient, path: str, status: int, told: str) -> None:
    """As JSON that says what was wrong and what is expected."""
    answer = client.get(f"/api/v1{path}")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert told in answer.json()["detail"]


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    """It is told as such, and is found as soon as it is there."""
    url = f"sqlite:///{tmp_path / 'later.db'}"
    with TestClient(application(Settings(store=url)), base_url="http://127.0.0.1") as made:
        answer = made.get("/api/v1/runs")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert "does not exist" in made.get("/runs").text
        store = connect_store(url, create=True)
        assert made.get("/api/v1/runs").status_code == 503, "it has no tables yet"
        upgrade_store(store)
        store.close()
        assert made.get("/api/v1/runs").json() == []


def test_what_is_left_of_a_purged_run_is_shown(tmp_path: Path) -> None:
    """Its page and its one event; what is gone is said to be."""
    url = f"sqlite:///{tmp_path}/purged.db"
    with closing(open_store(url, create=True)) as store:
        for number, name in enumerate(("gone", "other"), 1):
            store.append(identity(name, number), fit_stream(name=name), expected_seq=0)
        tracker.purge_runs("gone", store=store)
    with TestClient(application(Settings(store=url)), base_url="http://127.0.0.1") as client:
        paths = ("1", "1/at", "1/at/33", "1/now", "1/time", "1/moment")
        assert [client.get(f"/runs/{path}").status_code for path in paths] == [200] * len(paths)
        assert client.get("/compare?runs=1,other").status_code == 200
        answer = client.get("/runs/1/at/1")
        assert (answer.status_code, "It was purged" in answer.text) == (400, True)


def test_values_of_parameters() -> None:
    """Numbers in all their forms; defaults; several values."""
    given = [
        Parameter("n", "", "integer", 7, least=-5, most=9),
        Parameter("x", "", "number", least=0.0),
        Parameter("many", "", many=2),
    ]
    assert values_of(given, {}, []) == {"n": 7, "x": None, "many": []}
    assert values_of(given, {}, [("n", "-5"), ("x", "1e-3"), ("many", "a"), ("many", "b")]) == {
        "n": -5,
        "x": 1e-3,
        "many": ["a", "b"],
    }
    for wrong in ("1.0", "\uff11", "1_0", " 1", "1e1", "0x1", "9" * 50):
        with pytest.raises(ValueError, match="n must be an integer from -5 to 9"):
            values_of(given, {}, [("n", wrong)])
    with pytest.raises(ValueError, match="many is too long: 2000 characters at most"):
        values_of(given, {}, [("many", "x" * 2001)])


@pytest.fixture(scope="module")
def api_schema(url: str) -> Iterator[Any]:
    """The description that a real server gives of itself."""
    with served(application(Settings(store=url))) as address:
        described = httpx2.get(f"{address}/api/v1/openapi.json").json()
        # Texts that are too long have a test of their own: to make thousands of them takes minutes.
        _without_lengths(described)
        schema = schemathesis.openapi.from_dict(described)
        schema.config.update(base_url=f"{address}/api/v1")
        yield schema


def _without_lengths(schema: Any) -> None:
    if isinstance(schema, dict):
        schema.pop("maxLength", None)
    if isinstance(schema, dict | list):
        for one in schema.values() if isinstance(schema, dict) else schema:
            _without_lengths(one)


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        (one.path, mode)
        for one in ENDPOINTS
        for mode in schemathesis.GenerationMode
        if mode is schemathesis.GenerationMode.POSITIVE
        or any(not given.in_path for given in one.all_parameters)
    ],
)
def test_answers_are_as_described(
    api_schema: Any, path: str, mode: schemathesis.GenerationMode
) -> None:
    """Whatever is asked, in its words or not: no fault, and no answer that is not described.

    That a text is no run, or no filter, no description can tell.
    """
    asked = api_schema[path]["GET"].as_strategy(generation_mode=mode)

    @settings(max_examples=15, suppress_health_check=list(HealthCheck))
    @given(case=asked)
    def check(case: Any) -> None:
        # A field that a form left empty is none, whatever its type.
        empty = "" in (case.query or {}).values()
        more = [negative_data_rejection] if empty else []
        case.call_and_validate(excluded_checks=[positive_data_acceptance, *more])

    check()


def test_every_address_is_described(client: TestClient) -> None:
    """The document has all of them, and no id twice."""
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    assert set(paths) == {one.path for one in ENDPOINTS}
    ids = [one["get"]["operationId"] for one in paths.values()]
    assert len(ids) == len(set(ids))
