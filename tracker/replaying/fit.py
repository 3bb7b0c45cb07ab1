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
    #: Steps that the optimizer took in earlier fits.
    before: int = 0
    #: Why hooks of some batches are missing; None: none are.
    unseen: str | None = None


def stored_fit(
    run: str | int, *, call: int | None = None, batches: bool = True, store: Store = None
) -> Fit:
    """A fit of a run, with the hooks of its batches or without; see `replay` for the rest."""
    with opened_store(store) as opened:
        found = run_of(run, store=opened)
        records = list(opened.read(found.uuid, batches=batches))
    return fit_of(found.name, records, call=call)


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
    for earlier in sorted(one for one in calls if one < call):
        count = step_count(calls[earlier], before)
        for one in shown:
            if one.call == earlier:
                count.advance(one)
        before = count.taken
    hooks = _from_begin_to_end([one for one in shown if one.kind in HOOKS and one.call == call])
    unseen = _unseen(began, records)
    return Fit(run, call, calls[call], began.get("model") or {}, hooks, before, unseen)


def _from_begin_to_end(hooks: Sequence[Record]) -> list[Record]:
    """The hooks of a fit, its begin first and its end last, whichever attempts they are of."""
    ends = ("train_begin", "train_end")
    begin, end = ([one for one in hooks if one.kind == kind][-1:] for kind in ends)
    return [*begin, *(one for one in hooks if one.kind not in ends), *end]


def _unseen(began: Mapping[str, Any], records: Sequence[Record]) -> str | None:
    if "batches" in began and began["batches"] != "all":
        return f"batches={began['batches']}"
    return "pruned" if any(one.kind == "events_pruned" for one in records) else None


def step_count(asked: Mapping[str, Any], before: int) -> StepCount:
    """Counts the optimizer's steps of a fit, by what was asked for, and those before."""
    return StepCount((asked.get("params") or {}).get("steps"), before)


def _fits(records: Sequence[Record]) -> dict[int, Mapping[str, Any]]:
    """By call, what the latest attempt at each outermost fit was asked for."""
    found: dict[int, Mapping[str, Any]] = {}
    for record in records:
        if record.kind == "call_began" and record.call is not None:
            data = decode(record.logs)
            if data.get("phase") == "train" and data.get("parent") is None:
                # Later attempts begin with the rate that earlier ones came to.
                first = found.get(record.call, data).get(RATE)
                found[record.call] = data | {RATE: first}
    return found
