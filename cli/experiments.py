"""`tracker experiments`: the names that group runs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    ColumnsOption,
    FormatOption,
    OutputOption,
    StoreOption,
    reading_store,
    split,
)
from .output import chosen_format, pick, say, write_frame
from .runs import exact

if TYPE_CHECKING:
    from tracker.store.sql import SqlStore

app = typer.Typer(no_args_is_help=True, help="The experiments, which group runs.")

_SHOWN = ("name", "status", "best", "group", "started", "duration", "epochs", "note")


class Mode(StrEnum):
    """Which end of a metric is the better one."""

    MIN = "min"
    MAX = "max"


MetricOption = Annotated[
    str, typer.Option(metavar="NAME", help="What runs are judged by, over their epochs.")
]
ModeOption = Annotated[
    Mode | None, typer.Option(help="Which end of it is better. Default: as its name tells.")
]
ExperimentArgument = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Its name.")]


@app.command("list")
def list_experiments(
    metric: MetricOption = "val_loss",
    mode: ModeOption = None,
    columns: ColumnsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """List the experiments, the latest first, with the best run of each.

    Example: tracker experiments list --metric val_accuracy
    """
    from tracker.grouping import experiments

    form = chosen_format(format, output)
    opened = reading_store(store)
    frame = experiments(metric=metric, mode=mode.value if mode else None, store=opened)
    write_frame(pick(frame, split(columns)), form, output)
    if len(frame) and frame["best"].isna().all():
        _tell_metrics(metric, opened)


@app.command("show")
def show_experiment(
    experiment: ExperimentArgument,
    metric: MetricOption = "val_loss",
    mode: ModeOption = None,
    columns: ColumnsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """List the runs of an experiment, the best first.

    Example: tracker experiments show digits --metric val_accuracy
    """
    from tracker.frames import run_frame
    from tracker.grouping import ranked_runs, with_best

    form = chosen_format(format, output)
    opened = reading_store(store)
    ranked = ranked_runs(experiment, metric=metric, mode=mode.value if mode else None, store=opened)
    found = [run for run, _ in ranked]
    frame = run_frame(found)
    if form != "parquet":  # which keeps the frame's own dtypes
        frame = exact(frame, found)
    frame = with_best(frame, [value for _, value in ranked])
    wanted = split(columns)
    if wanted is None and form in ("table", "md"):
        wanted = [name for name in _SHOWN if name in ("name", "best") or frame[name].notna().any()]
    write_frame(pick(frame, wanted), form, output)
    if len(frame) and frame["best"].isna().all():
        _tell_metrics(metric, opened)


@app.command("rename")
def rename(
    experiment: ExperimentArgument,
    name: Annotated[str, typer.Argument(help="The new name.")],
    merge: Annotated[
        bool, typer.Option("--merge", help="Although there is one of that name: make them one.")
    ] = False,
    store: StoreOption = None,
) -> None:
    """Give an experiment another name, on each of its runs.

    Example: tracker experiments rename digits digits-2026
    """
    from tracker.grouping import rename_experiment

    count = rename_experiment(experiment, name, merge=merge, store=reading_store(store))
    say(f"Experiment {experiment} is called {name}: {count} run{'' if count == 1 else 's'}.")


def _tell_metrics(metric: str, store: SqlStore) -> None:
    """Say what runs can be judged by, where none has the metric."""
    from tracker.grouping import metric_names

    names = metric_names(store=store)
    if metric in names:
        say(f"No run has a number as its {metric}.")
    elif names:
        say(f"No run has the metric {metric!r}. --metric takes: {', '.join(names)}.")
