"""What a callback would have done to a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd

from tracker.legibility import printable
from tracker.replaying.standin import Act

_ACT_TYPES = {
    "seq": "Int64",
    "epoch": "Int64",
    "batch": "Int64",
    "act": "string",
    "detail": "object",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What callbacks would have done to one fit of a run; `str` tells it in words."""

    run: str
    call: int
    #: The classes of the callbacks.
    callbacks: Sequence[str]
    #: Whether they would have ended the fit, and in the hook of which event.
    stopped: bool
    seq: int | None
    epoch: int | None
    batch: int | None
    #: Epochs that ended in the run, and until the stop.
    epochs: int
    epochs_then: int
    #: Of the run's fit, from the stop to its end; None: it would not have been stopped.
    saved_seconds: float | None
    #: What the first of the callbacks with a `monitor` watched: its value in the last epoch until
    #: the stop, the best one of the whole fit, and that one's epoch.
    monitor: str | None
    value: float | None
    best: float | None
    best_epoch: int | None
    #: The epoch whose weights were put back, if any were.
    restored_epoch: int | None
    #: All that was done to the model, in order.
    acts: Sequence[Act]
    #: The seq after which the stored values are not what a training with these callbacks had
    #: logged: they changed it. None: what is said is exact.
    exact_until: int | None
    #: Why hooks of batches, which a callback looks at, are missing from the run (`batches=5`,
    #: `pruned`); None: none are, or no callback does. Else what is said may not be so.
    unseen: str | None = None
    #: Epochs that the fit was to have, where it ended before them, or has not ended; else None.
    planned: int | None = None
    #: How the fit ended: `finished`; `died`, or what the run was then (`failed`, `interrupted`,
    #: `crashed`); `running` or `lost`. None: not known.
    ending: str | None = None
    #: The learning rate that was assumed where a callback asked for one that the run does not
    #: tell: it logs none, and callbacks of it may have changed it. None: no callback asked.
    assumed_rate: float | None = None

    @property
    def exact(self) -> bool:
        """Whether a training with these callbacks had done just this."""
        return self.exact_until is None and self.unseen is None and self.assumed_rate is None

    @property
    def saved_epochs(self) -> int:
        """How many epochs would not have been run."""
        return self.epochs - self.epochs_then if self.stopped else 0

    def to_frame(self) -> pd.DataFrame:
        """The acts: `seq`, `epoch`, `batch`, `act`, `detail`."""
        columns = list(zip(*self.acts, strict=True)) or [()] * len(_ACT_TYPES)
        return pd.DataFrame(
            {
                name: pd.Series(list(values), dtype=dtype)
                for (name, dtype), values in zip(_ACT_TYPES.items(), columns, strict=True)
            }
        )

    def __str__(self) -> str:
        names = ", ".join(self.callbacks)
        if not self.stopped:
            parts = [f"{names} would not have stopped {self.run}: {_epochs(self.epochs)}."]
        else:
            where = "" if self.batch is None else f", in batch {self.batch}"
            parts = [
                f"{names} would have stopped {self.run} at epoch {self.epoch}{where}: after "
                f"{self.epochs_then} of {_epochs(self.epochs)}, {_epochs(self.saved_epochs)} "
                f"({_duration(self.saved_seconds or 0)}) saved."
            ]
        if self.monitor is not None and self.value is not None and self.best is not None:
            parts.append(
                f"{self.monitor} {self.value:.6g} there against {self.best:.6g} best, in epoch "
                f"{self.best_epoch}."
            )
        if self.restored_epoch is not None:
            parts.append(f"The weights of epoch {self.restored_epoch} would have been put back.")
        rates = [one for one in self.acts if one.act == "learning_rate"]
        if rates:
            parts.append(
                f"It would have set the learning rate to {rates[0].detail:.6g}{_at(rates[0])}."
            )
        paths = [one for one in self.acts if one.act in ("save", "save_weights")]
        if paths:
            files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
            parts.append(f"It would have saved {files}, the last one{_at(paths[-1])}.")
        attributes: dict[str, Act] = {}
        for one in self.acts:
            if one.act == "set_attribute":
                attributes.setdefault(one.detail, one)
        parts += [f"It would have set {name}{_at(one)}." for name, one in attributes.items()]
        if self.planned is not None:
            parts.append(self._end())
        if self.assumed_rate is not None:
            parts.append(
                "This may not be exact: the run does not tell the learning rate that a callback "
                f"asked for, and {self.assumed_rate:.6g} was assumed. It is not logged, and other "
                "callbacks may have changed it."
            )
        if self.exact_until is not None:
            parts.append(
                f"What follows event {self.exact_until} is not exact: the values are those of the "
                "training as it was, without that change."
            )
        if self.unseen is not None:
            parts.append(
                f"This may not be exact: a callback looks at batches, of which the run does not "
                f"have all ({self.unseen})."
            )
        return printable(" ".join(parts))

    def _end(self) -> str:
        """That the fit has not had all of its epochs."""
        had = f"{self.epochs} of {_epochs(self.planned or 0)} that were planned"
        if self.ending == "running":
            return f"The run is still going on: it has had {had}."
        how = "" if self.ending in ("finished", None) else f" ({self.ending})"
        return f"The run itself ended after {had}{how}: what would have come then is not known."

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self))}</p>{self.to_frame().to_html(index=False)}"


def _at(act: Act) -> str:
    return "" if act.epoch is None else f" in epoch {act.epoch}"


def _epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number} epochs"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
