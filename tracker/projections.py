"""Pure folds: what a run's events say of it, kept beside them for search and listing.

A projection is never the truth. `fold` of a stream from its first event gives the same
state however the stream was cut into batches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tracker.event import PHASES, VERSION, Record, rows_of
from tracker.logs import decode

_BATCH = Record._fields.index("batch")

#: What a run can be.
STATUSES = ("running", "finished", "failed", "interrupted", "crashed")

#: Which events carry values that a run is judged by: the means of an epoch (`train`), and
#: the result of an evaluate that is a call of its own (`test`).
_METRIC_KINDS = {"epoch_end": "train", "test_end": "test"}


@dataclass(frozen=True, slots=True)
class MetricState:
    """One metric of one phase: its last, least and greatest value, and where each was.

    `minimum` and `maximum` pass over NaN and are None until there is another value.
    """

    last: float
    last_seq: int
    last_epoch: int | None
    minimum: float | None = None
    minimum_seq: int | None = None
    minimum_epoch: int | None = None
    maximum: float | None = None
    maximum_seq: int | None = None
    maximum_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as its events up to `last_seq` tell it."""

    last_seq: int = 0
    #: Integer microseconds since 1970 UTC, as all times here.
    last_at: int | None = None
    #: None: the name that the run was given when the store first saw it.
    name: str | None = None
    experiment: str | None = None
    status: str = "running"
    began_at: int | None = None
    ended_at: int | None = None
    attempt: int = 0
    #: Epochs that ended.
    epochs: int = 0
    #: Calls that began and have not ended: number → phase, and the call that it is nested in.
    open_calls: Mapping[int, tuple[str, int | None]] = field(default_factory=dict)
    error_type: str | None = None
    error_message: str | None = None
    host: str | None = None
    pid: int | None = None
    version: int = VERSION
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    #: (phase, metric) → its state.
    metrics: Mapping[tuple[str, str], MetricState] = field(default_factory=dict)


def fold(state: RunState, records: Sequence[Record]) -> RunState:
    """The state after `records`, which follow `state.last_seq` without a gap."""
    rows = rows_of(records)
    for row in rows:
        if row[_BATCH] is None:
            state = _apply(state, Record._make(row))
    if not rows:
        return state
    last = Record._make(rows[-1])
    return replace(state, last_seq=last.seq, last_at=last.at)


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one level, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in params.items():
        name = f"{prefix}{_text(key)}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def _apply(state: RunState, record: Record) -> RunState:
    kind = record.kind
    if kind in _METRIC_KINDS:
        state = _measured(state, record)
    if kind in PHASES:
        return _hook_seen(state, record)
    if kind == "call_began":
        data = decode(record.logs)
        calls = {**state.open_calls, _call(record): (str(data.get("phase")), data.get("parent"))}
        return replace(state, open_calls=calls, status="running", ended_at=None)
    if kind == "run_began":
        return _began(state, record)
    if kind == "run_resumed":
        return replace(
            _with_writer(state, decode(record.logs)),
            status="running",
            attempt=record.attempt,
            open_calls={},
            ended_at=None,
            error_type=None,
            error_message=None,
        )
    if kind in {"run_ended", "run_crashed"}:
        return _ended(state, record)
    if kind == "run_renamed":
        return replace(state, name=_text(decode(record.logs)["name"]))
    if kind == "tags_changed":
        return replace(state, tags=_changed_tags(state.tags, decode(record.logs)))
    return state


def _text(value: Any) -> str:
    """A text that every database takes: no NUL, no lone surrogates."""
    text = str(value)
    if text.isprintable():
        return text
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _call(record: Record) -> int:
    return record.call or 0


def _hook_seen(state: RunState, record: Record) -> RunState:
    kind, call = record.kind, _call(record)
    if kind == "epoch_end":
        return replace(state, epochs=state.epochs + 1)
    # Validation's test_end carries the number of the fit that it is part of.
    phase, _ = state.open_calls.get(call, (None, None))
    if phase is None or kind != f"{phase}_end":
        return state
    calls = _without(state.open_calls, call)
    if calls:
        return replace(state, open_calls=calls)
    return replace(state, open_calls=calls, status="finished", ended_at=record.at)


def _without(
    calls: Mapping[int, tuple[str, int | None]], ended: int
) -> dict[int, tuple[str, int | None]]:
    """Open calls without one, and without those nested in it, which died before."""
    gone = {ended}
    for number, (_, parent) in sorted(calls.items()):
        if parent in gone:
            gone.add(number)
    return {number: call for number, call in calls.items() if number not in gone}


def _began(state: RunState, record: Record) -> RunState:
    data = decode(record.logs)
    model = flatten(data.get("model") or {}, "model.")
    scalars = {key: value for key, value in model.items() if not isinstance(value, list)}
    params = {**scalars, **flatten(data.get("params") or {})}
    return replace(
        _with_writer(state, data),
        experiment=_text_or_none(data.get("experiment")),
        status="running",
        began_at=record.at,
        attempt=record.attempt,
        version=data.get("version", VERSION),
        params=params,
        tags=_tags(data.get("tags")),
    )


def _with_writer(state: RunState, data: Mapping[str, Any]) -> RunState:
    environment = data.get("environment") or {}
    return replace(state, host=_text_or_none(environment.get("host")), pid=environment.get("pid"))


def _ended(state: RunState, record: Record) -> RunState:
    data = decode(record.logs)
    error = data.get("error") or {}
    status = "crashed" if record.kind == "run_crashed" else data.get("status", "finished")
    # A run whose last call ended well ended then, however long its process lived on.
    kept = state.ended_at if status == "finished" else None
    ended_at = data.get("last_at") or record.at
    return replace(
        state,
        status=status,
        ended_at=kept or ended_at,
        open_calls={},
        error_type=_text_or_none(error.get("type")),
        error_message=_text_or_none(error.get("message")),
    )


def _changed_tags(tags: Mapping[str, str], data: Mapping[str, Any]) -> dict[str, str]:
    removed = set(map(_text, data.get("removed") or ()))
    kept = {key: value for key, value in tags.items() if key not in removed}
    return {**kept, **_tags(data.get("set"))}


def _tags(tags: Mapping[str, str] | None) -> dict[str, str]:
    return {_text(key): _text(value) for key, value in (tags or {}).items()}


def _measured(state: RunState, record: Record) -> RunState:
    phase = _METRIC_KINDS[record.kind]
    if phase == "test" and state.open_calls.get(_call(record), ("",))[0] != "test":
        return state  # validation: its values come again with epoch_end
    metrics = dict(state.metrics)
    for name, value in decode(record.logs).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            key = (phase, _text(name))
            metrics[key] = _folded(metrics.get(key), _as_float(value), record)
    return replace(state, metrics=metrics)


def _as_float(value: float) -> float:
    try:
        return float(value) + 0.0  # SQLite has no -0.0, and projections agree on all engines
    except OverflowError:  # an int beyond the range of a double
        return math.inf if value > 0 else -math.inf


def _folded(before: MetricState | None, value: float, record: Record) -> MetricState:
    seq, epoch = record.seq, record.epoch
    if before is None:
        after = MetricState(value, seq, epoch)
    else:
        after = replace(before, last=value, last_seq=seq, last_epoch=epoch)
    if math.isnan(value):
        return after
    if after.minimum is None or value < after.minimum:
        after = replace(after, minimum=value, minimum_seq=seq, minimum_epoch=epoch)
    if after.maximum is None or value > after.maximum:
        after = replace(after, maximum=value, maximum_seq=seq, maximum_epoch=epoch)
    return after
