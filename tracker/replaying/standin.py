"""What a replayed callback gets in place of the model, and what it does to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tracker.errors import ModelNeeded


class Act(NamedTuple):
    """Something that a callback did to the model."""

    #: The event in whose hook it was.
    seq: int
    epoch: int | None
    batch: int | None
    #: `stop_training`, `learning_rate`, `get_weights`, `set_weights`, `save`, `save_weights`,
    #: `set_attribute`.
    act: str
    #: The learning rate, the path, the epoch that weights are of, or what was set.
    detail: Any = None


class Weights(NamedTuple):
    """Stands for the weights that the model had in the hook of an event."""

    epoch: int | None
    seq: int


#: What may be set on the model without changing the training.
_OURS = frozenset({"stop_training", "_stop_training", "history"})


class StandIn:
    """A model without weights, which notes what is done to it.

    Args:
        metrics: What `model.metrics` is to be: callbacks look there for a metric's direction.
        optimizer: Stands for its optimizer.
        note: Takes the name of an act, and its detail.
        now: Tells the weights of this moment.
    """

    built = True
    # TensorBoard looks at it, and needs none.
    train_function = None
    _stop_training = False

    def __init__(
        self,
        metrics: Sequence[Any],
        optimizer: Any,
        note: Callable[[str, Any], None],
        now: Callable[[], Weights],
    ) -> None:
        self.metrics: Any
        self.optimizer: Any
        # Not by attribute: what is set on the model counts as an act.
        vars(self).update(metrics=list(metrics), optimizer=optimizer, _note=note, _now=now)
        self.history: Any = None

    @property
    def stop_training(self) -> bool:
        """Whether the fit is to end."""
        return self._stop_training

    @stop_training.setter
    def stop_training(self, value: bool) -> None:
        if value and not self._stop_training:
            self._note("stop_training", None)
        self._stop_training = bool(value)

    def get_weights(self) -> list[Weights]:
        """Stands for the weights of now."""
        self._note("get_weights", None)
        return [self._now()]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Note which weights are put back."""
        first = weights[0] if len(weights) else None
        self._note("set_weights", first.epoch if isinstance(first, Weights) else None)

    def save(self, filepath: Any, *_arguments: Any, **_more: Any) -> None:
        """Note that the model would be saved; no file is made."""
        self._note("save", str(filepath))

    def save_weights(self, filepath: Any, *_arguments: Any, **_more: Any) -> None:
        """Note that its weights would be saved; no file is made."""
        self._note("save_weights", str(filepath))

    def __getattr__(self, name: str) -> Any:
        raise ModelNeeded(needed(f"model.{name}"))

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name not in _OURS:
            self._note("set_attribute", f"model.{name}")


def needed(attribute: str) -> str:
    """What to say of a callback that asks for more than a replay has."""
    return (
        f"The callback needs {attribute} of the real model, which a replay does not have: it has "
        "the hooks and what they logged."
    )
