"""Pure folds: what a run's events say of it, kept beside them for search and listing.

A projection is never the truth. `fold` of a stream from its first event gives the same
state however the stream was cut into batches. Events of batches say nothing to it, so a stream
without them gives the same, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from tracker.event import BY_HAND, PHASES, VERSION, Record, rows_of
from tracker.legibility import encodable
from tracker.logs import as_double, decode

_BATCH = Record._fields.index("batch")

#: What a run can be.
STATUSES = ("running", "finished", "failed", "interrupted", "crashed", "purged")

#: Which events carry values that a run is judged by: the means of an epoch (`train`), and
#: the result of an evaluate that is a call of its own (`test`).
_METRIC_KINDS = {"epoch_end": "train", "test_end": "test"}

#: The kinds that `fold` may have to look back at.
HISTORY_KINDS = ("call_began", *_METRIC_KINDS)

#: All records of `HISTORY_KINDS` of a run before those that are folded, in order.
History = Callable[[], Iterable[Record]]


class MetricState(NamedTuple):
    """One metric of one phase: its last, least, greatest and first value, and where each was.

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
    first: float = math.nan
    first_seq: int | None = None
    first_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class RunState:
    """A run as its events up to `last_seq` tell it."""

    last_seq: int = 0
    #: Integer microseconds since 1970 UTC, as all times here.
    last_at: int | None = None
    #: None: the name that the run was given when the store first saw it.
    name: str | None = None
    experiment: str | None = None
    #: What runs that belong together share, and this one's rank among them.
    group: str | None = None
    rank: int | None = None
    note: str | None = None
    archived_at: int | None = None
    status: str = "running"
    began_at: int | None = None
    ended_at: int | None = None
    attempt: int = 0
    #: Epochs that ended; one that was run again counts once.
    epochs: int = 0
    #: Calls that began and have not ended: number → phase, and the call that it is nested in.
    open_calls: Mapping[int, tuple[str, int | None]] = field(default_factory=dict)
    #: The highest number of any call so far.
    last_call: int = 0
    #: The number that the next call gets; after a call that died, that one's.
    next_call: int = 1
    #: Calls up to this one were begun by earlier attempts, and may be run again.
    again_until: int = 0
    #: The first and the last epoch that ended, of the calls that may be run again.
    spans: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    #: Facts among its events that were stated by hand (see `tracker.event.BY_HAND`).
    by_hand: int = 0
    #: Events that were dropped, by pruning or purging.
    dropped: int = 0
    error_type: str | None = None
    error_message: str | None = None
    host: str | None = None
    pid: int | None = None
    #: The latest and the earliest vocabulary that its events are of; the store says it, which
    #: knows that of each append.
    version: int = 1
    oldest_version: int = VERSION
    params: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    #: (phase, metric) → its state.
    metrics: Mapping[tuple[str, str], MetricState] = field(default_factory=dict)


def call_to_resume_with(state: RunState) -> int:
    """The number of a next attempt's first call: that of the outermost one that died, if any."""
    return min(state.open_calls, default=state.next_call)


def fold(state: RunState, records: Sequence[Record], history: History = tuple) -> RunState:
    """The state after `records`, which follow `state.last_seq` without a gap.

    Args:
        state: The state before.
        records: Records of today's vocabulary (see `tracker.upcast`).
        history: What may be looked back at, if `records` are not the stream's beginning: where
            a resumed run repeats an epoch, the least and the greatest value that it had are
            worth nothing any more, and are found again.
    """
    rows = rows_of(records)
    look_back = _LookBack(history)
    for row in rows:
        if row[_BATCH] is None:
            state = _apply(state, Record._make(row), look_back)
    if not rows:
        return state
    last = Record._make(rows[-1])
    state = look_back.settled(state)
    return replace(state, last_seq=last.seq, last_at=last.at)


