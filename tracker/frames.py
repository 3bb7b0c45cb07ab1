"""Records and runs → pandas frames of fixed columns and dtypes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from tracker.errors import DriverMissing, InvalidArgument
from tracker.estimates import BatchEstimates, BatchKey, Estimate
from tracker.event import FACTS, PHASES, Record
from tracker.legibility import encodable
from tracker.listing import Listing, run_listing
from tracker.logs import as_double, decode_many
from tracker.projections import winners
from tracker.steps import in_order, steps_of
from tracker.store.port import Run

#: How logs appear in a frame of events.
EventLogs = Literal["columns", "dict", "json"]

#: The library that a frame is of.
FrameKind = Literal["pandas", "arrow", "polars"]

#: Whether values that a later attempt ran again are shown.
Attempts = Literal["latest", "all"]

_TIME = "datetime64[us, UTC]"

#: Columns of a frame of events, before those of its logs.
EVENT_TYPES = {
    "seq": "Int64",
    "at": _TIME,
    "kind": "string",
    "attempt": "Int64",
    "call": "Int64",
    "epoch": "Int64",
    "batch": "Int64",
}

#: Columns of a tidy frame of metrics.
METRIC_TYPES = {
    "run": "string",
    "phase": "string",
    "attempt": "Int64",
    "call": "Int64",
    "epoch": "Int64",
    "batch": "Int64",
    "step": "Int64",
    "at": _TIME,
    "metric": "string",
    "value": "float64",
}


#: What is raised where a column of a frame has no type in Arrow, or half a character.
NOT_ARROW = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeEncodeError)


def check_kind(kind: str) -> None:
    """Refuse a kind of frame that there is none of.

    Raises:
        InvalidArgument: With those that there are.
        DriverMissing: Its library is not installed.
    """
    if kind not in ("pandas", "arrow", "polars"):
        raise InvalidArgument(f"as_ must be 'pandas', 'arrow' or 'polars'. Received: {kind!r}.")
    if kind == "polars" and find_spec("polars") is None:
        raise DriverMissing("as_='polars' needs polars, which is not installed: pip install polars")


def as_kind(frame: pd.DataFrame, kind: FrameKind) -> Any:
    """The frame as one of another library; see `check_kind`.

    Raises:
        InvalidArgument: It has a column of mixed values, which the other kinds have no type for,
            or half a character, which no text of theirs can have.
    """
    if kind == "pandas":
        return frame
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"A text that was logged has {error.object[error.start : error.end]!r}, half a "
            f"character, which as_={kind!r} cannot hold. Take pandas, or logs='json'."
        ) from None
    except NOT_ARROW as error:
        raise InvalidArgument(
            f"What was logged has no one type, which as_={kind!r} needs: {error}. Take pandas, or "
            "logs='json'."
        ) from None
    if kind == "arrow":
        return table
    import polars as pl

    return pl.from_arrow(table)


def event_frame(records: Sequence[Record], logs: EventLogs) -> pd.DataFrame:
    """One row a record; see `tracker.query.events`."""
    columns = list(zip(*records, strict=True)) or [()] * len(Record._fields)
    frame = typed(dict(zip(EVENT_TYPES, columns, strict=False)), EVENT_TYPES)
    texts = columns[-1]
    if logs == "json":
        frame["logs"] = texts_of(texts)
        return frame
    decoded = decode_many(texts)
    if logs == "dict":
        frame["logs"] = objects_of(decoded)
        return frame
    facts = set(FACTS)
    hooks = [
        {} if record.kind in facts else data for record, data in zip(records, decoded, strict=True)
    ]
    names = {name: None for data in hooks for name in data}  # a dict keeps the order
    logged = {
        free_name(str(name), frame): column_of([data.get(name) for data in hooks]) for name in names
    }
    return pd.concat([frame, pd.DataFrame(logged, index=frame.index)], axis=1)


def run_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run; see `tracker.query.runs`."""
    return listing_frame(run_listing(runs))


def listing_frame(listing: Listing) -> pd.DataFrame:
    """The listing with the dtypes of its columns."""
    return pd.DataFrame(
        {name: _array(one.data, one.dtype) for name, one in listing.columns.items()},
        index=range(len(listing)),
    )


def metric_frame(
    run: str, records: Sequence[Record], kinds: Sequence[str], attempts: Attempts = "latest"
) -> pd.DataFrame:
    """Tidy values of a run's records.

    Args:
        run: The run's name.
        records: Records of `kinds`, and for the steps `call_began` and `train_batch_end`.
        kinds: The kinds whose values are wanted.
        attempts: `"latest"`, or `"all"` to keep what a later attempt ran again.
    """
    phases = _phases(records)
    steps = dict(zip((one.seq for one in records), steps_of(records), strict=True))
    shown = list(records) if attempts == "all" else in_order(winners(records), records)
    wanted = [
        record
        for record in shown
        if record.kind in kinds
        and (record.kind != "test_end" or phases.get((record.attempt, record.call)) == "test")
    ]
    decoded = decode_many([record.logs for record in wanted])
    rows = [
        (run, PHASES[record.kind], record.attempt, record.call, record.epoch, record.batch,
         steps[record.seq], record.at, name, as_double(value))
        for record, data in zip(wanted, decoded, strict=True)
        for name, value in data.items()
        if isinstance(value, int | float)
    ]  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * len(METRIC_TYPES)
    return typed(dict(zip(METRIC_TYPES, columns, strict=True)), METRIC_TYPES)


