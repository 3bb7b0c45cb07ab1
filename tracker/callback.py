"""TrackerCallback: Keras's hooks → the recorder. The only module that imports keras."""

from __future__ import annotations

import copy
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, MethodType, TracebackType
from typing import Any, Literal, Self

import keras

from tracker.arguments import (
    Resume,
    check_choice,
    check_params,
    check_resume,
    check_tags,
    check_text,
)
from tracker.description import describe_call, describe_model, describe_trial
from tracker.endings import cause_of
from tracker.environment import environment
from tracker.errors import InvalidArgument, TrackerError
from tracker.forking import in_child
from tracker.location import store_url
from tracker.logs import Outputs
from tracker.names import readable_name
from tracker.recorder import BatchSampler, Place
from tracker.resuming import Resumption, ranked, resumption, take_over
from tracker.store.dialects import Durability
from tracker.store.opening import check_url
from tracker.workers import worker
from tracker.writer import RunWriter

_log = logging.getLogger("tracker")

_BATCH_HOOKS = tuple(
    f"on_{phase}_batch_{side}"
    for phase in ("train", "test", "predict")
    for side in ("begin", "end")
)
_METHODS = {"fit": "train", "evaluate": "test", "predict": "predict"}


class TrackerCallback(keras.callbacks.Callback):
    """Callback that records every hook of fit, evaluate and predict in a SQL database.

    One instance is one run, which begins with its first fit, evaluate or predict. Pass it in
    a list: `callbacks=[tracker_callback]`. Nothing that goes wrong here reaches training: it
    is reported once, by a warning of the logger `tracker`.

    Args:
        experiment: A name that groups runs.
        name: The run's name; a readable one is made up by default. Names are unique: the
            second run of a name is called `name-2`.
        run: A run to go on with: its name, id or UUID, or `@last`. What its dead writer left in a
            journal on this machine is delivered first.
        resume: With `run`: `"allow"` (the default) begins a new run of that name where there is
            none; `"must"` and `"never"` refuse where there is none, and where there is one.
        group: A name that runs have in common which belong together, such as the trials of a
            search. Copies of one callback, as tuners make them, and the processes of one training
            have one without being told: the name, if there is one.
        params: Parameters of yours to store with the run, values as in JSON.
        tags: Words to find the run by: a list, or a dict of key and value.
        store: URL of the database (`sqlite:///runs.db`,
            `postgresql://user:password@host/database`) or path of a SQLite file. Default: the
            variable `TRACKER_STORE`, else `store` in `[tool.tracker]` of the nearest
            pyproject.toml, else a SQLite file in the user's data folder.
        batches: `"all"` records every batch hook; a number N every N-th batch and each
            epoch's last; None records none and overrides no batch hook, which leaves Keras's
            asynchronous dispatch on JAX and torch alone.
        outputs: What to keep of arrays, such as predict's outputs: `"summary"` (shape, dtype,
            min, max, mean), `"full"` (all values), `"none"` (shape and dtype).
        durability: With SQLite, what stored events survive: `"process"`, a killed process;
            `"power"`, a power cut too.

    Raises:
        TrackerError: An argument is wrong, or the driver of the store is not installed. A store
            that cannot be reached is no error: events wait in the journal. But `run` needs it:
            without, `"allow"` begins a new run, and says so.
        RunNotFound, RunExists, RunAlive, RunHidden, RunPurged: `run` cannot be resumed, since
            there is none, or should be none, it is being written, archived, or purged.

    Example:
        >>> callback = TrackerCallback(experiment="digits", params={"width": 32})
        >>> model.fit(x, y, callbacks=[callback])
    """

    def __init__(
        self,
        experiment: str | None = None,
        name: str | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Sequence[str] | Mapping[str, str] | None = None,
        store: str | None = None,
        batches: Literal["all"] | int | None = "all",
        outputs: Outputs = "summary",
        durability: Durability = "process",
        *,
        run: str | int | None = None,
        resume: Resume | None = None,
        group: str | None = None,
    ) -> None:
        super().__init__()
        self._experiment = check_text("experiment", experiment)
        self._name = check_text("name", name)
        self._group = check_text("group", group)
        self._run_params = check_params(params)
        self._tags = check_tags(tags)
        self._store = store_url(store)
        check_url(self._store)
        self._batches = _check_batches(batches)
        self._outputs: Outputs = check_choice("outputs", outputs, ("summary", "full", "none"))
        self._durability: Durability = check_choice("durability", durability, ("process", "power"))
        self._run, self._resume = check_resume(run, resume, name)
        self._forget_run()
        # Asked again when the run begins: much may happen until then.
        found = self._find_run()
        self._name = self._name or (found.name if found else None)

    @property
    def run(self) -> str | None:
        """The run's UUID, once it has begun: a RUN for queries. None before."""
        return self._writer.uuid if self._writer else None

    def close(self) -> None:
        """End the run now. Otherwise it ends with this object or with the process."""
        if self._writer:
            self._writer.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer:
            self._writer.end(error)

    def __getstate__(self) -> dict[str, Any]:
        """A copy has the arguments, and is a run of its own."""
        dropped = {
            "_writer",
            "_record",
            "_sampler",
            "_finalizer",
            "_beginning",
            "_model",
            "params",
            *_BATCH_HOOKS,
        }
        return {key: value for key, value in self.__dict__.items() if key not in dropped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._model = None
        self.params = None
        self._forget_run()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy is a run of its own, and of one group with the original and its other copies."""
        if self._group is None:
            one_of_many = worker()
            self._group = self._name or (one_of_many and one_of_many.group) or readable_name()
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        state = copy.deepcopy(self.__getstate__(), memo)
        # It cannot resume what the original, or another copy, does.
        twin.__setstate__(state | {"_run": None})
        return twin

    def set_model(self, model: Any) -> None:
        """Remember the model; a call is about to begin."""
        super().set_model(model)
        if self._writer:
            self._writer.recorder.announce()

    def on_train_begin(self, logs: Any = None) -> None:
        """Record the hook, and that a fit began."""
        self._begin("train", logs)

    def on_train_end(self, logs: Any = None) -> None:
        """Record the hook, and wait until the store has everything."""
        self._hook("train_end", logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Record the hook."""
        self._hook("epoch_begin", logs, epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the hook."""
        self._hook("epoch_end", logs, epoch)

    def on_test_begin(self, logs: Any = None) -> None:
        """Record the hook; outside of fit's validation an evaluate began."""
        self._begin("test", logs)

    def on_test_end(self, logs: Any = None) -> None:
        """Record the hook; outside of fit's validation, wait until the store has everything."""
        self._hook("test_end", logs)

    def on_predict_begin(self, logs: Any = None) -> None:
        """Record the hook, and that a predict began."""
        self._begin("predict", logs)

    def on_predict_end(self, logs: Any = None) -> None:
        """Record the hook, and wait until the store has everything."""
        self._hook("predict_end", logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Record the hook."""
        try:
            self._record("train_batch_begin", batch, logs)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop training
            self._fail(error)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record the hook."""
        try:
            self._record("train_batch_end", batch, logs)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop training
            self._fail(error)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Record the hook."""
        try:
            self._record("test_batch_begin", batch, logs)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop training
            self._fail(error)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record the hook."""
        try:
            self._record("test_batch_end", batch, logs)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop training
            self._fail(error)

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Record the hook."""
        try:
            self._record("predict_batch_begin", batch, logs)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop training
            self._fail(error)

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record the hook."""
        try:
            self._record("predict_batch_end", batch, logs)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop training
            self._fail(error)

    def _forget_run(self) -> None:
        self._writer: RunWriter | None = None
        self._finalizer: Any = None
        self._sampler: BatchSampler | None = None
        #: What the run began with: calls tell what is different in them.
        self._described: dict[str, Any] = {}
        #: Takes a batch hook: kind, batch, logs.
        self._record: Callable[[str, int, Any], None] = _record_nothing
        #: Two threads may come with the first call at the same time.
        self._beginning = threading.Lock()
        self._warned_bare = False
        self._silent = False
        if self._batches is None:
            # Keras asks each method whether it is the base class's own.
            for hook in _BATCH_HOOKS:
                setattr(self, hook, MethodType(getattr(keras.callbacks.Callback, hook), self))

    def _begin(self, phase: str, logs: Any) -> None:
        if self._silent:
            return
        try:
            self._begin_run()
            writer = self._writer
            if writer is None:
                return
            if writer.recorder.begins_call(phase):
                self._begin_call(writer, phase)
            elif self._sampler:
                self._sampler.restart()  # validation: the last training batch is known now
            writer.recorder.hook(f"{phase}_begin", logs)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop training
            self._fail(error)

    def _begin_run(self) -> None:
        """Begin the run, at the first call and in a forked child."""
        with self._beginning:
            if self._writer is None or self._writer.ended:
                self._begin_new_run()

    def _begin_new_run(self) -> None:
        frame = _keras_frame()
        self._described = describe_model(self._model, compute=not in_child())
        trial = describe_trial(frame.f_locals.get("callbacks")) if frame else {}
        one_of_many = worker()
        found = self._find_run()
        before = found.run if found else None
        rank = one_of_many.rank if one_of_many else None
        name = ranked(self._name, rank) if self._name else readable_name()
        self._writer = RunWriter(
            name=before.name if before else name,
            store=self._store,
            durability=self._durability,
            outputs=self._outputs,
            data={
                "experiment": self._experiment,
                "group": self._group or (one_of_many.group if one_of_many else None),
                "rank": rank,
                "workers": one_of_many.size if one_of_many else None,
                "trial": trial.get("trial"),
                "params": {**trial.get("params", {}), **self._run_params},
                "tags": self._tags,
                "batches": self._batches,
                "outputs": self._outputs,
                "model": self._described,
                "environment": environment(),
            },
            resumed=take_over(before, self._store, self._durability) if before else None,
            replaces=before.writer if before else None,
        )
        # Another run of this object, as in a forked child, is a new one.
        self._run = None
        self._finalizer = weakref.finalize(self, RunWriter.let_go, self._writer)
        if isinstance(self._batches, int):
            self._sampler = BatchSampler(self._batches, self._writer.recorder.batch)
        self._record = self._sampler.batch if self._sampler else self._writer.recorder.batch

    def _find_run(self) -> Resumption | None:
        """What to go on with, if anything was asked for."""
        if self._run is None:
            return None
        one_of_many = worker()
        return resumption(
            self._run,
            self._resume,
            self._store,
            self._durability,
            rank=one_of_many.rank if one_of_many else None,
            experiment=self._experiment,
        )

    def _begin_call(self, writer: RunWriter, phase: str) -> None:
        frame = _keras_frame()
        place = _place(frame)
        data: dict[str, Any] = {"params": dict(self.params or {})}
        if frame:
            method = frame.f_code.co_name
            data |= {
                "method": method,
                **describe_call(
                    frame.f_locals, method, model=self._described, compute=not in_child()
                ),
            }
        with writer.recorder.lock:
            dead = writer.recorder.first_dead(place)
            if dead is not None and writer.recorder.is_idle():
                writer.died(cause_of(dead))
            if writer.recorder.is_idle():
                writer.go_on()
            if self._sampler:
                self._sampler.restart()
            call = writer.recorder.begin_call(phase, place, data)
        callbacks = frame.f_locals.get("callbacks") if frame else None
        if isinstance(callbacks, keras.callbacks.CallbackList):
            writer.watch_call(call, callbacks)

    def _hook(self, kind: str, logs: Any, epoch: int | None = None) -> None:
        writer = self._writer
        if self._silent or writer is None or writer.ended:
            return
        try:
            if self._sampler:
                self._sampler.restart()
            outermost = writer.recorder.hook(kind, logs, epoch)
            if writer.recorder.strays and not self._warned_bare:
                self._warn_bare()
            if outermost:
                writer.flush()
        except Exception as error:  # noqa: BLE001 - a fault of ours must not stop training
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Report a fault of ours, once, and record no more."""
        self._silent = True
        self._record = _record_nothing
        what = error if isinstance(error, TrackerError) else f"a fault of the tracker: {error!r}"
        _log.warning(
            "Recording stops, training goes on: %s",
            what,
            exc_info=None if isinstance(error, TrackerError) else error,
        )

    def _warn_bare(self) -> None:
        self._warned_bare = True
        _log.warning(
            "Keras calls the batch hooks of run %r from several threads, in no certain order, "
            "because the callback was passed bare. Pass a list: callbacks=[callback].",
            self._writer.name if self._writer else None,
        )


#: A run is its callback: `with tracker.run(name="first") as run: model.fit(…, callbacks=[run])`.
#: The exception that leaves the `with` is how the run ended.
run = TrackerCallback


def _record_nothing(kind: str, batch: int, logs: Any) -> None:
    """Before a run, and after a fault of ours."""


def _check_batches(batches: Any) -> Literal["all"] | int | None:
    if batches is None or batches == "all":
        return batches  # type: ignore[no-any-return]
    if isinstance(batches, int) and not isinstance(batches, bool) and batches >= 1:
        return batches
    raise InvalidArgument(
        f"batches must be 'all', None or an integer of at least 1. Received: {batches!r}."
    )


def _keras_frame() -> FrameType | None:
    """The frame of the fit, evaluate or predict of Keras's that is calling us, if any."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way
    while frame:
        if frame.f_code.co_name in _METHODS and "self" in frame.f_locals:
            module = frame.f_globals.get("__name__", "")
            if module.startswith(("keras.", "tf_keras.")):
                return frame
        frame = frame.f_back
    return None


def _place(frame: FrameType | None) -> Place | None:
    if frame is None:
        return None
    calls: list[tuple[object, int]] = [(frame.f_code, 0)]
    step = frame.f_back
    while step:
        calls.append((step.f_code, step.f_lineno))
        step = step.f_back
    return tuple(reversed(calls))
