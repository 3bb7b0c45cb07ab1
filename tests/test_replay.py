"""What a callback would have done: a replay says what a live training did."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracker
from tests.streams import Stream, fit_stream, identity
from tests.test_cli import tracker as command
from tracker.errors import InvalidArgument, ModelNeeded, RunNotFound
from tracker.replaying.driver import look_at_batches
from tracker.replaying.expression import made_callback, parsed_callback
from tracker.replaying.sweeping import parsed_sweep
from tracker.store.opening import connect_store, upgrade_store
from tracker.store.sql import SqlStore

EPOCHS = 12


def train(*callbacks: Any, name: str | None = None) -> Any:
    """The one training, its validation loss going up and down; recorded if it has a name."""
    import keras

    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.3), "mse", metrics=["mae", "accuracy"])
    chance = np.random.default_rng(2)
    x, y = chance.normal(size=(40, 4)), chance.normal(size=(40, 2))
    with contextlib.ExitStack() as stack:
        more = [stack.enter_context(tracker.run(name=name))] if name else []
        model.fit(
            x, y, epochs=EPOCHS, batch_size=8, validation_split=0.4, verbose=0,
            callbacks=[*callbacks, *more],
        )  # fmt: skip
    return model


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    """A store with the training as it went without other callbacks."""
    home = tmp_path_factory.mktemp("replay")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TRACKER_HOME", str(home))
        train(name="plain")
        store = tracker.open_store()
        yield store
        store.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {"monitor": "val_loss", "patience": 0},
        {"monitor": "val_loss", "patience": 2, "restore_best_weights": True},
        {"monitor": "loss", "patience": 1},
        {"monitor": "val_mae", "patience": 1},
        {"monitor": "val_accuracy", "patience": 2, "restore_best_weights": True},
        {"monitor": "val_accuracy", "patience": 1, "mode": "min"},
        {"monitor": "val_loss", "patience": 1, "start_from_epoch": 4},
        {"monitor": "val_loss", "patience": 20},
        {"monitor": "val_loss", "patience": 1, "baseline": 0.5},
        {"monitor": "val_loss", "patience": 2, "min_delta": 0.05},
    ],
    ids=str,
)
def test_early_stopping_is_as_it_was_live(recorded: SqlStore, arguments: dict[str, Any]) -> None:
    """It stops at the same epoch, with the same best one, and puts the same weights back."""
    import keras

    live = keras.callbacks.EarlyStopping(**arguments)
    history = keras.callbacks.History()
    train(live, history)
    again = keras.callbacks.EarlyStopping(**arguments)
    verdict = tracker.replay("plain", [again], store=recorded)
    assert (again.stopped_epoch, again.best_epoch) == (live.stopped_epoch, live.best_epoch)
    assert again.best == live.best
    assert again.wait == live.wait
    assert verdict.epochs == EPOCHS
    assert verdict.epochs_then == len(history.epoch)
    assert verdict.stopped == (len(history.epoch) < EPOCHS)
    assert verdict.exact_until is None
    if arguments.get("restore_best_weights"):
        assert verdict.restored_epoch == live.best_epoch
    if verdict.stopped:
        assert verdict.epoch == live.stopped_epoch
        assert verdict.saved_epochs == EPOCHS - len(history.epoch)
        assert f"at epoch {live.stopped_epoch}" in str(verdict)
        assert verdict.saved_seconds is not None
        assert verdict.saved_seconds > 0


def test_checkpoints_would_have_been_the_same(recorded: SqlStore, tmp_path: Path) -> None:
    """The files that a live ModelCheckpoint wrote are those that a replay says."""
    import keras

    def checkpoint(folder: str) -> Any:
        return keras.callbacks.ModelCheckpoint(
            f"{tmp_path}/{folder}-{{epoch:02d}}-{{val_loss:.4f}}.weights.h5",
            monitor="val_loss", save_best_only=True, save_weights_only=True,
        )  # fmt: skip

    train(checkpoint("a"))
    verdict = tracker.replay("plain", [checkpoint("b")], store=recorded)
    live = sorted(path.name.removeprefix("a-") for path in tmp_path.glob("a-*"))
    saved = [Path(one.detail).name for one in verdict.acts if one.act == "save_weights"]
    assert [name.removeprefix("b-") for name in saved] == live
    assert not list(tmp_path.glob("b-*"))


def test_files_are_those_of_a_live_run(recorded: SqlStore, tmp_path: Path) -> None:
    """CSVLogger writes the same bytes, History has the same values."""
    import keras

    live = keras.callbacks.History()
    train(keras.callbacks.CSVLogger(str(tmp_path / "live.csv")), live)
    again = keras.callbacks.History()
    csv = keras.callbacks.CSVLogger(str(tmp_path / "again.csv"))
    assert not tracker.replay("plain", [csv, again], store=recorded).stopped
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "live.csv").read_bytes()
    assert again.history == live.history
    assert again.epoch == live.epoch


def test_the_first_cut_of_a_learning_rate_is_exact(recorded: SqlStore) -> None:
    """And the verdict says that what follows is not."""
    import keras

    class Watched(keras.callbacks.ReduceLROnPlateau):
        cuts: list[int]

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            before = float(np.asarray(self.model.optimizer.learning_rate))
            super().on_epoch_end(epoch, logs)
            if float(np.asarray(self.model.optimizer.learning_rate)) < before:
                self.cuts.append(epoch)

    live = Watched(monitor="val_loss", patience=1, factor=0.5)
    live.cuts = []
    train(live)
    again = Watched(monitor="val_loss", patience=1, factor=0.5)
    again.cuts = []
    verdict = tracker.replay("plain", [again], store=recorded)
    assert again.cuts[0] == live.cuts[0]
    first = next(one for one in verdict.acts if one.act == "learning_rate")
    assert first.epoch == live.cuts[0]
    assert first.detail == pytest.approx(0.15)
    assert verdict.exact_until == first.seq
    assert "not exact" in str(verdict)


def test_nan_stops_in_the_middle_of_an_epoch(tmp_path: Path) -> None:
    """After a stop in a batch no other batch comes, but validation and the end of the epoch do."""
    import keras

    records = fit_stream(batches=4)
    place = next(n for n, one in enumerate(records) if one.kind == "train_batch_end" and one.epoch)
    records[place] = records[place]._replace(logs='{"loss":"NaN"}')
    seen: list[str] = []

    class Seen(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            seen.append(f"batch {batch}")

        def on_test_end(self, logs: Any = None) -> None:
            seen.append("test_end")

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(f"epoch {epoch}")

        def on_train_end(self, logs: Any = None) -> None:
            seen.append("train_end")

    with contextlib.closing(connect_store(f"sqlite:///{tmp_path}/x.db", create=True)) as store:
        upgrade_store(store)
        store.append(identity(), records, expected_seq=0)
        verdict = tracker.replay("run", [keras.callbacks.TerminateOnNaN(), Seen()], store=store)
        assert (verdict.stopped, verdict.epoch, verdict.batch) == (True, 1, 0)
        assert verdict.seq == place + 1
        first_epoch = [*(f"batch {n}" for n in range(4)), "test_end", "epoch 0"]
        assert seen == [*first_epoch, "batch 0", "test_end", "epoch 1", "train_end"]
        assert str(verdict).startswith("TerminateOnNaN, Seen would have stopped run at epoch 1, in")
        with pytest.raises(InvalidArgument, match="no fit 2; its fits: 1"):
            tracker.replay("run", [Seen()], call=2, store=store)


def test_what_needs_the_real_model(recorded: SqlStore) -> None:
    """It is said which attribute; errors of the user's own carry the event."""
    import keras

    class Greedy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.layers[0].count_params()

    class Broken(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise RuntimeError("mine")

    with pytest.raises(ModelNeeded, match=r"needs model\.layers of the real model"):
        tracker.replay("plain", [Greedy()], store=recorded)
    with pytest.raises(RuntimeError, match="mine") as raised:
        tracker.replay("plain", [Broken()], store=recorded)
    assert "on_epoch_end of Broken" in raised.value.__notes__[0]


def test_logs_are_copies(recorded: SqlStore) -> None:
    """A callback that changes its logs is seen by those behind it, and changes no run."""
    import keras

    class Adds(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["more"] = 1

    class Sees(keras.callbacks.Callback):
        seen = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seen += logs["more"]

    sees = Sees()
    tracker.replay("plain", [Adds(), sees], store=recorded)
    assert sees.seen == EPOCHS
    assert "more" not in tracker.events("plain", store=recorded).columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("EarlyStopping(patience=", "cannot be understood"),
        ("EarlyStopping(patience=open('x'))", "expected a literal"),
        ("keras.EarlyStopping()", "expected a callback such as"),
        ("EarlyStopping(**{})", "not \\*\\*"),
        ("EarlyStoping(patience=1)", "Did you mean EarlyStopping"),
        ("EarlyStopping(patence=1)", "It takes: monitor"),
        ("RemoteMonitor()", "another machine"),
        ("CSVLogger(3)", "filename of CSVLogger must be a text"),
        ("ModelCheckpoint(filepath=3)", "filepath of ModelCheckpoint must be a text"),
        ("TensorBoard(3)", "log_dir of TensorBoard must be a text"),
        ("1 + 1", "expected a callback such as"),
        ("", "cannot be understood"),
    ],
)
def test_expressions_that_are_none(text: str, message: str) -> None:
    """What was wrong, where, and what is expected; nothing is evaluated."""
    with pytest.raises(InvalidArgument, match=message):
        made_callback(text)