def winners(records: Sequence[Record]) -> list[Record]:
    """Without what a later attempt ran again: the same call, epoch, batch and kind.

    An epoch that a later attempt ran to its end takes the place of all that earlier attempts have
    of it, so that batches of another size do not mix.

    Args:
        records: Records in order, `call_began` and `epoch_end` among them.
    """
    if not records or records[-1].attempt == 1:
        return list(records)
    calls = identities(records)
    latest: dict[tuple[Any, ...], int] = {}
    ended: dict[tuple[Any, ...], int] = {}
    for record in records:  # attempts never fall along a stream
        call = calls.get((record.attempt, record.call), record.call)
        latest[call, record.epoch, record.batch, record.kind] = record.attempt
        if record.kind == "epoch_end":
            ended[call, record.epoch] = record.attempt

    def counts(record: Record) -> bool:
        call = calls.get((record.attempt, record.call), record.call)
        last = latest[call, record.epoch, record.batch, record.kind]
        if record.epoch is not None:
            last = max(last, ended.get((call, record.epoch), 0))
        return last == record.attempt

    return list(filter(counts, records))


def identities(records: Sequence[Record]) -> dict[tuple[int, int | None], Any]:
    """What makes each (attempt, call) the same one as that of another attempt.

    The number, of outermost calls. Nested ones are counted through in each attempt, and so are the
    same if they have the same place: the call and the epoch that they are in, or come after, and
    how many came before there.
    """
    found: dict[tuple[int, int | None], Any] = {}
    last_epoch: dict[tuple[int, int | None], int | None] = {}
    places: dict[Any, int] = {}
    for record in records:
        if record.kind == "epoch_end":
            last_epoch[record.attempt, record.call] = record.epoch
        elif record.kind == "call_began":
            parent = decode(record.logs).get("parent")
            if parent is None:
                found[record.attempt, record.call] = record.call
                continue
            outer = (record.attempt, parent)
            inside = record.epoch is not None
            epoch = record.epoch if inside else last_epoch.get(outer)
            place = (record.attempt, found.get(outer, parent), inside, epoch)
            places[place] = places.get(place, 0) + 1
            found[record.attempt, record.call] = (*place[1:], places[place])
    return found


class _LookBack:
    """Works metrics out again from all that was seen, where values were superseded.

    As late as it can be, since an epoch that was run again is mostly followed by more of them.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._seen: list[Record] = []
        #: How many of those seen the metrics have to be worked out from, if they have to.
        self._due: int | None = None
        self._loaded = False

    def see(self, record: Record) -> None:
        """Take a record of `HISTORY_KINDS`."""
        self._seen.append(record)

    def supersede(self) -> None:
        """The record that was seen last takes the place of an earlier attempt's."""
        self._due = len(self._seen)

    def settled(self, state: RunState) -> RunState:
        """The state with the metrics of all that was seen when that was last needed."""
        if self._due is None:
            return state
        if not self._loaded:
            earlier = list(self._history())
            self._seen[:0] = earlier
            self._due += len(earlier)
            self._loaded = True
        seen, self._due = self._seen[: self._due], None
        return replace(state, metrics=_metrics_of(seen))


def _metrics_of(records: Sequence[Record]) -> dict[tuple[str, str], MetricState]:
    phases = {
        (record.attempt, record.call): decode(record.logs).get("phase")
        for record in records
        if record.kind == "call_began"
    }
    metrics: dict[tuple[str, str], MetricState] = {}
    for record in winners(records):
        if record.kind == "epoch_end" or (
            record.kind == "test_end" and phases.get((record.attempt, record.call)) == "test"
        ):
            _measure(metrics, record)
    return metrics


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


