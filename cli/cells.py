"""Values → text, for people and for programs."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tracker.legibility import encodable, printable
from tracker.listing import Listing

if TYPE_CHECKING:
    import pandas as pd

#: Pandas' signs for what is missing, by the names of their types: it may not be loaded.
_MISSING = ("NAType", "NaTType")


def json_text(value: Any, *, indent: bool = True) -> str:
    """Anything of ours as JSON: NaN and infinities as strings, times as ISO 8601 in UTC."""
    import orjson

    options = orjson.OPT_INDENT_2 if indent else 0
    return orjson.dumps(_json_value(value), option=options).decode() + "\n"


def cell(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None or type(value).__name__ in _MISSING:
        return ""
    if isinstance(value, datetime):
        return f"{value if value.tzinfo is None else local(value):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, timedelta):
        return _duration(value.total_seconds())
    return printable(str(value))


def local(moment: datetime) -> datetime:
    """A moment as the clocks of this machine's zone showed it then."""
    # Those of pandas know a zone only by its name.
    plain = getattr(moment, "to_pydatetime", None)
    return (plain() if plain else moment).astimezone()


def names_of(frame: pd.DataFrame | Listing) -> list[str]:
    """The columns as people read them."""
    return [printable(str(name)) for name in frame.columns]


def rows_of(frame: pd.DataFrame | Listing) -> list[dict[str, Any]]:
    """Rows as dicts, None where a value is missing."""
    columns = [_values(frame, name) for name in frame.columns]
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def cells_of(frame: pd.DataFrame | Listing) -> list[list[str]]:
    """Rows as people read them, empty where a value is missing."""
    columns = [[cell(value) for value in _values(frame, name)] for name in frame.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _values(frame: pd.DataFrame | Listing, name: str) -> list[Any]:
    """A column's values, None where one is missing.

    NaN is a value in columns of objects, where None can stand beside it, and in the column
    `value`, where none is missing; elsewhere pandas has no other sign for a missing one.
    """
    if isinstance(frame, Listing):
        return frame.columns[name].shown()
    series = frame[name]
    if series.dtype == "object" or name == "value":
        return list(series)
    return [None if gone else value for value, gone in zip(series, series.isna(), strict=True)]


def _json_value(value: Any) -> Any:
    import orjson

    if isinstance(value, dict):
        return {encodable(str(key)): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if value is None or type(value).__name__ in _MISSING:
        return None
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, orjson.Fragment) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    from tracker.logs import to_plain

    return to_plain(value)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    first = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number}{unit}" for number, unit in parts[first : first + 2])
