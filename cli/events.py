"""`tracker events`: a run's stream."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cells import cell, local
from .options import (
    ColumnsOption,
    FormatOption,
    LimitOption,
    OutputOption,
    RunArgument,
    ShortFormat,
    StoreOption,
    reading_store,
    recover,
    split,
)
from .output import chosen_format, pick, progress_bar, say, write_frame, write_text

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(no_args_is_help=True, help="A run's events, in the order of its hooks.")

#: Looks at the store in a second, while following; and after how many of them we look whether
#: the run's process has died.
_POLLS, _POLLS_ALIVE = 4, 8

KindOption = Annotated[
    list[str] | None,
    typer.Option("--kind", "-k", help="Only this kind, such as epoch_end; may be repeated."),
]


@app.command("list")
def list_events(
    run: RunArgument,
    kind: KindOption = None,
    call: Annotated[int | None, typer.Option(help="Only those of this call.")] = None,
    epoch: Annotated[int | None, typer.Option(help="Only those inside this epoch.")] = None,
    after: Annotated[int, typer.Option(metavar="SEQ", help="Only those after this seq.")] = 0,
    until: Annotated[
        int | None, typer.Option(metavar="SEQ", help="Only those up to this seq.")
    ] = None,
    limit: LimitOption = None,
    columns: ColumnsOption = None,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """List a run's events.

    JSON and Parquet carry the logs exactly; tables and CSV have a column for each value.

    Example: tracker events list @last --kind epoch_end --format csv
    """
    from tracker.query import events

    form = chosen_format(format, output)
    opened = reading_store(store)
    asked: dict[str, Any] = {
        "kind": kind or None,
        "call": call,
        "epoch": epoch,
        "after": after,
        "until": until,
        "limit": limit,
        "store": opened,
    }
    if form == "parquet" and output is not None and columns is None:
        _write_parquet(run, output, asked)
        return
    frame = events(run, logs="dict" if form in ("table", "csv", "md") else "json", **asked)
    if form in ("json", "jsonl"):
        frame = _with_json(frame)
    elif form != "parquet":
        frame = _spread(frame)
    write_frame(pick(frame, split(columns)), form, output)


@app.command("tail")
def tail(
    run: RunArgument,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="The last so many.")] = 10,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run ends, or Ctrl-C.")
    ] = False,
    kind: KindOption = None,
    format: Annotated[
        ShortFormat | None, typer.Option("--format", help="jsonl, or lines for people.")
    ] = None,
    store: StoreOption = None,
) -> None:
    """Show a run's last events, and with -f those that arrive.

    Example: tracker events tail @last -f
    """
    from tracker.query import events, run_of

    opened = reading_store(store)
    exact = format in (ShortFormat.JSON, ShortFormat.JSONL)
    asked: dict[str, Any] = {
        "kind": kind or None,
        "logs": "json" if exact else "dict",
        "store": opened,
    }
    found = run_of(run, store=opened)
    frame = events(found.uuid, tail=lines, **asked)
    seen = found.state.last_seq if frame.empty else int(frame["seq"].iloc[-1])
    _print_lines(frame, exact=exact)
    recoverable = True
    for poll in count(1) if follow else ():
        if recoverable and poll % _POLLS_ALIVE == 0:
            recoverable = recover(opened, store, found.uuid)
        # The status first: what arrived before it changed is then shown before we stop.
        running = run_of(found.uuid, store=opened).state.status == "running"
        frame = events(found.uuid, after=seen, **asked)
        if len(frame):
            seen = int(frame["seq"].iloc[-1])
            _print_lines(frame, exact=exact)
        if not running:
            break
        time.sleep(1 / _POLLS)


@app.command("count")
def count_events(
    run: RunArgument,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Count a run's events by kind.

    Example: tracker events count @last
    """
    from tracker import query

    form = chosen_format(format, output)
    write_frame(query.count(run, store=reading_store(store)), form, output)


def _write_parquet(run: str, output: Path, asked: dict[str, Any]) -> None:
    """Stream the events to a file, however many there are."""
    from tracker.exporting import write_events
    from tracker.query import run_of

    total = run_of(run, store=asked["store"]).state.last_seq
    with progress_bar("write", total, "events") as advance:
        written = write_events(run, output, progress=advance, **asked)
    say(f"{written} rows written to {output}")


def _spread(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column for each value that hooks logged, None where there is none.

    In the frames of `tracker.events` these are NaN, as the values that diverged.
    """
    import pandas as pd

    from tracker.event import HOOKS
    from tracker.frames import free_name

    hooks = [
        logs if kind in HOOKS else {}
        for kind, logs in zip(frame["kind"], frame.pop("logs"), strict=True)
    ]
    logged = {
        free_name(str(name), frame): pd.Series(
            [logs.get(name) for logs in hooks], index=frame.index, dtype="object"
        )
        for name in dict.fromkeys(name for logs in hooks for name in logs)
    }
    return pd.concat([frame, pd.DataFrame(logged, index=frame.index)], axis=1)


def _with_json(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its JSON text as JSON, not as a string."""
    import orjson
    import pandas as pd

    fragments = [orjson.Fragment(text) for text in frame["logs"]]
    return frame.assign(logs=pd.Series(fragments, index=frame.index, dtype="object"))


def _print_lines(frame: pd.DataFrame, *, exact: bool) -> None:
    if exact:
        if len(frame):
            write_frame(_with_json(frame), "jsonl")
        return
    rows = frame.to_dict("records")
    write_text("".join(_line(row) for row in rows))


def _line(row: dict[Any, Any]) -> str:
    place = "/".join(cell(row[name]) or "-" for name in ("call", "epoch", "batch"))
    hook = not row["kind"].startswith(("run_", "call_"))
    if hook:
        logs = " ".join(f"{cell(name)}={cell(value)}" for name, value in row["logs"].items())
    else:
        logs = cell(row["logs"].get("status") or row["logs"].get("reason"))
    head = f"{row['seq']:>7}  {local(row['at']):%H:%M:%S.%f}  {row['kind']:<19}  {place:<12}"
    return f"{head}  {logs}".rstrip() + "\n"
