"""Two streams side by side: which event of one is which of the other, by what it was, not when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tracker.columns import Columns
from tracker.event import HOOKS

#: What an event is told by.
_KEYS = ("call", "epoch", "batch")

#: Events that are looked through for where two streams meet again: first so many, then four times
#: as many, and so on. Streams may part and meet all the time, so the first look is a short one; the
#: last one bounds the memory.
_WINDOW, _WIDEST = 64, 1 << 20

_NOTHING = -1


@dataclass(frozen=True, slots=True)
class Part:
    """A range of one stream: its columns, and where in them."""

    columns: Columns
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def at(self, place: int) -> dict[str, Any]:
        """The fields of one event, None where it has none."""
        return {name: array[self.begin + place].as_py() for name, array in
                self.columns.fields.items()}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pair:
    """Events of both streams that are the same ones; or of one, where the other has none."""

    a: Part | None
    b: Part | None


class _Head:
    """What of a stream was read and not yet aligned."""

    def __init__(self, pieces: Iterator[Columns]) -> None:
        self._pieces = pieces
        #: Columns, their keys, and how many of their events are done.
        self._held: list[tuple[Columns, np.ndarray[Any, Any], int]] = []

    def fill(self, count: int) -> int:
        """Read until there are so many events, if there are; returns how many there are."""
        there = len(self)
        while there < count:
            piece = next(self._pieces, None)
            if piece is None:
                break
            piece = piece.where(piece.of_kinds(HOOKS))
            if len(piece):
                self._held.append((piece, _keys(piece), 0))
                there += len(piece)
        return there

    def __len__(self) -> int:
        return sum(len(columns) - done for columns, _, done in self._held)

    @property
    def front(self) -> int:
        """How many events the first piece has left."""
        columns, _, done = self._held[0]
        return len(columns) - done

    def keys(self, count: int) -> np.ndarray[Any, Any]:
        """The keys of the next events, at most so many."""
        parts = []
        for _, keys, done in self._held:
            if count <= 0:
                break
            parts.append(keys[done : done + count])
            count -= len(parts[-1])
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.empty((0, 4), np.int64)

    def take(self, count: int) -> list[Part]:
        """The next events, piece by piece."""
        taken = []
        while count:
            columns, keys, done = self._held[0]
            size = min(count, len(columns) - done)
            taken.append(Part(columns, done, done + size))
            count -= size
            if done + size == len(columns):
                del self._held[0]
            else:
                self._held[0] = (columns, keys, done + size)
        return taken


def aligned(a: Iterator[Columns], b: Iterator[Columns]) -> Iterator[Pair]:
    """Pairs of ranges of two streams, in their order, which both hold all hooks of both.

    Hooks are the same ones if call, epoch, batch and kind are. Where the streams part, they are
    taken to meet at the nearest event that both have.

    Args:
        a: Pieces of one stream.
        b: Pieces of the other.
    """
    left, right = _Head(a), _Head(b)
    while left.fill(1) and right.fill(1):
        size = min(left.front, right.front)
        length = _together(left.keys(size), right.keys(size))
        if length:
            yield Pair(left.take(length)[0], right.take(length)[0])
            continue
        skipped_a, skipped_b = _skipped(left, right)
        yield from (Pair(part, None) for part in left.take(skipped_a))
        yield from (Pair(None, part) for part in right.take(skipped_b))
    while left.fill(1):
        yield from (Pair(part, None) for part in left.take(left.front))
    while right.fill(1):
        yield from (Pair(None, part) for part in right.take(right.front))


def _keys(columns: Columns) -> np.ndarray[Any, Any]:
    """A row of numbers for each event: call, epoch, batch (-1 for none) and kind."""
    numbers = [
        columns.fields[name].fill_null(_NOTHING).to_numpy().astype(np.int64) for name in _KEYS
    ]
    kind = columns.fields["kind"]
    of_each = np.array([HOOKS.index(one) if one in HOOKS else _NOTHING
                        for one in kind.dictionary.to_pylist()], np.int64)  # fmt: skip
    return np.stack([*numbers, of_each[kind.indices.to_numpy()]], axis=1)


def _together(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> int:
    """How many events two streams, read equally far, have in common before they part."""
    done, step = 0, _WINDOW
    while done < len(a):
        same = (a[done : done + step] == b[done : done + step]).all(axis=1)
        if not same.all():
            return done + int(np.argmin(same))
        done, step = done + len(same), step * 4
    return done


def _skipped(left: _Head, right: _Head) -> tuple[int, int]:
    """How many events of each to pass over until they meet; all that were read, if they do not."""
    window = _WINDOW
    while True:
        there = left.fill(window), right.fill(window)
        skipped = _meeting(left.keys(window), right.keys(window))
        # Behind the window there may be a nearer meeting than one that is farther than it.
        if sum(skipped) <= window or max(there) <= window or window >= _WIDEST:
            return skipped
        window *= 4


def _meeting(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> tuple[int, int]:
    """How many events of each to skip, so that the next ones are the same; all, if none are."""
    texts_a, texts_b = (np.ascontiguousarray(keys).view("V32").ravel().tolist() for keys in (a, b))
    first: dict[bytes, int] = {}
    for place, key in enumerate(texts_b):
        first.setdefault(key, place)
    best = (len(a), len(b))
    for place, key in enumerate(texts_a):
        if place >= sum(best):
            break
        other = first.get(key)
        if other is not None and place + other < sum(best):
            best = (place, other)
    return best
