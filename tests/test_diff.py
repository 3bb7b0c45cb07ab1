"""Diff and compare: where two runs part, and what of them differs."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracker
from tests.strategies import plain_logs
from tests.streams import Stream, fit_stream, identity
from tests.test_cli import tracker as command
from tracker.comparing.distances import distance
from tracker.errors import InvalidArgument, NothingInCommon
from tracker.event import HOOKS, Record
from tracker.logs import decode, encode
from tracker.store.opening import connect_store, upgrade_store
from tracker.store.sql import SqlStore


def stored(url: str, *streams: list[Record]) -> SqlStore:
    """A store with runs a, b, c …"""
    store = connect_store(url, create=True)
    upgrade_store(store)
    for number, (name, records) in enumerate(zip("abc", streams, strict=False), 1):
        store.append(identity(name, number), records, expected_seq=0)
    return store


def changed(records: list[Record], place: int, **values: Any) -> list[Record]:
    """The stream with other values in the logs of one event."""
    record = records[place]
    logs = {**decode(record.logs), **values}
    return [*records[:place], record._replace(logs=encode(logs)), *records[place + 1 :]]


def renumbered(records: list[Record]) -> list[Record]:
    """The stream with its seqs from 1 on, and at other times."""
    return [one._replace(seq=seq, at=one.at + 12_345) for seq, one in enumerate(records, 1)]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database on each engine."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/diff.db"
    return str(request.getfixturevalue("postgres_url"))


def test_equal_streams_are_equal(url: str) -> None:
    """At whatever time they were made, by whomever."""
    store = stored(url, fit_stream(), renumbered(fit_stream()))
    found = tracker.diff("a", "b", store=store)
    assert found.equal
    assert found.first is None
    assert not found.sections()
    assert "equal" in str(found)
    hooks = sum(record.kind in HOOKS for record in fit_stream())
    assert (found.common, found.only_a, found.only_b) == (hooks, 0, 0)
    assert len(tracker.diff("a", "b", all=True, store=store).params) > 0
    store.close()


def test_the_first_divergence_is_named(url: str) -> None:
    """Event, values, distance, and what came of it."""
    records = fit_stream()
    place = next(n for n, one in enumerate(records) if one.kind == "train_batch_end" and one.epoch)
    value = decode(records[place].logs)["loss"]
    other = changed(changed(records, place, loss=math.nextafter(value, 1)), place + 2, loss=0.5)
    store = stored(url, records, other)
    found = tracker.diff("a", "b", store=store)
    first = found.first
    assert first is not None
    assert not found.equal
    assert (first.what, first.kind, first.call, first.epoch, first.batch) == (
        "value", "train_batch_end", 1, 1, 0,
    )  # fmt: skip
    assert first.seq_a == first.seq_b == place + 1
    assert (first.metric, first.a, first.b) == ("loss", value, math.nextafter(value, 1))
    assert (first.ulp, first.bits) == (1, 64)
    (row,) = found.events.to_dict("records")
    assert (row["metric"], row["compared"], row["different"]) == ("loss", 6, 2)
    assert (row["first_epoch"], row["first_batch"]) == (1, 0)
    assert row["largest_gap"] == abs(0.5 - decode(records[place + 2].logs)["loss"])
    assert tracker.diff("a", "b", rtol=1, store=store).equal
    assert not tracker.diff("a", "b", atol=1e-3, store=store).equal
    store.close()


@settings(max_examples=40)
@given(st.data())
def test_any_change_is_found_where_it_is(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """One value changed, or some events gone: the first divergence is there, whatever it is."""
    records = fit_stream(batches=4)
    hooks = [n for n, one in enumerate(records) if one.kind in HOOKS]
    place = data.draw(st.sampled_from(hooks))
    gone = data.draw(st.integers(0, 3))
    if gone:
        other = renumbered(records[:place] + records[place + gone :])
    else:
        other = changed(records, place, it=data.draw(st.floats() | st.text()))
    store = stored(f"sqlite:///{tmp_path_factory.mktemp('diff')}/x.db", records, other)
    for a, b, own in (("a", "b", "a"), ("b", "a", "b")):
        first = tracker.diff(a, b, store=store).first
        assert first is not None
        at_place = first.seq_a if own == "a" else first.seq_b
        event = records[place]
        if gone and event.kind not in HOOKS:
            continue
        assert at_place == event.seq
        assert first.what == f"only in {'ab'[(a == 'b')]}" if gone else "only in" in first.what
        assert tracker.diff(a, a, store=store).equal
    store.close()


@settings(max_examples=40)
@given(st.lists(plain_logs, min_size=1, max_size=6))
def test_a_run_is_equal_to_itself(
    tmp_path_factory: pytest.TempPathFactory, logs: list[dict[str, Any]]
) -> None:
    """NaN, infinities and -0.0 are the same as themselves."""
    stream = Stream()
    stream.add("run_began", {"version": 2})
    for batch, one in enumerate(logs):
        stream.add("train_batch_end", one, call=1, epoch=0, batch=batch)
    store = stored(f"sqlite:///{tmp_path_factory.mktemp('diff')}/x.db", stream.records)
    assert tracker.diff("a", "a", store=store).equal
    store.close()


def test_signed_zeros_differ_but_for_a_tolerance(tmp_path: Path) -> None:
    """To the bit means to the bit."""
    store = stored(
        f"sqlite:///{tmp_path}/x.db",
        changed(fit_stream(), 4, loss=0.0),
        changed(fit_stream(), 4, loss=-0.0),
    )
    assert not tracker.diff("a", "b", store=store).equal
    assert tracker.diff("a", "b", atol=1e-300, store=store).equal
    store.close()


def test_the_sign_of_zero_is_one_unit(tmp_path: Path) -> None:
    """Two zeros that differ are not told to be 0 apart, whatever tells it."""
    url = f"sqlite:///{tmp_path}/x.db"
    store = stored(url, changed(fit_stream(), 5, loss=0.0), changed(fit_stream(), 5, loss=-0.0))
    found = tracker.diff("a", "b", store=store)
    assert found.first is not None
    assert (found.first.ulp, found.first.relative) == (1, 0.0)
    told = "loss is 0.0 in a, -0.0 in b, 1 ulp of 32 bits apart"
    assert told in str(found)
    assert told in found._repr_html_()
    for form in ("table", "md"):
        assert told in command("runs", "diff", "a", "b", "-f", form, "--store", url).stdout
    facts = json.loads(command("runs", "diff", "a", "b", "-f", "json", "--store", url).stdout)
    assert (facts["first"]["ulp"], facts["first"]["bits"]) == (1, 32)
    store.close()


def epochs(*logs: dict[str, float]) -> list[Record]:
    """A fit with these logs of its epochs."""
    stream = Stream()
    stream.add("run_began", {"version": 2})
    stream.add("train_begin", call=1)
    for epoch, one in enumerate(logs):
        stream.add("epoch_end", one, call=1, epoch=epoch)
    stream.add("train_end", call=1)
    return stream.records


def test_gaps_beyond_all_doubles(tmp_path: Path) -> None:
    """They are infinite, the means of great ones are not; no warning, and tolerances hold."""
    great, many = 1.7e308, 200
    store = stored(
        f"sqlite:///{tmp_path}/x.db",
        epochs(*[{"loss": great}] * many),
        epochs(*[{"loss": -great}] * many),
        epochs(*[{"loss": 0.0}] * many),
    )
    found = tracker.diff("a", "b", store=store)
    assert found.first is not None
    assert found.first.relative == 2.0
    (row,) = found.events.to_dict("records")
    assert (row["largest_gap"], row["gap_end"], found.metrics["gap"][0]) == (math.inf,) * 3
    (row,) = tracker.diff("a", "c", store=store).events.to_dict("records")
    means = [row[name] for name in ("gap_begin", "gap_middle", "gap_end")]
    assert means == pytest.approx([great] * 3)
    assert not tracker.diff("a", "b", rtol=1.9, store=store).equal
    wide = tracker.diff("a", "b", rtol=2.1, store=store)
    assert wide.equal
    assert not wide.sections()
    store.close()


def test_nothing_is_near_an_infinity(tmp_path: Path) -> None:
    """Whatever the relative tolerance: neither in events nor in the last values."""
    store = stored(f"sqlite:///{tmp_path}/x.db", epochs({"loss": math.inf}), epochs({"loss": 1.0}))
    found = tracker.diff("a", "b", rtol=0.5, store=store)
    assert not found.equal
    assert found.metrics["gap"].tolist() == [math.inf]
    store.close()


def test_a_metric_that_is_nan_is_not_one_that_there_is_not(tmp_path: Path) -> None:
    """It is among the last values, and told apart from none in each format."""
    url = f"sqlite:///{tmp_path}/x.db"
    store = stored(
        url,
        epochs({"loss": 1.0, "mae": math.nan, "mse": math.nan, "tiny": 1e-9}),
        epochs({"loss": 1.0, "mse": math.nan}),
    )
    for a, b, last in (("a", "b", [math.nan, None]), ("b", "a", [None, math.nan])):
        found = tracker.diff(a, b, store=store)
        assert list(found.metrics["metric"]) == ["mae", "tiny"]
        row = found.metrics.iloc[0]
        assert [row["last_a"], row["last_b"]] == pytest.approx(last, nan_ok=True)
    assert "1e-09" in str(found)
    assert "<td>NaN</td>" in found._repr_html_()
    facts = json.loads(command("runs", "diff", "a", "b", "-f", "json", "--store", url).stdout)
    assert [facts["metrics"][0][name] for name in ("last_a", "last_b")] == ["NaN", None]
    for form in ("table", "md"):
        text = command("runs", "diff", "a", "b", "-f", form, "--store", url).stdout
        assert "nan" in next(line for line in text.splitlines()[1:] if "mae" in line)
    store.close()


def test_other_batches_meet_again_at_the_next_epoch(tmp_path: Path) -> None:
    """A run of more batches an epoch has them alone; the epochs' ends are compared."""
    store = stored(f"sqlite:///{tmp_path}/x.db", fit_stream(batches=5), fit_stream(batches=3))
    found = tracker.diff("a", "b", store=store)
    assert (found.only_a, found.only_b) == (2 * 2 * 2, 0)
    assert found.first is not None
    assert set(tracker.diff("a", "b", all=True, store=store).events["kind"]) >= {"epoch_end"}
    store.close()


