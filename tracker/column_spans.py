"""Where attempts, calls and epochs begin among the events of a piece: few places of many rows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

#: Stands for what an event does not have: no call, epoch or batch has this number.
NONE = -(2**63)

#: Fields of `tracker.columns.Columns` that spans are made of.
SPAN_FIELDS = ("attempt", "call", "epoch")
#: Asks for them together: they may be told where the fields themselves are not.
SPANS = "spans"


@dataclass(frozen=True, slots=True)
class Spans:
    """Stretches of events that are of one attempt, call and epoch."""

    #: Where they begin; the first one with the first event.
    starts: NDArray[np.intp]
    #: What they are of, or `NONE`.
    attempt: NDArray[np.int64]
    call: NDArray[np.int64]
    epoch: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def to_json(self) -> bytes:
        """What `from_json` reads."""
        return orjson.dumps(
            [getattr(self, field.name) for field in fields(self)],
            option=orjson.OPT_SERIALIZE_NUMPY,
        )

    @classmethod
    def from_json(cls, text: bytes) -> Spans:
        """The spans that `to_json` wrote."""
        starts, *numbers = orjson.loads(text)
        return cls(np.array(starts, np.intp), *(np.array(one, np.int64) for one in numbers))


def spans_of(attempt: Any, call: Any, epoch: Any) -> Spans:
    """The spans of events with these Arrow arrays of integers."""
    numbers = [whole(array) for array in (attempt, call, epoch)]
    starts = starts_of(*numbers)
    return Spans(starts, *(one[starts] for one in numbers))


def starts_of(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """Where rows begin that are not as the one before: of columns of one length, at least one."""
    changed = np.zeros(len(columns[0]), bool)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)


def whole(array: Any) -> NDArray[np.int64]:
    """An Arrow array of integers, `NONE` where one is missing."""
    # Only the widest have room for what stands for one that is missing.
    filled = array.cast("int64").fill_null(NONE) if array.null_count else array
    return np.asarray(filled.to_numpy(), np.int64)
