"""What a callback would have done: a replay says what a live training did."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracker
from cli import whatif
from tests.streams import Stream, fit_stream, identity
from tests.test_cli import tracker as command_with_tensorflow
from tracker.description import describe_model
from tracker.errors import InvalidArgument, ModelNeeded, RunNotFound
from tracker.logs import decode, encode
from tracker.replaying.directions import direction_of, model_metrics
from tracker.replaying.driver import driven, look_at_batches
from tracker.replaying.expression import made_callback, parsed_callback
from tracker.replaying.fit import fit_of
from tracker.replaying.sweeping import parsed_sweep
from tracker.store.opening import connect_store, upgrade_store
from tracker.store.sql import SqlStore

EPOCHS = 12

#: Callbacks need no backend to be driven, and Keras loads in half the time without TensorFlow.
command = partial(command_with_tensorflow, KERAS_BACKEND="numpy")


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
        ("EarlyStopping(patience=1, patience=2)", r"patience is given twice\.\n.*\n {28}\^"),
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
    done = command_with_tensorflow("replay", "plain", "--callback", expression, "--store", store)
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
        with pytest.raises(InvalidArgument, match="'run-1' is there more than once"):
            tracker.sweep(["run-1", "run-2", 1], stopping, store=store)
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


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def set_params(self, params): raise KeyError('mine')", "'mine' In set_params of Mine"),
        ("def set_model(self, model): raise KeyError('mine')", "'mine' In set_model of Mine"),
        ("def __init__(self): 1 / 0", "made so: ZeroDivisionError: division by zero, in line 4"),
        ("def on_epoch_end(self, *_): raise SystemExit(3)", "Exit: 3 In on_epoch_end of Mine, at"),
        ("raise SystemExit(4)", "cannot be run: SystemExit: 4, in line 4"),
        ("patience = 1", None),
    ],
)
def test_errors_of_callbacks_of_a_file(
    recorded: SqlStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    code: str,
    message: str | None,
) -> None:
    """They are told as the callback's, wherever they come from; what the file prints is no data."""
    path = tmp_path / "mine.py"
    path.write_text(
        f"import keras\nprint('hello')\nclass Mine(keras.callbacks.Callback):\n    {code}\n"
    )

    def ask() -> None:
        made = whatif.makers(None, [f"{path}:Mine"])
        whatif.write_verdict("plain", made, None, "json", None, recorded)

    if message is None:
        ask()
        assert json.loads(capsys.readouterr().out)["epochs"] == EPOCHS
    else:
        with pytest.raises(InvalidArgument, match=message):
            ask()


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
        for call in (1, 2, 3):
            assert tracker.replay("recorded", [cutting()], call=call, store=store).assumed_rate is (
                None
            )
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


def test_directions_of_metrics_with_arguments() -> None:
    """Mode auto knows those of metrics that cannot be made without."""
    import keras

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    metrics = [
        keras.metrics.R2Score(),
        keras.metrics.SpecificityAtSensitivity(0.5, name="spec"),
        keras.metrics.MeanIoU(num_classes=2),
        keras.metrics.OneHotIoU(2, [0], name="hot"),
        keras.metrics.MeanAbsoluteError(),
    ]
    model.compile("sgd", "mse", metrics=metrics)
    shown = model_metrics(describe_model(model))
    for one in metrics:
        found = direction_of(shown, f"val_{one.name}")
        assert found == one._direction, one.name


@pytest.mark.usefixtures("home")
def test_the_best_is_what_the_callback_takes_for_better(tmp_path: Path) -> None:
    """Where the name of a metric does not tell, the callback that was driven does."""
    import keras

    class Own(keras.callbacks.EarlyStopping):
        pass

    class Plain(keras.callbacks.Callback):
        monitor = "pp"

    store = recording(tmp_path, {}, metrics=[keras.metrics.R2Score(name="pp")])
    with contextlib.closing(store):
        events = store.read(tracker.query.run_of("recorded", store=store).uuid, batches=False)
        values = [decode(one.logs)["pp"] for one in events if one.kind == "epoch_end"]
        for made in (Own, keras.callbacks.EarlyStopping):
            stopping = made("pp", patience=99)
            verdict = tracker.replay("recorded", [stopping], store=store)
            assert verdict.best == stopping.best == max(values) != min(values)
        assert tracker.replay("recorded", [Plain()], store=store).best == max(values)
        least = Own("pp", mode="min", patience=99)
        row = tracker.sweep("recorded", lambda: least, store=store).iloc[0]
        assert row["best"] == min(values)


