"""What was logged for each batch alone, worked out from Keras's running means.

At the end of a batch, Keras logs means since its metrics were reset: when the epoch, the validation
or an evaluate began. Of n batches of one size with the mean mₙ, the last one alone had
n·mₙ - (n-1)·mₙ₋₁. An evaluate inside an epoch resets the metrics and leaves its own batches in
them: they are part of the means until the epoch ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tracker.errors import NotEstimable
from tracker.event import PHASES, Record
from tracker.logs import as_double, decode
from tracker.means import bounds, check_means

#: The records that the estimates are made from.
ESTIMATE_KINDS = (
    "run_began", "run_resumed", "call_began", "train_begin", "train_end", "epoch_begin",
    "epoch_end", "train_batch_begin", "train_batch_end", "test_begin", "test_end",
    "test_batch_begin", "test_batch_end",
)  # fmt: skip

#: How far two float32 roundings move a mean, relative to it: of the sum, and of the quotient.
_ROUNDING = 2.0**-22

#: Which batch: attempt, call, epoch, batch, phase.
BatchKey = tuple[int, int | None, int | None, int | None, str]

_CONTAMINATED = "an evaluate inside the epoch did not end"


class Estimate(NamedTuple):
    """What was logged for one batch alone."""

    value: float
    #: How far rounding in float32 may have moved it.
    rounding: float


@dataclass(slots=True)
class BatchEstimates:
    """The estimates of one batch."""

    metrics: dict[str, Estimate]
    #: False where the logged values are those of the batch: it was the first one.
    estimated: bool
    #: Whether they rest on a batch having had the size of the others, which nobody recorded: the
    #: last one of the epoch, or of an evaluate inside it.
    assumed: bool = False


@dataclass(slots=True)
class _Row:
    """Batches that Keras's metrics are a mean of, since they were reset."""

    #: Batches since the row began, which is the next index.
    batches: int = 0
    #: How many batches (of this row's size) the means were made of, with those of an evaluate.
    weight: float = 0.0
    means: dict[str, float] = field(default_factory=dict)
    #: What the last batch logged.
    final: dict[str, float] = field(default_factory=dict)
    #: Whether an evaluate's batches are in the means.
    mixed: bool = False
    #: Whether a batch has begun and not ended.
    inside: bool = False
    last: BatchEstimates | None = None
    #: Why the next batch cannot be estimated.
    broken: str | None = None


@dataclass(slots=True)
class _Call:
    phase: str
    parent: int | None
    data: Mapping[str, Any]
    train: _Row | None = None
    test: _Row | None = None
    ended: bool = False

    @property
    def row(self) -> _Row | None:
        """The batches that are going on."""
        return self.test or self.train


def estimates_of(
    run: str, records: Sequence[Record], names: Collection[str] | None = None
) -> dict[BatchKey, BatchEstimates]:
    """What each batch of a run logged alone.

    Args:
        run: The run's name.
        records: Its records of `ESTIMATE_KINDS`, in order.
        names: The metrics that are asked for: whoever names one says that it is a mean over
            batches, where the model's description does not tell. None: all that were logged.

    Raises:
        NotEstimable: It cannot be worked out; the message says for which metric or batch and why.
    """
    estimator = _Estimator(run, names)
    for record in records:
        estimator.take(record)
    return estimator.found


