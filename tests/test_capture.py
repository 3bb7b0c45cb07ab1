"""Every hook of real Keras training is recorded, as an independent spy saw it."""

from __future__ import annotations

import copy
import logging
import math
import os
import pickle
import random
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tracker
from tests.spy import Spy, assert_alike, recorded, shorthand
from tracker import TrackerCallback, TrackerError
from tracker.event import FACTS, HOOKS, VERSION
from tracker.query import latest_runs, run_of

X = np.random.default_rng(0).random((8, 4), dtype="float32")
Y = np.random.default_rng(1).random((8, 1), dtype="float32")


def model(**compile_arguments: Any) -> Any:
    """A compiled model of five parameters."""
    one = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    one.compile(**({"optimizer": "sgd", "loss": "mse", "metrics": ["mae"]} | compile_arguments))
    return one


def fit(callbacks: Any, net: Any = None, x: Any = X, y: Any = Y, **arguments: Any) -> Any:
    """One quiet fit, of two batches by default."""
    settings = {"batch_size": 4, "epochs": 1, "verbose": 0, "shuffle": False} | arguments
    if y is None:
        del settings["batch_size"]
    return (net or model()).fit(x, y, callbacks=callbacks, **settings)


def own_warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was logged, from warnings on, but for TensorFlow's count of retracings by all tests."""
    return [
        one for one in caplog.records if one.levelno >= logging.WARNING and one.name != "tensorflow"
    ]


def facts(run: str | None, kind: str) -> list[dict[str, Any]]:
    """The data of a run's facts of one kind."""
    assert run is not None
    return list(tracker.events(run, kind=kind, logs="dict")["logs"])


def column(run: str | None, name: str, kind: str) -> list[Any]:
    """A column of a run's events of one kind; None where it is missing."""
    assert run is not None
    values = tracker.events(run, kind=kind, logs="json")[name]
    return [None if pd.isna(value) else value for value in values.astype(object)]


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_every_hook_and_value(engine: str, tmp_path: Path, request: Any) -> None:
    """A fit with validation, an evaluate and a predict: the frame is what the spy saw."""
    store = f"sqlite:///{tmp_path}/runs.db"
    if engine == "postgresql":
        from tracker.store.opening import connect_store, upgrade_store

        store = request.getfixturevalue("postgres_url")
        opened = connect_store(store)
        upgrade_store(opened)
        opened.close()
    spy, callback, net = Spy(), TrackerCallback(store=store, outputs="full"), model()
    fit([callback, spy], net, epochs=2, validation_data=(X, Y))
    net.evaluate(X, Y, batch_size=4, verbose=0, callbacks=[callback, spy])
    net.predict(X, batch_size=4, verbose=0, callbacks=[callback, spy])
    assert len(spy.seen) > 30
    assert_alike(callback.run, spy, store)
    frame = tracker.events(str(callback.run), store=store)
    assert list(frame["seq"]) == list(range(1, len(frame) + 1))
    assert frame["at"].is_monotonic_increasing
    assert set(frame["attempt"]) == {1}


def test_the_guide_example_has_58_hooks() -> None:
    """The classic custom-callback example: 22 hooks of fit, 18 of evaluate, 18 of predict."""
    callback = TrackerCallback()
    numbers = np.random.default_rng(0)
    x, y = numbers.random((1024, 784), dtype="float32"), numbers.random(1024)
    net = keras.Sequential([keras.layers.Input((784,)), keras.layers.Dense(1)])
    net.compile(optimizer="rmsprop", loss="mse", metrics=["mae"])
    net.fit(x, y, batch_size=128, validation_split=0.5, verbose=0, callbacks=[callback])
    net.evaluate(x, y, batch_size=128, verbose=0, callbacks=[callback])
    net.predict(x, batch_size=128, verbose=0, callbacks=[callback])
    frame = tracker.events(str(callback.run), kind=list(HOOKS))
    assert list(frame.groupby("call").size()) == [22, 18, 18]