def test_streams_meet_again_after_many_events(tmp_path: Path) -> None:
    """One epoch is longer by more than any window: the ones that follow are still compared."""
    whole = fit_stream(3, 25_000)
    streams = [
        renumbered([one for one in whole if (one.batch or 0) < (first if one.epoch == 0 else 5)])
        for first in (25_000, 5)
    ]
    store = stored(f"sqlite:///{tmp_path / 'runs.db'}", *streams)
    found = tracker.diff("a", "b", store=store)
    assert (found.only_a, found.only_b) == (2 * (25_000 - 5), 0)
    assert found.common == sum(one.kind in HOOKS for one in streams[1])
    store.close()


def test_integers_beyond_doubles_differ(tmp_path: Path) -> None:
    """As columns of integers, and as texts beside other values."""
    for values in ((2**62, 2**62 + 1), (2**70, 2**70 + 1)):
        folder = tmp_path / str(values[0])
        folder.mkdir()
        streams = []
        for value in values:
            stream = Stream()
            stream.add("run_began", {"params": {}})
            stream.add("call_began", {"phase": "train"}, call=1)
            stream.add("epoch_end", {"count": value}, call=1, epoch=0)
            streams.append(stream.records)
        store = stored(f"sqlite:///{folder / 'runs.db'}", *streams)
        found = tracker.diff("a", "b", store=store)
        assert found.first is not None
        assert (found.first.a, found.first.b) == values
        store.close()


