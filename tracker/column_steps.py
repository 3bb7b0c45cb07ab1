"""Columns → where each event stands: what `tracker.steps` says of records, and faster."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

if TYPE_CHECKING:  # pyarrow takes a while to load
    import pyarrow as pa

    from tracker.columns import Columns

#: Stands for what an event does not have: no call, epoch or batch has this number.
NONE = -(2**63)

#: Fields of `Columns` that are needed.
FIELDS = ("kind", "call", "epoch", "batch")


@dataclass(frozen=True, slots=True)
class Places:
    """Kinds and places of events, in the order of their seq."""

    #: Which of `kinds` each is of.
    kind: NDArray[np.intp]
    kinds: Sequence[str]
    #: Each a number or `NONE`.
    call: NDArray[np.int64]
    epoch: NDArray[np.int64]
    batch: NDArray[np.int64]

    def of_kinds(self, kinds: Collection[str]) -> NDArray[np.bool_]:
        """Which events are of one of these kinds."""
        mask = np.zeros(len(self.kind), bool)
        for place, kind in enumerate(self.kinds):
            if kind in kinds:
                mask |= self.kind == place
        return mask


def places_of(pieces: Sequence[Columns]) -> Places:
    """Where the events of these pieces stand."""
    kinds: dict[str, int] = {}
    codes = []
    for piece in pieces:
        kind = piece.fields["kind"]
        own = [kinds.setdefault(one, len(kinds)) for one in kind.dictionary.to_pylist()]
        codes.append(np.array(own, np.intp)[kind.indices.to_numpy()])
    call, epoch, batch = (
        whole([piece.fields[name] for piece in pieces]) for name in ("call", "epoch", "batch")
    )
    kind = np.concatenate(codes) if codes else np.empty(0, np.intp)
    return Places(kind, list(kinds), call, epoch, batch)


def whole(arrays: Sequence[pa.Array]) -> NDArray[np.int64]:
    """Integers of several pieces, `NONE` where one is missing."""
    found = [array.cast("int64").fill_null(NONE).to_numpy() for array in arrays]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def steps_at(places: Places, planned: Mapping[tuple[int, int | None], int]) -> NDArray[np.float64]:
    """For each event the training batches since the run began; NaN where unknown.

    Args:
        places: The events of a run that was never resumed: `train_batch_end` and `epoch_end` at
            least.
        planned: See `tracker.steps.planned_steps`.
    """
    trained = places.of_kinds(["train_batch_end"])
    counted = np.flatnonzero(trained | places.of_kinds(["epoch_end"]))
    if not len(counted):
        return np.zeros(len(trained))
    call, epoch, batch = places.call[counted], places.epoch[counted], places.batch[counted]
    inside = np.where(trained[counted] & (batch != NONE), batch + 1.0, np.nan)
    changed = (np.diff(call) != 0) | (np.diff(epoch) != 0)
    starts = np.concatenate(([0], np.flatnonzero(changed) + 1))
    stretches = pd.DataFrame(
        {"call": call[starts], "epoch": epoch[starts], "size": np.fmax.reduceat(inside, starts)}
    )
    epochs = stretches.groupby(["call", "epoch"], sort=False)
    number = epochs.ngroup().to_numpy()
    sizes = epochs["size"].max().to_numpy(copy=True)
    calls = epochs["call"].first().to_numpy()
    for place in np.flatnonzero(~(sizes > 0)):  # batches were not recorded
        known = planned.get((1, None if calls[place] == NONE else int(calls[place])))
        sizes[place] = np.nan if known is None else known
    before = np.concatenate(([0.0], np.cumsum(sizes)[:-1]))
    number = np.repeat(number, np.diff(np.append(starts, len(counted))))
    step = before[number] + np.where(np.isnan(inside), sizes[number], inside)
    # What others come to stands where the last one did; at the beginning none was.
    lasting = np.diff(np.concatenate(([0], counted, [len(trained)])))
    return np.repeat(np.concatenate(([0.0], step)), lasting)
