"""Columns → where each event stands, and which of them count: as `tracker.steps`, and faster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.event import HOOKS, Record
from tracker.logs import decode
from tracker.projections import identities
from tracker.steps import planned_steps

if TYPE_CHECKING:  # pyarrow takes a while to load
    import pyarrow as pa

    from tracker.columns import Columns

#: Stands for what an event does not have: no call, epoch or batch has this number.
NONE = -(2**63)

#: Fields of `Columns` that are needed, and kinds of the records that are.
_NUMBERS = ("attempt", "call", "epoch", "batch")
FIELDS = ("kind", *_NUMBERS)
COARSE = ("call_began", "epoch_end")

_Call = tuple[int, int | None]
_Any = TypeVar("_Any", bound=np.generic)


@dataclass(frozen=True)
class Places:
    """Some events of a run in the order of their seq: of training's batches and epochs all."""

    #: Where each is among those of all pieces.
    row: NDArray[np.intp]
    #: Which of `kinds` each is of.
    kind: NDArray[np.int16]
    kinds: Sequence[str]
    #: Each a number or `NONE`.
    attempt: NDArray[np.int64]
    call: NDArray[np.int64]
    epoch: NDArray[np.int64]
    batch: NDArray[np.int64]
    #: The run's `call_began` and `epoch_end`.
    coarse: Sequence[Record]

    def of_kinds(self, kinds: Collection[str]) -> NDArray[np.bool_]:
        """Which events are of one of these kinds."""
        return np.array([one in kinds for one in self.kinds], bool)[self.kind]

    @cached_property
    def resumed(self) -> bool:
        """Whether there are several attempts."""
        return bool(len(self.attempt)) and int(self.attempt[-1]) > 1

    @cached_property
    def stretch(self) -> NDArray[np.intp]:
        """The number of each one's epoch of a call, in the order in which they first came.

        It is the same one in each attempt that ran it.
        """
        call = self.call
        if self.resumed:
            same = identities(self.coarse)
            numbers: dict[Any, int] = {}
            call = self._by_call(
                lambda one: numbers.setdefault(same.get(one, one[1]), len(numbers))
            )
        starts = _starts(call, self.epoch)
        keys = pd.DataFrame({"call": call[starts], "epoch": self.epoch[starts]})
        number = keys.groupby(["call", "epoch"], sort=False).ngroup()
        return _lasting(np.asarray(number, np.intp), starts, len(call))

    @cached_property
    def counts(self) -> NDArray[np.bool_]:
        """Which are not superseded: see `tracker.projections.winners`."""
        if not self.resumed:
            return np.ones(len(self.row), bool)
        keys = pd.DataFrame({"stretch": self.stretch, "batch": self.batch, "kind": self.kind})
        attempt = pd.Series(self.attempt)
        latest = attempt.groupby([keys[name] for name in keys], sort=False).transform("max")
        ended = np.zeros(self.stretch.max() + 1, np.int64)
        ends = self.of_kinds(["epoch_end"])
        np.maximum.at(ended, self.stretch[ends], self.attempt[ends])
        last: NDArray[np.int64] = latest.to_numpy(np.int64)
        last = np.where(self.epoch == NONE, last, np.maximum(last, ended[self.stretch]))
        return np.equal(last, self.attempt)

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Those that count in the order of a curve: see `tracker.steps.in_order`."""
        kept = np.flatnonzero(self.counts)
        if not self.resumed:
            return kept
        stretch, attempt = self.stretch[kept], self.attempt[kept]
        least = np.full(self.stretch.max() + 1, np.iinfo(np.int64).max)
        most = np.zeros(self.stretch.max() + 1, np.int64)
        np.minimum.at(least, stretch, attempt)
        np.maximum.at(most, stretch, attempt)
        hooks = np.array([HOOKS.index(one) if one in HOOKS else -1 for one in self.kinds])
        hook = np.where((least < most)[stretch], hooks[self.kind[kept]], -1)
        batch = np.where(hook < 0, 0, np.where(self.batch == NONE, -1, self.batch)[kept])
        return kept[np.lexsort((batch, hook, stretch))]

    @cached_property
    def step(self) -> NDArray[np.float64]:
        """The training batches since the run began; NaN where unknown."""
        trained = self.of_kinds(["train_batch_end"])
        ended = self.of_kinds(["epoch_end"])
        counted = np.flatnonzero(trained | ended)
        if not len(counted):
            return np.zeros(len(trained))
        number, _ = pd.factorize(self.stretch[counted])
        batch = self.batch[counted]
        inside = np.where(trained[counted] & (batch != NONE), batch + 1.0, np.nan)
        sizes = self._sizes(counted, number, inside)
        before = np.concatenate(([0.0], np.cumsum(sizes)[:-1]))
        step = before[number] + np.where(np.isnan(inside), sizes[number], inside)
        # What others come to stands where the last one did; at the beginning none was.
        starts = np.concatenate(([0], counted))
        return _lasting(np.concatenate(([0.0], step)), starts, len(trained))

    def _sizes(
        self, counted: NDArray[np.intp], number: NDArray[np.intp], inside: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Training batches of each epoch, NaN where unknown."""
        sizes = np.full(number.max() + 1, np.nan)
        kept = self.counts[counted]
        np.fmax.at(sizes, number[kept], inside[kept])
        first = np.full(len(sizes), len(number))
        batches = np.flatnonzero(kept & ~np.isnan(inside))
        np.minimum.at(first, number[batches], batches)
        planned = planned_steps(self.coarse)
        # Where batches were not recorded, the plan tells how many there were.
        for place in np.flatnonzero(kept & np.isnan(inside)):
            if place < first[number[place]]:
                own = counted[place]
                known = planned.get((int(self.attempt[own]), _number(self.call[own])))
                if known is not None:
                    sizes[number[place]] = np.fmax(sizes[number[place]], known)
        return sizes

    @cached_property
    def evaluates(self) -> NDArray[np.bool_]:
        """Which are of an evaluate of its own."""
        phases = {
            (one.attempt, one.call): decode(one.logs).get("phase")
            for one in self.coarse
            if one.kind == "call_began"
        }
        found = self._by_call(lambda one: phases.get(one) == "test")
        return found.astype(bool)

    def _by_call(self, value: Callable[[_Call], int]) -> NDArray[np.int64]:
        """For each event what a function says of its attempt and call."""
        starts = _starts(self.attempt, self.call)
        pairs = zip(self.attempt[starts].tolist(), self.call[starts].tolist(), strict=True)
        found = [value((attempt, _number(call))) for attempt, call in pairs]
        return _lasting(np.array(found, np.int64), starts, len(self.call))


