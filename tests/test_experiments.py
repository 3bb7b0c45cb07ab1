"""Experiments: counts, the best run by a metric, and another name for all runs of one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tracker
from tests.streams import Stream, identity
from tests.test_capture import X, Y, fit, model
from tests.test_cli import later
from tests.test_cli import tracker as command
from tests.test_store import sql_store, sqlite_store  # noqa: F401 - fixtures
from tracker import TrackerCallback, grouping
from tracker.errors import InvalidArgument, RunExists, RunNotFound
from tracker.event import VERSION, Record
from tracker.judging import Mode, better
from tracker.query import run_of
from tracker.store.opening import open_store
from tracker.store.sql import SqlStore


def trained(
    values: list[float],
    *,
    metric: str = "val_loss",
    status: str | None = "finished",
    **began: Any,
) -> list[Record]:
    """A run of one fit, with these values of a metric at the ends of its epochs."""
    stream = Stream()
    stream.add("run_began", {"version": VERSION, "environment": {"host": "here"}, **began})
    stream.add("call_began", {"phase": "train"}, call=1)
    stream.add("train_begin", call=1)
    for epoch, value in enumerate(values):
        stream.add("epoch_begin", call=1, epoch=epoch)
        stream.add("epoch_end", {metric: value}, call=1, epoch=epoch)
    if status is not None:
        stream.add("train_end", call=1)
        stream.add("run_ended", {"status": status})
    return stream.records


def add(store: SqlStore, name: str, records: list[Record]) -> None:
    """Store a run that began an hour after the one before."""
    number = len(store.runs()) + 1
    store.append(identity(name, number), later(records, number), expected_seq=0)


@pytest.fixture
def two(home: Path) -> None:
    """The default store, with an experiment of two runs, one of one, and a run of none."""
    opened = open_store(create=True)
    add(opened, "a", trained([0.9, 0.3, 0.5], experiment="first", params={"lr": 0.1}))
    add(opened, "b", trained([0.7, 0.4], experiment="first"))
    add(opened, "c", trained([0.2], experiment="second"))
    add(opened, "d", trained([0.1]))
    opened.close()


def test_the_list(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """Each experiment, the latest first, with its runs by status and the best one."""
    add(sql_store, "a", trained([0.9, 0.3, 0.5], experiment="old", group="g"))
    add(sql_store, "b", trained([0.4], experiment="old", group="g"))
    add(sql_store, "c", trained([0.35], experiment="old", group="h", status="failed"))
    add(sql_store, "d", trained([], experiment="old", status=None))
    add(sql_store, "e", trained([0.1], experiment="new", status="interrupted"))
    add(sql_store, "f", trained([0.2]))
    frame = tracker.experiments(store=sql_store)
    assert list(frame.columns) == [
        "experiment", "runs", "groups", "running", "finished", "failed", "started", "latest",
        "best_run", "best",
    ]  # fmt: skip
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert [row["experiment"] for row in rows] == [None, "new", "old"]
    assert rows[2] | {"started": 0, "latest": 0} == {
        "experiment": "old", "runs": 4, "groups": 2, "running": 1, "finished": 2, "failed": 1,
        "started": 0, "latest": 0, "best_run": "a", "best": 0.3,
    }  # fmt: skip
    assert (rows[2]["latest"] - rows[2]["started"]).total_seconds() == 3 * 3600
    assert (rows[1]["failed"], rows[1]["best"]) == (1, 0.1)
    assert rows[0]["runs"] == 1


def test_what_is_not_listed_does_not_count(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """Workers beside the chief, archived and purged runs: neither counted nor the best."""
    for rank, value in enumerate((0.5, 0.1)):
        add(sql_store, f"w{rank}", trained([value], experiment="one", group="g", rank=rank))
    add(sql_store, "hidden", trained([0.01], experiment="one"))
    add(sql_store, "gone", trained([0.02], experiment="one"))
    tracker.archive_run("hidden", store=sql_store)
    tracker.purge_runs("gone", store=sql_store)
    (row,) = tracker.experiments(store=sql_store).to_dict("records")
    assert (row["runs"], row["groups"], row["best_run"], row["best"]) == (1, 1, "w0", 0.5)
    assert list(tracker.experiment_runs("one", store=sql_store)["name"]) == ["w0"]


def test_show(two: None) -> None:
    """The runs of an experiment, the best first, and only those."""
    frame = tracker.experiment_runs("first")
    assert list(frame["name"]) == ["a", "b"]
    assert list(frame["best"]) == [0.3, 0.4]
    assert list(frame["val_loss"]) == [0.5, 0.4]
    assert list(frame.columns[:6]) == ["id", "name", "experiment", "status", "best", "started"]
    assert str(frame["best"].dtype) == "float64"
    assert list(tracker.experiment_runs("first", mode="max")["name"]) == ["a", "b"]
    lines = command("experiments", "show", "first").stdout.splitlines()
    assert lines[0].split() == ["name", "status", "best", "started", "duration", "epochs"]
    assert [line.split()[0] for line in lines[1:]] == ["a", "b"]


def test_equally_good_runs(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """The latest of equals comes first, and is the best one; runs without a value come last."""
    add(sql_store, "none", trained([0.5], experiment="one", metric="loss"))
    for name in ("z", "a", "m"):
        add(sql_store, name, trained([0.5], experiment="one"))
    add(sql_store, "nothing", trained([], experiment="one"))
    shown = tracker.experiment_runs("one", store=sql_store)
    assert list(shown["name"]) == ["m", "a", "z", "nothing", "none"]
    assert list(shown["best"].isna()) == [False, False, False, True, True]
    for mode in ("min", "max"):
        frame = tracker.experiments(mode=mode, store=sql_store)
        assert list(frame["best_run"]) == ["m"]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("at_once", [2, 1_000])
def test_the_best_wherever_it_stands(
    sql_store: SqlStore,  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
    mode: Mode,
) -> None:
    """The same whether an experiment has a run among the best of all, far behind, or none."""
    monkeypatch.setattr(grouping, "_VALUES", at_once)
    values = {"good": [0.1, 0.2, 0.3], "middling": [0.5, 0.4], None: [0.6], "bad": [0.9, 0.8]}
    add(sql_store, "other", trained([0.05], experiment="other", metric="loss"))
    add(sql_store, "nan", trained([math.nan], experiment="broken"))
    for experiment, each in values.items():
        for number, value in enumerate(each):
            name = f"{experiment}-{number}"
            add(sql_store, name, trained([value], experiment=experiment))
    frame = tracker.experiments(mode=mode, store=sql_store)
    found = frame.astype(object).where(frame.notna(), None).to_dict("records")
    end = min if mode == "min" else max
    assert {row["experiment"]: (row["best_run"], row["best"]) for row in found} == {
        "other": (None, None),
        "broken": (None, None),
        **{
            experiment: (f"{experiment}-{each.index(end(each))}", end(each))
            for experiment, each in values.items()
        },
    }


def test_values_that_are_no_numbers(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """NaN is never the best, whatever the mode; infinity is a value."""
    add(sql_store, "diverged", trained([math.nan, 0.8, math.nan], experiment="one"))
    add(sql_store, "always", trained([math.nan], experiment="one"))
    add(sql_store, "infinite", trained([math.inf, 0.9], experiment="one"))
    least = tracker.experiment_runs("one", store=sql_store)
    assert list(least["name"]) == ["diverged", "infinite", "always"]
    assert list(least["best"])[:2] == [0.8, 0.9]
    most = tracker.experiment_runs("one", mode="max", store=sql_store)
    assert list(most["name"]) == ["infinite", "diverged", "always"]
    assert most["best"][0] == math.inf


def test_formats(home: Path) -> None:
    """JSON tells NaN from what a run does not have, in `show` as in the list of runs."""
    opened = open_store(create=True)
    add(opened, "bad", trained([math.nan], experiment="one"))
    add(opened, "other", trained([1.0], experiment="one", metric="loss"))
    opened.close()
    done = command("experiments", "show", "one", "-f", "json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (rows["bad"]["val_loss"], rows["bad"]["loss"]) == ("NaN", None)
    assert (rows["other"]["val_loss"], rows["other"]["best"]) == (None, None)
    assert done.stderr == "No run has a number as its val_loss.\n"
    (row,) = json.loads(command("experiments", "list", "-f", "json").stdout)
    assert (row["best_run"], row["best"], row["runs"]) == (None, None, 2)
    done = command("experiments", "list", "--columns", "experiment,runs", "-o", "x.csv")
    assert Path("x.csv").read_text() == "experiment,runs\none,2\n"
    command("experiments", "show", "one", "-o", "x.parquet")
    assert list(pd.read_parquet("x.parquet")["name"]) == ["other", "bad"]
    assert "no column 'nam'" in command("experiments", "show", "one", "--columns", "nam",
                                        code=2).stderr  # fmt: skip


def test_a_metric_called_best(home: Path) -> None:
    """A metric of that name does not hide the column, nor the other way round."""
    opened = open_store(create=True)
    add(opened, "a", trained([0.9, 0.3, 0.5], experiment="one", metric="best"))
    opened.close()
    frame = tracker.experiment_runs("one", metric="best")
    assert (frame["best"][0], frame["logs.best"][0]) == (0.3, 0.5)
    (row,) = json.loads(
        command("experiments", "show", "one", "--metric", "best", "-f", "json").stdout
    )
    assert (row["best"], row["logs.best"]) == (0.3, 0.5)


@pytest.mark.parametrize(
    ("metric", "mode"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("val_accuracy", "max"),
        ("acc", "max"),
        ("sparse_top_k_categorical_accuracy", "max"),
        ("val_auc_1", "max"),
        ("mean_io_u", "max"),
        ("val_binary_io_u_2", "max"),
        ("f1_score", "max"),
        ("r2_score", "max"),
        ("cosine_similarity", "max"),
        ("sensitivity_at_specificity", "max"),
        ("top5acc", "max"),
        ("test_precision", "max"),
        ("mean_absolute_error", "min"),
        ("accumulated_loss", "min"),
        ("accuracy_loss", "min"),
        ("previous", "min"),
        ("indices", "min"),
        ("brier_score", "min"),
        ("", "min"),
    ],
)
def test_which_end_is_better(metric: str, mode: str) -> None:
    """The name of a metric tells whether more of it is better, until the user does."""
    assert better(metric) == mode
    assert better(metric, "min") == "min"
    assert better(metric, "max") == "max"


def test_a_mode_that_is_none(two: None) -> None:
    """A mode must be min or max, also where there is no experiment."""
    with pytest.raises(InvalidArgument, match="'min' or 'max'"):
        tracker.experiments(mode="best")  # type: ignore[arg-type]
    assert "'min', 'max'" in command("experiments", "list", "--mode", "best", code=2).stderr


def test_a_metric_that_nobody_has(two: None) -> None:
    """The experiments are shown all the same, and which metrics there are is said."""
    done = command("experiments", "list", "--metric", "val_los", "-f", "csv", "--columns",
                   "experiment,best_run,best")  # fmt: skip
    assert done.stdout == "experiment,best_run,best\n,,\nsecond,,\nfirst,,\n"
    assert done.stderr == "No run has the metric 'val_los'. --metric takes: val_loss.\n"
    done = command("experiments", "show", "first", "--metric", "accuracy")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["name", "b", "a"]
    assert "--metric takes: val_loss" in done.stderr
    assert command("experiments", "list").stderr == ""


def test_rename(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """Every run has another experiment, by an event of its own that says who did it."""
    add(sql_store, "a", trained([0.5], experiment="old"))
    add(sql_store, "b", trained([0.5], experiment="old", group="g", rank=1))
    add(sql_store, "c", trained([0.5], experiment="old"))
    add(sql_store, "d", trained([0.5], experiment="other"))
    add(sql_store, "gone", trained([0.5], experiment="old"))
    tracker.archive_run("c", store=sql_store)
    tracker.purge_runs("gone", store=sql_store)
    before = {run.name: run.state.last_seq for run in sql_store.runs()}
    assert tracker.rename_experiment("old", "new", store=sql_store) == 3
    for name in ("a", "b", "c"):
        run = run_of(name, store=sql_store)
        assert run.state.experiment == "new"
        assert run.state.last_seq == before[name] + 1
        story = tracker.history(name, store=sql_store)
        assert story["kind"].iloc[-1] == "experiment_changed"
        assert "@" in story["by"].iloc[-1]
        assert "new" in story["what"].iloc[-1]
    assert run_of("d", store=sql_store).state.last_seq == before["d"]
    assert tracker.verify(store=sql_store).empty
    told = [run.state for run in sql_store.runs()]
    tracker.rebuild(store=sql_store)
    assert [run.state for run in sql_store.runs()] == told
    assert set(tracker.experiments(store=sql_store)["experiment"]) == {"new", "other"}


def test_rename_to_a_name_that_is_taken(two: None) -> None:
    """Refused with the number of runs there; with --merge the two become one."""
    with pytest.raises(RunExists, match="with 1 run\\."):
        tracker.rename_experiment("first", "second")
    refused = command("experiments", "rename", "second", "first", code=1)
    assert refused.stderr == (
        "error: There is an experiment 'first' already, with 2 runs. --merge makes the two one.\n"
    )
    assert set(tracker.experiments()["experiment"].dropna()) == {"first", "second"}
    done = command("experiments", "rename", "second", "first", "--merge")
    assert done.stderr == "Experiment second is called first: 1 run.\n"
    assert list(tracker.experiment_runs("first")["name"]) == ["c", "a", "b"]
    assert "no experiment 'second'" in command("experiments", "show", "second", code=3).stderr


def test_rename_to_the_same_name(two: None) -> None:
    """Nothing is stated where nothing changes."""
    assert tracker.rename_experiment("first", "first") == 0
    assert run_of("a").state.by_hand == 0


def test_odd_names_are_refused(two: None) -> None:
    """A new name is one line of printable text; nothing changes otherwise."""
    for name in ("", "  ", "@last", "a\nb", "x" * 201, "\udcff", "\x1b[31m", "a\x00"):
        with pytest.raises(InvalidArgument, match="the new name must"):
            tracker.rename_experiment("first", name)
    undecodable = b"\xff".decode(errors="surrogateescape")
    refused = command("experiments", "rename", "first", undecodable, code=2)
    assert "the new name must" in refused.stderr
    assert list(tracker.experiment_runs("first")["name"]) == ["a", "b"]


def test_odd_names_that_are_taken(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """Any printable name does, and is found again exactly."""
    add(sql_store, "a", trained([0.5], experiment="first"))
    before = "first"
    for name in ("größer/als 'x' \"y\"", "%", "None", "-", "日本語", "a b", "FIRST", "first"):
        assert tracker.rename_experiment(before, name, store=sql_store) == 1
        frame = tracker.experiment_runs(name, store=sql_store)
        assert list(frame["experiment"]) == [name]
        before = name


def test_a_name_that_looks_like_an_option(two: None) -> None:
    """After `--` any name does on the command line, too."""
    command("experiments", "rename", "--", "first", "--größer")
    done = command("experiments", "show", "-f", "json", "--", "--größer")
    assert [row["experiment"] for row in json.loads(done.stdout)] == ["--größer"] * 2


def test_an_unknown_experiment(two: None) -> None:
    """Code 3, with the nearest one and those that there are."""
    done = command("experiments", "show", "frist", code=3)
    assert done.stderr == (
        "error: There is no experiment 'frist'. Did you mean 'first'? There are: first, second.\n"
    )
    for name in ("", "FIRST", "fir", "firs_", "a\x00b", "\udcff"):
        with pytest.raises(RunNotFound, match="There are: first, second"):
            tracker.experiment_runs(name)
    undecodable = b"\xff\xfe".decode(errors="surrogateescape")
    assert "no experiment" in command("experiments", "show", undecodable, code=3).stderr


def test_unknown_to_any_database(sql_store: SqlStore) -> None:  # noqa: F811 - the fixture
    """What no database can hold, and what another would compare otherwise, is not there."""
    for number in range(25):
        add(sql_store, f"r{number}", trained([], experiment=f"e{number:02}"))
    for name in ("a\x00b", "\udcff", "E01", "e01 ", "e0%"):
        with pytest.raises(RunNotFound, match=r"There are: e00, .*, e19 …"):
            tracker.rename_experiment(name, "x", store=sql_store)


def test_an_empty_store() -> None:
    """There are no experiments: nothing to show, and none to rename."""
    frame = tracker.experiments(store=open_store(create=True))
    assert (len(frame), str(frame["started"].dtype)) == (0, "datetime64[us, UTC]")
    done = command("experiments", "list")
    assert (done.stdout, done.stderr) == ("", "Nothing to show.\n")
    assert "There are: none." in command("experiments", "show", "any", code=3).stderr
    with pytest.raises(RunNotFound, match="There are: none"):
        tracker.rename_experiment("a", "b")


def test_runs_without_an_experiment(home: Path) -> None:
    """They are one row without a name, and no experiment to be shown or renamed."""
    opened = open_store(create=True)
    add(opened, "a", trained([0.5]))
    opened.close()
    lines = command("experiments", "list").stdout.splitlines()
    assert lines[1].split()[0] == "1"
    (row,) = json.loads(command("experiments", "list", "-f", "json").stdout)
    assert (row["experiment"], row["best_run"]) == (None, "a")
    for name in ("None", "", "nan"):
        with pytest.raises(RunNotFound, match="There are: none"):
            tracker.experiment_runs(name)


def test_of_real_trainings(tmp_path: Path) -> None:
    """Fits with validation and evaluates: the best run of an experiment by what they logged."""
    callbacks = []
    for number, rate in enumerate((0.0, 0.1)):
        callback = TrackerCallback(experiment="real", name=f"rate-{number}", params={"lr": rate})
        net = model(optimizer="sgd")
        net.set_weights([w * 0 for w in net.get_weights()])
        net.optimizer.learning_rate = rate
        fit([callback], net, epochs=3, validation_data=(X, Y))
        net.evaluate(X, Y, verbose=0, callbacks=[callback])
        callback.close()
        callbacks.append(callback)
    (row,) = tracker.experiments().to_dict("records")
    assert (row["runs"], row["finished"], row["best_run"]) == (2, 2, "rate-1")
    values = tracker.metrics("rate-1", names="val_loss")["value"]
    assert row["best"] == min(values)
    for metric in ("loss", "test_loss", "test_mae"):
        frame = tracker.experiment_runs("real", metric=metric)
        assert list(frame["name"]) == ["rate-1", "rate-0"]
        assert frame["best"].is_monotonic_increasing
    shown = command("runs", "list", "--where", 'experiment = "real" and params.lr > 0')
    assert [line.split()[1] for line in shown.stdout.splitlines()] == ["name", "rate-1"]


def test_renaming_while_a_run_goes_on() -> None:
    """A run in the middle of its life is renamed too, and stays so when it goes on."""
    callback, net = TrackerCallback(experiment="before"), model()
    fit([callback], net)
    assert "called after: 1 run." in command("experiments", "rename", "before", "after").stderr
    fit([callback], net)
    callback.close()
    run = run_of(str(callback.run))
    assert (run.state.experiment, run.state.status, run.state.epochs) == ("after", "finished", 2)
    kinds = list(tracker.history(run.uuid)["kind"])
    assert kinds.count("experiment_changed") == 1
    assert tracker.verify().empty
