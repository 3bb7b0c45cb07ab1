"""Rows of the tables ⇄ runs and the state that their events tell."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, insert, select

from tracker.logs import from_plain, to_plain
from tracker.projections import MetricState, RunState
from tracker.store import schema
from tracker.store.clock import server_now
from tracker.store.port import GENESIS, Run

#: Columns of `runs` that are fields of `RunState` as they stand.
_STATE_COLUMNS = (
    "last_seq",
    "last_at",
    "experiment",
    "status",
    "began_at",
    "ended_at",
    "attempt",
    "epochs",
    "error_type",
    "error_message",
    "host",
    "pid",
    "version",
    "oldest_version",
    "rank",
    "note",
    "archived_at",
    "by_hand",
    "dropped",
)

#: The others, as `_run` takes them.
_OWN_COLUMNS = ("id", "uuid", "given_name", "name", "writer", "head", "group_name", "calls",
                "heartbeat_at")  # fmt: skip

_RUNS: Select[Any] = select(
    *(schema.runs.c[name] for name in (*_STATE_COLUMNS, *_OWN_COLUMNS)), server_now().label("now")
)
_PARAMS = select(schema.run_params.c.run_id, schema.run_params.c.key, schema.run_params.c.value)
_TAGS = select(schema.run_tags.c.run_id, schema.run_tags.c.key, schema.run_tags.c.value)
_METRIC_FIELDS = MetricState._fields
_METRICS = select(
    schema.run_metrics.c.run_id,
    schema.run_metrics.c.phase,
    schema.run_metrics.c.metric,
    *(schema.run_metrics.c[name] for name in _METRIC_FIELDS),
)
#: Of the values where NULL is NaN.
_NAN_PLACES = (_METRIC_FIELDS.index("last"), _METRIC_FIELDS.index("first"))

#: Runs that are loaded at a time: databases take only so many parameters.
_AT_ONCE = 1_000

#: By run: its params, tags or metrics.
_Parts = dict[int, dict[Any, Any]]

#: What the column `calls` holds of `RunState`, beside `open_calls` and `spans`.
_CALL_NUMBERS = ("last_call", "next_call", "again_until")


def load_runs(
    connection: Connection,
    uuids: Sequence[str] | None = None,
    *,
    where: ColumnElement[bool] | None = None,
    described: bool = True,
) -> list[Run]:
    """Runs with their projections, in id order.

    Args:
        connection: A transaction whose reads are all of one moment.
        uuids: Only these.
        where: Only those that this holds for.
        described: With their params and tags; else they seem to have none.
    """
    if uuids is not None:
        where = schema.runs.c.uuid.in_(uuids)
    wanted = _RUNS.order_by(schema.runs.c.id)
    rows = connection.execute(wanted if where is None else wanted.where(where)).all()
    if not rows:
        return []
    # A run that began in this moment has parts, and is not among the rows.
    params: _Parts = defaultdict(dict)
    tags: _Parts = defaultdict(dict)
    metrics: _Parts = defaultdict(dict)
    if described:
        for run_id, key, text in _part(connection, _PARAMS, where):
            value = _loaded(text, text)
            value = from_plain(value) if isinstance(value, dict | list | str) else value
            params[run_id][key] = value
        for run_id, key, value in _part(connection, _TAGS, where):
            tags[run_id][key] = value
    for run_id, phase, metric, *values in _part(connection, _METRICS, where):
        metrics[run_id][phase, metric] = _metric_state(values)
    return [_run(row, params, tags, metrics) for row in rows]


def load_runs_in_order(
    connection: Connection, ids: Sequence[int], *, described: bool = True
) -> list[Run]:
    """As `load_runs`, those with these ids, in their order."""
    runs: dict[int, Run] = {}
    for place in range(0, len(ids), _AT_ONCE):
        among = _among(ids[place : place + _AT_ONCE])
        runs |= {run.id: run for run in load_runs(connection, where=among, described=described)}
    return [runs[run_id] for run_id in ids]


def _among(ids: Sequence[int]) -> ColumnElement[bool]:
    """A condition for these ids, and for a few between them where that is faster."""
    low, high = min(ids), max(ids)
    if high - low < 2 * len(ids):
        return schema.runs.c.id.between(low, high)
    return schema.runs.c.id.in_(ids)


def _part(
    connection: Connection, wanted: Select[Any], where: ColumnElement[bool] | None
) -> Sequence[Any]:
    if where is not None:
        # Not the ids of those that were found: an engine takes only so many parameters.
        run_id = wanted.selected_columns[0]
        wanted = wanted.where(run_id.in_(select(schema.runs.c.id).where(where)))
    return connection.execute(wanted).all()


def _run(row: Sequence[Any], params: _Parts, tags: _Parts, metrics: _Parts) -> Run:
    own = row[len(_STATE_COLUMNS) :]
    run_id, uuid, given_name, name, writer, head, group, calls, heartbeat_at, now = own
    state = RunState(
        **dict(zip(_STATE_COLUMNS, row, strict=False)),  # its first columns
        **_calls(_loaded(calls, {})),
        name=None if name == given_name else name,
        group=group,
        params=params.get(run_id, {}),
        tags=tags.get(run_id, {}),
        metrics=metrics.get(run_id, {}),
    )
    return Run(
        id=run_id,
        uuid=uuid,
        given_name=given_name,
        writer=writer,
        head=head if isinstance(head, bytes) else GENESIS,
        state=state,
        # The clock may have been set back.
        heartbeat_age=None if heartbeat_at is None else max(0, now - heartbeat_at) / 1e6,
    )


def _loaded(text: Any, instead: Any) -> Any:
    """JSON of a projection; one that somebody damaged spoils no listing: it can be rebuilt."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return instead


