"""`tracker runs timing`: where the time went."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    ColumnsOption,
    FormatOption,
    OutputOption,
    RunArgument,
    StoreOption,
    reading_store,
    split,
)
from .output import chosen_format, pick, say, write_frame

if TYPE_CHECKING:
    import pandas as pd


def add_to(app: typer.Typer) -> None:
    """Add the command to a group."""
    app.command("timing")(show_timing)


def show_timing(
    run: RunArgument,
    slowest: Annotated[
        int | None,
        typer.Option("--slowest", metavar="N", min=1, help="The N slowest batches, instead."),
    ] = None,
    columns: ColumnsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Show where the time went: in steps, input, validation and callbacks, per epoch and call.

    Example: tracker runs timing @last
    """
    from tracker.timings import slowest_batches, timing

    form = chosen_format(format, output)
    opened = reading_store(store)
    frame = slowest_batches(run, slowest, store=opened) if slowest else timing(run, store=opened)
    for note in frame.attrs["notes"]:
        say(note)
    if form == "table" and columns is None and (frame["attempt"] == 1).all():
        frame = frame.drop(columns=["attempt"])
    if form in ("table", "md"):
        frame = _readable(frame)
    write_frame(pick(frame, split(columns)), form, output)


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    """With times as people read them: most are far below a second."""
    frame = frame.copy()
    for name in frame.select_dtypes("timedelta64").columns:
        frame[name] = [_length(time.total_seconds()) for time in frame[name]]
    return frame


def _length(seconds: float) -> str | None:
    if math.isnan(seconds):
        return None
    if seconds >= 1:
        return f"{seconds:.1f}s" if seconds < 100 else f"{seconds:.0f}s"
    return f"{seconds * 1000:.1f}ms"
