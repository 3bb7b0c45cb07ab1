"""Answers → JSON: NaN and infinities as texts, times as ISO 8601, what is missing as null."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import pandas as pd

from tracker.legibility import encodable


def json_bytes(value: Any) -> bytes:
    """Any answer of ours as JSON; frames as lists of rows."""
    return orjson.dumps(plain(value), option=orjson.OPT_SERIALIZE_NUMPY)


def plain(value: Any) -> Any:
    """What JSON can have."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, pd.DataFrame):
        return rows(value)
    if isinstance(value, np.ndarray):
        # A gap in a curve is null.
        return np.ascontiguousarray(value)
    if isinstance(value, Mapping):
        return {encodable(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return None if value is pd.NaT else value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, np.generic):
        return plain(value.item())
    if value is pd.NA or value is pd.NaT:
        return None
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """One dict a row. NaN is a value where the column is one of floats called `value`."""
    columns = []
    for name in frame.columns:
        series = frame[name]
        gone = series.isna() if name != "value" and series.dtype != object else None
        values = [plain(value) for value in series.tolist()]
        if gone is not None:
            values = [None if away else one for one, away in zip(values, gone, strict=True)]
        columns.append(values)
    names = [encodable(str(name)) for name in frame.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
