"""Bars, curves and values in one line of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .cells import cell

_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 40


def sparkline(values: Sequence[float]) -> str:
    """The last values as blocks of eight heights; `!` where one is no finite number."""
    some = list(values)[-_WIDTH:]
    finite = [value for value in some if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    # The way from the least to the greatest value may be beyond all doubles, but not when all of
    # them are made less than 1, by a power of two: that takes no digits away.
    _, exponent = math.frexp(max(abs(low), abs(high)))

    def scaled(value: float) -> float:
        return math.ldexp(value, -exponent)

    span = (scaled(high) - scaled(low)) or 1.0
    return "".join(
        _BLOCKS[int((scaled(value) - scaled(low)) / span * (len(_BLOCKS) - 1))]
        if math.isfinite(value)
        else "!"
        for value in some
    )


def bar(done: int, planned: int | None, width: int = _WIDTH) -> str:
    """How much is done; nothing, where it is not known of how much."""
    if not planned:
        return ""
    full = min(width, width * done // planned)
    return "━" * full + "─" * (width - full)


def epoch_of(epoch: int, planned: int | None) -> str:
    """An epoch as Keras counts them for people: from 1."""
    return f"Epoch {epoch + 1}" + ("" if planned is None else f"/{planned}")


def values_of(logs: Mapping[str, Any]) -> str:
    """What was logged."""
    return " - ".join(f"{cell(name)}: {cell(value)}" for name, value in logs.items())
