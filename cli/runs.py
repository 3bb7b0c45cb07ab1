"""`tracker runs`: which runs there are, and all about one."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.errors import InvalidArgument
from tracker.event import metric_name
from tracker.legibility import printable

from .cells import cell, json_text
from .options import (
    FormatOption,
    LimitOption,
    OutputOption,
    RunArgument,
    ShortFormat,
    ShortFormatOption,
    StoreOption,
    WhereOption,
    reading_store,
)
from .output import chosen_format, show_tables, write_frame, write_text
from .polling import again

if TYPE_CHECKING:
    import pandas as pd

    from tracker.listing import Listing
    from tracker.store.port import Run

app = typer.Typer(no_args_is_help=True, help="Which runs there are, and all about one.")

_SHOWN = ("status", "name", "experiment", "started", "duration", "epochs")
_HIDDEN = ("id", "events", "attempt", "error", "host", "uuid", "heartbeat", "group", "rank", "note",
           "archived")  # fmt: skip
#: Formats for people, who are not shown all columns.
_SHORT = ("table", "md")
#: Those of the hidden ones that are shown where a run has them.
_TELLING = ("heartbeat", "group", "rank", "archived")


@app.command("list")
def list_runs(
    where: WhereOption = None,
    archived: Annotated[bool, typer.Option("--archived", help="Archived runs too.")] = False,
    workers: Annotated[
        bool, typer.Option("--workers", help="Every worker of a training, not its chief only.")
    ] = False,
    sort: Annotated[
        str | None,
        typer.Option(
            "--sort",
            "-s",
            metavar="A,-B",
            help="Order by fields, - for the greatest first, such as val_loss:min or -params.lr.",
        ),
    ] = None,
    limit: LimitOption = None,
    after: Annotated[
        str | None,
        typer.Option("--after", metavar="RUN", help="Only those that follow this one: next page."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="A,B",
            help="Only these columns, in this order; also params.lr, tags.kind, min(val_loss).",
        ),
    ] = None,
    only_changed: Annotated[
        bool,
        typer.Option("--only-changed", help="Only what differs between these runs; with params."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Draw them again and again, until Ctrl-C.")
    ] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, help="Between two drawings of --watch.")
    ] = 2.0,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """List the runs, the latest first, with the last value of each metric.

    Example: tracker runs list --sort val_loss:min --limit 20 --columns name,params.lr,val_loss:min
    """
    from tracker.search import listed_runs

    form = chosen_format(format, output)
    if watch and (form != "table" or output is not None or not sys.stdout.isatty()):
        raise InvalidArgument("--watch draws on a terminal. Scripts take tracker runs watch RUN.")
    opened = reading_store(store)

    def listing(most: int | None) -> Listing:
        listed = listed_runs(
            opened,
            where=where,
            sort=sort,
            limit=most,
            after=after,
            archived=archived,
            workers=workers,
            columns=columns,
            only_changed=only_changed,
        )
        return listed.picked(_shown(listed)) if columns is None and form in _SHORT else listed

    if watch:
        height = shutil.get_terminal_size().lines - 2  # more would not be seen
        show_tables(again(lambda: listing(limit or height), interval, opened, store))
    else:
        write_frame(listing(limit), form, output)


@app.command("show")
def show_run(
    run: RunArgument,
    history: Annotated[
        bool, typer.Option("--history", help="What happened to it, and who stated what, instead.")
    ] = False,
    format: ShortFormatOption = None,
    store: StoreOption = None,
) -> None:
    """Show one run: how it went, its parameters, model, environment and metrics.

    Example: tracker runs show @last
    """
    from tracker.query import describe
    from tracker.query import history as history_of

    if history:
        chosen = format.value if format else "table"
        write_frame(history_of(run, store=reading_store(store)), chosen)
        return

    facts = describe(run, store=reading_store(store))
    if format in (ShortFormat.JSON, ShortFormat.JSONL):
        write_text(json_text(facts, indent=format == ShortFormat.JSON))
    else:
        write_text("".join(_section(name, value) for name, value in facts.items()))


def _shown(listing: Listing) -> list[str]:
    """The columns that people are shown unless they ask for others."""
    columns = listing.columns
    telling = [name for name in _TELLING if name in columns and _tells(listing, name)]
    more = [name for name in columns if name not in {*_SHOWN, *_HIDDEN}]
    return [*(name for name in _SHOWN if name in columns), *telling, *more]


def _tells(listing: Listing, name: str) -> bool:
    """Whether a column says something of any run."""
    if name == "heartbeat":  # that of running ones only says that they run
        return "status" not in listing.columns or "lost" in listing.columns["status"].data
    return any(value is not None for value in listing.columns[name].data)


def exact(frame: pd.DataFrame, runs: list[Run]) -> pd.DataFrame:
    """The frame with None where a run has no such metric, which NaN does not tell apart."""
    import pandas as pd

    taken = {*_SHOWN, *_HIDDEN}
    keys = {key for run in runs for key in run.state.metrics}
    for phase, metric in sorted(keys, key=lambda key: (key[0] != "train", key[1])):
        name = metric_name(phase, metric)
        name = f"logs.{name}" if name in taken else name  # as `run_frame` calls it then
        taken.add(name)
        states = [run.state.metrics.get((phase, metric)) for run in runs]
        values = [None if state is None else state.last for state in states]
        frame[name] = pd.Series(values, index=frame.index, dtype="object")
    return frame


def _section(name: str, value: Any) -> str:
    """One fact a line; nested ones indented, tables of metrics in columns."""
    if name == "metrics":
        return _metrics(value)
    if isinstance(value, dict):
        if not value:
            return ""
        width = max(len(cell(key)) for key in value)
        lines = [f"  {cell(key):<{width}}  {_text(item)}\n" for key, item in value.items()]
        return f"\n{name}\n{''.join(lines)}"
    if isinstance(value, str) and "\n" in value:
        return f"\n{name}\n" + "".join(f"  {printable(line)}\n" for line in value.splitlines())
    return f"{name:<11} {_text(value)}\n" if value is not None else ""


def _metrics(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    names = list(rows[0])
    cells = [names, *([cell(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  " + "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        for line in cells
    ]
    return "\nmetrics\n" + "".join(f"{line.rstrip()}\n" for line in lines)


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return json_text(value, indent=False).strip()
    return cell(value)
