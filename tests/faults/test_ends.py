"""How real training ends, and what the run says of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tracker
from tests.faults.ledger import Ledger
from tests.faults.stores import settled_run, stream_of
from tests.faults.trainer import ROOT
from tracker.event import HOOKS
from tracker.location import default_store

# The callback is followed by a witness, so a hook that the witness saw had returned from ours.
TRAINING = """
import os, signal, sys, time
# Where the tests themselves run in the background, SIGINT is ignored, and is inherited so.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {root!r})
import keras, numpy as np, tensorflow as tf
from tracker import TrackerCallback
from tests.spy import Spy

class Witness(Spy):
    pass

out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for name in [n for n in dir(Witness) if n.startswith("on_") and not n.startswith("on_batch")]:
    def note(self, *a, _name=name, **k):
        os.write(out, (_name[3:] + "\\n").encode())
    setattr(Witness, name, note)

class Then(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 30:
            {action}

class Net(keras.Sequential):
    fails = False

    def train_step(self, data):
        if self.fails:
            tf.debugging.assert_less(self.optimizer.iterations, tf.cast(31, tf.int64), "bad step")
        return super().train_step(data)

net = Net([keras.layers.Input((4,)), keras.layers.Dense(1)])
net.fails = {fails}
net.compile(loss="mse")
x, y = np.zeros((200, 4)), np.zeros((200, 1))
callback = TrackerCallback(name="victim")

def fit():
    net.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[callback, Witness(), Then()])

{program}
"""

#: fault, what is done in batch 30, status, type of the error
ENDS = [
    ("SIGKILL", "os.kill(os.getpid(), 9)", "crashed", None),
    ("SIGTERM", "os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", "crashed", None),
    ("SIGINT", "os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", "interrupted",
     "KeyboardInterrupt"),
    ("os._exit", "os._exit(3)", "crashed", None),
    ("sys.exit", "sys.exit(3)", "interrupted", None),
    ("an exception in another callback", "raise ValueError('bad batch')", "failed", "ValueError"),
    ("an exception in train_step", "pass", "failed", "InvalidArgumentError"),
]  # fmt: skip


def train(
    tmp_path: Path, action: str = "pass", program: str = "fit()", *, fails: bool = False
) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """Train in another process; the hooks that its witness saw, and how it ended."""
    witness = tmp_path / "witness"
    source = TRAINING.format(root=str(ROOT), action=action, program=program, fails=fails)
    done = subprocess.run(
        [sys.executable, "-c", source, str(witness)],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert witness.exists(), done.stderr
    return witness.read_text().split(), done


@pytest.mark.parametrize(("fault", "action", "status", "error"), ENDS, ids=[e[0] for e in ENDS])
def test_the_end_of_a_trainer(
    fault: str, action: str, status: str, error: str | None, tmp_path: Path, ledger: Ledger
) -> None:
    """Every hook that returned before the end is stored, and the run says how it ended."""
    seen, done = train(tmp_path, action, fails=fault.endswith("train_step"))
    assert done.returncode != 0
    run = settled_run("victim", default_store(), status=status)
    records = stream_of("victim", default_store())
    hooks = [record.kind for record in records if record.kind in HOOKS]
    assert hooks[: len(seen)] == seen
    ledger.add(fault, records, len(seen))
    assert run.state.error_type == error
    if status == "failed":
        facts = tracker.events("victim", kind="run_ended", logs="dict")["logs"]
        assert "fit" in facts.iloc[-1]["error"]["traceback"]


def test_a_run_that_was_idle_when_killed_is_finished(tmp_path: Path) -> None:
    """A process that is killed after its last fit leaves a finished run."""
    train(tmp_path, program="fit()\nos.kill(os.getpid(), 9)")
    settled_run("victim", default_store(), status="finished")


LIVES_ON = """
from tracker.query import run_of
from tracker.errors import RunNotFound
def wait(status, attempt):
    end = time.monotonic() + 20
    while True:
        try:
            state = run_of("victim").state
        except RunNotFound:
            state = None
        if state and (state.status, state.attempt) == (status, attempt):
            return state
        assert time.monotonic() < end, state
        time.sleep(0.05)
"""


def test_a_program_that_catches_the_exception_and_lives_on(tmp_path: Path, ledger: Ledger) -> None:
    """The run is failed at once, not running; the next fit is its next attempt."""
    program = (
        LIVES_ON
        + """
try:
    fit()
except ValueError:
    pass
state = wait("failed", 1)
assert "caught by the program" in state.error_message, state
Then.on_train_batch_end = keras.callbacks.Callback.on_train_batch_end
fit()
wait("finished", 2)
"""
    )
    seen, done = train(tmp_path, "raise ValueError('bad batch')", program)
    assert done.returncode == 0, done.stderr
    settled_run("victim", default_store(), status="finished")
    ledger.add("caught, and fitted again", stream_of("victim", default_store()), len(seen))


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("try: fit()\nexcept ValueError: pass\ncallback.close()", None),
        ("try: fit()\nexcept ValueError: callback.close()", "ValueError"),
    ],
)
def test_a_run_that_is_closed_after_its_exception_was_caught(
    program: str, error: str | None, tmp_path: Path
) -> None:
    """It has failed, of what is known of it."""
    _, done = train(tmp_path, "raise ValueError('bad batch')", program)
    assert done.returncode == 0, done.stderr
    assert settled_run("victim", default_store(), status="failed").state.error_type == error


NOTEBOOK = (
    LIVES_ON
    + """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.user_ns.update(fit=fit)
assert not shell.run_cell("fit()").success
state = wait("{status}", 1)
assert state.error_type == "{error}", state
Then.on_train_batch_end = keras.callbacks.Callback.on_train_batch_end
assert shell.run_cell("fit()").success
assert wait("finished", 2).error_type is None
"""
)


@pytest.mark.parametrize(
    ("error", "status"), [("ValueError", "failed"), ("KeyboardInterrupt", "interrupted")]
)
def test_a_notebook_whose_cell_died(
    error: str, status: str, tmp_path: Path, ledger: Ledger
) -> None:
    """The exception is known as soon as the cell has ended, and the kernel lives on."""
    program = NOTEBOOK.format(status=status, error=error)
    seen, done = train(tmp_path, f"raise {error}('in a cell')", program)
    assert done.returncode == 0, done.stderr + done.stdout
    records = stream_of("victim", default_store())
    ledger.add("a notebook that fits again", records, len(seen))


def test_an_exception_in_a_thread(tmp_path: Path) -> None:
    """A fit that dies in a thread of its own fails with its exception."""
    program = (
        LIVES_ON
        + """
import threading
thread = threading.Thread(target=fit)
thread.start()
thread.join()
assert wait("failed", 1).error_type == "ValueError"
"""
    )
    _, done = train(tmp_path, "raise ValueError('in a thread')", program)
    assert done.returncode == 0, done.stderr


def test_the_run_as_context_manager(tmp_path: Path) -> None:
    """`with tracker.run(…)` knows the exception for certain, also one outside of any call."""
    program = """
import tracker
try:
    with tracker.run(name="certain") as run:
        net.fit(x, y, epochs=1, verbose=0, callbacks=[run])
        raise LookupError("after the fit")
except LookupError:
    pass
os.write(out, b"done\\n")
"""
    _, done = train(tmp_path, program=program)
    assert done.returncode == 0, done.stderr
    state = settled_run("certain", default_store(), status="failed").state
    assert (state.error_type, state.error_message) == ("LookupError", "after the fit")