@pytest.mark.usefixtures("home")
def test_a_second_model_has_its_own_metrics_and_optimizer(tmp_path: Path) -> None:
    """Directions, the schedule of rates and the number of steps are those of the fit's model."""
    import keras

    x, y = np.arange(24.0).reshape(8, 3) / 24, np.eye(2)[[0, 1] * 4]
    rates = keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)
    first, second = (
        keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)]) for _ in range(2)
    )
    first.compile("sgd", "mse")
    second.compile(keras.optimizers.SGD(rates), "mse", metrics=["accuracy"])
    seen: list[Any] = []

    class Sees(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            optimizer = self.model.optimizer
            rate = float(np.asarray(optimizer.learning_rate))
            seen.append((int(optimizer.iterations), pytest.approx(rate)))

    url = f"sqlite:///{tmp_path}/two.db"
    with tracker.run(name="two", store=url) as run:
        for model, callbacks in ((first, []), (second, [Sees()]), (first, []), (second, [Sees()])):
            model.fit(x, y, epochs=2, batch_size=4, verbose=0, callbacks=[*callbacks, run])
    live, seen[:] = seen[:], []
    with contextlib.closing(tracker.open_store(url)) as store:
        for call in (2, 4):
            stopping = keras.callbacks.EarlyStopping("accuracy")
            tracker.replay("two", [stopping, Sees()], call=call, store=store)
            assert stopping.monitor_op(2, 1)
        assert seen == live
        with pytest.raises(InvalidArgument, match="which two never logged"):
            tracker.replay("two", [keras.callbacks.EarlyStopping("accuracy")], store=store)


@pytest.mark.usefixtures("home")
def test_a_rate_that_the_run_does_not_tell(tmp_path: Path) -> None:
    """One that a callback may have changed, and did not log, is assumed: the verdict says so."""
    import keras

    class Sets(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 0.3 * 0.9**epoch

    class Asks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            assert self.model.optimizer.learning_rate > 0

    def cutting(patience: int = 0) -> Any:
        return keras.callbacks.ReduceLROnPlateau("loss", patience=patience, min_delta=9)

    store = recording(tmp_path, {"callbacks": [Sets()]}, {"callbacks": []})
    with contextlib.closing(store):
        verdict = tracker.replay("recorded", [cutting()], store=store)
        assert not verdict.exact
        assert verdict.assumed_rate == pytest.approx(0.3)
        assert "0.3 was assumed" in str(verdict)
        assert tracker.replay("recorded", [Asks()], store=store).assumed_rate is not None
        # What never sets it does nothing with it; what sets it without asking assumes nothing.
        assert tracker.replay("recorded", [cutting(99)], store=store).exact
        assert tracker.replay("recorded", [Sets()], store=store).assumed_rate is None
        assert tracker.replay("recorded", [Asks()], call=2, store=store).exact
        records = list(store.read(tracker.query.run_of("recorded", store=store).uuid))
    old = [
        one._replace(logs=encode({k: v for k, v in decode(one.logs).items() if k != "callbacks"}))
        for one in records
    ]
    verdict = driven(fit_of("old", old, call=2), [cutting()])
    assert (verdict.exact, verdict.assumed_rate is None) == (False, False)


def test_what_changes_the_training_otherwise(recorded: SqlStore) -> None:
    """Attributes that are set, and weights in the middle, end exactness from there on."""
    import keras

    class Freezes(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.model.trainable = False
                self.model.optimizer.clipnorm = 0.1
                assert not self.model.trainable

    class Swaps(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                self.model.set_weights(self.model.get_weights())

    class Begins(keras.callbacks.Callback):
        def set_model(self, model: Any) -> None:
            super().set_model(model)
            model.trainable = False

    verdict = tracker.replay("plain", [Freezes()], store=recorded)
    details = [(one.act, one.epoch, one.detail) for one in verdict.acts]
    assert details == [
        ("set_attribute", 1, "model.trainable"), ("set_attribute", 1, "model.optimizer.clipnorm"),
    ]  # fmt: skip
    assert verdict.exact_until == verdict.acts[0].seq
    assert "It would have set model.trainable in epoch 1." in str(verdict)
    verdict = tracker.replay("plain", [Swaps()], store=recorded)
    assert (verdict.exact, verdict.exact_until) == (False, verdict.acts[0].seq)
    verdict = tracker.replay("plain", [Begins()], store=recorded)
    assert not verdict.exact
    assert "would have set model.trainable." in str(verdict)
    restoring = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
    verdict = tracker.replay("plain", [restoring], store=recorded)
    assert (verdict.exact, verdict.restored_epoch) == (True, restoring.best_epoch)


def test_a_run_that_has_not_had_its_epochs(recorded: SqlStore, tmp_path: Path) -> None:
    """That it did not stop says nothing of epochs that were planned and never came."""
    import keras

    class Dies(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise RuntimeError("mine")

    def asked(name: str, store: SqlStore) -> Any:
        return tracker.replay(name, [keras.callbacks.EarlyStopping(patience=50)], store=store)

    assert asked("plain", recorded).planned is None
    store = recording(tmp_path, {"callbacks": [keras.callbacks.EarlyStopping(patience=0)]})
    with contextlib.closing(store):
        verdict = asked("recorded", store)
        assert (verdict.planned, verdict.ending) == (8, "finished")
        told = f"ended after {verdict.epochs} of 8 epochs that were planned: what"
        assert verdict.epochs < 8
        assert told in str(verdict)
    with pytest.raises(RuntimeError, match="mine"):
        recording(tmp_path, {"callbacks": [Dies()]})
    with contextlib.closing(tracker.open_store(f"sqlite:///{tmp_path}/recorded.db")) as store:
        verdict = asked("recorded-2", store)
        assert (verdict.planned, verdict.ending) == (8, "failed")
        assert "ended after 2 of 8 epochs that were planned (failed)" in str(verdict)
        stream = Stream()
        stream.add("run_began", {"version": 2})
        stream.add("call_began", {"phase": "train", "epochs": 9, "initial_epoch": 3}, call=1)
        stream.add("train_begin", call=1)
        for epoch in (3, 4):
            stream.add("epoch_begin", call=1, epoch=epoch)
            stream.add("epoch_end", {"val_loss": 1.0}, call=1, epoch=epoch)
        now = time.time_ns() // 1000
        going = [one._replace(at=now) for one in stream.records]
        store.append(identity("going", 7), going, expected_seq=0)
        verdict = asked("going", store)
        assert (verdict.planned, verdict.ending) == (6, "running")
        assert "is still going on: it has had 2 of 6 epochs" in str(verdict)
        stream.add("call_began", {"phase": "test"}, call=2)
        store.append(identity("dead", 8), stream.records, expected_seq=0)
        assert asked("dead", store).ending == "died"


def test_a_monitor_that_was_never_logged(recorded: SqlStore) -> None:
    """It is refused, with the metrics that there are; in a sweep each run says so."""
    import keras

    class Adds(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            logs["mine"] = epoch

    class Watches(keras.callbacks.EarlyStopping):
        pass

    for mode in ("min", "auto"):
        stopping = keras.callbacks.EarlyStopping("val_los", mode=mode)
        with pytest.raises(InvalidArgument, match=r"plain never logged\..* mean val_loss"):
            tracker.replay("plain", [stopping], store=recorded)
    with (
        pytest.warns(UserWarning, match="not available"),
        pytest.raises(InvalidArgument, match="There are: accuracy, loss, mae, val_accuracy"),
    ):
        tracker.replay("plain", [Watches("nothing", mode="min")], store=recorded)
    added = keras.callbacks.EarlyStopping("mine", mode="min", patience=2)
    assert tracker.replay("plain", [Adds(), added], store=recorded).epoch == 2
    always = keras.callbacks.ModelCheckpoint("x{epoch}.keras", monitor="nothing", mode="min")
    assert len(tracker.replay("plain", [always], store=recorded).acts) == EPOCHS
    rate = keras.callbacks.EarlyStopping("learning_rate", mode="max", patience=1)
    cutting = keras.callbacks.ReduceLROnPlateau("loss")
    assert tracker.replay("plain", [cutting, rate], store=recorded).epoch == 1
    records = [one._replace(logs=one.logs.replace("val_loss", "other")) for one in fit_stream()]
    recorded.append(identity("other", 9), records, expected_seq=0)
    frame = tracker.sweep(
        ["plain", "other"], keras.callbacks.EarlyStopping, store=recorded, patience=[1]
    )
    assert frame["error"].isna().to_list() == [True, False]
    assert "never logged" in frame["error"][1]


def test_idioms_of_live_callbacks(recorded: SqlStore) -> None:
    """The rate is as good as Keras's variable, and the model has the history of a fit."""
    import keras

    class Idioms(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[Any] = []

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            history = self.model.history
            self.seen.append((list(history.epoch), sorted(history.history)))
            losses = history.history.get("loss", [0.0])
            self.seen.append((len(losses), losses[:1]))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            optimizer = self.model.optimizer
            rate = optimizer.learning_rate
            self.seen.append((len(self.model.history.epoch), rate.numpy(), float(rate)))
            rate.assign(keras.ops.multiply(rate, 0.5))
            assert float(rate) == optimizer.learning_rate.numpy()
            rate.assign_add(1.0)
            rate.assign_sub(0.5)
            self.seen += [rate.numpy().dtype, float(rate), int(optimizer.iterations.numpy())]
            self.seen.append(float(keras.ops.multiply(optimizer.iterations, 2)))

    live, again = Idioms(), Idioms()
    train(live)
    verdict = tracker.replay("plain", [again], store=recorded)
    assert len(again.seen) == len(live.seen)
    # Only until the first change of the rate are losses those of the training without.
    assert again.seen[:2] == live.seen[:2]
    for one, other in zip(again.seen, live.seen, strict=True):
        if not isinstance(one, tuple) or not isinstance(one[-1], list):
            assert one == pytest.approx(other) if not isinstance(one, np.dtype) else one == other
    assert [one.act for one in verdict.acts[:3]] == ["learning_rate"] * 3
    own = keras.callbacks.History()
    first: list[Any] = []

    class Looks(keras.callbacks.Callback):
        def set_model(self, model: Any) -> None:
            first.append(model.history)

    tracker.replay("plain", [Looks(), own], store=recorded)
    assert first == [own]


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
