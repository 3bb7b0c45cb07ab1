"""Frames → stdout or a file, in the asked format; words for people → stderr."""

from __future__ import annotations

import math
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tracker.errors import InvalidArgument, UnknownColumn

if TYPE_CHECKING:
    import pandas as pd

    from .options import Format

_STATUS_STYLES = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "crashed": "red",
    "interrupted": "yellow",
}
_ENDINGS = {".markdown": "md", ".ndjson": "jsonl", ".txt": "table"}


def say(message: str) -> None:
    """Tell people something, on stderr."""
    typer.echo(message, err=True)


def complain(message: str, *, warning: bool = False) -> None:
    """Tell people what went wrong, on stderr; the first word red on a terminal."""
    word, colour = ("warning:", "yellow") if warning else ("error:", "red")
    if _colourful(sys.stderr):
        word = typer.style(word, fg=colour, bold=True)
    typer.echo(f"{word} {message}", err=True, color=_colourful(sys.stderr))


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


def write_frame(frame: pd.DataFrame, format: str, output: Path | None = None) -> None:
    """Write a frame; see docs/command-line.md for what each format keeps."""
    if format == "parquet":
        _write_parquet(frame, output)
    elif output is not None:
        text = _rendered(frame, format)
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InvalidArgument(f"{output} cannot be written: {error.strerror}.") from error
        say(f"{len(frame)} rows written to {output}")
    elif format == "table":
        _print_table(frame)
    else:
        write_text(_rendered(frame, format))


def write_text(text: str) -> None:
    """Write to stdout, now."""
    sys.stdout.write(text)
    sys.stdout.flush()


def json_text(value: Any, *, indent: bool = True) -> str:
    """Anything of ours as JSON: NaN and infinities as strings, times as ISO 8601 in UTC."""
    import orjson

    options = orjson.OPT_INDENT_2 if indent else 0
    return orjson.dumps(_json_value(value), option=options).decode() + "\n"


def cell(value: Any) -> str:
    """A value as people read it."""
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, pd.Timestamp):
        return value.tz_convert(None if value.tz is None else _local_zone()).strftime(
            "%Y-%m-%d %H:%M:%S"
        )
    if isinstance(value, pd.Timedelta):
        return _duration(value.total_seconds())
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _rendered(frame: pd.DataFrame, format: str) -> str:
    if format == "json":
        return json_text(_rows(frame))
    if format == "jsonl":
        return "".join(json_text(row, indent=False) for row in _rows(frame))
    if format == "csv":
        return frame.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%S.%f%z")
    names = [str(name) for name in frame.columns]
    cells = _cells(frame)
    if format == "md":
        lines = [names, ["---"] * len(names), *cells]
        return "".join(
            f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |\n"
            for line in lines
        )
    return _aligned(names, cells, frame)


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts; a float column's NaN is a missing value, but in the column `value`."""
    columns = {}
    for name in frame.columns:
        series = frame[name]
        values = list(series)
        if series.dtype == "float64" and name != "value":
            values = [None if value != value else value for value in values]
        columns[str(name)] = values
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _json_value(value: Any) -> Any:
    import orjson
    import pandas as pd

    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, pd.Timedelta):
        return value.total_seconds()
    if isinstance(value, bool | str | int | orjson.Fragment):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    from tracker.logs import to_plain

    return to_plain(value)


def _cells(frame: pd.DataFrame) -> list[list[str]]:
    columns = []
    for name in frame.columns:
        series = frame[name]
        missing_is_nan = series.dtype == "float64" and name != "value"
        columns.append(["" if missing_is_nan and item != item else cell(item) for item in series])
    return [list(row) for row in zip(*columns, strict=True)]


def _aligned(names: list[str], cells: list[list[str]], frame: pd.DataFrame) -> str:
    """Plain text in columns, nothing cut off; numbers to the right."""
    if not cells:
        return ""
    widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
    right = [_is_number(frame, name) for name in names]
    lines = []
    for line in [names, *cells]:
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip() + "\n")
    return "".join(lines)


def _is_number(frame: pd.DataFrame, name: str) -> bool:
    series = frame[name]
    if series.dtype == "object":
        return all(value is None or isinstance(value, float) for value in series)
    return str(series.dtype) in ("Int64", "float64", "timedelta64[us]")


def _print_table(frame: pd.DataFrame) -> None:
    if frame.empty:
        say("Nothing to show.")
        return
    names, cells = [str(name) for name in frame.columns], _cells(frame)
    if not _colourful(sys.stdout):
        write_text(_aligned(names, cells, frame))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if _is_number(frame, name) else "left")
    for row in cells:
        styles = [_STATUS_STYLES.get(text, "") for text in row]
        table.add_row(*(Text(text, style) for text, style in zip(row, styles, strict=True)))
    console = Console(force_terminal=True)
    if sys.stdout.isatty() and len(cells) + 1 > console.height and os.environ.get("PAGER"):
        with console.pager(styles=True):
            console.print(table)
    else:
        console.print(table)


def _write_parquet(frame: pd.DataFrame, output: Path | None) -> None:
    if output is None and sys.stdout.isatty():
        raise InvalidArgument(
            "Parquet is not for terminals. Give a file: --output runs.parquet, or use a pipe."
        )
    data: bytes = frame.to_parquet(None, index=False)
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise InvalidArgument(f"{output} cannot be written: {error.strerror}.") from error
    say(f"{len(frame)} rows written to {output}")


def _colourful(stream: Any) -> bool:
    # https://no-color.org and https://force-color.org
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or stream.isatty()


def _local_zone() -> Any:
    from datetime import datetime

    return datetime.now().astimezone().tzinfo


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    first = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2])
