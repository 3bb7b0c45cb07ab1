"""A stored fit once more, through callbacks that were not there."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tracker.errors import InvalidArgument
from tracker.event import HOOKS, Record
from tracker.grouping import better
from tracker.logs import decode
from tracker.projections import winners
from tracker.query import Store, opened_store, run_of
from tracker.replaying.optimizer import RATE, StandInOptimizer, StepCount, logged_rates
from tracker.replaying.standin import Act, StandIn, Weights
from tracker.replaying.verdict import Verdict
from tracker.steps import in_order


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


class Fit(NamedTuple):
    """One fit of a run, as it counts."""

    run: str
    call: int
    #: What `call_began` tells of it, and `run_began` of the model.
    asked: Mapping[str, Any]
    model: Mapping[str, Any]
    #: Its hooks, in order.
    hooks: Sequence[Record]
    #: Steps that the optimizer took in earlier fits.
    before: int = 0


def driven(fit: Fit, callbacks: Sequence[Any]) -> Verdict:
    """As `replay`, of a fit that was read already."""
    return Driver(fit, callbacks).drive()


def look_at_batches(callbacks: Sequence[Any]) -> bool:
    """Whether any of these callbacks could tell that the hooks of batches were left out.

    Those of Keras's that have none of them cannot. Others may count them on the model.
    """
    from keras.callbacks import Callback

    def looks(callback: Any) -> bool:
        if not type(callback).__module__.startswith("keras.src.callbacks."):
            return True
        return any(
            getattr(getattr(callback, name), "__func__", None) is not getattr(Callback, name)
            for name in dir(Callback)
            if "batch" in name and name.startswith("on_")
        )

    return any(map(looks, callbacks))


def stored_fit(
    run: str | int, *, call: int | None = None, batches: bool = True, store: Store = None
) -> Fit:
    """A fit of a run, with the hooks of its batches or without; see `replay` for the rest."""
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        records = list(opened.read(found.uuid, batches=batches))
    return fit_of(found.name, records, call=call)


def fit_of(run: str, records: Sequence[Record], *, call: int | None = None) -> Fit:
    """A fit among the records of a run; see `replay`."""
    began = next((decode(one.logs) for one in records if one.kind == "run_began"), {})
    calls = _fits(records)
    if call is None and calls:
        call = min(calls)
    if call is None or call not in calls:
        there = ", ".join(map(str, sorted(calls))) or "none"
        which = "no fit" if call is None else f"no fit {call}"
        raise InvalidArgument(f"Run {run!r} has {which}; its fits: {there}.")
    shown = in_order(winners(records), records)
    before = 0
    for earlier in sorted(one for one in calls if one < call):
        count = _step_count(calls[earlier], before)
        for one in shown:
            if one.call == earlier:
                count.advance(one)
        before = count.taken
    hooks = [one for one in shown if one.kind in HOOKS and one.call == call]
    return Fit(run, call, calls[call], began.get("model") or {}, hooks, before)


def _step_count(asked: Mapping[str, Any], before: int) -> StepCount:
    return StepCount((asked.get("params") or {}).get("steps"), before)


def _fits(records: Sequence[Record]) -> dict[int, Mapping[str, Any]]:
    """By call, what the latest attempt at each outermost fit was asked for."""
    found: dict[int, Mapping[str, Any]] = {}
    for record in records:
        if record.kind == "call_began" and record.call is not None:
            data = decode(record.logs)
            if data.get("phase") == "train" and data.get("parent") is None:
                found[record.call] = data
    return found


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
            {} if self._sets_rate else logged_rates(fit.hooks),
            _step_count(fit.asked, fit.before),
            self._note,
        )
        self.standin = StandIn(_metrics(fit.model), optimizer, self._note, self._now)

    def drive(self) -> Verdict:
        """Call the hooks; see `replay`."""
        standin = self.standin
        params = {"verbose": 0, "epochs": 1, "steps": None, **(self._fit.asked.get("params") or {})}
        for one in self._callbacks:
            one.set_model(standin)
            one.set_params(dict(params))
        stopped_at: Record | None = None
        reached = 0
        for record in self._until_stop(standin):
            reached = record.seq
            self._call_hooks(record)
            if standin.stop_training and stopped_at is None:
                stopped_at = record
        return self._verdict(stopped_at, reached)

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
        yield record._replace(kind="train_end", epoch=None, batch=None, logs=last_logs)

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

    def _verdict(self, stopped_at: Record | None, reached: int) -> Verdict:
        ends = [one for one in self._hooks if one.kind == "epoch_end"]
        then = [one for one in ends if one.seq <= reached]
        monitor = next((one.monitor for one in self._callbacks if hasattr(one, "monitor")), None)
        value, best, best_epoch = self._monitored(monitor, ends, then)
        saved = None
        if stopped_at is not None and then:
            saved = (self._hooks[-1].at - then[-1].at) / 1e6
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


def _metrics(model: Mapping[str, Any]) -> list[Any]:
    """What `model.metrics` was, as far as directions go: callbacks of mode `auto` look there."""
    from keras.src.trainers import compile_utils

    class Metrics(compile_utils.MetricsList):
        def __init__(self, metrics: list[Any]) -> None:
            self.metrics = metrics

    return [Metrics([one for item in _flat(model.get("metrics")) if (one := _metric(item))])]


def _flat(described: Any) -> Iterator[Any]:
    if isinstance(described, Mapping) and "class" not in described:
        described = list(described.values())
    if isinstance(described, list):
        for item in described:
            yield from _flat(item)
    elif described is not None:
        yield described


def _metric(described: Any) -> Any:
    """A metric of Keras's by its description; None where it is the user's own."""
    import keras

    class Named:
        def __init__(self, name: str, direction: Any) -> None:
            self.name, self._direction = name, direction

    name = described.get("class") if isinstance(described, Mapping) else described
    accuracies = {"accuracy", "acc"}
    if name in accuracies:
        return Named(str(name), "up")
    try:
        found = keras.metrics.get(name)
        found = found() if isinstance(found, type) else found
    except (ValueError, TypeError):
        return None
    direction = getattr(found, "_direction", None)
    if direction is None and not isinstance(found, keras.metrics.Metric):
        direction = "down"  # a function that is a loss, too
    shown = described.get("name") if isinstance(described, Mapping) else None
    return Named(str(shown or (name if isinstance(described, str) else found.name)), direction)