def test_validation_is_part_of_its_fit() -> None:
    """Validation has fit's call number and epoch; its order is Keras's."""
    callback = TrackerCallback()
    fit([callback], validation_data=(X, Y), validation_batch_size=4)
    assert shorthand(callback.run) == (
        "TRAIN[ E[0 tb[0 tb]0 tb[1 tb]1 TEST[ vb[0 vb]0 vb[1 vb]1 TEST] E]0 TRAIN]"
    )
    assert column(callback.run, "call", "test_batch_end") == [1, 1]
    assert column(callback.run, "epoch", "test_batch_end") == [0, 0]
    assert column(callback.run, "epoch", "test_end") == [0]


def test_several_calls_of_one_instance() -> None:
    """Fits, evaluates and predicts of one callback are calls 1, 2, 3 … of one run."""
    callback, net = TrackerCallback(), model()
    fit([callback], net)
    net.evaluate(X, Y, verbose=0, callbacks=[callback])
    fit([callback], net, epochs=3, initial_epoch=2)
    net.predict(X, verbose=0, callbacks=[callback])
    calls = facts(callback.run, "call_began")
    assert [call["phase"] for call in calls] == ["train", "test", "train", "predict"]
    assert [call["method"] for call in calls] == ["fit", "evaluate", "fit", "predict"]
    assert column(callback.run, "call", "call_began") == [1, 2, 3, 4]
    assert column(callback.run, "epoch", "epoch_end") == [0, 2]
    assert len(latest_runs()) == 1
    assert calls[2]["initial_epoch"] == 2


class Nested(keras.callbacks.Callback):
    """Calls something in the middle of a fit."""

    def __init__(self, hook: str, action: Any) -> None:
        super().__init__()
        self.done = False

        def once(*_: Any, **__: Any) -> None:
            if not self.done:
                self.done = True
                action()

        setattr(self, hook, once)


def test_a_nested_evaluate_is_a_call_of_its_own() -> None:
    """An evaluate inside an epoch has its own call number and the epoch around it."""
    callback, net = TrackerCallback(), model()
    nested = Nested("on_epoch_end", lambda: net.evaluate(X, Y, verbose=0, callbacks=[callback]))
    for order in ([nested, callback],):
        fit(order, net, epochs=2)
    calls = facts(callback.run, "call_began")
    assert [call["parent"] for call in calls] == [None, 1]
    assert column(callback.run, "call", "test_end") == [2]
    assert column(callback.run, "epoch", "test_end") == [0]
    assert column(callback.run, "call", "epoch_end") == [1, 1]
    assert run_of("@last").state.status == "finished"


@pytest.mark.parametrize("first", [True, False])
def test_a_nested_fit(first: bool) -> None:
    """A fit inside another's batch hook is a call of its own; the outer one goes on."""
    callback, inner = TrackerCallback(), model()
    nested = Nested("on_train_batch_end", lambda: fit([callback], inner, epochs=2))
    fit([callback, nested] if first else [nested, callback], validation_data=(X, Y))
    frame = tracker.events(str(callback.run), kind=list(HOOKS))
    by_call = frame.groupby("call")["kind"].value_counts()
    assert by_call[1, "train_batch_end"] == 2
    assert by_call[1, "test_end"] == 1
    assert by_call[2, "epoch_end"] == 2
    assert by_call[2, "train_batch_end"] == 4
    assert set(frame["attempt"]) == {1}
    assert run_of("@last").state.open_calls == {}


def test_a_nested_call_that_dies_is_forgotten() -> None:
    """An evaluate that fails inside somebody's try block leaves the fit's hooks the fit's."""
    callback, net = TrackerCallback(), model()

    def fail() -> None:
        with pytest.raises(Exception):  # noqa: B017, PT011
            net.evaluate(X, Y[:, :0], verbose=0, callbacks=[callback, Bomb("on_test_begin")])

    fit([Nested("on_train_batch_end", fail), callback], net, epochs=2)
    assert set(column(callback.run, "call", "epoch_end")) == {1}
    assert set(column(callback.run, "call", "train_batch_end")) == {1}
    assert run_of("@last").state.status == "finished"


def test_steps_per_execution() -> None:
    """Batch indices are Keras's as given, beyond the last real one where Keras says so."""
    callback = TrackerCallback()
    fit([callback], model(steps_per_execution=2), np.tile(X, (3, 1))[:20], np.tile(Y, (3, 1))[:20])
    assert shorthand(callback.run) == ("TRAIN[ E[0 tb[0 tb]1 tb[2 tb]3 tb[4 tb]5 E]0 TRAIN]")