def test_params_may_be_called_as_facts_of_the_environment_are(tmp_path: Path) -> None:
    """A parameter `folder` that differs is shown; runs may be called as columns are."""
    streams = [fit_stream(params={"folder": folder, "host": "a"}) for folder in ("x", "y")]
    store = connect_store(f"sqlite:///{tmp_path / 'runs.db'}", create=True)
    upgrade_store(store)
    for number, (name, records) in enumerate(zip(("name", "section"), streams, strict=True), 1):
        store.append(identity(name, number), records, expected_seq=0)
    assert list(tracker.diff("name", "section", store=store).params["name"]) == ["folder"]
    frame = tracker.compare(["name", "section"], store=store)
    assert list(frame.columns) == ["section", "name", "run name", "run section"]
    assert frame[frame["name"] == "folder"].iloc[0].to_list() == ["params", "folder", "x", "y"]
    store.close()


def test_sections_say_what_else_differs(tmp_path: Path) -> None:
    """Params and the last and best values of metrics; hosts and pids only with all."""
    other = fit_stream(params={"lr": 0.2, "depth": 3})
    other[0] = other[0]._replace(
        logs=encode({**decode(other[0].logs), "environment": {"host": "there", "python": "3.9"}})
    )
    store = stored(f"sqlite:///{tmp_path}/x.db", fit_stream(), other)
    found = tracker.diff("a", "b", store=store)
    assert found.params.to_dict("records") == [
        {"name": "lr", "a": 0.1, "b": 0.2},
        {"name": "depth", "a": None, "b": 3},
    ]
    assert list(found.environment["name"]) == ["python"]
    everything = tracker.diff("a", "b", all=True, store=store)
    assert "host" in list(everything.environment["name"])
    assert "<td>depth</td>" in found._repr_html_()
    table = tracker.compare(["a", "b"], store=store)
    assert list(table.columns) == ["section", "name", "a", "b"]
    assert set(table["name"]) == {"lr", "depth", "python"}
    store.close()


