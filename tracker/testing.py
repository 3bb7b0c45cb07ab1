"""A callback in unit tests: driven through a fit that is made up, exported or stored.

>>> from tracker.testing import replay, stream
>>> fit = stream(metrics={"val_loss": [3, 2, 2.5, 2.6]})
>>> result = replay(EarlyStopping(monitor="val_loss", patience=2), fit)
>>> assert result.stopped and result.epoch == 3

No model is trained: hooks are called in the order and with the logs that Keras would have, and what
the callback does to the model is noted. It needs Keras for the callbacks, and no test framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from tracker.errors import InvalidArgument
from tracker.event import KINDS, Record
from tracker.query import Store
from tracker.replaying.driver import Driver
from tracker.replaying.fit import Fit, fit_of, stored_fit
from tracker.replaying.made import stream
from tracker.replaying.standin import Act, StandIn
from tracker.replaying.verdict import Verdict

__all__ = ["Fit", "Replayed", "replay", "stream", "stream_from"]

_START = datetime(1970, 1, 1, tzinfo=UTC)


class Replayed(NamedTuple):
    """What callbacks did."""

    #: What they had in place of the model: `stop_training`, `optimizer.learning_rate`.
    model: StandIn
    #: All that there is to say; see `tracker.replay`.
    verdict: Verdict

    @property
    def stopped(self) -> bool:
        """Whether they ended the fit."""
        return self.verdict.stopped

    @property
    def epoch(self) -> int | None:
        """The epoch in which they did."""
        return self.verdict.epoch

    @property
    def batch(self) -> int | None:
        """The batch, if they did it in one."""
        return self.verdict.batch

    @property
    def epochs(self) -> int:
        """How many epochs were run."""
        return self.verdict.epochs_then

    @property
    def acts(self) -> Sequence[Act]:
        """What was done to the model, in order: `act`, `detail`, and `epoch`, `batch`, `seq`."""
        return self.verdict.acts


def replay(
    callbacks: Any,
    fit: Fit | None = None,
    *,
    run: str | int | None = None,
    call: int | None = None,
    store: Store = None,
) -> Replayed:
    """Drive callbacks through a fit.

    Errors that a callback raises come through, with a note of the hook and the event.

    Args:
        callbacks: A callback, or several in a list.
        fit: What `stream` or `stream_from` returned. By default, `stream()`.
        run: A stored run, in place of `fit`: a name, id, UUID, unique prefix, `@last`.
        call: Which of its fits; by default the first one.
        store: The store of `run`.

    Raises:
        RunNotFound, AmbiguousRun: `run` is not exactly one.
        InvalidArgument: It has no such fit, there are no callbacks, or `fit` is no stream; or what
            a callback watches is never logged.
        ModelNeeded: A callback needs the real model; the message says what of it.
    """
    if run is not None:
        if fit is not None:
            raise InvalidArgument("Give a fit or a run to replay, not both.")
        fit = stored_fit(run, call=call, store=store)
    elif fit is None:
        fit = stream()
    elif not isinstance(fit, Fit):
        raise InvalidArgument(
            f"fit must be what stream() or stream_from() returned. Received: {fit!r}. "
            "A stored run is named with run=."
        )
    given = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    driver = Driver(fit, given)
    return Replayed(driver.standin, driver.drive())


def stream_from(path: str | Path, *, call: int | None = None) -> Fit:
    """A fit of a run that was exported, as it lies in a folder of tests.

    Args:
        path: What `tracker events list RUN --output FILE.jsonl` wrote, whole.
        call: Which fit; by default the run's first one.

    Raises:
        InvalidArgument: The file cannot be read, is none of these, or has no such fit.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror}.") from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            row = orjson.loads(line)
            at = (datetime.fromisoformat(row["at"]) - _START) // timedelta(microseconds=1)
            logs = orjson.dumps(row["logs"]).decode()
            record = Record(**{**row, "at": at, "logs": logs})
        except (ValueError, TypeError, KeyError):
            record = None
        if record is None or record.kind not in KINDS:
            raise InvalidArgument(
                f"{path}, line {number}, is no event. Expected what "
                "`tracker events list RUN --output FILE.jsonl` writes."
            )
        records.append(record)
    return fit_of(Path(path).name, records, call=call)