def test_expressions() -> None:
    """Positional and keyword arguments, all of them literals."""
    assert parsed_callback('EarlyStopping("val_loss", patience=-3, min_delta=1e-3)') == (
        "EarlyStopping", ["val_loss"], {"patience": -3, "min_delta": 1e-3},
    )  # fmt: skip
    assert made_callback("EarlyStopping(patience=3)", patience=5).patience == 5
    assert parsed_callback("TerminateOnNaN")[0] == "TerminateOnNaN"


def test_the_command(recorded: SqlStore) -> None:
    """The verdict in words and as JSON; mistakes are shown with their place."""
    store = recorded.url
    expression = 'EarlyStopping(monitor="val_loss", patience=2)'
    done = command("replay", "plain", "--callback", expression, "--store", store)
    assert "EarlyStopping would" in done.stdout
    done = command(
        "replay", "plain", "--callback", expression, "--format", "json", "--store", store
    )
    assert '"epochs": 12' in done.stdout
    done = command("replay", "plain", "--callback", "Early(", "--store", store, code=2)
    assert "^" in done.stderr
    done = command(
        "replay", "plain", "--callback", "TerminateOnNaN()", "--at", "1", "--store", store, code=2
    )
    assert "different questions" in done.stderr


def test_nan_everywhere_is_no_error(tmp_path: Path) -> None:
    """A run of nothing but NaN has no best value, and its verdict is told without."""
    import keras

    stream = Stream()
    stream.add("run_began", {"version": 2})
    stream.add("call_began", {"phase": "train"}, call=1)
    for epoch in range(3):
        stream.add("epoch_end", {"loss": math.nan}, call=1, epoch=epoch)
    with contextlib.closing(connect_store(f"sqlite:///{tmp_path}/x.db", create=True)) as store:
        upgrade_store(store)
        store.append(identity(), stream.records, expected_seq=0)
        stopping = keras.callbacks.EarlyStopping(monitor="loss", patience=1)
        assert "best" not in str(tracker.replay("run", [stopping], store=store))


