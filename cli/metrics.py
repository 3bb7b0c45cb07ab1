"""`tracker metrics`: the values that Keras logged."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    ColumnsOption,
    FormatOption,
    OutputOption,
    RunsArgument,
    StoreOption,
    reading_store,
    split,
)
from .output import chosen_format, pick, say, write_frame

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(no_args_is_help=True, help="The values that Keras logged.")


class Source(StrEnum):
    """Which events the values are from."""

    EPOCH = "epoch"
    BATCH = "batch"


class AttemptsShown(StrEnum):
    """Which attempts' values are shown."""

    LATEST = "latest"
    ALL = "all"


@app.callback()
def group() -> None:
    """Keep `list` a command of a group, though it is the only one."""


@app.command("list")
def list_metrics(
    run: RunsArgument,
    source: Annotated[
        Source, typer.Option(help="Values at the ends of epochs, or of batches.")
    ] = Source.EPOCH,
    names: Annotated[str | None, typer.Option(metavar="A,B", help="Only these metrics.")] = None,
    wide: Annotated[
        bool,
        typer.Option("--wide/--long", help="A column for each metric, or a row for each value."),
    ] = False,
    attempts: Annotated[
        AttemptsShown, typer.Option(help="Of what a later attempt ran again: the latest, or all.")
    ] = AttemptsShown.LATEST,
    columns: ColumnsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """List the metrics of one run or several.

    Batch values are, in Keras, means since their epoch began.

    Example: tracker metrics list @last --names loss,val_loss --wide
    """
    from tracker.query import metrics

    form = chosen_format(format, output)
    frame = metrics(
        run,
        source=source.value,
        names=split(names),
        attempts=attempts.value,
        store=reading_store(store),
    )
    for name in frame.attrs["thinned"]:
        say(f"Run {name} was pruned: of its batches only some are left.")
    if wide:
        frame = _wide(frame, exact=form != "parquet")  # which keeps the frame's own dtypes
    if form == "table" and columns is None:
        # What is empty throughout, or the same, only takes room.
        idle = ["batch", "at"] if source == Source.EPOCH else []
        idle += ["attempt"] if idle and attempts == AttemptsShown.LATEST else []
        frame = frame.drop(columns=[name for name in idle if name in frame])
    write_frame(pick(frame, split(columns)), form, output)


def _wide(frame: pd.DataFrame, *, exact: bool) -> pd.DataFrame:
    """A column for each metric; `exact`: None where there is none, which NaN does not tell."""
    from tracker.frames import wide_frame

    wide, there = wide_frame(frame), wide_frame(frame.assign(value=1.0))
    for name in wide.columns if exact else ():
        if wide[name].dtype == "float64":
            wide[name] = wide[name].astype("object").where(there[name].notna(), None)
    return wide