def test_data_of_unknown_size() -> None:
    """The begin without an end that Keras sends is recorded, each epoch."""
    data = tf.data.Dataset.from_generator(
        lambda: iter([(X[:4], Y[:4]), (X[4:], Y[4:])]),
        output_signature=(tf.TensorSpec((4, 4)), tf.TensorSpec((4, 1))),
    )
    spy, callback = Spy(), TrackerCallback()
    fit([callback, spy], x=data, y=None, epochs=2)
    assert "tb]1 tb[2 E]0" in shorthand(callback.run)
    assert_alike(callback.run, spy)


def test_initial_epoch() -> None:
    """Epoch numbers are Keras's; a fit without epochs is a call all the same."""
    callback, net = TrackerCallback(), model()
    fit([callback], net, epochs=5, initial_epoch=3)
    fit([callback], net, epochs=2, initial_epoch=2)
    assert column(callback.run, "epoch", "epoch_begin") == [3, 4]
    assert shorthand(callback.run).endswith("TRAIN] TRAIN[ TRAIN]")


def test_stop_training() -> None:
    """After a stop in a batch, validation and the end hooks are recorded as they come."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = True

    callback = TrackerCallback()
    fit([callback, Stop()], validation_data=(X[:4], Y[:4]), epochs=3)
    assert shorthand(callback.run) == "TRAIN[ E[0 tb[0 tb]0 TEST[ vb[0 vb]0 TEST] E]0 TRAIN]"


def test_outputs_of_many_shapes() -> None:
    """Multi-output logs, and dict- and list-valued predictions, are what the spy saw."""
    inputs = keras.Input((4,))
    heads = [keras.layers.Dense(2, name="aa")(inputs), keras.layers.Dense(3, name="bb")(inputs)]
    for outputs in (heads, {"p": heads[0], "q": heads[1]}):
        net = keras.Model(inputs, outputs)
        spy, callback = Spy(), TrackerCallback(outputs="full")
        if isinstance(outputs, list):
            net.compile(loss=["mse", "mae"])
            fit([callback, spy], net, X, [np.zeros((8, 2)), np.zeros((8, 3))])
        net.predict(X, verbose=0, callbacks=[callback, spy])
        assert_alike(callback.run, spy)
        logs = next(one for kind, _, one in recorded(callback.run) if kind == "predict_batch_end")
        shapes = [value.shape for value in logs.get("outputs", logs.values())]
        assert shapes == [(8, 2), (8, 3)]


@pytest.mark.parametrize("outputs", ["summary", "none"])
def test_outputs_policies(outputs: Any) -> None:
    """A summary tells the range of the outputs; none tells shape and dtype only."""
    callback = TrackerCallback(outputs=outputs)
    predicted = model().predict(X, verbose=0, callbacks=[callback])
    kept = recorded(callback.run)[2][2]["outputs"]
    assert (kept.shape, kept.dtype) == ((8, 1), "float32")
    assert kept.max == (float(predicted.max()) if outputs == "summary" else None)


def test_nan_and_infinity() -> None:
    """A diverged loss is recorded as NaN, and infinity as infinity."""
    callback = TrackerCallback()
    fit([callback], y=np.full((8, 1), np.inf, "float32"), epochs=2)
    assert math.isinf(recorded(callback.run)[3][2]["loss"])
    assert math.isnan(recorded(callback.run)[-1][2]["loss"])
    assert math.isnan(tracker.runs()["loss"].iloc[0])


def test_logs_that_others_change() -> None:
    """What callbacks before ours add is recorded, what those after ours add is not."""
    for before in (True, False):
        callback = TrackerCallback()
        other = keras.callbacks.ReduceLROnPlateau(monitor="loss")
        fit([other, callback] if before else [callback, other])
        (logs,) = [one for kind, _, one in recorded(callback.run) if kind == "epoch_end"]
        assert ("learning_rate" in logs) is before


def test_alias_hooks_are_not_counted_twice() -> None:
    """A subclass that defines the old batch hooks records each batch once."""

    class Old(TrackerCallback):
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            """Keras's base class would call it from on_train_batch_end."""

    callback = Old()
    fit([callback])
    assert column(callback.run, "batch", "train_batch_end") == [0, 1]