class _Estimator:
    def __init__(self, run: str, names: Collection[str] | None) -> None:
        self.found: dict[BatchKey, BatchEstimates] = {}
        self._run = run
        self._names = names
        self._began: dict[str, Any] = {}
        self._model: dict[str, Any] = {}
        self._calls: dict[int | None, _Call] = {}
        self._checked: set[tuple[str, bool]] = set()
        self._bounds: dict[str, tuple[float, float]] = {}

    def take(self, record: Record) -> None:
        """Go on by one record."""
        kind = record.kind
        if kind in ("run_began", "run_resumed"):
            self._begin_attempt(decode(record.logs))
        elif kind == "call_began":
            data = decode(record.logs)
            self._calls[record.call] = _Call(str(data.get("phase")), data.get("parent"), data)
        else:
            call = self._calls.get(record.call)
            if call is None:
                call = self._calls[record.call] = _Call(PHASES[kind], None, {})
            if kind.endswith("batch_begin"):
                row = self._row(call, kind)
                row.inside = True
            elif kind.endswith("batch_end"):
                self._batch(call, record)
            elif kind.endswith("_begin"):
                self._begin(call, record)
            else:
                self._end(call, record)

    def _begin_attempt(self, data: dict[str, Any]) -> None:
        self._began = data
        self._model = data.get("model") or {}
        self._calls = {}
        self._checked = set()
        self._bounds = {}

    def _begin(self, call: _Call, record: Record) -> None:
        if record.kind == "epoch_begin":
            call.train = _Row()
            return
        if record.kind == "test_begin":
            if call.phase == "train":  # its validation: the last training batch is known now
                _close(call.train)
            call.test = _Row()
        if record.kind == "test_begin" and call.phase == "train":
            return
        for row in self._outer(call):
            if row.inside:
                row.broken = (
                    "an evaluate began inside a batch, before or after its step: give fit the "
                    "tracker's callback before the one that evaluates"
                )
            elif record.kind == "test_begin":
                row.broken = _CONTAMINATED
            else:
                row.broken = "another fit ran inside the epoch"
        for other in self._calls.values():
            going = other.row
            if call.parent is None and other is not call and not other.ended and going:
                going.broken = going.broken or "another fit or evaluate ran at the same time"

    def _end(self, call: _Call, record: Record) -> None:
        if record.kind == "train_end":
            call.train, call.ended = None, True
            return
        logged = decode(record.logs)
        if record.kind == "epoch_end":
            _close(call.train)
            self._compare(call.train, logged, record)
            call.train = None
            return
        tested, call.test = call.test, None
        _close(tested)
        self._compare(tested, logged, record)
        if call.phase == "test":
            call.ended = True
            for outer in self._outer(call):
                if outer.broken == _CONTAMINATED:
                    self._mix(outer, tested or _Row(), call)

    def _mix(self, outer: _Row, inner: _Row, call: _Call) -> None:
        """The metrics hold an evaluate's batches, and go on from there."""
        parent = self._calls[call.parent]
        inside, outside = call.data.get("batch_size"), parent.data.get("batch_size")
        validating = parent.test is outer and parent.phase == "train"
        if not inside or not outside or validating:
            outer.broken = "an evaluate ran inside it, and the sizes of batches are not known"
            return
        outer.weight = inner.weight * inside / outside
        outer.means, outer.mixed, outer.broken = dict(inner.means), True, None

    def _batch(self, call: _Call, record: Record) -> None:
        row = self._row(call, record.kind)
        row.inside = False
        if row.broken:
            raise self._refusal(record, row.broken)
        if record.batch != row.batches:
            raise self._refusal(record, self._gap(row))
        logged = self._wanted(decode(record.logs), by_hand="method" not in call.data)
        before = row.weight
        values = {}
        for name, mean in logged.items():
            if before and name not in row.means:
                raise self._refusal(record, f"{name} was not logged by all batches before it")
            values[name] = self._estimate(name, mean, row.means.get(name, 0.0), before, record)
        row.batches += 1
        row.weight = before + 1
        row.means = row.final = logged
        row.last = BatchEstimates(values, estimated=before > 0, assumed=row.mixed)
        key = (record.attempt, record.call, record.epoch, record.batch, PHASES[record.kind])
        self.found[key] = row.last

    def _estimate(
        self, name: str, mean: float, earlier: float, weight: float, record: Record
    ) -> Estimate:
        if not weight:
            return Estimate(mean, 0.0)
        value = (weight + 1) * mean - weight * earlier
        rounding = _ROUNDING * (weight + 1) * (abs(mean) + abs(earlier))
        if name not in self._bounds:
            self._bounds[name] = bounds(name, self._model)
        low, high = self._bounds[name]
        possible = low <= mean <= high and low <= earlier <= high
        if possible and not low - rounding <= value <= high + rounding:
            raise self._refusal(
                record,
                f"{name} would be {value:.6g} there, which it cannot be. Its values are not plain "
                "running means: something reset the metrics unseen (an evaluate without the "
                "tracker's callback, or of another model), a train_step of its own logs others, "
                "or sample weights are negative",
            )
        return Estimate(value, rounding)

    def _wanted(self, logged: Mapping[str, Any], *, by_hand: bool) -> dict[str, float]:
        """The values that are asked for.

        Raises:
            NotEstimable: One of them is not known to be a running mean.
        """
        found = {
            name: as_double(value)
            for name, value in logged.items()
            if isinstance(value, int | float) and (self._names is None or name in self._names)
        }
        for name in found:
            if (name, by_hand) not in self._checked:
                check_means(
                    self._run,
                    list(found),
                    self._model,
                    named=self._names is not None,
                    by_hand=by_hand,
                )
                self._checked |= {(one, by_hand) for one in found}
        return found

    def _compare(self, row: _Row | None, logged: Mapping[str, Any], record: Record) -> None:
        """An epoch ends with the means of its last batch, if they are means.

        Or with those of an evaluate that came after the batch, before Keras looked.
        """
        if row is None or row.last is None or row.broken:
            return
        names = [name for name in row.final if isinstance(logged.get(name), int | float)]
        ends = [row.final, row.means] if set(names) <= set(row.means) else [row.final]
        if not any(all(_same(logged[name], means[name]) for name in names) for means in ends):
            ended = ", ".join(f"{name} {logged[name]:.6g}" for name in names)
            last = ", ".join(f"{name} {row.final[name]:.6g}" for name in names)
            raise self._refusal(
                record,
                f"it ended with {ended}, and its last batch with {last}. The values of batches "
                "are not running means, or something reset the metrics unseen",
            )

    def _row(self, call: _Call, kind: str) -> _Row:
        if PHASES[kind] == "test":
            call.test = call.test or _Row()
            return call.test
        call.train = call.train or _Row()
        return call.train

    def _outer(self, call: _Call) -> list[_Row]:
        """The batches, going on, that a call is nested in."""
        rows = []
        parent = self._calls.get(call.parent) if call.parent is not None else None
        if parent is not None and parent.row:
            rows.append(parent.row)
        return rows

    def _gap(self, row: _Row) -> str:
        policy, steps = self._began.get("batches"), self._model.get("steps_per_execution")
        if steps not in (None, 1):
            why = f" With steps_per_execution={steps} an event is of several batches."
        elif isinstance(policy, int) and policy > 1:
            why = f" The run was recorded with batches={policy}, which skips most."
        else:
            why = " They were pruned, or an event is of several batches."
        return f"batch {row.batches} is missing before it.{why} All are needed"

    def _refusal(self, record: Record, why: str) -> NotEstimable:
        place = f"call {record.call}"
        if record.epoch is not None:
            place += f", epoch {record.epoch}"
        if record.batch is not None:
            place += f", {PHASES[record.kind]} batch {record.batch}"
        return NotEstimable(f"Batches of run {self._run!r} cannot be estimated ({place}): {why}.")


def _close(row: _Row | None) -> None:
    """No batch follows: the last one may have been smaller than the others."""
    if row and row.last:
        row.last.assumed = row.last.assumed or row.last.estimated


def _same(one: float, other: float) -> bool:
    return not abs(one - other) > 1e-5 * max(abs(one), abs(other))  # NaN is the same as anything
