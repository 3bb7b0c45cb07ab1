"""Frames → rows that templates show."""

from __future__ import annotations

from typing import Any

import pandas as pd


def records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rows whose missing values are None, and whose lengths are seconds."""
    plain = frame.copy()
    for name in plain.columns:
        if pd.api.types.is_timedelta64_dtype(plain[name]):
            plain[name] = plain[name].dt.total_seconds()
    plain = plain.astype(object)
    found: list[dict[Any, Any]] = plain.where(plain.notna(), None).to_dict("records")
    return found
