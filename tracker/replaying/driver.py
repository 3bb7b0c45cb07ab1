"""A stored fit once more, through callbacks that were not there."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from tracker.errors import InvalidArgument
from tracker.event import Record
from tracker.grouping import better
from tracker.logs import decode, encode
from tracker.query import Store
from tracker.replaying.directions import model_metrics
from tracker.replaying.fit import Fit, step_count, stored_fit
from tracker.replaying.optimizer import RATE, StandInOptimizer, logged_rates
from tracker.replaying.standin import Act, StandIn, Weights
from tracker.replaying.verdict import Verdict


def replay(
    run: str | int, callbacks: Sequence[Any], *, call: int | None = None, store: Store = None
) -> Verdict:
    """What callbacks would have done, had they been there when the run was trained.

    Their hooks are called as Keras would have, with what was logged; the model is a stand-in that
    notes what is done to it. When they stop the training, what Keras would still have called is,
    and no more. Exact for whatever only watches, stops, saves or writes; where a callback changes
    the training (its learning rate), its first act is exact, and the verdict says that what
    follows is not.

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        callbacks: Keras callbacks, new ones; `tf.keras.callbacks.TensorBoard` and `CSVLogger`
            write their files.
        call: Which fit; by default the run's first one.
        store: The store.

    Raises:
        RunNotFound, AmbiguousRun: `run` is not exactly one.
        InvalidArgument: It has no such fit.
        ModelNeeded: A callback needs the real model; the message says what of it.
    """
    given = list(callbacks)
    fit = stored_fit(run, call=call, batches=look_at_batches(given), store=store)
    return driven(fit, given)


def driven(fit: Fit, callbacks: Sequence[Any]) -> Verdict:
    """As `replay`, of a fit that was read already."""
    return Driver(fit, callbacks).drive()


def look_at_batches(callbacks: Sequence[Any]) -> bool:
    """Whether any of these callbacks could tell that the hooks of batches were left out.

    Those of Keras's that have none of them cannot. Others may count them on the model.
    """
    return any(
        not type(one).__module__.startswith("keras.src.callbacks.") or _has_batch_hooks(one)
        for one in callbacks
    )


def _has_batch_hooks(callback: Any) -> bool:
    from keras.callbacks import Callback

    return any(
        getattr(getattr(callback, name, None), "__func__", None) is not getattr(Callback, name)
        for name in dir(Callback)
        if "batch" in name and name.startswith("on_") and hasattr(callback, name)
    )


def _asks_for_batches(callback: Any) -> bool:
    """Whether what it does depends on the hooks of batches."""
    once_an_epoch = "epoch" in (
        getattr(callback, "save_freq", None),
        getattr(callback, "update_freq", None),
    )
    return _has_batch_hooks(callback) and not once_an_epoch


class Driver:
    """One fit, and callbacks; its `standin` is what they get in place of the model."""

    def __init__(self, fit: Fit, callbacks: Sequence[Any]) -> None:
        if not callbacks:
            raise InvalidArgument("callbacks must be one Keras callback or more.")
        for one in callbacks:
            if isinstance(one, type) or not hasattr(one, "set_model"):
                raise InvalidArgument(f"callbacks must be Keras callbacks. Received: {one!r}.")
        self._fit, self._hooks, self._callbacks = fit, fit.hooks, list(callbacks)
        self._acts: list[Act] = []
        self._event: Record | None = None
        self._sets_rate = any(
            base.__name__ in ("ReduceLROnPlateau", "LearningRateScheduler")
            for one in callbacks
            for base in type(one).__mro__
        )
        optimizer = StandInOptimizer(
            fit.model.get("optimizer") or {},
            logged_rates(fit.hooks),
            step_count(fit.asked, fit.before),
            fit.asked.get(RATE),
            self._note,
        )
        self.standin = StandIn(model_metrics(fit.model), optimizer, self._note, self._now)

    def drive(self) -> Verdict:
        """Call the hooks; see `replay`."""
        standin = self.standin
        params = {"verbose": 0, "epochs": 1, "steps": None, **(self._fit.asked.get("params") or {})}
        for one in self._callbacks:
            one.set_model(standin)
            one.set_params(dict(params))
        stopped_at: Record | None = None
        then: list[Record] = []
        for record in self._until_stop(standin):
            if record.kind == "epoch_end":
                then.append(record)
            self._call_hooks(record)
            if standin.stop_training and stopped_at is None:
                stopped_at = record
        return self._verdict(stopped_at, then)

    def _until_stop(self, standin: StandIn) -> Iterator[Record]:
        """The hooks that Keras would have called: it looks at the flag between them."""
        ending = False
        last_logs = "{}"
        for record in self._hooks:
            if ending and record.kind.startswith("train_batch"):
                continue  # validation and the end of the epoch still come
            yield record
            if record.kind == "train_batch_end" and standin.stop_training:
                ending = True
            if record.kind == "epoch_end":
                last_logs = record.logs
                if standin.stop_training:
                    break
        else:
            return
        # Keras has the logs of the last epoch here, without what callbacks had added.
        logs = {name: value for name, value in decode(last_logs).items() if name != RATE}
        yield record._replace(kind="train_end", epoch=None, batch=None, logs=encode(logs))

    def _call_hooks(self, record: Record) -> None:
        self._event = record
        self.standin.optimizer.advance(record)
        logs = decode(record.logs)
        if self._sets_rate:  # who sets it logs it: what is there is somebody else's
            logs.pop(RATE, None)
        name = f"on_{record.kind}"
        for one in self._callbacks:
            hook = getattr(one, name, None)
            if hook is None:
                continue
            try:
                if record.kind.startswith("epoch"):
                    hook(record.epoch, logs)
                elif record.batch is not None:
                    hook(record.batch, logs=logs)
                else:
                    hook(logs)
            except Exception as error:
                error.add_note(f"In {name} of {type(one).__name__}, at event {record.seq}.")
                raise

    def _note(self, act: str, detail: Any) -> None:
        event = self._event
        if event is not None:
            epoch = event.epoch if event.kind != "train_end" else self._acts_epoch()
            self._acts.append(Act(event.seq, epoch, event.batch, act, copy.copy(detail)))

    def _acts_epoch(self) -> int | None:
        return self._acts[-1].epoch if self._acts else None

    def _now(self) -> Weights:
        event = self._event
        return Weights(None, 0) if event is None else Weights(event.epoch, event.seq)

    def _verdict(self, stopped_at: Record | None, then: Sequence[Record]) -> Verdict:
        ends = [one for one in self._hooks if one.kind == "epoch_end"]
        monitor = next((one.monitor for one in self._callbacks if hasattr(one, "monitor")), None)
        value, best, best_epoch = self._monitored(monitor, ends, then)
        saved = None
        if stopped_at is not None and then:
            saved = _seconds(self._hooks[self._hooks.index(then[-1]) :])
        restored = [one for one in self._acts if one.act == "set_weights"]
        rates = [one.seq for one in self._acts if one.act == "learning_rate"]
        return Verdict(
            run=self._fit.run,
            call=self._fit.call,
            callbacks=[type(one).__name__ for one in self._callbacks],
            stopped=stopped_at is not None,
            seq=stopped_at.seq if stopped_at else None,
            epoch=stopped_at.epoch if stopped_at else None,
            batch=stopped_at.batch if stopped_at else None,
            epochs=len(ends),
            epochs_then=len(then),
            saved_seconds=saved,
            monitor=monitor,
            value=value,
            best=best,
            best_epoch=best_epoch,
            restored_epoch=restored[-1].detail if restored else None,
            acts=[one for one in self._acts if one.act != "get_weights"],
            exact_until=rates[0] if rates else None,
            unseen=self._fit.unseen if any(map(_asks_for_batches, self._callbacks)) else None,
        )

    def _monitored(
        self, monitor: str | None, ends: Sequence[Record], then: Sequence[Record]
    ) -> tuple[float | None, float | None, int | None]:
        """The last value until the stop, the best of all, and the epoch of that one."""
        if monitor is None:
            return None, None, None
        mode = next(
            (one.mode for one in self._callbacks if getattr(one, "mode", None) in ("min", "max")),
            better(monitor),
        )
        values = {
            one.seq: (float(value), one.epoch)
            for one in ends
            if isinstance(value := decode(one.logs).get(monitor), int | float)
        }
        known = [one.seq for one in then if one.seq in values]
        finite = [pair for pair in values.values() if not math.isnan(pair[0])]
        if not known or not finite:
            return None, None, None
        best = min(finite, key=lambda pair: pair[0] if mode == "min" else -pair[0])
        return values[known[-1]][0], best[0], best[1]


def _seconds(hooks: Sequence[Record]) -> float:
    """How long a part of a fit took, without the time between attempts."""
    return (
        sum(
            max(later.at - one.at, 0)
            for one, later in pairwise(hooks)
            if one.attempt == later.attempt
        )
        / 1e6
    )