def test_a_sweep_is_a_replay_of_each(recorded: SqlStore) -> None:
    """A row a value, each what a replay says; on the command line, too."""
    import keras

    frame = tracker.sweep(
        "plain", keras.callbacks.EarlyStopping, patience=range(1, 4), store=recorded
    )
    assert list(frame["patience"]) == [1, 2, 3]
    for row in frame.to_dict("records"):
        stopping = keras.callbacks.EarlyStopping(patience=row["patience"])
        verdict = tracker.replay("plain", [stopping], store=recorded)
        assert row["epochs"] == verdict.epochs_then
        assert row["best"] == verdict.best
    done = command(
        "replay", "plain", "--callback", "EarlyStopping()", "--sweep", "patience=1..3",
        "--format", "csv", "--store", recorded.url,
    )  # fmt: skip
    assert done.stdout.splitlines()[0].startswith("patience,stopped,epoch,epochs")
    assert len(done.stdout.splitlines()) == 4
    with pytest.raises(InvalidArgument, match="one argument at a time"):
        tracker.sweep(
            "plain", keras.callbacks.EarlyStopping, patience=[1], min_delta=[0], store=recorded
        )


def test_many_runs_at_once(tmp_path: Path) -> None:
    """A row a run, and a value if one is swept; those that have no fit say so."""
    import keras

    url = f"sqlite:///{tmp_path}/many.db"
    with contextlib.closing(connect_store(url, create=True)) as store:
        upgrade_store(store)
        for number, epochs in enumerate((3, 5), 1):
            one = identity(f"run-{number}", number)
            store.append(one, fit_stream(epochs, name=one.name), expected_seq=0)
        stream = Stream()
        stream.add("run_began", {"version": 2, "name": "empty"})
        store.append(identity("empty", 3), stream.records, expected_seq=0)

        def stopping(**arguments: Any) -> Any:
            return keras.callbacks.EarlyStopping("val_loss", mode="max", **arguments)

        frame = tracker.sweep(["run-1", "empty", "run-2"], stopping, store=store)
        assert list(frame["run"]) == ["run-1", "empty", "run-2"]
        for name in ("run-1", "run-2"):
            verdict = tracker.replay(name, [stopping()], store=store)
            row = frame[frame["run"] == name].iloc[0]
            assert row["stopped"] == verdict.stopped
            assert row["epochs"] == verdict.epochs_then
        assert "'empty' has no fit" in frame["error"][1]
        assert frame["error"].isna().to_list() == [True, False, True]
        assert frame["stopped"].isna().to_list() == [False, True, False]
        both = tracker.sweep(None, stopping, where="epochs > 3", patience=[1, 2], store=store)
        assert list(zip(both["run"], both["patience"], strict=True)) == [("run-2", 1), ("run-2", 2)]
        with pytest.raises(InvalidArgument, match="no fit"):
            tracker.sweep(["empty"], stopping, store=store)
        with pytest.raises(RunNotFound, match="No run is chosen"):
            tracker.sweep(None, stopping, where="epochs > 99", store=store)
        with pytest.raises(InvalidArgument, match="not both"):
            tracker.sweep(["run-1"], stopping, where="epochs > 3", store=store)
    done = command(
        "replay", "--where", "epochs >= 3", "--callback", "EarlyStopping('val_loss', mode='max')",
        "--format", "csv", "--store", url,
    )  # fmt: skip
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == ["run", "run-2", "run-1"]


