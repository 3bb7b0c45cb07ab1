"""`tracker sql`: queries of the user's own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import FormatOption, OutputOption, StoreOption, reading_store
from .output import chosen_format, say, write_frame

if TYPE_CHECKING:
    import pandas as pd


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("sql")(show_sql)


def show_sql(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="One SELECT; - reads it on stdin.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many rows.")] = (
        10_000
    ),
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, max=86_400, help="Give up after.")
    ] = 60.0,
    format: FormatOption = None,
    output: OutputOption = None,
    store: StoreOption = None,
) -> None:
    """Ask the store in its engine's own SQL; nothing can be changed by that.

    Example: tracker sql "SELECT name, status FROM runs"
    """
    from tracker.readonly import sql

    form = chosen_format(format, output)
    text = sys.stdin.read() if query == "-" else query
    frame = sql(text, limit=limit, timeout=timeout, store=reading_store(store))
    if frame.attrs["more"]:
        say(f"There are more than these {limit} rows: --limit.")
    write_frame(_printable(frame), form, output)


def _printable(frame: pd.DataFrame) -> pd.DataFrame:
    """With bytes in hexadecimal, and one type in a column: no format has them otherwise."""
    shown = frame.copy()
    for name in frame.select_dtypes("object").columns:
        values = [one.hex() if isinstance(one, bytes) else one for one in frame[name]]
        shown[name] = frame[name].__class__(
            [None if one is None else str(one) for one in values], dtype="string"
        )
    return shown
