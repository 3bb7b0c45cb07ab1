"""Files that the page takes from others: fetched when the wheel is built, in no repository."""

from __future__ import annotations

from pathlib import Path

VENDOR = Path(__file__).parent / "vendor"

NAMES = ("htmx.min.js", "uPlot.iife.min.js", "uPlot.min.css")


def missing() -> list[str]:
    """Which of them are not there: in a source tree `make assets` makes them."""
    return [name for name in NAMES if not (VENDOR / name).is_file()]
