"""What two aligned streams logged: where it first differs, and how the gap of each metric grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from pyarrow import compute

from tracker.columns import Columns
from tracker.comparing.alignment import Pair, Part
from tracker.comparing.distances import distance, gaps, same_bits, within
from tracker.logs import from_plain

#: Values of a metric of which one mean gap is kept, to tell how it grows.
_SEGMENT = 64

#: Up to it integers are doubles, too; greater ones are compared as their text.
_EXACT = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first event at which two runs are not the same."""

    #: `"value"`, `"only in a"`, `"only in b"` (the event, or the metric of it).
    what: str
    kind: str
    call: int | None
    epoch: int | None
    batch: int | None
    #: None where a run does not have the event.
    seq_a: int | None
    seq_b: int | None
    #: The metric; None where one run lacks the event.
    metric: str | None = None
    a: Any = None
    b: Any = None
    #: Representable numbers from a to b: of 32 bits where both values are such, else of 64.
    ulp: int | None = None
    bits: int | None = None
    #: |a - b| / max(|a|, |b|).
    relative: float | None = None

    def __str__(self) -> str:
        place = ", ".join(
            f"{name} {value}"
            for name, value in (("call", self.call), ("epoch", self.epoch), ("batch", self.batch))
            if value is not None
        )
        where = f"{self.kind} ({place})" if place else self.kind
        if self.metric is None:
            return f"{where}: {self.what}"
        if self.what != "value":
            return f"{where}: {self.metric} is {self.what}"
        gap = f", {self.ulp} ulp of {self.bits} bits apart" if self.ulp is not None else ""
        relative = f", {self.relative:.3g} relative" if self.relative is not None else ""
        return f"{where}: {self.metric} is {self.a!r} in a, {self.b!r} in b{gap}{relative}"


@dataclass(slots=True)
class Summary:
    """How one metric of one kind of event differs."""

    compared: int = 0
    different: int = 0
    first: dict[str, Any] | None = None
    largest: float = 0.0
    largest_at: dict[str, Any] | None = None
    last: float = 0.0
    #: Mean gaps, of `_SEGMENT` values each, and how many these are.
    gaps: list[tuple[float, int]] = field(default_factory=list)

    def mean_gap(self, begin: float, end: float) -> float:
        """The mean gap between two parts of the way, such as 0.0 and 0.1; NaN where none is."""
        count = len(self.gaps)
        some = self.gaps[int(begin * count) : max(math.ceil(end * count), int(begin * count) + 1)]
        total = sum(size for _, size in some)
        # The sum of some gaps may be greater than any double; no mean is.
        return sum(gap * (size / total) for gap, size in some) if total else math.nan


class Comparison:
    """Takes pairs of an alignment, one after the other.

    Args:
        rtol: Relative tolerance.
        atol: Absolute one. Values are the same if `|a - b| <= atol + rtol * max(|a|, |b|)`; where
            both are 0, if all bits are. NaN is the same as NaN.
    """

    def __init__(self, rtol: float, atol: float) -> None:
        self._rtol, self._atol = rtol, atol
        self.first: Divergence | None = None
        self.summaries: dict[tuple[str, str], Summary] = {}
        #: Hooks that both have, and that only one has.
        self.common = self.only_a = self.only_b = 0
        self._held: list[tuple[Part, Part]] = []

    def take(self, pair: Pair) -> None:
        """Compare one pair, at once or later."""
        if pair.a is None or pair.b is None:
            self._lone(pair)
            return
        self.common += len(pair.a)
        # Streams that part and meet all the time come in a great many short pairs: those of the
        # same columns are compared as one. Until they part, their order tells where that is.
        if self._held and not (
            self.first
            and self._held[-1][0].columns is pair.a.columns
            and self._held[-1][1].columns is pair.b.columns
        ):
            self.finish()
        self._held.append((pair.a, pair.b))
        if self.first is None:
            self.finish()

    def finish(self) -> None:
        """Compare what was taken and is not yet compared."""
        if self._held:
            left, right = zip(*self._held, strict=True)
            self._held = []
            self._compare(_cut(left), _cut(right))

    def _compare(self, a: Columns, b: Columns) -> None:
        names = dict.fromkeys([*a.values, *b.values])
        found: list[tuple[int, int, str]] = []
        for order, name in enumerate(names):
            differs = self._metric(name, a, b)
            if differs.any():
                found.append((int(np.argmax(differs)), order, name))
        if found and self.first is None:
            place, _, name = min(found)
            self.first = _divergence(name, a, b, place)

    def _lone(self, pair: Pair) -> None:
        part = pair.a or pair.b
        assert part is not None
        own = "a" if pair.a else "b"
        if own == "a":
            self.only_a += len(part)
        else:
            self.only_b += len(part)
        if self.first is None:
            event = part.at(0)
            self.first = Divergence(
                what=f"only in {own}",
                seq_a=event["seq"] if own == "a" else None,
                seq_b=event["seq"] if own == "b" else None,
                **{name: event[name] for name in ("kind", "call", "epoch", "batch")},
            )

    def _metric(self, name: str, a: Columns, b: Columns) -> np.ndarray[Any, Any]:
        """Count what a metric has; returns where it differs."""
        of_a, of_b = a.of(name), b.of(name)
        (x, has_x, text_x), (y, has_y, text_y) = _numbers(of_a), _numbers(of_b)
        there_a, there_b = has_x | (text_x != ""), has_y | (text_y != "")
        both = has_x & has_y
        same = same_bits(x, y)
        if pa.types.is_integer(of_a.type) and pa.types.is_integer(of_b.type):
            # Beyond 2**53 several of them are the same double.
            same &= compute.equal(of_a, of_b).fill_null(True).to_numpy(zero_copy_only=False)
        if self._rtol or self._atol:
            same |= within(x, y, self._rtol, self._atol)
        differs = np.where(
            both, ~same, (there_a != there_b) | (text_x != text_y) | (has_x != has_y)
        )
        gap = np.where(same, 0.0, gaps(x, y))
        kinds = a.fields["kind"]
        for code in np.unique(kinds.indices.to_numpy()):
            mine = (kinds.indices.to_numpy() == code) & (there_a | there_b)
            if mine.any():
                kind = kinds.dictionary[int(code)].as_py()
                summary = self.summaries.setdefault((kind, name), Summary())
                _count(summary, a, mine, differs, np.where(both, gap, np.nan))
        return differs


