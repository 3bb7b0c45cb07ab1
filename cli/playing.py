"""A run once more on the terminal, as Keras showed it while it trained."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tracker.legibility import printable

from .bars import bar, epoch_of
from .cells import cell
from .output import say, write_text

if TYPE_CHECKING:
    from tracker.event import Record
    from tracker.store.port import Run
    from tracker.store.sql import SqlStore

#: As wide as Keras's own bar.
_WIDTH = 20
#: Between two drawings of a bar, in seconds: more often nobody sees.
_REDRAW = 0.05


def play(run: Run, begin: str | None, speed: float | None, store: SqlStore) -> None:
    """Show a run, line by line, as long as it took.

    Args:
        run: The run.
        begin: The point to begin at; None: where the run began.
        speed: How many times faster than it was; None: at once.
        store: The store.

    Raises:
        InvalidArgument: `begin` is no point of the run.
    """
    screen = Screen()
    first = 1
    if begin is not None:
        first = _first(run, begin, store)
        for record in store.read(run.uuid, until=first - 1, batches=False):
            screen.see(record)
    reached = first
    try:
        with _drawing() as draw:
            for record in _paced(store.read(run.uuid, after=first - 1), speed):
                reached = record.seq
                draw(screen.see(record), screen.current)
    except KeyboardInterrupt:
        say(f"Stopped at event {reached}: --from seq:{reached} goes on there.")
        raise


def _first(run: Run, begin: str, store: SqlStore) -> int:
    """The event to begin with: of an epoch its beginning, as its latest attempt ran it."""
    from tracker.replaying.moment import point

    seq = point(run, begin, store=store)
    if not begin.strip().lower().startswith("epoch:"):
        return seq
    coarse = list(store.read(run.uuid, until=seq, batches=False))
    epoch = coarse[-1].epoch
    return next(
        (one.seq for one in reversed(coarse) if (one.kind, one.epoch) == ("epoch_begin", epoch)),
        seq,
    )


def _paced(records: Iterator[Record], speed: float | None) -> Iterator[Record]:
    """Each record when it is due; attempts follow each other without the time between them."""
    due, before = time.monotonic(), None
    for record in records:
        if speed is not None and before is not None and record.attempt == before.attempt:
            due += max(record.at - before.at, 0) / 1e6 / speed
            time.sleep(max(due - time.monotonic(), 0))
        before = record
        yield record


@contextmanager
def _drawing() -> Iterator[Callable[[list[str], str], None]]:
    """Yields what shows lines that are done, and the one that still changes."""
    if not sys.stdout.isatty():
        yield lambda done, _current: write_text("".join(f"{line}\n" for line in done))
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console, drawn = Console(highlight=False), 0.0

    def draw(done: list[str], current: str) -> None:
        nonlocal drawn
        now = time.monotonic()
        if not done and now - drawn < _REDRAW:
            return
        drawn = now
        live.update(Text(current, no_wrap=True, overflow="ellipsis"))
        for line in done:
            live.console.print(Text(line))
        live.refresh()

    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield draw


@dataclass
class _Call:
    """One fit, evaluate or predict, and its bar."""

    phase: str
    epochs: int | None
    steps: int | None
    began: int
    seen: int = 0
    now: int = 0
    logs: Mapping[str, Any] = field(default_factory=dict)


class Screen:
    """What the terminal shows, event by event."""

    def __init__(self) -> None:
        self._calls: dict[int | None, _Call] = {}
        #: The bar that moves.
        self.current = ""

    def see(self, record: Record) -> list[str]:
        """Take the next event in; returns the lines that are done with it."""
        from tracker.logs import decode

        if record.kind == "call_began":
            data = decode(record.logs)
            params = data.get("params") or {}
            self._calls[record.call] = _Call(
                data.get("phase") or "",
                data.get("epochs") or params.get("epochs"),
                params.get("steps"),
                record.at,
            )
            return []
        if record.call is None:
            return self._fact(record, decode(record.logs))
        call = self._calls.get(record.call)
        return [] if call is None else self._hook(record, call)

    def _hook(self, record: Record, call: _Call) -> list[str]:
        from tracker.logs import decode

        if record.kind == "epoch_begin":
            call.seen, call.began, call.logs = 0, record.at, {}
            return [] if call.epochs == 1 else [epoch_of(record.epoch or 0, call.epochs)]
        if record.kind == f"{call.phase}_batch_end":
            call.seen, call.now = (record.batch or 0) + 1, record.at
            call.logs = {} if call.phase == "predict" else decode(record.logs)
            self.current = _line(call)
        elif record.kind == ("epoch_end" if call.phase == "train" else f"{call.phase}_end"):
            # Keras learns how long an epoch of unknown size is when it is over. With several
            # batches at once, it counts more of them than there are.
            call.steps = call.steps or call.seen or None
            call.seen, call.now = call.steps or call.seen, record.at
            call.logs = decode(record.logs)
            self.current = ""
            return [_line(call, done=True)]
        return []

    def _fact(self, record: Record, data: Mapping[str, Any]) -> list[str]:
        if record.kind == "run_resumed":
            cut, self.current = self.current, ""
            return [*([cut] if cut else []), f"Attempt {record.attempt} resumes the run."]
        if record.kind in ("run_ended", "run_crashed"):
            cut, self.current = self.current, ""
            error = data.get("error") or {}
            told = error.get("message") if isinstance(error, Mapping) else error
            status = data.get("status") or "crashed"
            end = printable(f"The run {status}" + (f": {told}" if told else ""))
            return [*([cut] if cut else []), f"{end}."]
        return []


def _line(call: _Call, *, done: bool = False) -> str:
    seconds = max(call.now - call.began, 0) / 1e6
    each = seconds / call.seen if call.seen else 0.0
    if call.steps:
        width = len(str(call.steps))
        seen = min(call.seen, call.steps)
        head = f"{seen:>{width}}/{call.steps} {bar(seen, call.steps, _WIDTH)}"
    else:
        head = f"{call.seen:>7}/Unknown"
    left = each * (call.steps - call.seen) if call.steps and not done else seconds
    values = "".join(f" - {printable(name)}: {_value(one)}" for name, one in call.logs.items())
    return f"{head} {_clock(max(left, 0))} {_step(each)}{values}"


def _value(value: Any) -> str:
    from tracker.logs import as_double

    if isinstance(value, int | float):
        value = as_double(value)
        return f"{value:.4f}" if abs(value) > 1e-3 else f"{value:.4e}"
    return cell(value)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    if whole > 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}" if whole > 60 else f"{whole}s"


def _step(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.0f}s/step"
    return f"{seconds * 1e3:.0f}ms/step" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us/step"
