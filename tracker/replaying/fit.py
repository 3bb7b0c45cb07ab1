"""One fit of a run, as it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tracker.errors import InvalidArgument
from tracker.event import HOOKS, Record
from tracker.logs import decode
from tracker.projections import winners
from tracker.query import Store, opened_store, run_of
from tracker.replaying.optimizer import RATE, StepCount
from tracker.steps import in_order


class Fit(NamedTuple):
    """One fit of a run, as it counts."""

    run: str
    call: int
    #: What `call_began` tells of it, and `run_began` of the model.
    asked: Mapping[str, Any]
    model: Mapping[str, Any]
    #: Its hooks, in order.
    hooks: Sequence[Record]
    #: Steps that its optimizer took in earlier fits.
    before: int = 0
    #: Why hooks of some batches are missing; None: none are.
    unseen: str | None = None
    #: Whether nothing changes the learning rate but callbacks that log it.
    steady: bool = False
    #: How it ended: `finished`, `died`, what the run did without it (`failed`, `crashed` …),
    #: or `running`, `lost`; None where that is not known.
    ending: str | None = None


class _Begun(NamedTuple):
    """A fit that began: what was asked for, of which model; see `Fit`."""

    asked: Mapping[str, Any]
    model: Mapping[str, Any]
    steady: bool


#: Callbacks that leave the learning rate as it is.
_STEADY = frozenset(
    {
        "tracker.callback.TrackerCallback",
        *(
            f"keras.callbacks.{name}"
            for name in (
                "CSVLogger",
                "EarlyStopping",
                "History",
                "ModelCheckpoint",
                "ProgbarLogger",
                "RemoteMonitor",
                "SwapEMAWeights",
                "TensorBoard",
                "TerminateOnNaN",
            )
        ),
    }
)


def stored_fit(
    run: str | int, *, call: int | None = None, batches: bool = True, store: Store = None
) -> Fit:
    """A fit of a run, with the hooks of its batches or without; see `replay` for the rest."""
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        records = list(opened.read(found.uuid, batches=batches))
    fit = fit_of(found.name, records, call=call)
    # Whether a run without an end still goes on, its events do not tell.
    return fit if fit.ending else fit._replace(ending=found.state.status)


def fit_of(run: str, records: Sequence[Record], *, call: int | None = None) -> Fit:
    """A fit among the records of a run; see `replay`."""
    began = next((decode(one.logs) for one in records if one.kind == "run_began"), {})
    calls = _fits(records)
    if call is None and calls:
        call = min(calls)
    if call is None or call not in calls:
        there = ", ".join(map(str, sorted(calls))) or "none"
        which = "no fit" if call is None else f"no fit {call}"
        raise InvalidArgument(f"Run {run!r} has {which}; its fits: {there}.")
    shown = in_order(winners(records), records)
    before = 0
    for earlier in sorted(one for one in calls if one < call and _same(calls[one], calls[call])):
        count = step_count(calls[earlier].asked, before)
        for one in shown:
            if one.call == earlier:
                count.advance(one)
        before = count.taken
    hooks = _from_begin_to_end([one for one in shown if one.kind in HOOKS and one.call == call])
    asked, model, steady = calls[call]
    unseen, ending = _unseen(began, records), _ending(call, records)
    return Fit(run, call, asked, model, hooks, before, unseen, steady, ending)


def _from_begin_to_end(hooks: Sequence[Record]) -> list[Record]:
    """The hooks of a fit, its begin first and its end last, whichever attempts they are of."""
    ends = ("train_begin", "train_end")
    begin, end = ([one for one in hooks if one.kind == kind][-1:] for kind in ends)
    return [*begin, *(one for one in hooks if one.kind not in ends), *end]


def _same(one: _Begun, other: _Begun) -> bool:
    """Whether two fits have the same optimizer, which Keras numbers in its name."""
    names = [(begun.model.get("optimizer") or {}).get("name") for begun in (one, other)]
    return bool(names[0] == names[1])


def _unseen(began: Mapping[str, Any], records: Sequence[Record]) -> str | None:
    if "batches" in began and began["batches"] != "all":
        return f"batches={began['batches']}"
    return "pruned" if any(one.kind == "events_pruned" for one in records) else None


def step_count(asked: Mapping[str, Any], before: int) -> StepCount:
    """Counts the optimizer's steps of a fit, by what was asked for, and those before."""
    return StepCount((asked.get("params") or {}).get("steps"), before)


def _ending(call: int, records: Sequence[Record]) -> str | None:
    """How a fit ended, as far as the events after its last hook tell."""
    last = max(n for n, one in enumerate(records) if one.call == call)
    if records[last].kind == "train_end":
        return "finished"
    for one in records[last + 1 :]:
        if one.kind == "run_crashed":
            return "crashed"
        if one.kind == "run_ended":
            status = decode(one.logs).get("status")
            return "died" if status in (None, "finished") else str(status)
        if one.kind == "run_resumed":
            return "died"
        if one.kind == "call_began" and decode(one.logs).get("parent") is None:
            return "died"
    return None


def _fits(records: Sequence[Record]) -> dict[int, _Begun]:
    """By call, each outermost fit: what its latest attempt was asked for, of the first's model."""
    found: dict[int, _Begun] = {}
    model: dict[str, Any] = {}
    for record in records:
        if record.kind in ("run_began", "run_resumed"):
            model = decode(record.logs).get("model") or model
        elif record.kind == "call_began" and record.call is not None:
            data = decode(record.logs)
            if data.get("phase") == "train" and data.get("parent") is None:
                own = {name: data[name] for name in data.keys() & {"metrics", "optimizer"}}
                first = found.get(record.call) or _Begun(data, model | own, steady=True)
                # Later attempts begin with the rate that earlier ones came to.
                rate = first.asked.get(RATE)
                steady = first.steady and data.get(RATE) == rate and _is_steady(data)
                found[record.call] = _Begun(data | {RATE: rate}, first.model, steady)
    return found


def _is_steady(asked: Mapping[str, Any]) -> bool:
    """Whether the fit tells its learning rate, and has no callback that may change it."""
    callbacks = asked.get("callbacks")
    told = isinstance(asked.get(RATE), int | float)
    return told and isinstance(callbacks, list) and _STEADY.issuperset(callbacks)