def test_batches_are_not_read_where_nobody_looks(recorded: SqlStore) -> None:
    """The verdict is the same; only Keras's own callbacks are known to look at none."""
    import keras

    class Mine(keras.callbacks.EarlyStopping):
        pass

    class Bare:
        """No subclass of anything of Keras's."""

    quick = keras.callbacks.EarlyStopping(patience=2)
    assert not look_at_batches([quick, keras.callbacks.CSVLogger("x")])
    for one in (
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.ModelCheckpoint("x.keras"),
        keras.callbacks.LambdaCallback(on_train_batch_end=print),
        Mine(),
        Bare(),
    ):
        assert look_at_batches([quick, one])
    whole = tracker.replay("plain", [Mine(patience=2)], store=recorded)
    coarse = tracker.replay("plain", [quick], store=recorded)
    assert dataclasses.replace(coarse, callbacks=["Mine"]) == whole


def test_callbacks_of_a_file(recorded: SqlStore, tmp_path: Path) -> None:
    """The user's own class or function, with what lies beside it; mistakes say where they are."""
    (tmp_path / "limits.py").write_text("LAST = 4\n")
    path = tmp_path / "mine.py"
    path.write_text(
        "import keras\nfrom limits import LAST\n\n\n"
        "class Until(keras.callbacks.Callback):\n"
        "    def __init__(self, last=LAST):\n"
        "        super().__init__()\n"
        "        self.last = last\n\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        self.model.stop_training = epoch >= self.last\n\n\n"
        "class Broken(keras.callbacks.Callback):\n"
        "    def on_epoch_end(self, epoch, logs=None):\n"
        "        raise ValueError('bad luck')\n\n\n"
        "def no_callback():\n"
        "    return 3\n"
    )
    store = recorded.url

    def asked(name: str, *more: str, code: int = 0) -> Any:
        arguments = ("--callback-file", f"{path}:{name}", "--store", store, *more)
        return command("replay", "plain", *arguments, code=code)

    assert "Until would have stopped plain at epoch 4" in asked("Until").stdout
    assert "at epoch 2" in asked("Until(last=2)").stdout
    swept = asked("Until", "--sweep", "last=1..3", "--format", "jsonl").stdout
    assert [line["epoch"] for line in map(json.loads, swept.splitlines())] == [1, 2, 3]
    for name, message in (
        ("Untl", "Did you mean Until?"),
        ("Until(first=1)", "It takes: last"),
        ("Broken", "ValueError: bad luck In on_epoch_end of Broken, at event"),
        ("no_callback", "makes no Keras callback, but 3"),
        ("", "Expected FILE.py:NAME"),
    ):
        assert message in asked(name, code=2).stderr
    path.write_text("import keras\nundefined\n")
    assert "NameError: name 'undefined' is not defined, in line 2" in asked("Until", code=2).stderr
    path.unlink()
    assert "There is no file" in asked("Until", code=2).stderr