def estimated_frame(
    frame: pd.DataFrame, estimates: Mapping[BatchKey, BatchEstimates]
) -> pd.DataFrame:
    """A tidy frame of batches with what each logged alone.

    Args:
        frame: Of one run; of metrics that were not estimated, values become missing.
        estimates: See `tracker.estimates.estimates_of`.

    Returns:
        The frame with the estimates as `value`, and the columns `estimated`, `assumed`,
        `rounding`; see `tracker.query.metrics`.
    """
    keys = (frame[name] for name in ("attempt", "call", "epoch", "batch", "phase"))
    found: list[BatchEstimates | None] = []
    for row in zip(*keys, strict=True):
        key: Any = tuple(None if part is pd.NA else part for part in row)
        found.append(estimates.get(key))
    nothing = Estimate(np.nan, np.nan)
    values = [
        one.metrics.get(metric, nothing) if one else nothing
        for one, metric in zip(found, frame["metric"], strict=True)
    ]
    return frame.assign(
        value=np.array([value.value for value in values], dtype="float64"),
        estimated=_flags([batch.estimated if batch else None for batch in found]),
        assumed=_flags([batch.assumed if batch else None for batch in found]),
        rounding=np.array([value.rounding for value in values], dtype="float64"),
    )


def _flags(values: Sequence[bool | None]) -> Any:
    return pd.array(list(values), dtype="boolean")


def wide_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A tidy frame of metrics with a column for each metric, rows in the same order."""
    keys = [name for name in frame.columns if name not in ("metric", "value", "rounding")]
    numbers = frame.groupby(keys, dropna=False, sort=False).ngroup()
    index = frame.loc[~numbers.duplicated(), keys].reset_index(drop=True)
    for metric in frame["metric"].unique():
        these = frame["metric"] == metric
        values = np.full(len(index), np.nan)
        values[numbers[these]] = frame.loc[these, "value"]
        index[free_name(str(metric), index)] = values
    return index


def _phases(records: Sequence[Record]) -> dict[tuple[int, int | None], str]:
    """The phase of each (attempt, call)."""
    begun = [record for record in records if record.kind == "call_began"]
    return {
        (record.attempt, record.call): str(data.get("phase"))
        for record, data in zip(begun, decode_many([one.logs for one in begun]), strict=True)
    }


def free_name(name: str, frame: pd.DataFrame) -> str:
    """A column name for a metric that does not hide a column of ours."""
    name = encodable(name)
    return f"logs.{name}" if name in frame.columns else name


def column_of(values: list[Any]) -> Any:
    """Logged values as an array: floats where all are, missing ones NaN, else objects."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {float}:
        return np.array([np.nan if value is None else value for value in values], dtype="float64")
    if kinds == {int} and all(abs(value or 0) < 2**63 for value in values):
        return pd.array(values, dtype="Int64")
    return objects_of(values)


def objects_of(values: Sequence[Any]) -> Any:
    """A column of what is in it as it is: of an array pandas would guess at the types."""
    return pd.Series(list(values), dtype="object")


def texts_of(values: Iterable[str | None]) -> Any:
    """A column of texts."""
    texts = list(values)
    try:
        return pd.array(texts, dtype="string")
    except UnicodeEncodeError:
        return pd.array([one and encodable(one) for one in texts], dtype="string")


def typed(columns: dict[str, Sequence[Any]], types: dict[str, str]) -> pd.DataFrame:
    """A frame of `columns` with the given dtypes; times come as integer microseconds."""
    return pd.DataFrame({name: _array(columns[name], dtype) for name, dtype in types.items()})


def _array(values: Sequence[Any], dtype: str) -> Any:
    if dtype == "float64":
        return np.array([np.nan if value is None else value for value in values], dtype="float64")
    if dtype == "object":
        return objects_of(values)
    if dtype == "string":
        return texts_of(values)
    if dtype not in (_TIME, "timedelta64[us]"):
        return pd.array(list(values), dtype=dtype)  # type: ignore[call-overload]
    missing = np.iinfo("int64").min
    numbers = np.array([missing if value is None else value for value in values], dtype="int64")
    if dtype == _TIME:
        return pd.DatetimeIndex(numbers.view("datetime64[us]")).tz_localize("UTC")
    return numbers.view("timedelta64[us]")