def test_runs_with_nothing_in_common(tmp_path: Path) -> None:
    """A fit and a predict have no event in common: said, with what to do."""
    stream = Stream()
    stream.add("run_began", {"version": 2})
    stream.add("call_began", {"phase": "predict"}, call=7)
    stream.add("predict_begin", call=7)
    store = stored(f"sqlite:///{tmp_path}/x.db", fit_stream(), stream.records)
    with pytest.raises(NothingInCommon, match="runs compare"):
        tracker.diff("a", "b", store=store)
    for wrong in (-1, math.nan, math.inf, "much"):
        with pytest.raises(InvalidArgument, match="rtol must be"):
            tracker.diff("a", "b", rtol=wrong, store=store)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="two runs or more"):
        tracker.compare(["a", "a"], store=store)
    store.close()


def test_distances() -> None:
    """Units in the last place of 32 bits where both values are such, else of 64."""
    single = float(np.float32(0.1))
    assert distance(single, float(np.nextafter(np.float32(0.1), np.float32(1))))["ulp"] == 1
    assert distance(single, single)["bits"] == 32
    assert distance(0.1, math.nextafter(0.1, 0))["ulp"] == 1
    assert distance(0.1, 0.1)["bits"] == 64
    tiny = float(np.float32(1e-45))
    assert distance(-tiny, tiny)["ulp"] == 3
    assert distance(0.0, -0.0)["ulp"] == 1
    assert distance(-tiny, -0.0)["ulp"] == distance(0.0, tiny)["ulp"] == 1
    assert not distance(math.nan, 0.1)
    assert not distance("a", 0.1)


def test_the_commands(tmp_path: Path) -> None:
    """Text, JSON and Markdown; exit codes for scripts; mistakes in words."""
    url = f"sqlite:///{tmp_path}/x.db"
    stored(url, fit_stream(), changed(fit_stream(params={"lr": 1}), 5, loss=0.25)).close()
    shown = command("runs", "diff", "a", "b", "--store", url).stdout
    assert "part at event 6, train_batch_end (call 1, epoch 0, batch 0): loss is" in shown
    assert "params" in shown
    command("runs", "diff", "a", "b", "--exit-code", "--store", url, code=1)
    command("runs", "diff", "a", "a", "--exit-code", "--store", url)
    facts = json.loads(command("runs", "diff", "a", "b", "-f", "json", "--store", url).stdout)
    assert facts["first"]["seq_a"] == 6
    assert facts["params"] == [{"name": "lr", "a": 0.1, "b": 1}]
    file = tmp_path / "d.md"
    command("runs", "diff", "a", "b", "-o", str(file), "--store", url)
    assert "### params" in file.read_text()
    assert (
        "rtol must be"
        in command("runs", "diff", "a", "b", "--rtol", "-1", "--store", url, code=2).stderr
    )
    assert (
        "table, json or md"
        in command("runs", "diff", "a", "b", "-f", "csv", "--store", url, code=2).stderr
    )
    assert "lr" in command("runs", "compare", "a", "b", "--store", url).stdout


