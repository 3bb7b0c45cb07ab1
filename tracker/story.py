"""What happened to one run, for showing: its facts, its attempts, all about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tracker.event import FACTS, Event
from tracker.frames import run_frame, typed
from tracker.projections import flatten
from tracker.store.port import Run

#: The kinds that a run's story is made of.
STORY_KINDS = FACTS

#: Those of them that its history leaves out: what it did, and not what happened to it.
_DOINGS = frozenset({"call_began"})

_HISTORY_TYPES = {
    "seq": "Int64",
    "at": "datetime64[us, UTC]",
    "kind": "string",
    "attempt": "Int64",
    "by": "string",
    "what": "string",
}

_HEAD = ("name", "id", "uuid", "experiment", "group", "rank", "status", "started", "duration",
         "epochs", "events", "attempt", "error")  # fmt: skip


def description(run: Run, story: Sequence[Event]) -> dict[str, Any]:
    """One run as a dict; see `tracker.query.describe`.

    Args:
        run: The run.
        story: Its events of `STORY_KINDS`.
    """
    state = run.state
    (row,) = run_frame([run]).to_dict("records")
    began: Mapping[str, Any] = next((one.logs for one in story if one.kind == "run_began"), {})
    ends = [one.logs for one in story if one.kind in ("run_ended", "run_crashed")]
    error = (ends[-1].get("error") or {}) if ends and state.error_type else {}
    head = [*_HEAD, *(["heartbeat"] if state.status in ("running", "lost") else [])]
    head += ["archived"] if state.archived_at else []
    # Of a purged run it is not known when it began, nor how long it took.
    gone = {name for name in head if row[name] is pd.NA or row[name] is pd.NaT}
    plain = {name: None if name in gone else row[name] for name in head}
    if ends and ends[-1].get("reason") and state.status == "crashed":
        plain["error"] = ends[-1]["reason"]
    attempts = attempts_of(story)
    params: dict[str, Any] = {}
    for one in attempts.values():
        params |= one["params"]
    calls = [one for one in story if one.kind == "call_began"]
    return {
        **plain,
        "pruned": state.dropped or None,
        "note": state.note,
        "traceback": error.get("traceback"),
        "tags": dict(state.tags),
        "params": params,
        "attempts": attempts if len(attempts) > 1 else {},
        "calls": {_call_name(one): one.logs for one in calls},
        "model": dict(began.get("model") or {}),
        "environment": dict(began.get("environment") or {}),
        "metrics": [
            {
                "phase": phase,
                "metric": metric,
                "last": one.last,
                "min": one.minimum,
                "min_epoch": one.minimum_epoch,
                "max": one.maximum,
                "max_epoch": one.maximum_epoch,
            }
            for (phase, metric), one in sorted(state.metrics.items())
        ],
    }


def attempts_of(story: Sequence[Event]) -> dict[int, dict[str, Any]]:
    """Each attempt: `began`, `host`, `pid`, `status` (how it ended), `params`, `changed`.

    `changed` has the params that differ from those of the attempt before: old and new value.
    """
    attempts: dict[int, dict[str, Any]] = {}
    params: dict[str, Any] = {}
    for one in story:
        if one.kind in ("run_began", "run_resumed"):
            given = dict(one.logs.get("params") or {})
            machine = one.logs.get("environment") or {}
            attempts[one.attempt] = {
                "began": pd.Timestamp(one.at, unit="us", tz="UTC"),
                "host": machine.get("host"),
                "pid": machine.get("pid"),
                "status": None,
                "params": given,
                "changed": _changed(params, given) if attempts else {},
            }
            params |= given
        elif one.kind in ("run_ended", "run_crashed") and one.attempt in attempts:
            crashed = one.kind == "run_crashed"
            attempts[one.attempt]["status"] = "crashed" if crashed else one.logs.get("status")
    return attempts


def history_frame(story: Sequence[Event]) -> pd.DataFrame:
    """One row a fact of a run's life; see `tracker.query.history`."""
    facts = [one for one in story if one.kind not in _DOINGS]
    columns: dict[str, Sequence[Any]] = {
        "seq": [one.seq for one in facts],
        "at": [one.at for one in facts],
        "kind": [one.kind for one in facts],
        "attempt": [one.attempt for one in facts],
        "by": [_author(one.logs) for one in facts],
        "what": [_words(one) for one in facts],
    }
    return typed(columns, _HISTORY_TYPES)


def _changed(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, list[Any]]:
    old, new = flatten(before), flatten(given)
    return {
        key: [old.get(key), value] for key, value in new.items() if not _same(old.get(key), value)
    }


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or repr(a) == repr(b)  # NaN is not equal to itself


def _call_name(event: Event) -> str:
    return f"{event.call}" if event.attempt == 1 else f"{event.call} (attempt {event.attempt})"


def _author(data: Mapping[str, Any]) -> str | None:
    by = data.get("by")
    return f"{by.get('user')}@{by.get('host')}" if isinstance(by, Mapping) else None


def _words(event: Event) -> str:
    """What a fact says, in a few words."""
    data = event.logs
    match event.kind:
        case "run_began":
            return str(data.get("name") or "")
        case "run_resumed":
            after = data.get("after") or {}
            place = (data.get("environment") or {}).get("host")
            known = f"on {place}, after it was {after.get('status')}" if after else ""
            return str(data.get("reason") or known)
        case "run_ended":
            error = data.get("error") or {}
            words = [data.get("status"), error.get("type"), error.get("message")]
            return ": ".join(str(word) for word in words if word)
        case "run_renamed":
            return str(data.get("name"))
        case "tags_changed":
            tags = [f"{key}={value}" if value else key for key, value in data["set"].items()]
            return " ".join([*(f"+{tag}" for tag in tags), *(f"-{key}" for key in data["removed"])])
        case "note_changed":
            return str(data.get("note") or "removed")
        case "experiment_changed":
            return str(data.get("experiment"))
        case "events_pruned":
            return f"{data.get('dropped')} batch events dropped"
        case "run_purged":
            return f"{data.get('events')} events erased"
    return str(data.get("reason") or "")
