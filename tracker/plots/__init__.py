"""Metrics as curves: one figure, and what draws it."""

from __future__ import annotations

from tracker.plots.plotting import Plot, plot

__all__ = ["Plot", "plot"]
