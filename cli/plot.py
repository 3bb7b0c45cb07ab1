"""`tracker metrics plot`: curves on the terminal, or in a file."""

from __future__ import annotations

import shutil
import sys
from enum import StrEnum
from typing import Annotated

import typer

from .options import OutputOption, RunsArgument, StoreOption, reading_store
from .output import is_colourful, say, write_text

#: Lines that a prompt, the title, the legend and the notes need.
_BELOW = 6
_LINES = 20


class Axis(StrEnum):
    """What the curves run along."""

    EPOCH = "epoch"
    STEP = "step"
    TIME = "time"


class Source(StrEnum):
    """Which events the values are from."""

    EPOCH = "epoch"
    BATCH = "batch"


def add_to(app: typer.Typer) -> None:
    """Add the command to `tracker metrics`."""
    app.command("plot")(plot_metrics)


def plot_metrics(
    run: RunsArgument,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="NAME", help="Draw this one; may be repeated."),
    ] = None,
    x: Annotated[Axis, typer.Option("--x", help="What the curves run along.")] = Axis.EPOCH,
    source: Annotated[
        Source, typer.Option(help="Values at the ends of epochs, or of batches.")
    ] = Source.EPOCH,
    smooth: Annotated[
        float, typer.Option(metavar="0…1", help="Weight of the past in a moving mean.")
    ] = 0.0,
    log: Annotated[bool, typer.Option("--log", help="A logarithmic y axis.")] = False,
    width: Annotated[
        int | None, typer.Option(min=30, help="Columns; default: the terminal's.")
    ] = None,
    height: Annotated[int | None, typer.Option(min=8, help="Lines of the plot.")] = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Plot metrics of one run or several, here or in a .png, .svg or .html file.

    Example: tracker metrics plot @last @last~1 --metric val_loss -o curves.png
    """
    from tracker.plots import plot

    made = plot(
        run,
        metric or None,
        x=x.value,
        source=source.value,
        smooth=smooth,
        log=log,
        store=reading_store(store),
    )
    if output is not None:
        made.save(output)
        for note in made.figure.notes:
            say(note)
        say(f"Plot written to {output}")
        return
    terminal = shutil.get_terminal_size((80, _LINES + _BELOW))
    lines = height or max(8, min(_LINES, terminal.lines - _BELOW))
    write_text(made.text(width or terminal.columns, lines, colour=is_colourful(sys.stdout)))
