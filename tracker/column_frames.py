"""Columns → the frames that `tracker.frames` makes of records, equal to the bit, and faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from tracker.column_steps import FIELDS as STANDING_FIELDS
from tracker.column_steps import Standing, places_of, standing_of
from tracker.columns import FIELDS, Columns
from tracker.event import PHASES, Record
from tracker.frames import EVENT_TYPES, METRIC_TYPES, Attempts, column_of, free_name
from tracker.logs import as_double, from_plain

#: Fields of `Columns` that rows of frames of metrics have, and all that these frames need.
_ROW_FIELDS = ("kind", "attempt", "call", "epoch", "batch", "at")
METRIC_FIELDS = frozenset((*_ROW_FIELDS, *STANDING_FIELDS))

_TIME = "datetime64[us, UTC]"
_NUMBERS = (pa.float64(), pa.int64())


def event_frame_of(pieces: Sequence[Columns]) -> pd.DataFrame:
    """One row an event; as `tracker.frames.event_frame` with logs as columns."""
    series: dict[str, Any] = {
        name: _typed([piece.fields[name] for piece in pieces], FIELDS[name], dtype)
        for name, dtype in EVENT_TYPES.items()
    }
    empty = pd.DataFrame(columns=list(series))
    names: dict[str, None] = {}
    for piece in pieces:
        for layout in _in_order(piece.layout):
            names |= dict.fromkeys(piece.layouts[layout])
    logged = {free_name(name, empty): _values(name, pieces) for name in names}
    return _frame(series | logged)


@dataclass(frozen=True, slots=True)
class Logged:
    """What events of some kinds have logged, a row for each number."""

    standing: Standing
    #: Which event of the piece each row is of.
    row: NDArray[np.int64]
    #: Those of `_ROW_FIELDS`, the metric's name, and the number.
    fields: Mapping[str, pa.Array]
    metric: pa.DictionaryArray
    value: NDArray[np.float64]

    def where(self, mask: NDArray[np.bool_]) -> Logged:
        """Those rows for which the mask is true."""
        if mask.all():
            return self
        wanted = pa.array(mask)
        fields = {name: array.filter(wanted) for name, array in self.fields.items()}
        metric = self.metric.filter(wanted)
        return Logged(self.standing, self.row[mask], fields, metric, self.value[mask])


def logged_of(piece: Columns, kinds: Sequence[str]) -> Logged:
    """What events of these kinds have logged.

    Args:
        piece: Events of a run, with `METRIC_FIELDS`.
        kinds: The kinds.
    """
    places = np.flatnonzero(piece.of_kinds(kinds))
    layout = piece.layout[places]
    rows, orders, codes, values = [], [], [], []
    names: dict[str, int] = {}
    for number in _in_order(layout):
        own = places[layout == number]
        for order, name in enumerate(piece.layouts[number]):
            there, numbers = numbers_of(piece.of(name).take(pa.array(own)))
            rows.append(own[there])
            orders.append(np.full(len(there), order, np.int32))
            codes.append(np.full(len(there), names.setdefault(name, len(names)), np.int32))
            values.append(numbers)
    row = _concatenated(rows).astype(np.int64, copy=False)
    by_event = np.lexsort((_concatenated(orders), row))
    row = row[by_event]
    taken = pa.array(row)
    return Logged(
        standing=standing_of(piece, kinds),
        row=row,
        fields={name: piece.fields[name].take(taken) for name in _ROW_FIELDS},
        metric=pa.DictionaryArray.from_arrays(
            pa.array(_concatenated(codes).astype(np.int32, copy=False)[by_event]),
            pa.array(list(names), pa.string()),
        ),
        value=_concatenated(values)[by_event],
    )


def metric_frame_of(
    run: str,
    parts: Sequence[Logged],
    coarse: Sequence[Record],
    kinds: Sequence[str],
    attempts: Attempts = "latest",
) -> pd.DataFrame:
    """Tidy values, as `tracker.frames.metric_frame`.

    Args:
        run: The run's name.
        parts: Of all its events, what those of the kinds have logged.
        coarse: Its `call_began` and `epoch_end`.
        kinds: The kinds whose values are wanted.
        attempts: `"latest"`, or `"all"` to keep what a later attempt ran again.
    """
    places = places_of([part.standing for part in parts], coarse)
    # That of a fit's own validation says what the end of its epoch says.
    wanted = places.of_kinds(kinds) & (
        ~places.of_kinds(["test_end"]) | places.each(places.evaluates)
    )
    if attempts == "latest":
        wanted &= places.counts
    count = sum(part.standing.count for part in parts)
    chosen, step = np.zeros(count, bool), np.full(count, np.nan)
    row = places.row
    chosen[row[wanted]] = True
    step[row] = places.step()
    begins = np.cumsum([0, *(part.standing.count for part in parts)])
    kept, rows = [], []
    for part, begin in zip(parts, begins.tolist(), strict=False):
        kept.append(part.where(chosen[begin + part.row]))
        rows.append(begin + kept[-1].row)
    frame = _metric_frame(run, kept, _concatenated([step[own] for own in rows]))
    if attempts == "latest" and places.resumed:
        rank = np.empty(count, np.int64)
        rank[row[places.order]] = np.arange(len(places.order))
        by_order = np.argsort(rank[_concatenated(rows)], kind="stable")
        frame = frame.iloc[by_order].reset_index(drop=True)
    return frame


def numbers_of(array: pa.Array) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Where a column of `Columns` has numbers, and which."""
    if array.null_count == len(array):
        return np.empty(0, np.intp), np.empty(0)
    if array.null_count:
        places = np.flatnonzero(array.is_valid().to_numpy(zero_copy_only=False))
        array = array.drop_null()
    else:
        places = np.arange(len(array))
    if array.type in _NUMBERS:
        return places, array.cast(pa.float64(), safe=False).to_numpy()
    found = _objects(array)
    are = np.array([isinstance(value, int | float) for value in found], bool)
    numbers = [as_double(value) for value in found if isinstance(value, int | float)]
    return places[are], np.array(numbers, np.float64)