def _calls(held: dict[str, Any]) -> dict[str, Any]:
    pairs = held.get("open_calls", {}).items()
    return {
        **{name: held[name] for name in _CALL_NUMBERS if name in held},
        "open_calls": {int(call): (phase, parent) for call, (phase, parent) in pairs},
        "spans": {int(call): tuple(span) for call, span in held.get("spans", {}).items()},
    }


def _metric_state(values: list[Any]) -> MetricState:
    for place in _NAN_PLACES:
        if values[place] is None:
            values[place] = math.nan
    return MetricState._make(values)


def state_values(state: RunState) -> dict[str, Any]:
    """The columns of `runs` that are projections."""
    calls: dict[str, Any] = {name: getattr(state, name) for name in _CALL_NUMBERS}
    for name in ("open_calls", "spans"):
        calls[name] = {str(number): one for number, one in getattr(state, name).items()}
    values = {name: getattr(state, name) for name in _STATE_COLUMNS}
    return values | {"group_name": state.group, "calls": orjson.dumps(calls).decode()}


def store_changes(connection: Connection, run_id: int, before: RunState, after: RunState) -> None:
    """Write those rows of the projections that the fold changed.

    The empty state as `before` stands for no rows.
    """
    params = {
        key: {"value": orjson.dumps(to_plain(value)).decode(), "number": _number(value)}
        for key, value in after.params.items()
    }
    if after.params != before.params:
        _replace(connection, schema.run_params, run_id, before.params, params)
    if after.tags != before.tags:
        tags = {key: {"value": value} for key, value in after.tags.items()}
        _replace(connection, schema.run_tags, run_id, before.tags, tags)
    changed = {
        key: state for key, state in after.metrics.items() if before.metrics.get(key) is not state
    }
    gone = before.metrics.keys() - after.metrics.keys()
    if changed or gone:
        _store_metrics(connection, run_id, changed, gone | (changed.keys() & before.metrics.keys()))


def _replace(
    connection: Connection, table: Any, run_id: int, before: Any, rows: dict[str, dict[str, Any]]
) -> None:
    if before:
        connection.execute(table.delete().where(table.c.run_id == run_id))
    if rows:
        values = [{"run_id": run_id, "key": key, **row} for key, row in rows.items()]
        connection.execute(insert(table), values)


def _store_metrics(
    connection: Connection,
    run_id: int,
    changed: Mapping[tuple[str, str], MetricState],
    replaced: AbstractSet[tuple[str, str]],
) -> None:
    table = schema.run_metrics
    if replaced:
        old = (table.c.phase == bindparam("old_phase")) & (
            table.c.metric == bindparam("old_metric")
        )
        known = [{"old_phase": phase, "old_metric": metric} for phase, metric in replaced]
        connection.execute(delete(table).where(table.c.run_id == run_id).where(old), known)
    if changed:
        connection.execute(
            insert(table),
            [
                {"run_id": run_id, "phase": phase, "metric": metric, **_metric_values(state)}
                for (phase, metric), state in changed.items()
            ],
        )


def _metric_values(state: MetricState) -> dict[str, Any]:
    values = state._asdict()
    for name in ("last", "first"):
        values[name] = None if math.isnan(values[name]) else values[name]
    return values


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
