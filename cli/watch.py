"""`tracker runs watch`: a run while it trains."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cells import cell, printable
from .options import RunArgument, StoreOption, reading_store, recover
from .output import complain, say, write_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tracker.replaying.moment import Moment
    from tracker.store.sql import SqlStore

#: Looks at the store in a second; and after how many of them we look whether the run's process
#: has died.
_POLLS, _POLLS_ALIVE = 2, 4
_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 40


def add_to(app: typer.Typer) -> None:
    """Add this command to those of runs."""
    app.command("watch")(watch)


def watch(
    run: RunArgument,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose curve is shown. Default: the loss.")
    ] = None,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit with 1 if the run did not finish well.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Watch a run until it ends, or Ctrl-C.

    On a terminal it is shown live; elsewhere there is a line for each epoch that ends.

    Example: tracker runs watch @last --exit-status && echo done
    """
    from tracker.query import run_of

    opened = reading_store(store)
    uuid = run_of(run, store=opened).uuid
    follow = _live if sys.stdout.isatty() else _lines
    status = follow(uuid, metric, opened, store)
    say(f"Run {printable(run_of(uuid, store=opened).name)}: {status}.")
    if exit_status and status != "finished":
        raise typer.Exit(1)


def _lines(uuid: str, _metric: str | None, opened: SqlStore, store: str | None) -> str:
    """A line for each epoch that ends; returns the status at the end."""
    from tracker.query import events

    seen = 0
    for moment in _moments(uuid, opened, store):
        frame = events(uuid, kind="epoch_end", after=seen, until=moment.seq, logs="dict",
                       store=opened)  # fmt: skip
        for row in frame.to_dict("records"):
            write_text(f"{_epoch(row['epoch'], moment)}  {_values(row['logs'])}\n")
        seen = moment.seq
    return moment.status


def _live(uuid: str, metric: str | None, opened: SqlStore, store: str | None) -> str:
    """A calm view that is drawn anew in place; returns the status at the end."""
    from rich.console import Console
    from rich.live import Live

    from tracker.query import metrics

    with Live(console=Console(), auto_refresh=False) as live:
        before: tuple[float, int] | None = None
        for moment in _moments(uuid, opened, store):
            curves = metrics(uuid, store=opened)
            curves = curves[curves["phase"] == "train"]
            now = (time.monotonic(), moment.seq)
            rate = None if before is None else (now[1] - before[1]) / (now[0] - before[0])
            live.update(_view(moment, curves, metric, rate), refresh=True)
            before = now
    return moment.status


def _moments(uuid: str, opened: SqlStore, store: str | None) -> Iterator[Moment]:
    """The run as it is, again and again, until it has ended; through outages of the store."""
    from tracker.errors import StoreUnreachable
    from tracker.query import run_of
    from tracker.replaying.moment import state

    away, recoverable = False, True
    for poll in count(1):
        try:
            if recoverable and poll % _POLLS_ALIVE == 0:
                recoverable = recover(opened, store, uuid)
            # The status first: what arrived before it changed is then shown before we stop.
            status = run_of(uuid, store=opened).state.status
            moment = state(uuid, store=opened)
        except StoreUnreachable as error:
            if not away:
                complain(f"{error} Waiting for it.", warning=True)
            away = True
        else:
            if away:
                say("The store answers again.")
            away = False
            yield moment
            if status != "running":
                return
        time.sleep(1 / _POLLS)


def _view(moment: Moment, curves: Any, metric: str | None, rate: float | None) -> RenderableType:
    from rich.text import Text

    lines = [f"{printable(moment.run)}  {moment.status}  event {moment.seq}"]
    if moment.epoch is not None:
        bar = _bar(moment.epochs, moment.planned_epochs)
        lines.append(f"{_epoch(moment.epoch, moment):<16} {bar}")
    if moment.batch is not None:
        batch = f"{moment.phase} {moment.batch + 1}"
        batch += f"/{moment.planned_steps}" if moment.planned_steps else ""
        lines.append(f"{batch:<16} {_bar(moment.batch + 1, moment.planned_steps)}")
    if moment.logs:
        lines.append(_values(moment.logs))
    chosen = metric or next((name for name in ("val_loss", "loss") if name in moment.last), None)
    values = [] if chosen is None else list(curves.loc[curves["metric"] == chosen, "value"])
    if values:
        lines.append(f"{printable(str(chosen)):<16} {sparkline(values)}")
    lines.append(f"{_pace(rate)}{_left(moment)}".strip())
    return Text("\n".join(line for line in lines if line))


def sparkline(values: Sequence[float]) -> str:
    """The last values as blocks of eight heights; `!` where one is no finite number."""
    some = list(values)[-_WIDTH:]
    finite = [value for value in some if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    span = (high - low) or 1.0
    return "".join(
        _BLOCKS[int((value - low) / span * (len(_BLOCKS) - 1))] if math.isfinite(value) else "!"
        for value in some
    )


def _bar(done: int, planned: int | None) -> str:
    if not planned:
        return ""
    full = min(_WIDTH, _WIDTH * done // planned)
    return "━" * full + "─" * (_WIDTH - full)


def _epoch(epoch: int, moment: Moment) -> str:
    of = "" if moment.planned_epochs is None else f"/{moment.planned_epochs}"
    return f"Epoch {epoch + 1}{of}"


def _values(logs: Any) -> str:
    return " - ".join(f"{cell(name)}: {cell(value)}" for name, value in logs.items())


def _pace(rate: float | None) -> str:
    return f"{rate:,.0f} events/s  " if rate else ""


def _left(moment: Moment) -> str:
    """How long the epochs that are left will take, if they take as long as those before."""
    if not (moment.epochs and moment.planned_epochs and moment.elapsed):
        return ""
    left = moment.elapsed / moment.epochs * max(moment.planned_epochs - moment.epochs, 0) / 1e6
    if moment.status != "running" or not left:
        return ""
    return f"about {left / 60:.0f} min left" if left > 90 else f"about {left:.0f} s left"