def test_batches_none_overrides_no_batch_hook() -> None:
    """With batches=None Keras sees a callback without batch hooks, and none is recorded."""
    callback = TrackerCallback(batches=None)
    fit([callback], validation_data=(X, Y), epochs=2)
    assert shorthand(callback.run) == "TRAIN[ E[0 TEST[ TEST] E]0 E[1 TEST[ TEST] E]1 TRAIN]"
    from keras.src.utils import is_default

    for one in (callback, copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
        for phase in ("train", "test", "predict"):
            assert is_default(getattr(one, f"on_{phase}_batch_end"))
            assert is_default(getattr(one, f"on_{phase}_batch_begin"))
    assert list(tracker.metrics(str(callback.run), names="loss")["step"]) == [2, 4]


def test_every_nth_batch_and_each_last() -> None:
    """With batches=N each N-th pair and the last of each row are recorded, in order."""
    callback = TrackerCallback(batches=3)
    x, y = np.tile(X, (5, 1)), np.tile(Y, (5, 1))
    spy = Spy()
    fit([spy, callback], x=x, y=y, validation_data=(x[:20], y[:20]), epochs=2)
    epoch = "tb[0 tb]0 tb[3 tb]3 tb[6 tb]6 tb[9 tb]9 TEST[ vb[0 vb]0 vb[3 vb]3 vb[4 vb]4 TEST]"
    assert shorthand(callback.run) == f"TRAIN[ E[0 {epoch} E]0 E[1 {epoch} E]1 TRAIN]"
    kept = {one[:2]: one[2] for one in recorded(callback.run)}
    seen = {one[:2]: one[2] for one in spy.seen}
    assert all(seen[key] == logs for key, logs in kept.items())
    frame = tracker.events(str(callback.run))
    assert frame["at"].is_monotonic_increasing


class Bomb(keras.callbacks.Callback):
    """Raises at a hook."""

    def __init__(self, hook: str, error: BaseException | None = None) -> None:
        super().__init__()

        def explode(*_: Any, **__: Any) -> None:
            raise error or ValueError("boom")

        setattr(self, hook, explode)


def test_a_fit_that_died_and_was_tried_again() -> None:
    """The dead fit ends its attempt as failed; the next one is a new attempt that finishes."""
    callback, net = TrackerCallback(), model()
    fit([callback], net)
    with pytest.raises(ValueError, match="boom"):
        fit([callback, Bomb("on_train_batch_end")], net, epochs=2)
    try:
        fit([callback, Bomb("on_epoch_end", KeyError("second"))], net)
    except KeyError:
        fit([callback], net, epochs=2)
    endings = facts(callback.run, "run_ended")
    assert [ending["status"] for ending in endings] == ["failed", "failed"]
    assert endings[1]["error"]["type"] == "KeyError"
    assert "second" in endings[1]["error"]["message"]
    assert "explode" in endings[1]["error"]["traceback"]
    assert column(callback.run, "attempt", "run_resumed") == [2, 3]
    assert column(callback.run, "call", "call_began") == [1, 2, 2, 2]
    state = run_of("@last").state
    assert (state.status, state.attempt, state.error_type) == ("finished", 3, None)
    metrics = tracker.metrics(str(callback.run), names="loss")
    assert list(metrics[["attempt", "call", "epoch"]].itertuples(index=False, name=None)) == [
        (1, 1, 0),
        (3, 2, 0),
        (3, 2, 1),
    ]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("bad"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_the_context_manager_knows_how_it_ended(error: BaseException, status: str) -> None:
    """A run used in a with statement ends with the exception that left it."""
    with pytest.raises(type(error)), TrackerCallback(name="mine") as callback:
        fit([callback, Bomb("on_train_batch_begin", error)])
    state = run_of("mine").state
    assert (state.status, state.error_type) == (status, type(error).__name__)
    with TrackerCallback(name="fine") as callback:
        fit([callback])
    assert run_of("fine").state.status == "finished"


def test_a_loop_of_your_own() -> None:
    """Hooks driven through a CallbackList nest as in fit."""
    callback = TrackerCallback()
    callbacks = keras.callbacks.CallbackList([callback], model=model(), epochs=1, steps=1)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    callbacks.on_train_batch_begin(0)
    callbacks.on_train_batch_end(0, {"loss": 1.0})
    callbacks.on_test_begin()
    callbacks.on_test_end({"accuracy": 0.5})
    callbacks.on_epoch_end(np.int64(0), {"loss": 1.0})
    callbacks.on_train_batch_end(tf.constant(5), {"loss": 1.0})
    callbacks.on_train_batch_end("odd", {"loss": 1.0})
    callbacks.on_train_end({"loss": 1.0})
    callback.on_epoch_end(7, {"by hand": 1.0})
    callback.close()
    assert set(column(callback.run, "call", "test_end")) == {1}
    assert column(callback.run, "call", "epoch_end") == [1, None]
    assert column(callback.run, "batch", "train_batch_end") == [0, 5, None]
    assert run_of("@last").state.status == "finished"


def test_one_callback_in_two_threads() -> None:
    """Calls of two threads interleave, each event with its own call's number."""
    callback, nets = TrackerCallback(), [model(), model()]
    threads = [
        threading.Thread(target=fit, args=([callback], net), kwargs={"epochs": 5}) for net in nets
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frame = tracker.events(str(callback.run), kind=list(HOOKS))
    for _, call in frame.groupby("call"):
        assert list(call[call["kind"] == "epoch_end"]["epoch"]) == [0, 1, 2, 3, 4]
        assert (call["kind"] == "train_batch_end").sum() == 10
    assert run_of("@last").state.status == "finished"


def test_copies_are_runs_of_their_own() -> None:
    """Deep copies and pickles of a used callback have its arguments and begin their own run."""
    callback = TrackerCallback(name="original", experiment="copies", params={"a": [1]})
    fit([callback])
    for one in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback)), copy.copy(callback)):
        assert one.run is None
        fit([one])
    assert sorted(run.name for run in latest_runs()) == [
        "original",
        "original-2",
        "original-3",
        "original-4",
    ]
    assert {run.state.experiment for run in latest_runs()} == {"copies"}
    assert {run.state.params["a"][0] for run in latest_runs()} == {1}