def _in_order(layout: NDArray[np.int32]) -> list[int]:
    found, first = np.unique(layout, return_index=True)
    return [int(number) for number in found[np.argsort(first)]]


def _typed(arrays: Sequence[pa.Array], type_: pa.DataType, dtype: str) -> Any:
    whole = pa.chunked_array(arrays, type_)
    if dtype == "string":
        return pd.arrays.ArrowStringArray(whole.cast(pa.large_string()))
    if dtype == _TIME:
        numbers = _plain(whole).view("datetime64[us]")
        return pd.DatetimeIndex(numbers).tz_localize("UTC").array
    return pd.arrays.IntegerArray(_plain(whole), _missing(whole))


def _plain(array: pa.Array | pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Integers, with 1 where one is missing, as pandas has it."""
    whole = array.fill_null(1) if array.null_count else array
    numbers: np.ndarray[Any, np.dtype[np.int64]] = whole.to_numpy().astype(np.int64, copy=False)
    return numbers if numbers.flags.writeable else numbers.copy()


def _missing(array: pa.Array | pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if not array.null_count:
        return np.zeros(len(array), bool)
    mask: np.ndarray[Any, np.dtype[np.bool_]] = array.is_null().to_numpy(
        **({"zero_copy_only": False} if isinstance(array, pa.Array) else {})
    )
    return mask


def _values(name: str, pieces: Sequence[Columns]) -> Any:
    """A column of the frame: floats where all are, else integers where all are, else objects."""
    arrays = [piece.of(name) for piece in pieces]
    types = {array.type for array in arrays if array.null_count < len(array)}
    if types <= {pa.float64()}:
        return np.concatenate([_doubles(array) for array in arrays] or [np.empty(0)])
    if types == {pa.int64()}:
        whole = pa.chunked_array([array.cast(pa.int64()) for array in arrays])
        return pd.arrays.IntegerArray(_plain(whole), _missing(whole))
    # What is JSON in a chunk may be numbers throughout in the part of it that is asked for.
    return column_of([value for array in arrays for value in _objects(array)])


def _doubles(array: pa.Array) -> np.ndarray[Any, np.dtype[np.float64]]:
    if array.null_count == len(array):
        return np.full(len(array), np.nan)
    found: np.ndarray[Any, np.dtype[np.float64]] = array.fill_null(np.nan).to_numpy()
    return found


def _objects(array: pa.Array) -> list[Any]:
    values: list[Any] = array.to_pylist()
    if not pa.types.is_string(array.type):
        return values
    return [None if value is None else from_plain(orjson.loads(value)) for value in values]


def _concatenated(arrays: Sequence[np.ndarray[Any, Any]]) -> Any:
    return np.concatenate(arrays) if arrays else np.empty(0)


def _metric_frame(run: str, parts: Sequence[Logged], step: NDArray[np.float64]) -> pd.DataFrame:
    unknown = np.isnan(step)
    phases = [_phases(part.fields["kind"]) for part in parts]
    text = pa.dictionary(pa.int32(), pa.string())
    columns: dict[str, Any] = {
        "run": pd.arrays.ArrowStringArray(pa.chunked_array([pa.repeat(run, len(step))]).cast(
            pa.large_string())),
        "phase": _typed(phases, text, "string"),
    }  # fmt: skip
    for name in ("attempt", "call", "epoch", "batch"):
        arrays = [part.fields[name] for part in parts]
        columns[name] = _typed(arrays, FIELDS[name], "Int64")
    columns["step"] = pd.arrays.IntegerArray(
        np.where(unknown, 1, step).astype(np.int64), unknown.astype(bool)
    )
    columns["at"] = _typed([part.fields["at"] for part in parts], pa.int64(), _TIME)
    columns["metric"] = _typed([part.metric for part in parts], text, "string")
    columns["value"] = _concatenated([part.value for part in parts])
    return _frame({name: columns[name] for name in METRIC_TYPES})


def _frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    # pandas would copy columns of one type into one block.
    return pd.DataFrame(columns, copy=False)


def _phases(kind: pa.DictionaryArray) -> pa.DictionaryArray:
    phases = [PHASES.get(one, "") for one in kind.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(kind.indices, pa.array(phases, pa.string()))
