"""Records and runs → pandas frames of fixed columns and dtypes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from tracker.event import FACTS, PHASES, Record
from tracker.logs import decode_many
from tracker.projections import winners
from tracker.steps import in_order, steps_of
from tracker.store.port import Run

#: How logs appear in a frame of events.
EventLogs = Literal["columns", "dict", "json"]

#: Whether values that a later attempt ran again are shown.
Attempts = Literal["latest", "all"]

_TIME = "datetime64[us, UTC]"

_EVENT_TYPES = {
    "seq": "Int64",
    "at": _TIME,
    "kind": "string",
    "attempt": "Int64",
    "call": "Int64",
    "epoch": "Int64",
    "batch": "Int64",
}

_RUN_TYPES = {
    "id": "Int64",
    "name": "string",
    "experiment": "string",
    "status": "string",
    "started": _TIME,
    "duration": "timedelta64[us]",
    "epochs": "Int64",
    "events": "Int64",
    "attempt": "Int64",
    "error": "string",
    "host": "string",
    "uuid": "string",
    "heartbeat": "timedelta64[us]",
    "group": "string",
    "rank": "Int64",
    "note": "string",
    "archived": _TIME,
}

_METRIC_TYPES = {
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


def event_frame(records: Sequence[Record], logs: EventLogs) -> pd.DataFrame:
    """One row a record; see `tracker.query.events`."""
    columns = list(zip(*records, strict=True)) or [()] * len(Record._fields)
    frame = typed(dict(zip(_EVENT_TYPES, columns, strict=False)), _EVENT_TYPES)
    texts = columns[-1]
    if logs == "json":
        frame["logs"] = pd.array(list(texts), dtype="string")
        return frame
    decoded = decode_many(texts)
    if logs == "dict":
        frame["logs"] = pd.Series(decoded, index=frame.index, dtype="object")
        return frame
    facts = set(FACTS)
    hooks = [
        {} if record.kind in facts else data for record, data in zip(records, decoded, strict=True)
    ]
    names = {name: None for data in hooks for name in data}  # a dict keeps the order
    logged = {
        _free(str(name), frame): _column([data.get(name) for data in hooks]) for name in names
    }
    return pd.concat([frame, pd.DataFrame(logged, index=frame.index)], axis=1)


def run_frame(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a run; see `tracker.query.runs`."""
    now = time.time_ns() // 1000
    states = [run.state for run in runs]
    frame = typed(
        {
            "id": [run.id for run in runs],
            "name": [run.name for run in runs],
            "experiment": [state.experiment for state in states],
            "status": [state.status for state in states],
            "started": [state.began_at for state in states],
            "duration": [_duration(run, now) for run in runs],
            "epochs": [state.epochs for state in states],
            "events": [state.last_seq for state in states],
            "attempt": [state.attempt for state in states],
            "error": [_error(run) for run in runs],
            "host": [state.host for state in states],
            "uuid": [run.uuid for run in runs],
            "heartbeat": [_heartbeat(run) for run in runs],
            "group": [state.group for state in states],
            "rank": [state.rank for state in states],
            "note": [state.note for state in states],
            "archived": [state.archived_at for state in states],
        },
        _RUN_TYPES,
    )
    keys = {key for state in states for key in state.metrics}
    for phase, metric in sorted(keys, key=lambda key: (key[0] != "train", key[1])):
        values = [state.metrics.get((phase, metric)) for state in states]
        name = metric if phase == "train" else f"test_{metric}"
        frame[_free(name, frame)] = np.array(
            [np.nan if value is None else value.last for value in values], dtype="float64"
        )
    return frame


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
         steps[record.seq], record.at, name, float(value))
        for record, data in zip(wanted, decoded, strict=True)
        for name, value in data.items()
        if isinstance(value, int | float)
    ]  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * len(_METRIC_TYPES)
    return typed(dict(zip(_METRIC_TYPES, columns, strict=True)), _METRIC_TYPES)


def wide_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A tidy frame of metrics with a column for each metric, rows in the same order."""
    keys = [name for name in _METRIC_TYPES if name not in ("metric", "value")]
    numbers = frame.groupby(keys, dropna=False, sort=False).ngroup()
    index = frame.loc[~numbers.duplicated(), keys].reset_index(drop=True)
    for metric in frame["metric"].unique():
        these = frame["metric"] == metric
        values = np.full(len(index), np.nan)
        values[numbers[these]] = frame.loc[these, "value"]
        index[_free(str(metric), index)] = values
    return index


def _phases(records: Sequence[Record]) -> dict[tuple[int, int | None], str]:
    """The phase of each (attempt, call)."""
    begun = [record for record in records if record.kind == "call_began"]
    return {
        (record.attempt, record.call): str(data.get("phase"))
        for record, data in zip(begun, decode_many([one.logs for one in begun]), strict=True)
    }


def _duration(run: Run, now: int) -> int | None:
    state = run.state
    if state.began_at is None:
        return None
    if state.status == "running":
        return now - state.began_at
    return (state.ended_at or state.last_at or now) - state.began_at


def _heartbeat(run: Run) -> int | None:
    if run.state.status not in ("running", "lost") or run.heartbeat_age is None:
        return None
    return int(run.heartbeat_age * 1e6)


def _error(run: Run) -> str | None:
    parts = [part for part in (run.state.error_type, run.state.error_message) if part]
    return ": ".join(parts) or None


def _free(name: str, frame: pd.DataFrame) -> str:
    """A column name for a metric that does not hide a column of ours."""
    return f"logs.{name}" if name in frame.columns else name


def _column(values: list[Any]) -> Any:
    """Logged values as an array: floats where all are, missing ones NaN, else objects."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {float}:
        return np.array([np.nan if value is None else value for value in values], dtype="float64")
    if kinds == {int} and all(abs(value or 0) < 2**63 for value in values):
        return pd.array(values, dtype="Int64")
    return pd.Series(values, dtype="object").to_numpy()


def typed(columns: dict[str, Sequence[Any]], types: dict[str, str]) -> pd.DataFrame:
    """A frame of `columns` with the given dtypes; times come as integer microseconds."""
    return pd.DataFrame({name: _array(columns[name], dtype) for name, dtype in types.items()})


def _array(values: Sequence[Any], dtype: str) -> Any:
    if dtype not in (_TIME, "timedelta64[us]"):
        return pd.array(list(values), dtype=dtype)  # type: ignore[call-overload]
    missing = np.iinfo("int64").min
    numbers = np.array([missing if value is None else value for value in values], dtype="int64")
    if dtype == _TIME:
        return pd.DatetimeIndex(numbers.view("datetime64[us]")).tz_localize("UTC")
    return numbers.view("timedelta64[us]")
