"""`tracker metrics`: the values that Keras logged."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from . import plot
from .experiments import ModeOption
from .options import (
    ChosenRunsArgument,
    ColumnsOption,
    FormatOption,
    OutputOption,
    RunsArgument,
    StoreOption,
    WhereOption,
    reading_store,
    split,
)
from .output import chosen_format, pick, say, write_frame

if TYPE_CHECKING:
    import pandas as pd

#: Runs that are named; of more, how many.
_NAMED = 10

app = typer.Typer(no_args_is_help=True, help="The values that Keras logged.")
plot.add_to(app)


class Source(StrEnum):
    """Which events the values are from."""

    EPOCH = "epoch"
    BATCH = "batch"


class AttemptsShown(StrEnum):
    """Which attempts' values are shown."""

    LATEST = "latest"
    ALL = "all"


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
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Of batches: what each had alone, not means so far."),
    ] = False,
    columns: ColumnsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """List the metrics of one run or several.

    Batch values are, in Keras, means since their epoch began; --estimate works out what each
    batch had alone, where that can be done.

    Example: tracker metrics list @last --names loss,val_loss --wide
    """
    from tracker.query import metrics

    form = chosen_format(format, output)
    frame = metrics(
        run,
        source=source.value,
        names=split(names),
        attempts=attempts.value,
        estimate=estimate,
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


@app.command("best")
def best(
    run: RunsArgument,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only this one; test_loss is an evaluate's loss."),
    ] = None,
    mode: ModeOption = None,
    columns: ColumnsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Show the best value of each metric over the epochs, and where it was.

    Example: tracker metrics best @last @last~1 --metric val_loss
    """
    from tracker.best import best_metrics

    form = chosen_format(format, output)
    opened = reading_store(store)
    frame = best_metrics(run, metric, mode.value if mode else None, store=opened)
    if form == "table" and columns is None:
        frame = frame.drop(columns=["at", "attempt"])
    write_frame(pick(_exact(frame, "best", form), split(columns)), form, output)


@app.command("aggregate")
def aggregate(
    runs: ChosenRunsArgument = None,
    group: Annotated[
        str | None, typer.Option(metavar="GROUP", help="The runs of this group, instead.")
    ] = None,
    where: WhereOption = None,
    names: Annotated[str | None, typer.Option(metavar="A,B", help="Only these metrics.")] = None,
    columns: ColumnsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Show the mean, deviation and ends of metrics over several runs, epoch by epoch.

    Example: tracker metrics aggregate --group seeds --names val_loss
    """
    from tracker.aggregates import aggregate_metrics

    form = chosen_format(format, output)
    frame = aggregate_metrics(
        runs or None, group=group, where=where, names=split(names), store=reading_store(store)
    )
    many = len(frame.attrs["runs"])
    say(f"Of {many} run{'' if many == 1 else 's'}: {', '.join(frame.attrs['runs'][:_NAMED])}"
        f"{' …' if many > _NAMED else ''}")  # fmt: skip
    write_frame(pick(frame, split(columns)), form, output)


def _exact(frame: pd.DataFrame, name: str, form: str) -> pd.DataFrame:
    """With NaN as a value of a column, in which none is missing; parquet keeps the dtypes."""
    return frame if form == "parquet" else frame.assign(**{name: frame[name].astype("object")})


def _wide(frame: pd.DataFrame, *, exact: bool) -> pd.DataFrame:
    """A column for each metric; `exact`: None where there is none, which NaN does not tell."""
    from tracker.frames import wide_frame

    wide, there = wide_frame(frame), wide_frame(frame.assign(value=1.0))
    for name in wide.columns if exact else ():
        if wide[name].dtype == "float64":
            wide[name] = wide[name].astype("object").where(there[name].notna(), None)
    return wide
