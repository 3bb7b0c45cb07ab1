"""`tracker replay`: a run as it was at one point of its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cells import cell, json_text
from .options import RunArgument, ShortFormat, ShortFormatOption, StoreOption, reading_store
from .output import write_text

if TYPE_CHECKING:
    from tracker.replaying.moment import Moment


def add_to(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("replay")(replay)


def replay(
    run: RunArgument,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="POINT", help="seq:N, epoch:E, or a time. Default: the end."),
    ] = None,
    format: ShortFormatOption = None,
    store: StoreOption = None,
) -> None:
    """Show what a run looked like at some point: phase, epoch, batch, values, best so far.

    Example: tracker replay @last --at epoch:3
    """
    from tracker.replaying.moment import state

    moment = state(run, at, store=reading_store(store))
    if format in (ShortFormat.JSON, ShortFormat.JSONL):
        write_text(json_text(moment.to_dict(), indent=format == ShortFormat.JSON))
    else:
        write_text(_shown(moment))


def _shown(moment: Moment) -> str:
    import pandas as pd

    elapsed = None if moment.elapsed is None else pd.Timedelta(moment.elapsed, unit="us")
    rows: list[tuple[str, Any]] = [
        ("run", moment.run),
        ("event", f"{moment.seq} {moment.kind}"),
        ("at", pd.Timestamp(moment.at, unit="us", tz="UTC")),
        ("elapsed", elapsed),
        ("status", moment.status),
        ("phase", moment.phase),
        ("call", moment.call),
        ("epoch", _of(moment.epoch, moment.planned_epochs)),
        ("batch", _of(moment.batch, moment.planned_steps)),
        ("lr", moment.learning_rate),
        ("logged", _values(moment.logs, moment.logged_by)),
    ]
    lines = [f"{name:<9} {cell(value)}\n" for name, value in rows if value is not None]
    for name, best in moment.best.items():
        epoch = "" if best.epoch is None else f" in epoch {best.epoch}"
        lines.append(f"{name:<9} {cell(moment.last[name])}, best {cell(best.value)}{epoch}\n")
    return "".join(lines)


def _of(number: int | None, planned: int | None) -> str | None:
    """A number from 0 on, of how many."""
    if number is None:
        return None
    return str(number) if planned is None else f"{number} (of 0 to {planned - 1})"


def _values(logs: Any, kind: str | None) -> str | None:
    if not logs:
        return None
    return f"{' '.join(f'{cell(name)}={cell(value)}' for name, value in logs.items())} ({kind})"
