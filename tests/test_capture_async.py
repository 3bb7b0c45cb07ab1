"""Order and threads on the backends that dispatch callbacks asynchronously: JAX and torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

PROGRAM = """
import json, logging, sys
sys.path.insert(0, sys.argv[1])
messages = []
class Keep(logging.Handler):
    def emit(self, record):
        messages.append(record.getMessage())
logging.getLogger("tracker").addHandler(Keep())
import keras, numpy as np
import tracker
from tracker import TrackerCallback

assert keras.backend.backend() == sys.argv[2]
x, y = np.zeros((64, 4), "float32"), np.zeros((64, 1), "float32")
answers = {}
for name in ("list", "bare", "none"):
    net = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    net.compile(loss="mse")
    callback = TrackerCallback(name=name, batches=None if name == "none" else "all")
    arguments = callback if name == "bare" else [callback]
    import tracker.query
    modes = keras.callbacks.CallbackList(arguments)
    net.fit(x, y, batch_size=4, epochs=2, verbose=0, validation_data=(x, y), callbacks=arguments)
    net.predict(x, verbose=0, callbacks=arguments)
    callback.close()
    frame = tracker.events(name, logs="json")
    hooks = frame[~frame["kind"].str.startswith(("run_", "call_"))]
    answers[name] = {
        "async": [modes._async_train, modes._async_test, modes._async_predict],
        "gapless": list(frame["seq"]) == list(range(1, len(frame) + 1)),
        "kinds": list(hooks["kind"]),
        "batches": [None if b is tracker.query.pd.NA else int(b) for b in hooks["batch"]],
        "calls": sorted({int(call) for call in hooks["call"]}),
        "messages": list(messages),
    }
    messages.clear()
print(json.dumps(answers))
"""


@pytest.fixture(scope="module", params=["jax", "torch"])
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What three ways of passing the callback came to, on each backend."""
    backend = request.param
    # JAX is installed for the tests; torch, in gigabytes on many machines, is not.
    if backend == "torch" and find_spec("torch") is None:
        pytest.skip("torch is not installed")
    home = tmp_path_factory.mktemp(backend)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(ROOT), backend],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": backend, "TRACKER_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_list_is_recorded_in_order(answers: dict[str, Any]) -> None:
    """Passed in a list, our batch hooks make Keras call them in order, on one thread."""
    one = answers["list"]
    assert one["async"] == [False, False, False]
    assert one["messages"] == []
    batches = [batch for batch in one["batches"] if batch is not None]
    block = [batch for number in range(16) for batch in (number, number)]
    assert batches == block * 4 + [0, 0, 1, 1]
    assert one["kinds"][:4] == [
        "train_begin",
        "epoch_begin",
        "train_batch_begin",
        "train_batch_end",
    ]


def test_a_bare_callback_is_warned_of_and_loses_nothing(answers: dict[str, Any]) -> None:
    """Passed bare, every hook is recorded once, in its call, and the trap is said once."""
    one = answers["bare"]
    assert one["async"] == [True, True, True]
    assert one["gapless"]
    assert sorted(one["kinds"]) == sorted(answers["list"]["kinds"])
    assert one["calls"] == [1, 2]
    assert [message.count("Pass a list") for message in one["messages"]] == [1]


def test_batches_none_leaves_asynchronous_dispatch_alone(answers: dict[str, Any]) -> None:
    """With batches=None Keras keeps all three modes asynchronous."""
    one = answers["none"]
    assert one["async"] == [True, True, True]
    assert not [kind for kind in one["kinds"] if "batch" in kind]
    assert one["messages"] == []
