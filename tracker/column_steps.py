"""Columns → where each event stands, and which of them count: as `tracker.steps`, and faster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tracker.column_spans import NONE, SPANS, whole
from tracker.event import HOOKS, Record
from tracker.logs import decode
from tracker.projections import identities
from tracker.steps import planned_steps

if TYPE_CHECKING:  # pyarrow takes a while to load
    from tracker.columns import Columns

#: Fields of `Columns` that are needed, and kinds of the records that are.
FIELDS = ("kind", "batch", SPANS)
COARSE = ("call_began", "epoch_end")

_Call = tuple[int, int | None]
_Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Events:
    """Some events in the order of their seq, in spans of one attempt, call and epoch.

    These are of spans, which are few, and not of events: of a million batches they would take
    longer to touch than to work out.
    """

    #: Which of `kinds` each event is of, and its batch or `NONE`.
    kind: NDArray[np.int16]
    kinds: Sequence[str]
    batch: _Numbers
    #: Where spans begin, and their attempt, call and epoch, or `NONE`.
    starts: NDArray[np.intp]
    attempt: _Numbers
    call: _Numbers
    epoch: _Numbers

    def of_kinds(self, kinds: Collection[str]) -> NDArray[np.bool_]:
        """Which events are of one of these kinds."""
        return _of_kinds(self.kind, self.kinds, kinds)


@dataclass(frozen=True, kw_only=True)
class Standing(_Events):
    """What tells where some events of a piece stand."""

    #: Events of the piece, and which of them these are.
    count: int
    row: NDArray[np.int32]


def standing_of(piece: Columns, kinds: Collection[str]) -> Standing:
    """Where events of these kinds stand, and those that make steps.

    Args:
        piece: Events of a run, with `FIELDS`.
        kinds: The kinds.
    """
    needed = {"call_began", "train_batch_end", "epoch_end", *kinds}
    kind = piece.fields["kind"]
    known = kind.dictionary.to_pylist()
    code = kind.indices.to_numpy()
    row = np.flatnonzero(_of_kinds(code, known, needed))
    spans = piece.spans()
    # Those that begin with others than these events begin with the next of these.
    starts, last = np.searchsorted(row, spans.starts), np.zeros(len(spans), bool)
    last[:-1] = starts[:-1] < starts[1:]
    last[-1:] = starts[-1:] < len(row)
    return Standing(
        count=len(piece),
        row=row.astype(np.int32),
        kind=code[row].astype(np.int16),
        kinds=known,
        batch=whole(piece.fields["batch"])[row],
        starts=starts[last],
        attempt=spans.attempt[last],
        call=spans.call[last],
        epoch=spans.epoch[last],
    )


def places_of(standings: Sequence[Standing], coarse: Sequence[Record]) -> Places:
    """What several pieces tell together.

    Args:
        standings: Of all pieces of a run, in their order.
        coarse: Its `call_began` and `epoch_end`.
    """
    known: dict[str, int] = {}
    kinds = []
    for one in standings:
        codes = [known.setdefault(name, len(known)) for name in one.kinds]
        kinds.append(np.array(codes, np.int16)[one.kind])
    lengths = [len(one.row) for one in standings]
    begins = np.cumsum([0, *lengths])
    return Places(
        standings=standings,
        kind=_joined(kinds, np.int16),
        kinds=list(known),
        batch=_joined([one.batch for one in standings]),
        starts=_joined(
            [one.starts + begin for one, begin in zip(standings, begins, strict=False)], np.intp
        ),
        attempt=_joined([one.attempt for one in standings]),
        call=_joined([one.call for one in standings]),
        epoch=_joined([one.epoch for one in standings]),
        coarse=coarse,
    )


@dataclass(frozen=True, kw_only=True)
class Places(_Events):
    """Some events of a run: of training's batches and epochs all."""

    standings: Sequence[Standing]
    #: The run's `call_began` and `epoch_end`.
    coarse: Sequence[Record]

    def __len__(self) -> int:
        return len(self.batch)

    def each(self, spans: NDArray[Any], chosen: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """For each event what is said of its span.

        Args:
            spans: What is said.
            chosen: Of which events; None: of all.
        """
        if chosen is None:
            return np.repeat(spans, np.diff(np.append(self.starts, len(self))))
        if not len(chosen):
            return spans[:0]
        return np.repeat(spans, np.add.reduceat(chosen, self.starts, dtype=np.intp))

    @cached_property
    def row(self) -> NDArray[np.intp]:
        """Where each is among those of all pieces."""
        begins = np.cumsum([0, *(one.count for one in self.standings)])
        rows = [one.row + begin for one, begin in zip(self.standings, begins, strict=False)]
        return _joined(rows, np.intp)

    @cached_property
    def resumed(self) -> bool:
        """Whether there are several attempts."""
        return bool(len(self.attempt)) and int(self.attempt[-1]) > 1

    @cached_property
    def stretch(self) -> NDArray[np.intp]:
        """The number of each span's epoch of a call, in the order in which they first came.

        It is the same one in each attempt that ran it.
        """
        call = self.call
        if self.resumed:
            same = identities(self.coarse)
            numbers: dict[Any, int] = {}
            call = self._by_call(
                lambda one: numbers.setdefault(same.get(one, one[1]), len(numbers))
            )
        keys = pd.DataFrame({"call": call, "epoch": self.epoch})
        return np.asarray(keys.groupby(["call", "epoch"], sort=False).ngroup(), np.intp)

    @cached_property
    def counts(self) -> NDArray[np.bool_]:
        """Which are not superseded: see `tracker.projections.winners`."""
        if not self.resumed:
            return np.ones(len(self), bool)
        stretch, own = self.each(self.stretch), self.each(self.attempt)
        keys = pd.DataFrame({"stretch": stretch, "batch": self.batch, "kind": self.kind})
        latest = pd.Series(own).groupby([keys[name] for name in keys], sort=False).transform("max")
        ended = np.zeros(self.stretch.max() + 1, np.int64)
        ends = self.of_kinds(["epoch_end"])
        np.maximum.at(ended, stretch[ends], own[ends])
        last: _Numbers = latest.to_numpy(np.int64)
        last = np.where(self.each(self.epoch == NONE), last, np.maximum(last, ended[stretch]))
        counting: NDArray[np.bool_] = last == own
        return counting

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Where those are that count, as a curve has them: see `tracker.steps.in_order`."""
        kept = np.flatnonzero(self.counts)
        stretch, attempt = self.each(self.stretch)[kept], self.each(self.attempt)[kept]
        least = np.full(self.stretch.max() + 1, np.iinfo(np.int64).max)
        most = np.zeros(self.stretch.max() + 1, np.int64)
        np.minimum.at(least, stretch, attempt)
        np.maximum.at(most, stretch, attempt)
        hooks = np.array([HOOKS.index(one) if one in HOOKS else -1 for one in self.kinds])
        hook = np.where((least < most)[stretch], hooks[self.kind[kept]], -1)
        batch = np.where(hook < 0, 0, np.where(self.batch == NONE, -1, self.batch)[kept])
        order: NDArray[np.intp] = kept[np.lexsort((batch, hook, stretch))]
        return order

    def step(self, chosen: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """The training batches since the run began; NaN where unknown.

        Args:
            chosen: Of which events; None: of all.
        """
        chosen = np.ones(len(self), bool) if chosen is None else chosen
        batches = self.of_kinds(["train_batch_end"])
        numbered = batches & (self.batch != NONE)
        counted = batches | self.of_kinds(["epoch_end"])
        if not counted.any():
            return np.zeros(np.count_nonzero(chosen))
        there = np.logical_or.reduceat(counted, self.starts)
        number = np.full(len(self.starts), -1)
        number[there], _ = pd.factorize(self.stretch[there])
        sizes = self._sizes(number, numbered, counted)
        before = np.concatenate(([0.0], np.cumsum(sizes)[:-1]))

        def of_ends(ends: NDArray[np.intp]) -> NDArray[np.float64]:
            own = number[self.span(ends)]
            after: NDArray[np.float64] = before[own] + sizes[own]
            return np.where(numbered[ends], before[own] + self.batch[ends] + 1, after)

        step: NDArray[np.float64] = self.each(before[number], chosen)
        step += self.batch[chosen]
        step += 1
        others = np.flatnonzero(chosen & ~numbered)
        if len(others):
            # What others come to stands where the last one did; at the beginning none was.
            ends = np.flatnonzero(counted)
            last = np.searchsorted(ends, others, "right") - 1
            step[~numbered[chosen]] = np.where(last < 0, 0.0, of_ends(ends[last]))
        return step

    def _sizes(
        self, number: NDArray[np.intp], numbered: NDArray[np.bool_], counted: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Training batches of each epoch, NaN where unknown.

        Args:
            number: The epoch that each span is of.
            numbered: Which events tell how many there were.
            counted: These, and the ends of epochs.
        """
        if self.resumed:
            numbered, counted = numbered & self.counts, counted & self.counts
        sizes = np.full(number.max() + 1, np.nan)
        there = np.logical_or.reduceat(numbered, self.starts)
        own, spans = number[there], np.flatnonzero(there)
        # A copy only where batches of others are among them.
        alone = not np.any((self.batch != NONE) & ~numbered)
        batch = self.batch if alone else np.where(numbered, self.batch, NONE)
        most = np.maximum.reduceat(batch, self.starts)[there]
        np.fmax.at(sizes, own, most + 1.0)
        first = np.full(len(sizes), len(self.starts))
        np.minimum.at(first, own, spans)
        planned = planned_steps(self.coarse)
        # Where batches were not recorded, the plan tells how many there were.
        ends = np.flatnonzero(counted & ~numbered)
        for place, span in zip(ends.tolist(), self.span(ends).tolist(), strict=True):
            begin = first[number[span]]
            if span < begin or (span == begin and not numbered[self.starts[span] : place].any()):
                known = planned.get((int(self.attempt[span]), _number(self.call[span])))
                if known is not None:
                    sizes[number[span]] = np.fmax(sizes[number[span]], known)
        return sizes

    def span(self, places: NDArray[np.intp]) -> NDArray[np.intp]:
        """Which span each of these events is of."""
        return np.searchsorted(self.starts, places, "right") - 1

    @cached_property
    def evaluates(self) -> NDArray[np.bool_]:
        """Which spans are of an evaluate of its own."""
        phases = {
            (one.attempt, one.call): decode(one.logs).get("phase")
            for one in self.coarse
            if one.kind == "call_began"
        }
        return self._by_call(lambda one: phases.get(one) == "test").astype(bool)

    def _by_call(self, value: Callable[[_Call], int]) -> _Numbers:
        """For each span what a function says of its attempt and call."""
        pairs = zip(self.attempt.tolist(), self.call.tolist(), strict=True)
        found = [value((attempt, _number(call))) for attempt, call in pairs]
        return np.array(found, np.int64)


def _of_kinds(
    kind: NDArray[Any], known: Sequence[str], kinds: Collection[str]
) -> NDArray[np.bool_]:
    found = np.zeros(len(kind), bool)
    for code, one in enumerate(known):
        if one in kinds:
            found |= kind == code
    return found


def _joined(arrays: Sequence[NDArray[Any]], dtype: Any = np.int64) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype)


def _number(value: Any) -> int | None:
    return None if value == NONE else int(value)