class _Nudge:
    """Changes one weight by a little before a batch of an epoch."""

    def __init__(self, epoch: int, batch: int) -> None:
        self._at = (epoch, batch)

    def callback(self) -> Any:
        """A Keras callback that does."""
        import keras

        at = self._at

        class Nudge(keras.callbacks.Callback):
            epoch = -1

            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
                self.epoch = epoch

            def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
                if (self.epoch, batch) == at:
                    weights = self.model.get_weights()
                    weights[0][0, 0] += 1e-3
                    self.model.set_weights(weights)

        return Nudge()


def test_real_trainings() -> None:
    """Equal seeds are equal to the bit; one weight nudged, and the very batch is named."""
    import keras

    def train(name: str, *more: Any) -> None:
        keras.utils.set_random_seed(7)
        model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3)])
        model.compile("sgd", "mse", metrics=["mae"])
        x = np.random.default_rng(1).normal(size=(48, 4)).astype("float32")
        with tracker.run(name=name) as run:
            model.fit(
                x, x[:, :3], epochs=3, batch_size=8, shuffle=True, validation_split=0.25,
                verbose=0, callbacks=[*more, run],
            )  # fmt: skip

    train("one")
    train("two")
    train("nudged", _Nudge(1, 2).callback())
    assert tracker.diff("one", "two").equal
    found = tracker.diff("one", "nudged")
    first = found.first
    assert first is not None
    assert (first.kind, first.epoch, first.batch) == ("train_batch_end", 1, 2)
    assert first.bits == 32
    assert first.ulp is not None
    assert first.ulp > 0
    # Validation is compared with validation, and its gap is there at the end.
    assert {"train_batch_end", "test_batch_end", "epoch_end"} <= set(found.events["kind"])


def test_a_resumed_run_is_compared_by_what_counts(tmp_path: Path) -> None:
    """What a later attempt ran again takes the place of what there was."""
    resumed = fit_stream(ended=False)
    half = next(n for n, one in enumerate(resumed) if one.kind == "epoch_end")
    again = [one._replace(attempt=2) for one in resumed[2 : half + 1]]
    broken = changed(resumed[:half], 5, loss=9.0)
    facts = Stream()
    facts.add("run_resumed", {"version": 2}, attempt=2)
    facts.add("call_began", {"phase": "train", "params": {"steps": 3}}, call=1, attempt=2)
    rest = [one._replace(attempt=2) for one in resumed[half + 1 :]]
    store = stored(
        f"sqlite:///{tmp_path}/x.db",
        fit_stream(ended=False),
        renumbered([*broken, *facts.records, *again, *rest]),
    )
    found = tracker.diff("a", "b", store=store)
    assert found.events.empty, found.events
    store.close()


def test_streams_that_part_and_meet_all_the_time(tmp_path: Path) -> None:
    """Each second batch against all of them: every hook of both is told, and where they differ."""
    streams = []
    for step in (1, 2):
        stream = Stream()
        stream.add("train_begin", call=1)
        for batch in range(0, 3_000, step):
            stream.add("train_batch_begin", call=1, epoch=0, batch=batch)
            loss = {"loss": 1.0 if batch < 2_000 else float(step)}
            stream.add("train_batch_end", loss, call=1, epoch=0, batch=batch)
        stream.add("train_end", call=1)
        streams.append(stream.records)
    found = tracker.diff("a", "b", store=stored(f"sqlite:///{tmp_path}/diff.db", *streams))
    assert (found.common, found.only_a, found.only_b) == (3_002, 3_000, 0)
    assert found.first is not None
    assert (found.first.what, found.first.batch) == ("only in a", 1)
    (row,) = found.events.to_dict("records")
    assert (row["compared"], row["different"], row["first_batch"]) == (1_500, 500, 2_000)
    assert (row["largest_gap"], row["last_gap"]) == (1.0, 1.0)


def test_texts_of_a_difference_move_no_cursor(tmp_path: Path) -> None:
    """Names of metrics are shown, and do nothing, from Python too."""
    streams = []
    for value in (1.0, 2.0):
        stream = Stream()
        stream.add("train_end", {"\x1b[31m": value}, call=1)
        streams.append(stream.records)
    found = tracker.diff("a", "b", store=stored(f"sqlite:///{tmp_path}/diff.db", *streams))
    assert "\x1b" not in str(found)
    assert "\\x1b[31m" in str(found)
    assert "1 hook in common" in str(found)
