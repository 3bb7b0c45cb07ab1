"""Runs as columns of plain values: what their frame is made of, and what is shown without one.

Loading pandas takes longer than listing a thousand runs, so the command line lists them from here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from tracker.event import metric_name

if TYPE_CHECKING:
    from tracker.projections import MetricState
    from tracker.store.port import Run

#: Dtypes of columns of times, whose values here are integer microseconds: since 1970 UTC, or long.
TIME = "datetime64[us, UTC]"
LENGTH = "timedelta64[us]"

_RUN_TYPES = {
    "id": "Int64",
    "name": "string",
    "experiment": "string",
    "status": "string",
    "started": TIME,
    "duration": LENGTH,
    "epochs": "Int64",
    "events": "Int64",
    "attempt": "Int64",
    "error": "string",
    "host": "string",
    "uuid": "string",
    "heartbeat": LENGTH,
    "group": "string",
    "rank": "Int64",
    "note": "string",
    "archived": TIME,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN = re.compile(r"[\w-]+(\.[\w-]+)*")
#: Dtypes of params that are all of a Python type.
_PARAM_TYPES = {bool: "boolean", int: "Int64", float: "float64", str: "string"}


class Source(NamedTuple):
    """Where a run has what a field of the filter language tells."""

    kind: Literal["runs", "params", "tags", "metrics"]
    #: The field's, parameter's, tag's or metric's.
    name: str
    #: Of a metric: a field of `MetricState`.
    value: str = "last"


@dataclass(frozen=True, slots=True)
class Column:
    """A column's values, None where a run has none, and its dtype in a frame."""

    data: Sequence[Any]
    dtype: str

    @property
    def differs(self) -> bool:
        """Whether not all values are the same. NaN is the same as NaN, and 1 as 1.0."""
        return any(not _same(value, self.data[0]) for value in self.data[1:])

    def shown(self) -> list[Any]:
        """The values, times as `datetime` and `timedelta`."""
        if self.dtype == TIME:
            return [one if one is None else _EPOCH + timedelta(microseconds=one)
                    for one in self.data]  # fmt: skip
        if self.dtype == LENGTH:
            return [one if one is None else timedelta(microseconds=one) for one in self.data]
        return list(self.data)


@dataclass(frozen=True, slots=True)
class Listing:
    """Rows of runs as columns, by name."""

    columns: Mapping[str, Column]
    #: How many runs.
    rows: int

    def __len__(self) -> int:
        return self.rows

    def picked(self, names: Sequence[str]) -> Listing:
        """These columns only, in this order."""
        return Listing({name: self.columns[name] for name in names}, self.rows)

    def changed(self) -> Listing:
        """Without columns in which all runs agree, but for their name; one run alone has all."""
        if self.rows < 2:
            return self
        kept = [name for name, one in self.columns.items() if name == "name" or one.differs]
        return self.picked(kept)


def run_listing(runs: Sequence[Run]) -> Listing:
    """The columns of `tracker.query.runs`."""
    now = time.time_ns() // 1000
    states = [run.state for run in runs]
    values: dict[str, list[Any]] = {
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
    }
    columns = {name: Column(values[name], dtype) for name, dtype in _RUN_TYPES.items()}
    keys = {key for state in states for key in state.metrics}
    for phase, metric in sorted(keys, key=lambda key: (key[0] != "train", key[1])):
        name = metric_name(phase, metric)
        name = f"logs.{name}" if name in columns else name  # it hides no column of ours
        found = [state.metrics.get((phase, metric)) for state in states]
        last = [None if one is None else one.last for one in found]
        columns[name] = Column(last, "float64")
    return Listing(columns, len(runs))


def param_columns(runs: Sequence[Run]) -> dict[str, Column]:
    """A column for each parameter that one of the runs has, named as a filter names it."""
    keys = sorted({key for run in runs for key in run.state.params})
    return {_param_name(key): column_of(Source("params", key), runs) for key in keys}


def column_of(source: Source, runs: Sequence[Run]) -> Column:
    """The column of what a field tells, but for those of `run_listing`."""
    states = [run.state for run in runs]
    if source.kind == "params":
        values = [state.params.get(source.name) for state in states]
        return Column(values, _param_dtype(values))
    if source.kind == "tags":
        return Column([state.tags.get(source.name) for state in states], "string")
    if source.kind == "metrics":
        found = [metric_of_run(run, source.name) for run in runs]
        return Column([one and getattr(one, source.value) for one in found], "float64")
    return Column([state.ended_at for state in states], TIME)


def metric_of_run(run: Run, name: str) -> MetricState | None:
    """The train metric of that name, or else, if it is `test_…`, that of the run's evaluates."""
    metrics, rest = run.state.metrics, name.removeprefix("test_")
    found = metrics.get(("train", name))
    return metrics.get(("test", rest)) if found is None and rest not in {"", name} else found


def _param_name(key: str) -> str:
    return f"params.{key}" if _PLAIN.fullmatch(key) else f"params.`{key.replace('`', '``')}`"


def _param_dtype(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return "float64"
    if len(kinds) != 1 or (kinds == {int} and any(abs(one or 0) >= 2**63 for one in values)):
        return "object"
    return _PARAM_TYPES.get(kinds.pop(), "object")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) != isinstance(b, bool):
        return False
    return bool(a == b) or (a != a and b != b)


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