def places_of(
    pieces: Sequence[Columns], coarse: Sequence[Record], kinds: Collection[str]
) -> Places:
    """Where events of these kinds stand, and of those that make steps.

    Args:
        pieces: All events of a run.
        coarse: Its `call_began` and `epoch_end`.
        kinds: The kinds.
    """
    needed = {"call_began", "train_batch_end", "epoch_end", *kinds}
    known: dict[str, int] = {}
    codes = []
    for piece in pieces:
        kind = piece.fields["kind"]
        own = [known.setdefault(one, len(known)) for one in kind.dictionary.to_pylist()]
        codes.append(np.array(own, np.int16)[kind.indices.to_numpy()])
    kind = np.concatenate(codes) if codes else np.empty(0, np.int16)
    row = np.flatnonzero(np.array([one in needed for one in known], bool)[kind])
    fields = {name: whole([piece.fields[name] for piece in pieces])[row] for name in _NUMBERS}
    return Places(row=row, kind=kind[row], kinds=list(known), coarse=coarse, **fields)


def whole(arrays: Sequence[pa.Array]) -> NDArray[np.int64]:
    """Integers of several pieces, `NONE` where one is missing."""
    import pyarrow as pa

    found = pa.chunked_array(arrays, arrays[0].type if arrays else "int64").cast("int64")
    numbers = found.fill_null(NONE) if found.null_count else found
    return np.asarray(numbers.to_numpy(), np.int64)


def _number(value: Any) -> int | None:
    return None if value == NONE else int(value)


def _starts(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """Where rows begin that are not as the one before."""
    changed = np.zeros(len(columns[0]), bool)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)


def _lasting(values: NDArray[_Any], starts: NDArray[np.intp], length: int) -> NDArray[_Any]:
    """Each value from its start to the next one's."""
    return np.repeat(values, np.diff(np.append(starts, length)))
