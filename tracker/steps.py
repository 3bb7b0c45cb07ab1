"""Where events lie on a run's one axis: training batches since it began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracker.event import HOOKS, Record
from tracker.logs import decode
from tracker.projections import identities, winners

#: An epoch of a call: what a later attempt may run again.
_Epoch = tuple[Any, int | None]


def steps_of(records: Sequence[Record]) -> list[int | None]:
    """For each record, the training batches since the run began; None where unknown.

    An epoch that several attempts ran has the same steps in each. So do the fits of one run, and
    what resumed it, make one axis.

    Args:
        records: Records in order; those of `call_began`, `train_batch_end` and `epoch_end` count.
    """
    calls = identities(records)
    before, sizes = _epochs(records, calls)
    steps: list[int | None] = []
    step: int | None = 0
    for record in records:
        epoch = _epoch(record, calls)
        if record.kind in {"train_batch_end", "epoch_end"}:
            start = before[epoch]
            inside = sizes[epoch] if record.batch is None else record.batch + 1
            step = None if start is None or inside is None else start + inside
        steps.append(step)
    return steps


def in_order(shown: Sequence[Record], records: Sequence[Record]) -> list[Record]:
    """Winners in the order of a curve.

    Epochs come in the order in which they were first run; one in which attempts are mixed, in that
    of its hooks.

    Args:
        shown: The winners.
        records: All records.
    """
    if not records or records[-1].attempt == 1:
        return list(shown)
    calls = identities(records)
    places: dict[_Epoch, int] = {}
    for record in records:
        places.setdefault(_epoch(record, calls), len(places))
    attempts: dict[_Epoch, set[int]] = {}
    for record in shown:
        attempts.setdefault(_epoch(record, calls), set()).add(record.attempt)

    def place(record: Record) -> tuple[int, int, int, int]:
        epoch = _epoch(record, calls)
        if len(attempts[epoch]) == 1 or record.kind not in HOOKS:
            return places[epoch], -1, 0, record.seq
        batch = -1 if record.batch is None else record.batch
        return places[epoch], HOOKS.index(record.kind), batch, record.seq

    return sorted(shown, key=place)


def _epoch(record: Record, calls: Mapping[tuple[int, int | None], Any]) -> _Epoch:
    return calls.get((record.attempt, record.call), record.call), record.epoch


def _epochs(
    records: Sequence[Record], calls: Mapping[tuple[int, int | None], Any]
) -> tuple[dict[_Epoch, int | None], dict[_Epoch, int | None]]:
    """Training batches before each epoch, and in it; None where unknown."""
    planned = planned_steps(records)
    sizes: dict[_Epoch, int | None] = {}
    for record in records:  # in the order in which they were first run
        if record.kind in {"train_batch_end", "epoch_end"}:
            sizes.setdefault(_epoch(record, calls), 0)
    for record in winners(records):
        epoch = _epoch(record, calls)
        size = sizes.get(epoch) or 0
        if record.kind == "train_batch_end" and record.batch is not None:
            sizes[epoch] = max(size, record.batch + 1)
        elif record.kind == "epoch_end" and not size:  # batches were not recorded
            sizes[epoch] = planned.get((record.attempt, record.call))
    before: dict[_Epoch, int | None] = {}
    total: int | None = 0
    for epoch, known in sizes.items():
        before[epoch] = total
        total = None if total is None or known is None else total + known
    return before, sizes


def planned_steps(records: Sequence[Record]) -> dict[tuple[int, int | None], int]:
    """Batches in an epoch of each (attempt, call), where Keras knew them."""
    planned = {}
    for record in records:
        if record.kind == "call_began":
            steps = (decode(record.logs).get("params") or {}).get("steps")
            if isinstance(steps, int) and steps:
                planned[record.attempt, record.call] = steps
    return planned
