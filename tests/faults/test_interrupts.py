"""Exceptions of signal handlers, anywhere in a hook."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.ledger import Ledger
from tests.test_journal import meta, read_all
from tracker.journal import JournalWriter
from tracker.recorder import Recorder


class Interrupt(BaseException):
    """What the handler raises, as Python's own does KeyboardInterrupt."""


@pytest.fixture
def armed() -> Iterator[list[bool]]:
    """Whether a signal raises; ours to set around what is to be interrupted."""
    raises = [False]

    def handler(*_: Any) -> None:
        if raises[0]:
            raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    yield raises
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_hooks_that_are_interrupted(
    tmp_path: Path, ledger: Ledger, long: bool, armed: list[bool]
) -> None:
    """One that was interrupted is there once or not at all; those that returned are all there."""
    journal = JournalWriter([tmp_path], meta())
    recorder = Recorder(journal)
    recorder.fact("run_began", {})
    recorder.begin_call("train", None, {})
    returned, interrupted = [], 0
    for batch in range(500_000 if long else 50_000):
        signal.setitimer(signal.ITIMER_REAL, 2e-6 + batch % 23 * 1e-6)
        try:
            armed[0] = True
            recorder.batch("train_batch_end", batch, {"loss": float(batch), "accuracy": 0.5})
            armed[0] = False
        except Interrupt:
            armed[0] = False
            interrupted += 1
        else:
            returned.append(batch)
    journal.close()
    records = read_all(journal.folder)
    batches = [record.batch for record in records if record.batch is not None]
    assert interrupted > 1000
    assert len(set(batches)) == len(batches)
    assert set(returned) <= set(batches)
    ledger.add("interrupted hooks", records, len(returned), may_be_more=interrupted)
