"""`tracker replay`: a run as it was shown, at one point, or as a callback would have changed it."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import playing, whatif
from .cells import cell, json_text
from .options import (
    ChosenRunsArgument,
    FormatOption,
    OutputOption,
    StoreOption,
    WhereOption,
    reading_store,
)
from .output import chosen_format, write_text

if TYPE_CHECKING:
    from tracker.replaying.moment import Moment


def add_to(app: typer.Typer) -> None:
    """Add this command to the application."""
    app.command("replay")(replay)


def replay(
    runs: ChosenRunsArgument = None,
    where: WhereOption = None,
    speed: Annotated[
        str | None,
        typer.Option(
            metavar="TIMES",
            help="How many times faster than it was, or max. Default: 1 on a terminal, else max.",
        ),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="POINT", help="Play from seq:N, epoch:E, or a time on."),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="POINT", help="Its state at seq:N, epoch:E, a time, or the end."
        ),
    ] = None,
    callback: Annotated[
        list[str] | None,
        typer.Option(
            "--callback",
            metavar="EXPRESSION",
            help="What would this callback of Keras's have done? Such as "
            "'EarlyStopping(monitor=\"val_loss\", patience=3)'; may be repeated.",
        ),
    ] = None,
    callback_file: Annotated[
        list[str] | None,
        typer.Option(
            "--callback-file",
            metavar="FILE.py:NAME",
            help="The same of a callback of your own, with arguments if you like. Runs that file.",
        ),
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="NAME=VALUES",
            help="A row for each value of an argument of the callback, such as patience=1..10.",
        ),
    ] = None,
    call: Annotated[
        int | None,
        typer.Option(metavar="N", help="Which fit a callback is asked about. Default: the first."),
    ] = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Play a run back as Keras showed it, or ask it questions.

    With --at, what it looked like at some point: phase, epoch, batch, values, best so far. With
    --callback, what a callback would have done to it: the expression is parsed, not evaluated. Of
    several runs, or with --where, a row for each.

    Example: tracker replay @last --callback 'EarlyStopping("val_loss", patience=3)'
    """
    from tracker.errors import InvalidArgument

    form = chosen_format(format, output)
    asks = bool(callback or callback_file)
    _refuse_together(
        {"--callback": asks, "--at": at is not None, "--from or --speed": bool(begin or speed)}
    )
    if asks:
        opened = reading_store(store)
        made = whatif.makers(callback, callback_file)
        if sweep is not None or where is not None or len(runs or []) != 1:
            whatif.write_sweep(runs, where, made, sweep, call, form, output, opened)
        else:
            whatif.write_verdict(_only(runs), made, call, form, output, opened)
        return
    if sweep is not None or where is not None or call is not None:
        raise InvalidArgument(
            "--sweep, --where and --call ask what a callback would do: add --callback."
        )
    if at is None:
        if format is not None or output is not None:
            raise InvalidArgument("A run is played as text; --at end --format json is its state.")
        _play(_only(runs), begin, speed, store)
    else:
        _write_state(_only(runs), at, form, output, store)


def _refuse_together(given: dict[str, bool]) -> None:
    from tracker.errors import InvalidArgument

    names = [name for name, there in given.items() if there]
    if len(names) > 1:
        raise InvalidArgument(f"Give {' or '.join(names)}: they are different questions.")


def _only(runs: list[str] | None) -> str:
    from tracker.errors import InvalidArgument

    if not runs or len(runs) > 1:
        raise InvalidArgument("Which run? Give one name. Several are for --callback.")
    return runs[0]


def _play(run: str, begin: str | None, speed: str | None, store: str | None) -> None:
    from tracker.query import run_of

    times = _speed(speed)
    opened = reading_store(store)
    playing.play(run_of(run, store=opened), begin, times, opened)


def _speed(text: str | None) -> float | None:
    """How many times as fast; None: at once."""
    from tracker.errors import InvalidArgument

    if text is None:
        return 1.0 if sys.stdout.isatty() else None
    if text.strip().lower() == "max":
        return None
    try:
        times = float(text)
    except ValueError:
        times = math.nan
    if not (0 < times < math.inf):
        raise InvalidArgument(
            f"{text!r} is no speed. Expected a number above 0 such as 10, or max."
        )
    return times


def _write_state(run: str, at: str, form: str, output: Path | None, store: str | None) -> None:
    from tracker.errors import InvalidArgument
    from tracker.replaying.moment import state

    if form not in ("table", "json", "jsonl"):
        raise InvalidArgument("This is no table: take --format json, or the text.")
    moment = state(run, at, store=reading_store(store))
    if form == "table":
        write_text(_shown(moment), output)
    else:
        write_text(json_text(moment.to_dict(), indent=form == "json"), output)


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
        lines.append(f"{cell(name):<9} {cell(moment.last[name])}, best {cell(best.value)}{epoch}\n")
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