def test_a_name_that_is_taken_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """The second run of a name is told what it is called."""
    for _ in range(2):
        fit([TrackerCallback(name="mine")])
    assert "this one is called 'mine-2'" in caplog.text


def test_a_forked_child_does_not_touch_the_run() -> None:
    """Hooks in a child process begin a run of its own; the parent's stream has no trace."""
    callback = TrackerCallback()
    seen: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                callback.on_train_batch_end(0, {"loss": -1.0})
                callback.on_train_begin()
                callback.on_train_end()
                callback.close()
                code = 0
            finally:
                os._exit(code)
        seen.append(os.waitpid(child, 0)[1])

    fit([callback, Nested("on_train_batch_begin", fork)], epochs=2)
    assert seen == [0]
    parent, child = sorted(latest_runs(), key=lambda run: -run.state.last_seq)
    assert parent.uuid == callback.run
    assert list(column(parent.uuid, "epoch", "epoch_end")) == [0, 1]
    assert -1.0 not in [one[2].get("loss") for one in recorded(parent.uuid)]
    assert [one[0] for one in recorded(child.uuid)] == ["train_begin", "train_end"]
    assert child.state.pid != parent.state.pid
    (began,) = facts(child.uuid, "run_began")
    assert began["model"]["optimizer"] == {"class": "SGD"}, "TensorFlow was not asked"


