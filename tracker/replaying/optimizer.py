"""What a replayed callback gets in place of the model's optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np

from tracker.errors import InvalidArgument, ModelNeeded
from tracker.event import Record
from tracker.logs import decode
from tracker.replaying.standin import needed

#: What callbacks that set learning rates log them as, and nobody else.
RATE = "learning_rate"


class StepCount:
    """How many steps the optimizer took, told from the hooks.

    Args:
        planned: Batches of an epoch, where Keras knew them.
        before: Steps that were taken before the first hook.
    """

    def __init__(self, planned: int | None, before: int = 0) -> None:
        self.taken = before
        self._planned = planned or None
        self._epoch_began = before
        self._counted = False

    def advance(self, record: Record) -> None:
        """Count what the model has done when Keras calls this hook."""
        if record.kind == "epoch_begin":
            self._epoch_began, self._counted = self.taken, False
        elif record.kind == "train_batch_end" and record.batch is not None:
            # With several steps an execution the last index may lie behind the last batch.
            inside = min(record.batch + 1, self._planned or record.batch + 1)
            self.taken, self._counted = self._epoch_began + inside, True
        elif record.kind in {"test_begin", "epoch_end"} and not self._counted and self._planned:
            # The batches were not recorded.
            self.taken, self._counted = self._epoch_began + self._planned, True


class Rate(float):
    """A learning rate that can be set as Keras's variable can, and tells the one of now."""

    #: As Keras's variable: its operations ask.
    dtype = "float32"
    shape = ()
    _optimizer: StandInOptimizer

    def __new__(cls, optimizer: StandInOptimizer) -> Self:
        """The rate that an optimizer has."""
        made = super().__new__(cls, optimizer.rate())
        made._optimizer = optimizer
        return made

    def assign(self, value: Any) -> Rate:
        """Set it."""
        self._optimizer.learning_rate = value
        return Rate(self._optimizer)

    def assign_add(self, value: Any) -> Rate:
        """Add to it."""
        return self.assign(float(self) + float(value))

    def assign_sub(self, value: Any) -> Rate:
        """Take from it."""
        return self.assign(float(self) - float(value))

    def numpy(self) -> Any:
        """As NumPy's single, which Keras's variable has."""
        return np.float32(float(self))

    def __float__(self) -> float:
        return self._optimizer.rate()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy is a number."""
        return float, (float(self),)


class Steps(int):
    """A number of steps, which NumPy can have as well."""

    dtype = "int64"
    shape = ()

    def numpy(self) -> Any:
        """As Keras's variable gives it."""
        return np.int64(self)


class StandInOptimizer:
    """A learning rate and a number of steps.

    The rate is the one that the run began with, then what callbacks of the run logged as
    `learning_rate`, or what the replayed callback sets.

    Args:
        described: What the run tells of the optimizer: its class and configuration.
        logged: Learning rates that the run logged, by epoch.
        count: Counts its steps.
        began: The rate when this fit began, where that is known.
        note: Takes the name of an act, and its detail.
        steady: Whether nothing in the run changes the rate but what logs it.
        assume: Takes a rate that is asked for where the run does not tell it.
    """

    def __init__(
        self,
        described: Mapping[str, Any],
        logged: Mapping[int | None, float],
        count: StepCount,
        began: float | None,
        note: Callable[[str, Any], None],
        *,
        steady: bool,
        assume: Callable[[float], None],
    ) -> None:
        inner = described.get("inner_optimizer")  # a LossScaleOptimizer's
        if isinstance(inner, Mapping):
            described = inner.get("config") or {}
        rate = _rate(described.get(RATE))
        if isinstance(began, int | float) and not callable(rate):
            rate = float(began)  # earlier fits may have changed it
        # Not by attribute: what is set on the optimizer counts as an act.
        vars(self).update(
            _rate=rate,
            _accumulated=described.get("gradient_accumulation_steps") or 1,
            _logged=dict(logged),
            _count=count,
            _note=note,
            _steady=steady or callable(rate),
            _told=steady or callable(rate),
            _assume=assume,
        )

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Keras's, if the rate is known: TensorBoard asks for one only of those."""
        if self._rate is None:
            return StandInOptimizer
        from keras.optimizers import Optimizer

        return Optimizer  # type: ignore[no-any-return]

    def advance(self, record: Record) -> None:
        """Be as it was when Keras called this hook."""
        self._count.advance(record)
        if record.kind == "epoch_begin":
            known = record.epoch in self._logged
            vars(self).update(_told=self._steady or known)
            if known:
                vars(self).update(_rate=self._logged[record.epoch])

    @property
    def iterations(self) -> Steps:
        """How often the weights were changed until now."""
        return Steps(self._count.taken // self._accumulated)

    @iterations.setter
    def iterations(self, _value: Any) -> None:
        self._note("set_attribute", "model.optimizer.iterations")

    @property
    def learning_rate(self) -> Rate:
        """The one of now."""
        return Rate(self)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(self._rate):
            raise InvalidArgument(
                "The run's optimizer has a schedule of learning rates: Keras lets no callback set "
                "another."
            )
        # From now on it is the callback's, whatever the run logged.
        vars(self).update(_rate=float(value), _logged={}, _steady=True, _told=True)
        self._note(RATE, self._rate)

    def rate(self) -> float:
        """The learning rate of now, as a number."""
        if self._rate is None:
            raise ModelNeeded(_UNKNOWN)
        if not self._told:
            self._assume(self._rate)
        return float(self._rate(self._count.taken) if callable(self._rate) else self._rate)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name not in ("learning_rate", "iterations"):
            self._note("set_attribute", f"model.optimizer.{name}")

    def __getattr__(self, name: str) -> Any:
        if name == RATE:  # the property's own error brings Python here
            raise ModelNeeded(_UNKNOWN)
        raise ModelNeeded(needed(f"model.optimizer.{name}"))


def logged_rates(hooks: Iterable[Record]) -> dict[int | None, float]:
    """The learning rates that a fit logged, by epoch."""
    found = {}
    for one in hooks:
        if one.kind == "epoch_end" and RATE in one.logs:
            value = decode(one.logs).get(RATE)
            if isinstance(value, int | float):
                found[one.epoch] = float(value)
    return found


def _rate(described: Any) -> float | Callable[[int], float] | None:
    """A number or one of Keras's schedules; None where it is neither, or the user's own."""
    if isinstance(described, int | float):
        return float(described)
    if not isinstance(described, Mapping):
        return None
    from keras import ops
    from keras.optimizers import schedules

    made = getattr(schedules, str(described.get("class_name")), None)
    if described.get("module") != "keras.optimizers.schedules" or not isinstance(made, type):
        return None
    try:
        schedule = made(**(described.get("config") or {}))
    except (TypeError, ValueError):  # another version's
        return None
    return lambda step: float(ops.convert_to_numpy(schedule(step)))


_UNKNOWN = "The callback asks for the learning rate, which this run does not tell."
