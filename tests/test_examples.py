"""The examples train, and what they recorded is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tracker
from tracker.event import HOOKS
from tracker.query import run_of

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str, *arguments: str) -> None:
    """Run an example as a user does."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_digits() -> None:
    """The network learns the digits, and its curves are in the store."""
    example("digits.py", "--learning-rate", "0.01", "--epochs", "4")
    state = run_of("@last").state
    assert (state.experiment, state.status, state.epochs) == ("digits", "finished", 4)
    assert state.params["learning_rate"] == 0.01
    curve = tracker.metrics("@last", names="val_accuracy")
    assert list(curve["epoch"]) == [0, 1, 2, 3]
    assert curve["value"].iloc[-1] > 0.85


def test_the_guide() -> None:
    """The guide example yields 22, 18 and 18 hooks."""
    example("guide.py")
    frame = tracker.events("@last", kind=list(HOOKS))
    assert list(frame.groupby("call").size()) == [22, 18, 18]


def test_a_custom_loop() -> None:
    """The loop's test phases are part of its one call, and its metrics are there."""
    example("custom_loop.py")
    frame = tracker.events("@last", kind=list(HOOKS))
    assert set(frame["call"]) == {1}
    assert (frame["kind"] == "test_end").sum() == 3
    wide = tracker.metrics("@last", wide=True)
    assert list(wide["epoch"]) == [0, 1, 2]
    assert wide["val_accuracy"].iloc[-1] > 0.7
    assert list(wide["step"]) == [24, 48, 72]
