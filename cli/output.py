"""Frames → stdout or a file, in the asked format; words for people → stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tracker.errors import InvalidArgument, UnknownColumn
from tracker.legibility import printable_lines
from tracker.listing import Column, Listing
from tracker.masking import mask_url

from .cells import cells_of, json_text, names_of, rows_of

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from rich.text import Text

    from .options import Format

_STATUS_STYLES = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "crashed": "red",
    "interrupted": "yellow",
    "lost": "magenta",
}
#: Columns of a table in colour that does not go to a terminal: nothing is cut off.
_UNLIMITED = 1_000_000
_ENDINGS = {".markdown": "md", ".ndjson": "jsonl", ".txt": "table"}


def say(message: str) -> None:
    """Tell people something, on stderr."""
    typer.echo(printable_lines(message), err=True)


def complain(message: str, *, warning: bool = False) -> None:
    """Tell people what went wrong, on stderr; the first word red on a terminal."""
    word, colour = ("warning:", "yellow") if warning else ("error:", "red")
    if is_colourful(sys.stderr):
        word = typer.style(word, fg=colour, bold=True)
    typer.echo(
        f"{word} {mask_url(printable_lines(message))}", err=True, color=is_colourful(sys.stderr)
    )


def chosen_format(format: Format | None, output: Path | None) -> str:
    """The format asked for, or that of the file's ending, or a table."""
    if format is not None:
        return format.value
    if output is None:
        return "table"
    ending = output.suffix.lower()
    name = _ENDINGS.get(ending, ending.removeprefix("."))
    if name in ("table", "json", "jsonl", "csv", "md", "parquet"):
        return name
    raise InvalidArgument(
        f"The ending of {output} names no format. Give --format, or an ending of .json, .jsonl, "
        ".csv, .md, .parquet or .txt."
    )


