"""`tracker replay RUN`: what Keras showed while it trained, once more."""

from __future__ import annotations

import io
import re
import time
from contextlib import redirect_stdout
from pathlib import Path

import keras
import numpy as np
import pytest
from tracker.cli.playing import Screen, play

import tracker
from tests.streams import Stream, fit_stream, identity
from tests.test_cli import tracker as command
from tracker.event import Record
from tracker.store.opening import connect_store, upgrade_store
from tracker.store.sql import SqlStore

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def stored(path: Path, records: list[Record]) -> SqlStore:
    """A store of one run of these records."""
    store = connect_store(f"sqlite:///{path / 'runs.db'}", create=True)
    upgrade_store(store)
    store.append(identity(), records, expected_seq=0)
    return store


@pytest.mark.usefixtures("home")
def test_it_shows_what_keras_showed() -> None:
    """Fit with validation, evaluate and predict: the same lines, times apart."""
    x = np.random.default_rng(1).normal(size=(64, 4)).astype("float32")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    live = io.StringIO()
    with redirect_stdout(live), tracker.run(name="shown") as run:
        model.fit(
            x, x[:, :1], epochs=3, batch_size=8, validation_split=0.25, verbose=1, callbacks=[run]
        )
        model.evaluate(x, x[:, :1], verbose=1, callbacks=[run])
        model.predict(x, verbose=1, callbacks=[run])
    played = command("replay", "shown").stdout.splitlines()
    # Keras pads a line that is drawn over a longer one.
    values = [re.sub(r".*/step", "", one) for one in played if "/step" in one]
    lines = [_ESCAPES.sub("", line) for line in live.getvalue().splitlines()]
    kept = [line for line in lines if "\x08" not in line]  # those that nothing was drawn over
    assert values == [re.sub(r".*/step", "", one).rstrip() for one in kept if "/step" in one]
    heads = [one for one in played if one.startswith("Epoch")]
    assert (
        heads
        == [one for one in kept if one.startswith("Epoch")]
        == [
            "Epoch 1/3",
            "Epoch 2/3",
            "Epoch 3/3",
        ]
    )
    assert [one.split()[0] for one in played if "/step" in one] == ["6/6"] * 3 + ["2/2"] * 2
    assert played[-1] == "The run finished."


def test_it_begins_where_it_is_told_to(tmp_path: Path) -> None:
    """At the beginning of an epoch, or with any event, whose epoch is known then."""
    store = stored(tmp_path, fit_stream(epochs=4))
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    played = command("replay", "run", "--from", "epoch:2", "--store", url).stdout.splitlines()
    assert [one for one in played if one.startswith("Epoch")] == ["Epoch 3", "Epoch 4"]
    seq = next(one.seq for one in store.read(identity().uuid) if one.epoch == 3 and one.batch == 1)
    played = command("replay", "run", "--from", f"seq:{seq}", "--store", url).stdout.splitlines()
    assert not [one for one in played if one.startswith("Epoch")]
    assert played[0].startswith("3/3 ━")
    store.close()


def test_it_takes_as_long_as_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sleeps as long as there was between the events, by the speed, but not between attempts."""
    stream = Stream()
    stream.add("run_began", {"params": {}})
    stream.add("call_began", {"phase": "train", "parent": None}, call=1)
    stream.add("epoch_begin", call=1, epoch=0)
    stream.add("run_resumed", {}, attempt=2)
    records = [
        one._replace(at=at)
        for one, at in zip(stream.records, (0, 2_000_000, 10_000_000, 9_000_000_000), strict=True)
    ]
    store = stored(tmp_path, records)
    now, slept = 0.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "sleep", sleep)
    (run,) = store.runs()
    play(run, None, 4.0, store)
    assert slept == [0.5, 2.0]
    slept.clear()
    play(run, None, None, store)
    assert slept == []
    store.close()


def test_epochs_of_unknown_size() -> None:
    """Until the first one is over, Keras does not know; a dead call's bar stays as it was."""
    stream = Stream()
    stream.add("call_began", {"phase": "train", "params": {"epochs": 2, "steps": None}}, call=1)
    stream.add("epoch_begin", call=1, epoch=0)
    for batch in range(2):
        stream.add("train_batch_end", {"loss": 0.00001}, call=1, epoch=0, batch=batch)
    screen = Screen()
    lines = [line for one in stream.records for line in screen.see(one)]
    assert lines == ["Epoch 1/2"]
    assert screen.current.startswith("      2/Unknown 0s ")
    assert screen.current.endswith("loss: 1.0000e-05")
    began = len(stream.records)
    stream.add("epoch_end", {"loss": float("nan")}, call=1, epoch=0)
    stream.add("epoch_begin", call=1, epoch=1)
    stream.add("train_batch_end", {"loss": 2.0}, call=1, epoch=1, batch=0)
    stream.add("run_crashed", {"reason": "its process died"})
    lines = [line for one in stream.records[began:] for line in screen.see(one)]
    assert lines[0].startswith("2/2 ━━━━━━━━━━━━━━━━━━━━ 0s ")
    assert lines[0].endswith("loss: nan")
    assert lines[1] == "Epoch 2/2"
    assert lines[2].startswith("1/2 ━━━━━━━━━━────────── 0s ")
    assert lines[3:] == ["The run crashed."]


def test_wrong_questions(tmp_path: Path) -> None:
    """A speed that is none, two questions at once, formats of what is no frame."""
    store = stored(tmp_path, fit_stream())
    store.close()
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    for arguments, message in (
        (["--speed", "0"], "'0' is no speed"),
        (["--speed", "fast"], "'fast' is no speed"),
        (["--speed", "nan"], "'nan' is no speed"),
        (["--from", "epoch:9"], "epoch 9 did not"),
        (["--from", "seq:1", "--at", "end"], "they are different questions"),
        (["--at", "end", "--callback", "TerminateOnNaN"], "they are different questions"),
        (["--format", "json"], "--at end --format json"),
        (["--sweep", "a=1"], "add --callback"),
        (["--where", "epochs > 1"], "add --callback"),
        (["run"], "Give one name"),
    ):
        assert message in command("replay", "run", *arguments, "--store", url, code=2).stderr
