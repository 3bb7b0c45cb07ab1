"""The hooks of a run → how long its epochs, calls and batches took. Times are microseconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tracker.event import PHASES


class TimedBatch(NamedTuple):
    """How long the step of one batch took."""

    attempt: int
    call: int
    phase: str
    epoch: int | None
    batch: int | None
    seq: int
    at: int
    duration: int


@dataclass(slots=True)
class Span:
    """An epoch, or a call: how long it took, and in what."""

    scope: str
    attempt: int
    call: int
    phase: str
    epoch: int | None
    began: int
    ended: int
    #: None where batches were not all recorded.
    steps: int | None = 0
    input: int | None = 0
    #: None of calls that have none.
    validation: int | None = None
    batches: int | None = 0
    #: Whether the clock was set back.
    broken: bool = False

    @property
    def total(self) -> int:
        """How long it took."""
        return self.ended - self.began


@dataclass(slots=True)
class _Row:
    """Batches that follow each other: those of an epoch, a validation, an evaluate or predict."""

    #: When the last batch ended, or the row began.
    mark: int
    began: int | None = None
    began_at: int = 0
    following: int = 0
    steps: int = 0
    input: int = 0
    whole: bool = True

    def begin(self, batch: int | None, now: int, at: int) -> None:
        self.input += now - self.mark
        self.whole = self.whole and batch == self.following
        self.began, self.began_at, self.mark = now, at, now

    def end(self, batch: int | None, now: int) -> int | None:
        """How long the step took; None where that is not known."""
        began, self.began, self.mark = self.began, None, now
        self.following = self.following if batch is None else batch + 1
        if began is None:
            self.whole = False
            return None
        self.steps += now - began
        return now - began


@dataclass(slots=True)
class _Call:
    span: Span
    parent: _Call | None
    planned: int | None
    recorded: bool
    #: How long calls inside it have taken so far.
    paused: int = 0
    inside: dict[int, _Call] = field(default_factory=dict)
    epochs: list[Span] = field(default_factory=list)
    row: _Row | None = None
    validation: _Row | None = None
    validating: int | None = None


class Stopwatch:
    """Takes a run's records in order."""

    def __init__(self) -> None:
        #: The batches that were recorded from begin to end.
        self.batches: list[TimedBatch] = []
        self._calls: dict[tuple[int, int], _Call] = {}
        self._recorded = True

    def spans(self) -> Iterator[Span]:
        """The epochs of each call, and then the call."""
        for call in self._calls.values():
            epochs = call.epochs
            if call.row and epochs:
                _settle(epochs[-1], call)
            elif call.row:
                _settle(call.span, call)
            if epochs:
                _add_up(call.span, epochs)
            yield from epochs
            yield call.span

    def begin_attempt(self, *, batches: bool) -> None:
        """The run began, or goes on; `batches`: whether hooks of batches were recorded."""
        self._recorded = batches

    def begin_call(self, at: int, attempt: int, number: int, data: Mapping[str, Any]) -> None:
        """A fit, evaluate or predict is about to begin."""
        parent = self._calls.get((attempt, data.get("parent") or 0))
        phase = str(data.get("phase"))
        planned = (data.get("params") or {}).get("steps")
        span = Span("call", attempt, number, phase, None, at, at)
        call = _Call(span, parent, planned if isinstance(planned, int) else None, self._recorded)
        if phase == "train":
            span.validation = 0
        if not self._recorded:
            span.steps = span.input = span.batches = None
        self._calls[attempt, number] = call
        if parent:
            self._touch(parent, at)
            parent.inside[number] = call

    def take(
        self, seq: int, at: int, kind: str, attempt: int, number: int, epoch: int | None,
        batch: int | None,
    ) -> None:  # fmt: skip
        """A hook."""
        call = self._calls.get((attempt, number))
        if call is None:  # no fact tells that it began
            self.begin_call(at, attempt, number, {"phase": PHASES[kind]})
            call = self._calls[attempt, number]
        self._touch(call, at)
        now = at - call.paused
        if kind.endswith("batch_begin"):
            row = call.validation or call.row
            if row:
                row.begin(batch, now, at)
        elif kind.endswith("batch_end"):
            row = call.validation or call.row
            duration = row.end(batch, now) if row else None
            if row and duration is not None:
                phase = PHASES[kind]
                self.batches.append(
                    TimedBatch(attempt, number, phase, epoch, batch, seq, row.began_at, duration)
                )
        elif call.span.phase == "train":
            _hook_of_fit(call, kind, epoch, at, now)
        elif kind.endswith("_begin"):
            call.row = _Row(now)

    def _touch(self, call: _Call, at: int) -> None:
        """Time goes on in a call, and so nothing goes on inside it."""
        call.paused += sum(inner.span.total for inner in call.inside.values())
        call.inside.clear()
        outer: _Call | None = call
        while outer:
            for span in (outer.span, *outer.epochs[-1:]):
                span.broken = span.broken or at < span.ended
                span.ended = at
            outer = outer.parent


def _hook_of_fit(call: _Call, kind: str, epoch: int | None, at: int, now: int) -> None:
    if kind == "epoch_begin":
        if call.epochs:
            _settle(call.epochs[-1], call)
        span = call.span
        made = Span("epoch", span.attempt, span.call, span.phase, epoch, at, at, validation=0)
        call.epochs.append(made)
        call.row = _Row(now)
    elif kind == "test_begin":
        call.validating, call.validation = now, _Row(now)
    elif kind == "test_end":
        if call.validating is not None and call.epochs:
            call.epochs[-1].validation = (call.epochs[-1].validation or 0) + now - call.validating
        call.validating = call.validation = None


def _settle(span: Span, call: _Call) -> None:
    """Give an epoch, or a call without epochs, the times of its batches."""
    row = call.row
    if row is None:
        return
    if not call.recorded:
        span.steps = span.input = span.batches = None
        return
    span.batches = min(row.following, call.planned) if call.planned else row.following
    span.steps, span.input = (row.steps, row.input) if row.whole else (None, None)


def _add_up(span: Span, epochs: list[Span]) -> None:
    span.steps, span.input = _sum(one.steps for one in epochs), _sum(one.input for one in epochs)
    span.validation = _sum(one.validation for one in epochs)
    span.batches = _sum(one.batches for one in epochs)
    span.broken = span.broken or any(one.broken for one in epochs)


def _sum(numbers: Iterator[int | None]) -> int | None:
    known = list(numbers)
    if any(number is None for number in known):
        return None
    return sum(number for number in known if number is not None)