def _apply(state: RunState, record: Record, look_back: _LookBack) -> RunState:
    kind = record.kind
    if kind in _METRIC_KINDS:
        state = _measured(state, record, look_back)
    if kind in PHASES:
        return _hook_seen(state, record)
    if kind == "call_began":
        look_back.see(record)
        return _call_began(state, record)
    data = decode(record.logs)
    if kind in BY_HAND:
        return _stated(replace(state, by_hand=state.by_hand + 1), record, data)
    if kind == "run_began":
        return _began(state, record, data)
    if kind == "run_resumed":
        return _resumed(state, record, data)
    if kind in {"run_ended", "run_crashed"}:
        return _ended(state, record, data)
    return state


def _stated(state: RunState, record: Record, data: Mapping[str, Any]) -> RunState:
    """The state after a fact by hand."""
    match record.kind:
        case "run_renamed":
            return replace(state, name=_text(data["name"]))
        case "tags_changed":
            return replace(state, tags=_changed_tags(state.tags, data))
        case "note_changed":
            return replace(state, note=_text_or_none(data.get("note")) or None)
        case "experiment_changed":
            return replace(state, experiment=_text_or_none(data.get("experiment")))
        case "run_archived":
            return replace(state, archived_at=record.at)
        case "run_restored":
            return replace(state, archived_at=None)
        case "events_pruned":
            return replace(state, dropped=state.dropped + int(data.get("dropped") or 0))
        case "run_purged":
            return RunState(
                status="purged",
                ended_at=record.at,
                attempt=record.attempt,
                by_hand=1,
                dropped=record.seq - 1,
            )
    return state


def _text(value: Any) -> str:
    """A text that every database takes: no NUL, no lone surrogates."""
    return encodable(str(value).replace("\x00", "\\x00"))


def _text_or_none(value: Any) -> str | None:
    return None if value is None else _text(value)


def _call(record: Record) -> int:
    return record.call or 0


def _call_began(state: RunState, record: Record) -> RunState:
    data, number = decode(record.logs), _call(record)
    return replace(
        state,
        open_calls={**state.open_calls, number: (str(data.get("phase")), data.get("parent"))},
        last_call=max(state.last_call, number),
        next_call=number + 1,
        status="running",
        ended_at=None,
    )


def _hook_seen(state: RunState, record: Record) -> RunState:
    kind, call = record.kind, _call(record)
    if kind == "epoch_end":
        return _epoch_ended(state, record)
    # Validation's test_end carries the number of the fit that it is part of.
    phase, _ = state.open_calls.get(call, (None, None))
    if phase is None or kind != f"{phase}_end":
        return state
    calls = _without(state.open_calls, call)
    if calls:
        return replace(state, open_calls=calls)
    spans = {number: span for number, span in state.spans.items() if number >= state.next_call}
    return replace(state, open_calls=calls, spans=spans, status="finished", ended_at=record.at)


def _epoch_ended(state: RunState, record: Record) -> RunState:
    call, epoch = _call(record), record.epoch
    if epoch is None:
        return replace(state, epochs=state.epochs + 1)
    first, last = state.spans.get(call, (epoch, epoch - 1))
    if first <= epoch <= last:
        return state
    span = (min(first, epoch), max(last, epoch))
    return replace(state, epochs=state.epochs + 1, spans={**state.spans, call: span})


def _without(
    calls: Mapping[int, tuple[str, int | None]], ended: int
) -> dict[int, tuple[str, int | None]]:
    """Open calls without one, and without those nested in it, which died before."""
    gone = {ended}
    for number, (_, parent) in sorted(calls.items()):
        if parent in gone:
            gone.add(number)
    return {number: call for number, call in calls.items() if number not in gone}


def _began(state: RunState, record: Record, data: Mapping[str, Any]) -> RunState:
    return replace(
        _with_writer(state, data),
        experiment=_text_or_none(data.get("experiment")),
        group=_text_or_none(data.get("group")),
        rank=data.get("rank"),
        status="running",
        began_at=record.at,
        attempt=record.attempt,
        params=_params(data),
        tags=_tags(data.get("tags")),
    )