def test_sweeps_as_they_are_written() -> None:
    """Ranges with their ends, steps, lists; what is none is refused."""
    assert parsed_sweep("patience=1..4") == ("patience", [1, 2, 3, 4])
    assert parsed_sweep("patience = 1..10..4") == ("patience", [1, 5, 9])
    assert parsed_sweep("min_delta=0.0..0.3..0.1")[1] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert parsed_sweep("mode='min','max'") == ("mode", ["min", "max"])
    for wrong in (
        "patience",
        "patience=",
        "patience=4..1",
        "a=1..9..0",
        "1=2",
        "a=b",
        "a=0..1e9",
        "store=1",
    ):
        with pytest.raises(InvalidArgument, match="is no sweep"):
            parsed_sweep(wrong)


def recording(path: Path, *fits: Mapping[str, Any], **options: Any) -> SqlStore:
    """A store of one run, in which one model was fitted again and again, with callbacks or not."""
    import keras

    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.3), "mse", metrics=options.pop("metrics", ["mae"]))
    chance = np.random.default_rng(2)
    x, y = chance.normal(size=(40, 4)), chance.normal(size=(40, 2))
    url = f"sqlite:///{path}/recorded.db"
    with tracker.run(name="recorded", store=url, **options) as run:
        for fit in fits:
            more = fit.get("callbacks", [])
            model.fit(x, y, epochs=8, batch_size=8, validation_split=0.4, verbose=0,
                      callbacks=[*more, run])  # fmt: skip
    return tracker.open_store(url)


@pytest.mark.usefixtures("home")
def test_the_rate_is_the_one_of_the_fit(tmp_path: Path) -> None:
    """Schedulers of the run, and earlier fits, have changed it before a callback first acts."""
    import keras

    def cutting() -> Any:
        return keras.callbacks.ReduceLROnPlateau("val_loss", patience=0, factor=0.5, min_delta=9)

    scheduled = keras.callbacks.LearningRateScheduler(lambda epoch, _rate: 0.2 * 0.9**epoch)
    store = recording(
        tmp_path,
        {"callbacks": [scheduled]},
        {"callbacks": []},
        {"callbacks": [keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=9)]},
    )
    with contextlib.closing(store):
        first = tracker.replay("recorded", [cutting()], call=1, store=store).acts[0]
        assert first.detail == pytest.approx(0.2 * 0.9 ** (first.epoch or 0) / 2, rel=1e-6)
        second = tracker.replay("recorded", [cutting()], call=2, store=store).acts[0]
        assert second.detail == pytest.approx(0.2 * 0.9**7 / 2, rel=1e-6)
        third = tracker.replay("recorded", [cutting()], call=3, store=store).acts[0]
        assert third.epoch == 1
        assert third.detail == pytest.approx(0.2 * 0.9**7 / 2, rel=1e-6)


