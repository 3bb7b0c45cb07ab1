"""A stored fit once more, through callbacks that were not there."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from tracker.description import KERAS_CALLBACKS
from tracker.errors import InvalidArgument
from tracker.event import Record
from tracker.logs import decode, encode
from tracker.query import Store
from tracker.replaying.directions import model_metrics
from tracker.replaying.fit import Fit, step_count, stored_fit
from tracker.replaying.monitors import check_monitors, monitor_of, monitored
from tracker.replaying.optimizer import RATE, StandInOptimizer, logged_rates
from tracker.replaying.standin import Act, StandIn, Weights
from tracker.replaying.verdict import Verdict

#: Those of Keras's callbacks that set the learning rate.
_SET_RATE = frozenset({"ReduceLROnPlateau", "LearningRateScheduler"})


def replay(
    run: str | int, callbacks: Sequence[Any], *, call: int | None = None, store: Store = None
) -> Verdict:
    """What callbacks would have done, had they been there when the run was trained.

    Their hooks are called as Keras would have, with what was logged; the model is a stand-in that
    notes what is done to it. When they stop the training, what Keras would still have called is,
    and no more. Exact for whatever only watches, stops, saves or writes; where a callback changes
    the training (its learning rate, weights, attributes of the model), its first act is exact, and
    the verdict says that what follows is not.

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        callbacks: Keras callbacks, new ones; `tf.keras.callbacks.TensorBoard` and `CSVLogger`
            write their files.
        call: Which fit; by default the run's first one.
        store: The store.

    Raises:
        RunNotFound, AmbiguousRun: `run` is not exactly one.
        InvalidArgument: It has no such fit, or never logged what a callback watches.
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
        self._called: list[Any] = []
        self._calling: Any = None
        self._acts: list[Act] = []
        #: The first event in whose hook the training was changed.
        self._changed: int | None = None
        #: Whether the callback that is called has asked for a rate that the run does not tell,
        #: and the first of these that something was done with.
        self._asked_rate: float | None = None
        self._assumed_rate: float | None = None
        self._ends = [one for one in fit.hooks if one.kind == "epoch_end"]
        #: Names in the logs of epochs, those that callbacks added too.
        self._logged = {name for one in self._ends for name in decode(one.logs)}
        self._event: Record | None = None
        self._sets_rate = any(
            base.__name__ in _SET_RATE for one in callbacks for base in type(one).__mro__
        )
        optimizer = StandInOptimizer(
            fit.model.get("optimizer") or {},
            logged_rates(fit.hooks),
            step_count(fit.asked, fit.before),
            fit.asked.get(RATE),
            self._note,
            steady=fit.steady,
            assume=self._assume,
        )
        self.standin = StandIn(model_metrics(fit.model), optimizer, self._note, self._now)

    def drive(self) -> Verdict:
        """Call the hooks; see `replay`."""
        from keras.callbacks import History

        if all(type(one).__module__.startswith(KERAS_CALLBACKS) for one in self._callbacks):
            # Keras would only warn, in each epoch. Others may add it to the logs.
            self._check_monitors(but=RATE)
        standin = self.standin
        params = {"verbose": 0, "epochs": 1, "steps": None, **(self._fit.asked.get("params") or {})}
        given = [one for one in self._callbacks if isinstance(one, History)]
        # As in a fit: the last one that was given, or one behind the others.
        standin.history = given[-1] if given else History()
        standin.history.epoch = []  # a stream may lack the begin of its fit
        self._called = [*self._callbacks, *([] if given else [standin.history])]
        for name, argument in (("set_model", standin), ("set_params", dict(params))):
            for one in self._called:
                self._calling = one
                try:
                    getattr(one, name)(argument)
                except (Exception, SystemExit) as error:
                    error.add_note(f"In {name} of {type(one).__name__}.")
                    raise
        standin.stop_training = False  # a fit begins with that
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
        for one in self._called:
            hook = getattr(one, name, None)
            if hook is None:
                continue
            self._calling, self._asked_rate = one, None
            try:
                if record.kind.startswith("epoch"):
                    hook(record.epoch, logs)
                elif record.batch is not None:
                    hook(record.batch, logs=logs)
                else:
                    hook(logs)
            except (Exception, SystemExit) as error:
                error.add_note(f"In {name} of {type(one).__name__}, at event {record.seq}.")
                raise
        if record.kind == "epoch_end":
            self._logged.update(logs)

    def _note(self, act: str, detail: Any) -> None:
        event = self._event or next(iter(self._hooks), None)
        if event is None:
            return
        epoch = event.epoch if event.kind != "train_end" else self._acts_epoch()
        self._acts.append(Act(event.seq, epoch, event.batch, act, copy.copy(detail)))
        if act == RATE and self._asked_rate is not None and self._assumed_rate is None:
            self._assumed_rate = self._asked_rate
        # After the end of the epoch in which it was stopped there is nothing that could differ.
        over = event.kind == "train_end" or (
            event.kind == "epoch_end" and self.standin.stop_training
        )
        changes = act in (RATE, "set_attribute", "set_weights")
        if changes and not over and self._changed is None:
            self._changed = event.seq

    def _assume(self, rate: float) -> None:
        """The run does not tell the rate that is asked for."""
        self._asked_rate = rate
        name = type(self._calling).__name__
        # These ask in each epoch, and do nothing with it until they set another.
        sets_it = name in _SET_RATE and type(self._calling).__module__.startswith(KERAS_CALLBACKS)
        if not sets_it and self._assumed_rate is None:
            self._assumed_rate = rate

    def _acts_epoch(self) -> int | None:
        return self._acts[-1].epoch if self._acts else None

    def _now(self) -> Weights:
        event = self._event
        return Weights(None, 0) if event is None else Weights(event.epoch, event.seq)

    def _verdict(self, stopped_at: Record | None, then: Sequence[Record]) -> Verdict:
        self._check_monitors()
        ends = self._ends
        watching = next((one for one in self._callbacks if monitor_of(one)), None)
        value, best, best_epoch = monitored(watching, self.standin.metrics, ends, then)
        saved = None
        if stopped_at is not None and then:
            saved = _seconds(self._hooks[self._hooks.index(then[-1]) :])
        restored = [one for one in self._acts if one.act == "set_weights"]
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
            monitor=monitor_of(watching),
            value=value,
            best=best,
            best_epoch=best_epoch,
            restored_epoch=restored[-1].detail if restored else None,
            acts=[one for one in self._acts if one.act != "get_weights"],
            exact_until=self._changed,
            planned=self._planned(),
            ending=self._fit.ending,
            assumed_rate=self._assumed_rate,
            unseen=self._fit.unseen if any(map(_asks_for_batches, self._callbacks)) else None,
        )

    def _check_monitors(self, but: str | None = None) -> None:
        check_monitors(self._callbacks, self._fit, self._ends, self._logged, but)

    def _planned(self) -> int | None:
        """How many epochs the fit was to have, if it has not had them."""
        asked = self._fit.asked
        last = (asked.get("params") or {}).get("epochs") or asked.get("epochs")
        if not isinstance(last, int):
            return None
        # A fit that was resumed began at another epoch than its last attempt.
        to_come = last - (
            (self._ends[-1].epoch or 0) + 1 if self._ends else asked.get("initial_epoch") or 0
        )
        return len(self._ends) + to_come if to_come > 0 else None


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