def test_what_a_run_begins_with(tmp_path: Path) -> None:
    """The model's, the user's and the environment's facts are stored with the run."""
    keras.utils.set_random_seed(77)
    net = model(optimizer=keras.optimizers.Adam(0.25))
    callback = TrackerCallback(
        experiment="facts",
        params={"width": np.int64(3), "nested": {"a": [1, 2.5, None]}},
        tags=["first"],
    )
    fit([callback], net, epochs=2)
    (began,) = facts(callback.run, "run_began")
    assert began["version"] == VERSION
    assert began["params"] == {"width": 3, "nested": {"a": [1, 2.5, None]}}
    assert began["tags"] == {"first": ""}
    assert began["model"]["parameters"] == 5
    assert began["model"]["layers"] == [[net.layers[0].name, "Dense"]]
    assert began["model"]["optimizer"]["class"] == "Adam"
    assert began["model"]["optimizer"]["learning_rate"] == 0.25
    assert began["model"]["loss"] == "mse"
    assert began["environment"]["pid"] == os.getpid()
    assert began["environment"]["keras"]["backend"] == "tensorflow"
    assert began["environment"]["keras"]["seed"] == 77
    assert began["environment"]["packages"]["keras"] == keras.__version__
    (call,) = facts(callback.run, "call_began")
    assert (call["batch_size"], call["epochs"]) == (4, 2)
    assert call["params"] == {"verbose": 0, "epochs": 2, "steps": 2}
    row = tracker.runs().iloc[0]
    assert (row["experiment"], row["status"], row["epochs"]) == ("facts", "finished", 2)


def test_models_that_say_little() -> None:
    """Subclassed models without get_config, and models that are not built yet, are no problem."""

    class Odd(keras.Model):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(size)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    odd = Odd(1)
    odd.compile(loss=lambda a, b: keras.ops.mean(a - b))
    deferred = keras.Sequential([keras.layers.Dense(1)])
    deferred.compile(
        optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)),
        loss="mse",
    )
    for net in (odd, deferred):
        callback = TrackerCallback()
        fit([callback], net)
        (began,) = facts(callback.run, "run_began")
        assert began["model"]["name"] == net.name
        assert len(recorded(callback.run)) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batches": 0}, "batches must be"),
        ({"batches": "some"}, "batches must be"),
        ({"outputs": "everything"}, "outputs must be one of 'summary'"),
        ({"durability": "none"}, "durability must be one of"),
        ({"name": ""}, "name must be a printable text"),
        ({"name": "@last"}, "not begin with '@'"),
        ({"experiment": 3}, "experiment must be a printable text"),
        ({"params": {"a": {"b": object()}}}, r"params\['a'\]\['b'\] cannot be stored"),
        ({"params": {"a": np.zeros(3)}}, r"params\['a'\] cannot be stored"),
        ({"params": [1]}, "params must be a dict"),
        ({"tags": "one"}, r"did you mean \['one'\]"),
        ({"tags": {"a": 1}}, "tags must be texts"),
        ({"store": "mongodb://x"}, "not an engine"),
        ({"store": "host:5432"}, "not a store URL"),
        ({"store": "sqlite://"}, "needs a path"),
        ({"store": "mysql+pymysql://u@h/d"}, "pymysql|not an engine"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    """A mistake of the user's raises before training, and says what was expected."""
    with pytest.raises(TrackerError, match=message):
        TrackerCallback(**arguments)


def test_a_fault_of_ours_does_not_stop_training(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When recording itself fails, fit goes on, and it is reported once."""
    from tracker.recorder import Recorder

    callback = TrackerCallback()

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Recorder, "batch", fail)
    history = fit([callback], epochs=3)
    assert len(history.history["loss"]) == 3
    reports = [one for one in caplog.records if "ZeroDivisionError" in one.message]
    assert [one.levelno for one in reports] == [logging.WARNING]
    monkeypatch.undo()


def test_recording_changes_no_result() -> None:
    """Weights, history and the user's random numbers are the same with and without us."""
    results = []
    for callbacks in ([], [TrackerCallback()]):
        keras.utils.set_random_seed(5)
        net = model()
        history = fit(callbacks, net, epochs=3, validation_data=(X, Y), shuffle=True)
        weights = [weight.tobytes() for weight in net.get_weights()]
        results.append((history.history, weights, random.random(), np.random.random()))  # noqa: NPY002
    assert results[0] == results[1]


def test_every_kind_is_known() -> None:
    """The vocabulary has Keras's 14 hooks, each a method of the callback."""
    assert len(HOOKS) == 14
    for hook in HOOKS:
        assert f"on_{hook}" in vars(TrackerCallback)
        assert hasattr(keras.callbacks.Callback, f"on_{hook}")
    assert not set(HOOKS) & set(FACTS)