@pytest.mark.usefixtures("home")
def test_a_resumed_fit_is_one_fit(tmp_path: Path) -> None:
    """It begins once and ends once, and the time between its attempts is not counted."""
    import keras

    stream = Stream()
    stream.add("run_began", {"version": 2, "batches": "all"})
    stream.add("call_began", {"phase": "train", "learning_rate": 0.5}, call=1)
    stream.add("train_begin", call=1)
    for epoch in range(2):
        stream.add("epoch_begin", call=1, epoch=epoch)
        stream.add("epoch_end", {"val_loss": 1.0 + epoch}, call=1, epoch=epoch)
    more: dict[str, Any] = {"call": 1, "attempt": 2}
    stream.add("run_resumed", {}, attempt=2)
    stream.add("call_began", {"phase": "train", "learning_rate": 0.1}, **more)
    stream.add("train_begin", **more)
    for epoch in range(2, 5):
        stream.add("epoch_begin", epoch=epoch, **more)
        stream.add("epoch_end", {"val_loss": 1.0 + epoch}, epoch=epoch, **more)
    stream.add("train_end", {"val_loss": 5.0}, **more)
    away = 3_600_000_000
    records = [one._replace(at=one.at + away * (one.attempt - 1)) for one in stream.records]
    seen: list[str] = []

    class Seen(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            seen.append(f"begin at {self.model.optimizer.learning_rate}")

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append(f"epoch {epoch}")

        def on_train_end(self, logs: Any = None) -> None:
            seen.append("end")

    csv = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=1)
    with contextlib.closing(connect_store(f"sqlite:///{tmp_path}/x.db", create=True)) as store:
        upgrade_store(store)
        store.append(identity(), records, expected_seq=0)
        assert not tracker.replay("run", [Seen(), csv], store=store).stopped
        assert seen == ["begin at 0.5", *(f"epoch {epoch}" for epoch in range(5)), "end"]
        assert len((tmp_path / "log.csv").read_text().splitlines()) == 6
        verdict = tracker.replay("run", [stopping], store=store)
        assert verdict.epoch == 1
        assert 0 < (verdict.saved_seconds or 0) < 1


@pytest.mark.usefixtures("home")
def test_batches_that_were_not_recorded_are_missed(tmp_path: Path) -> None:
    """A verdict on what looks at batches says so; others are exact without them."""
    import keras

    store = recording(tmp_path, {}, batches=3)
    with contextlib.closing(store):
        verdict = tracker.replay("recorded", [keras.callbacks.TerminateOnNaN()], store=store)
        assert (verdict.exact, verdict.unseen) == (False, "batches=3")
        assert "does not have all (batches=3)" in str(verdict)
        for callback in (
            keras.callbacks.EarlyStopping(),
            keras.callbacks.ModelCheckpoint(str(tmp_path / "x.keras")),
        ):
            assert tracker.replay("recorded", [callback], store=store).exact
        by_batch = keras.callbacks.ModelCheckpoint(str(tmp_path / "x.keras"), save_freq=2)
        assert not tracker.replay("recorded", [by_batch], store=store).exact


@pytest.mark.usefixtures("home")
def test_directions_of_metrics_with_arguments(tmp_path: Path) -> None:
    """Mode auto knows those of metrics that cannot be made without."""
    import keras

    metrics = [keras.metrics.R2Score(), keras.metrics.SpecificityAtSensitivity(0.5, name="spec")]
    store = recording(tmp_path, {}, metrics=metrics)
    with contextlib.closing(store):
        for name in ("val_r2_score", "val_spec"):
            live = keras.callbacks.EarlyStopping(name)
            tracker.replay("recorded", [live], store=store)
            assert live.monitor_op(2, 1)


def test_what_a_callback_prints_is_no_data(recorded: SqlStore, tmp_path: Path) -> None:
    """It goes to stderr, so that JSON stays JSON; --output takes the answer."""
    expression = 'EarlyStopping("val_loss", patience=1, verbose=1)'
    done = command(
        "replay", "plain", "--callback", expression, "-f", "json", "--store", recorded.url
    )
    assert json.loads(done.stdout)["stopped"]
    assert "early stopping" in done.stderr
    path = tmp_path / "answer.json"
    done = command(
        "replay", "plain", "--callback", expression, "-o", str(path), "--store", recorded.url
    )
    assert json.loads(path.read_text())["stopped"]
    for wrong in ("ModelCheckpoint(5)", "EarlyStopping({[]: 1})"):
        command("replay", "plain", "--callback", wrong, "--store", recorded.url, code=2)
    done = command(
        "replay", "plain", "--callback", expression, "--call", "7", "--store", recorded.url, code=2
    )
    assert "no fit 7; its fits: 1" in done.stderr
    assert "is no point" in command(
        "replay", "plain", "--at", "seq:--1", "--store", recorded.url, code=2
    ).stderr  # fmt: skip