def _resumed(state: RunState, record: Record, data: Mapping[str, Any]) -> RunState:
    return replace(
        _with_writer(state, data),
        status="running",
        attempt=record.attempt,
        open_calls={},
        next_call=call_to_resume_with(state),
        again_until=state.last_call,
        ended_at=None,
        error_type=None,
        error_message=None,
        params={**state.params, **_params(data)},
        tags={**state.tags, **_tags(data.get("tags"))},
    )


def _params(data: Mapping[str, Any]) -> dict[str, Any]:
    """Params of the user's, and what of the model's description is not a list, dotted."""
    model = flatten(data.get("model") or {}, "model.")
    scalars = {key: value for key, value in model.items() if not isinstance(value, list)}
    return {**scalars, **flatten(data.get("params") or {})}


def _with_writer(state: RunState, data: Mapping[str, Any]) -> RunState:
    """The state with who writes, where that is told: not when a process goes on by itself."""
    environment = data.get("environment")
    if not environment:
        return state
    return replace(state, host=_text_or_none(environment.get("host")), pid=environment.get("pid"))


def _ended(state: RunState, record: Record, data: Mapping[str, Any]) -> RunState:
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
        next_call=call_to_resume_with(state),
        error_type=_text_or_none(error.get("type")),
        error_message=_text_or_none(error.get("message")),
    )


def _changed_tags(tags: Mapping[str, str], data: Mapping[str, Any]) -> dict[str, str]:
    removed = set(map(_text, data.get("removed") or ()))
    kept = {key: value for key, value in tags.items() if key not in removed}
    return {**kept, **_tags(data.get("set"))}


def _tags(tags: Mapping[str, str] | None) -> dict[str, str]:
    return {_text(key): _text(value) for key, value in (tags or {}).items()}


def _measured(state: RunState, record: Record, look_back: _LookBack) -> RunState:
    phase, _ = state.open_calls.get(_call(record), (None, None))
    measures = record.kind == "epoch_end" or phase == "test"
    superseded = measures and _supersedes(state, record)
    if measures and not superseded:
        state = look_back.settled(state)
    look_back.see(record)
    if superseded:
        look_back.supersede()
    if superseded or not measures:  # validation's values come again with epoch_end
        return state
    metrics = dict(state.metrics)
    _measure(metrics, record)
    return replace(state, metrics=metrics)


def _supersedes(state: RunState, record: Record) -> bool:
    """Whether an earlier attempt may have the same."""
    call = _call(record)
    if record.attempt == 1 or _outermost(state, call) > state.again_until:
        return False
    if record.kind == "test_end" or call > state.again_until:
        return True  # of nested calls the number tells nothing
    first, last = state.spans.get(call, (0, -1))
    return record.epoch is not None and first <= record.epoch <= last


def _outermost(state: RunState, call: int) -> int:
    seen = set()
    while call not in seen:
        seen.add(call)
        _, parent = state.open_calls.get(call, (None, None))
        if parent is None:
            break
        call = parent
    return call


def _measure(metrics: dict[tuple[str, str], MetricState], record: Record) -> None:
    """Fold a record's values into `metrics`."""
    phase = _METRIC_KINDS[record.kind]
    for name, value in decode(record.logs).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            key = (phase, _text(name))
            # SQLite has no -0.0, and projections agree on all engines.
            metrics[key] = _folded(metrics.get(key), as_double(value) + 0.0, record)


def _folded(before: MetricState | None, value: float, record: Record) -> MetricState:
    seq, epoch = record.seq, record.epoch
    if before is None:
        after = MetricState(value, seq, epoch, first=value, first_seq=seq, first_epoch=epoch)
    else:
        after = before._replace(last=value, last_seq=seq, last_epoch=epoch)
    if math.isnan(value):
        return after
    if after.minimum is None or value < after.minimum:
        after = after._replace(minimum=value, minimum_seq=seq, minimum_epoch=epoch)
    if after.maximum is None or value > after.maximum:
        after = after._replace(maximum=value, maximum_seq=seq, maximum_epoch=epoch)
    return after
