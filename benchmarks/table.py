"""Figures, and their table."""

from __future__ import annotations

import platform
import sqlite3
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Figure:
    """One row: what was measured, ours, its floor, and how they relate."""

    name: str
    ours: float
    unit: str
    floor: float | None
    floor_name: str

    @property
    def ratio(self) -> str:
        """Ours by the floor."""
        return f"{self.ours / self.floor:.2f}" if self.floor else ""


def interleaved(candidates: Sequence[Callable[[], float]], repeat: int) -> list[float]:
    """The median of each candidate, run in turn: a noisy minute meets them all."""
    results: list[list[float]] = [[] for _ in candidates]
    for _ in range(repeat):
        for result, candidate in zip(results, candidates, strict=True):
            result.append(candidate())
    return [statistics.median(result) for result in results]


def interleaved_dicts(
    candidates: Sequence[Callable[[], dict[str, float]]], repeat: int
) -> list[dict[str, float]]:
    """The same, of candidates that measure several things: the median of each."""
    results: list[list[dict[str, float]]] = [[] for _ in candidates]
    for _ in range(repeat):
        for result, candidate in zip(results, candidates, strict=True):
            result.append(candidate())
    return [
        {name: statistics.median(one[name] for one in result) for name in result[0]}
        for result in results
    ]


def table(figures: Sequence[Figure]) -> str:
    """A Markdown table, readable as plain text."""
    head = ("figure", "ours", "floor", "ratio", "the floor is")
    rows = [
        (
            one.name,
            f"{number(one.ours)} {one.unit}",
            f"{number(one.floor)} {one.unit}" if one.floor is not None else "",
            one.ratio,
            one.floor_name,
        )
        for one in figures
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, tuple("-" * width for width in widths), *rows]
    return "\n".join(
        "| "
        + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )


def number(value: float) -> str:
    """Three digits that matter, thousands apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine(postgres: str) -> str:
    """What this was measured on."""
    import os

    day = datetime.now(UTC).date()
    return (
        f"{day}, {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, PostgreSQL {postgres}"
    )
