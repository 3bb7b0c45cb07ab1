"""`tracker runs watch`: a run while it trains."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.legibility import printable
from tracker.liveness import LOST

from .bars import bar, epoch_of, sparkline, values_of
from .options import RunArgument, StoreOption, reading_store
from .output import say, write_text
from .polling import again

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tracker.replaying.moment import Moment
    from tracker.store.sql import SqlStore

#: Seconds between two looks at the store.
_INTERVAL = 0.5


def add_to(app: typer.Typer) -> None:
    """Add this command to those of runs."""
    app.command("watch")(watch)


def watch(
    run: RunArgument,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only this one is shown; on a terminal, whose curve is. Default: the loss.",
        ),
    ] = None,
    exit_status: Annotated[
        bool, typer.Option("--exit-status", help="Exit with 1 if the run did not finish well.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Watch a run until it ends or is lost, or Ctrl-C.

    On a terminal it is shown live; elsewhere there is a line for each epoch that ends.

    Example: tracker runs watch @last --exit-status && echo done
    """
    from tracker.query import run_of

    opened = reading_store(store)
    uuid = run_of(run, store=opened).uuid
    follow = _live if sys.stdout.isatty() else _lines
    status = follow(uuid, metric, opened, store)
    told = "lost: its writer is silent, and is not on this machine" if status == LOST else status
    say(f"Run {printable(run_of(uuid, store=opened).name)}: {told}.")
    if exit_status and status != "finished":
        raise typer.Exit(1)


def _lines(uuid: str, metric: str | None, opened: SqlStore, store: str | None) -> str:
    """A line for each epoch that ends; returns the status at the end."""
    from tracker.query import events

    seen = 0
    for moment in _moments(uuid, opened, store):
        frame = events(uuid, kind="epoch_end", after=seen, until=moment.seq, logs="dict",
                       store=opened)  # fmt: skip
        _check_metric(metric, moment)
        for row in frame.to_dict("records"):
            logs = (row["logs"] or {}).items()
            shown = {name: value for name, value in logs if metric in (None, name)}
            write_text(f"{epoch_of(row['epoch'], moment.planned_epochs)}  {values_of(shown)}\n")
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
            _check_metric(metric, moment)
            curves = metrics(uuid, store=opened)
            curves = curves[curves["phase"] == "train"]
            now = (time.monotonic(), moment.seq)
            rate = None if before is None else (now[1] - before[1]) / (now[0] - before[0])
            live.update(_view(moment, curves, metric, rate), refresh=True)
            before = now
    return moment.status


def _moments(uuid: str, opened: SqlStore, store: str | None) -> Iterator[Moment]:
    """The run as it is, again and again, until it has ended."""
    from tracker.query import run_of
    from tracker.replaying.moment import state

    def look() -> tuple[str, Moment]:
        # The status first: what arrived before it changed is then shown before we stop.
        run = run_of(uuid, store=opened)
        moment = state(uuid, store=opened)
        lost = run.state.status == LOST and moment.status == "running"
        return run.state.status, replace(moment, status=LOST) if lost else moment

    for status, moment in again(look, _INTERVAL, opened, store, uuid):
        yield moment
        if status != "running":
            return


def _check_metric(metric: str | None, moment: Moment) -> None:
    """Whether there is such a metric can be told once an epoch has ended."""
    from tracker.errors import UnknownColumn

    if metric is not None and moment.epochs and metric not in moment.last:
        raise UnknownColumn.of_metric(metric, list(moment.last))


def _view(moment: Moment, curves: Any, metric: str | None, rate: float | None) -> RenderableType:
    from rich.text import Text

    lines = [f"{printable(moment.run)}  {moment.status}  event {moment.seq}"]
    if moment.epoch is not None:
        epoch = epoch_of(moment.epoch, moment.planned_epochs)
        lines.append(f"{epoch:<16} {bar(moment.epochs, moment.planned_epochs)}")
    if moment.batch is not None:
        batch = f"{moment.phase} {moment.batch + 1}"
        batch += f"/{moment.planned_steps}" if moment.planned_steps else ""
        lines.append(f"{batch:<16} {bar(moment.batch + 1, moment.planned_steps)}")
    if moment.logs:
        lines.append(values_of(moment.logs))
    chosen = metric or next((name for name in ("val_loss", "loss") if name in moment.last), None)
    values = [] if chosen is None else list(curves.loc[curves["metric"] == chosen, "value"])
    if values:
        lines.append(f"{printable(str(chosen)):<16} {sparkline(values)}")
    lines.append(f"{_pace(rate)}{_left(moment)}".strip())
    return Text("\n".join(line for line in lines if line))


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