def pick(frame: pd.DataFrame, columns: list[str] | None) -> pd.DataFrame:
    """The frame with these columns only.

    Raises:
        UnknownColumn: With the nearest one that there is.
    """
    for column in columns or []:
        if column not in frame.columns:
            near = get_close_matches(column, map(str, frame.columns), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            there = ", ".join(map(str, frame.columns))
            raise UnknownColumn(f"There is no column {column!r}.{hint} Columns are: {there}.")
    return frame if columns is None else frame[columns]


def write_frame(frame: pd.DataFrame | Listing, format: str, output: Path | None = None) -> None:
    """Write a frame, or a listing; see docs/command-line.md for what each format keeps."""
    if format == "parquet":
        _write_parquet(_frame(frame), output)
    elif output is not None:
        write_text(rendered(frame, format), output)
        say(f"{len(frame)} rows written to {output}")
    elif format == "table":
        _print_table(frame)
    else:
        write_text(rendered(frame, format))


@contextmanager
def progress_bar(
    what: str, total: int | None, unit: str = "runs"
) -> Iterator[Callable[[int], Any]]:
    """A progress bar on stderr, if that is a terminal; yields what to tell how many are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def write_text(text: str, output: Path | None = None) -> None:
    """Write to stdout, now; or to a file.

    Raises:
        InvalidArgument: The file cannot be written.
    """
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        output.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise InvalidArgument(f"{output} cannot be written: {error.strerror}.") from error


def rendered(frame: pd.DataFrame | Listing, format: str) -> str:
    """The frame as text in a format: all but Parquet."""
    if format == "json":
        return json_text(rows_of(frame))
    if format == "jsonl":
        return "".join(json_text(row, indent=False) for row in rows_of(frame))
    if format == "csv":
        return _frame(frame).to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%S.%f%z")
    names, cells = names_of(frame), cells_of(frame)
    if format == "md":
        lines = [names, ["---"] * len(names), *cells]
        return "".join(
            f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |\n"
            for line in lines
        )
    return _aligned(names, cells, frame)


def _frame(frame: pd.DataFrame | Listing) -> pd.DataFrame:
    if isinstance(frame, Listing):
        from tracker.frames import listing_frame

        return listing_frame(frame)
    return frame


def _aligned(names: list[str], cells: list[list[str]], frame: pd.DataFrame | Listing) -> str:
    """Plain text in columns, nothing cut off; numbers to the right."""
    if not cells:
        return ""
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    right = [_is_number(frame, column) for column in frame.columns]
    lines = []
    for line in [names, *cells]:
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip() + "\n")
    return "".join(lines)


def _is_number(frame: pd.DataFrame | Listing, name: str) -> bool:
    series = frame.columns[name] if isinstance(frame, Listing) else frame[name]
    if series.dtype == "object":
        values = series.data if isinstance(series, Column) else series
        return all(value is None or isinstance(value, int | float) for value in values)
    return str(series.dtype) in ("Int64", "float64", "timedelta64[us]")


def _print_table(frame: pd.DataFrame | Listing) -> None:
    if not len(frame) or not len(frame.columns):
        say("Nothing to show.")
        return
    names, cells = names_of(frame), cells_of(frame)
    terminal, colourful = sys.stdout.isatty(), is_colourful(sys.stdout)
    if not terminal and not colourful:
        write_text(_aligned(names, cells, frame))
        return
    from rich.console import Console

    table = _table(names, cells, frame)
    console = Console(
        force_terminal=True,
        color_system="auto" if colourful else None,
        width=None if terminal else _UNLIMITED,
    )
    if terminal and len(cells) + 1 > console.height and os.environ.get("PAGER"):
        os.environ.setdefault("LESS", "FRX")  # as git does: less shows colours as codes otherwise
        with console.pager(styles=colourful):
            console.print(table)
    else:
        console.print(table)


def show_tables(frames: Iterator[pd.DataFrame | Listing]) -> None:
    """Draw each frame in the place of the one before, on a terminal, as long as they come."""
    from rich.console import Console
    from rich.live import Live

    console = Console(color_system="auto" if is_colourful(sys.stdout) else None)
    with Live(console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        for frame in frames:
            live.update(_table(names_of(frame), cells_of(frame), frame), refresh=True)


def _table(names: list[str], cells: list[list[str]], frame: pd.DataFrame | Listing) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, column in zip(names, frame.columns, strict=True):
        # Where a terminal is too narrow, rich shrinks the columns that may wrap, so texts first.
        right = _is_number(frame, column)
        table.add_column(_line(name), justify="right" if right else "left", no_wrap=right)
    # One row, whose cells have a line for each of ours: laid out alike, in a third of the time.
    if cells:
        table.add_row(*(_line(*column) for column in zip(*cells, strict=True)))
    return table


def _line(*texts: str) -> Text:
    """Texts below each other, each on a line of its own; the word of a status in its colour."""
    from rich.text import Text

    joined = Text(no_wrap=True, overflow="ellipsis")
    for number, text in enumerate(texts):
        joined.append("\n" if number else "").append(text, _STATUS_STYLES.get(text))
    return joined


def _write_parquet(frame: pd.DataFrame, output: Path | None) -> None:
    if output is None and sys.stdout.isatty():
        raise InvalidArgument(
            "Parquet is not for terminals. Give a file: --output runs.parquet, or use a pipe."
        )
    from tracker.frames import NOT_ARROW

    try:
        data: bytes = frame.to_parquet(None, index=False)
    except NOT_ARROW as error:
        raise InvalidArgument(
            f"Parquet has no type for one of the columns: {error}. Take another --format, or "
            "leave that column out."
        ) from None
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise InvalidArgument(f"{output} cannot be written: {error.strerror}.") from error
    say(f"{len(frame)} rows written to {output}")


def is_colourful(stream: Any) -> bool:
    """Whether a stream gets colours."""
    # https://no-color.org and https://force-color.org
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()