def _cut(parts: Sequence[Part]) -> Columns:
    """The events of some parts of the same columns."""
    columns = parts[0].columns
    mask = np.zeros(len(columns), bool)
    for part in parts:
        mask[part.begin : part.end] = True
    return columns.where(mask)


def _numbers(
    array: pa.Array,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Doubles, which of them there are, and the JSON text of what is no number."""
    none = np.full(len(array), "", object)
    if not pa.types.is_string(array.type):
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        if not valid.any():
            return np.full(len(array), np.nan), valid, none
        values = array.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy()
        return values, valid, none
    doubles = np.full(len(array), np.nan)
    for place, text in enumerate(array.to_pylist()):
        if text is None:
            continue
        value = from_plain(orjson.loads(text))
        if isinstance(value, float) or (type(value) is int and abs(value) <= _EXACT):
            doubles[place] = value
        else:
            none[place] = text
    valid = array.is_valid().to_numpy(zero_copy_only=False) & (none == "")
    return doubles, valid, none


def _count(
    summary: Summary,
    a: Columns,
    mine: np.ndarray[Any, Any],
    differs: np.ndarray[Any, Any],
    gap: np.ndarray[Any, Any],
) -> None:
    places = np.flatnonzero(mine)
    different = places[differs[places]]
    summary.compared += len(places)
    summary.different += len(different)
    if summary.first is None and len(different):
        summary.first = _place(a, int(different[0]))
    found = gap[places]
    known = ~np.isnan(found)
    if not known.any():
        return
    places, found = places[known], found[known]
    largest = int(np.argmax(found))
    if found[largest] > summary.largest:
        summary.largest = float(found[largest])
        summary.largest_at = _place(a, int(places[largest]))
    summary.last = float(found[-1])
    # Parts of a power of two are exact, and the sum of as many of them has room in a double.
    parts = found / _SEGMENT
    for begin in range(0, len(parts), _SEGMENT):
        some = parts[begin : begin + _SEGMENT]
        summary.gaps.append((float(some.sum()) / (len(some) / _SEGMENT), len(some)))


def _place(columns: Columns, place: int) -> dict[str, Any]:
    return {name: columns.fields[name][place].as_py() for name in ("seq", "call", "epoch", "batch")}


def _divergence(name: str, a: Columns, b: Columns, place: int) -> Divergence:
    event = {field: a.fields[field][place].as_py() for field in ("kind", "call", "epoch", "batch")}
    seq = {"seq_a": a.fields["seq"][place].as_py(), "seq_b": b.fields["seq"][place].as_py()}
    there = [name in one.layouts[one.layout[place]] for one in (a, b)]
    x, y = (_value(one.of(name), place) for one in (a, b))
    if there[0] != there[1]:
        what = "only in a" if there[0] else "only in b"
        return Divergence(what=what, metric=name, a=x, b=y, **event, **seq)
    return Divergence(what="value", metric=name, a=x, b=y, **event, **seq, **distance(x, y))


def _value(array: pa.Array, place: int) -> Any:
    value = array[place].as_py()
    return from_plain(orjson.loads(value)) if isinstance(value, str) else value
