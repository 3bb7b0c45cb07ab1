"""What replayed callbacks watch: whether it was logged, and how it went."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, cast

from tracker.errors import InvalidArgument
from tracker.event import Record
from tracker.judging import Mode, better
from tracker.logs import as_double, decode
from tracker.replaying.directions import direction_of
from tracker.replaying.fit import Fit


def monitor_of(callback: Any) -> str | None:
    """The metric that a callback watches, if it watches one."""
    monitor = getattr(callback, "monitor", None)
    return monitor if isinstance(monitor, str) else None


def check_monitors(
    callbacks: Sequence[Any],
    fit: Fit,
    ends: Sequence[Record],
    logged: Collection[str],
    but: str | None = None,
) -> None:
    """Refuse what watches a metric that nobody logged: it would do nothing.

    Args:
        callbacks: Those that may watch one.
        fit: The fit.
        ends: Its ends of epochs.
        logged: Names in the logs of epochs, those that callbacks added too.
        but: A name that is not looked for.

    Raises:
        InvalidArgument: One does.
    """
    for one in callbacks:
        monitor = monitor_of(one)
        if (
            monitor in (None, but)
            or not ends
            or monitor in logged
            or not hasattr(one, "monitor_op")
            or not getattr(one, "save_best_only", True)
            or any(monitor in decode(record.logs) for record in fit.hooks)
        ):
            continue
        known = sorted(map(str, logged))
        near = get_close_matches(monitor, known)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise InvalidArgument(
            f"{type(one).__name__} watches {monitor}, which {fit.run} never logged."
            f"{hint} There are: {', '.join(known)}."
        )


def monitored(
    watching: Any, metrics: Sequence[Any], ends: Sequence[Record], then: Sequence[Record]
) -> tuple[float | None, float | None, int | None]:
    """The last value until the stop, the best of all, and the epoch of that one.

    Args:
        watching: The callback, once it has been driven; None: there is none.
        metrics: Those of the model, which may say which way is better.
        ends: The ends of all epochs.
        then: Those until the stop.
    """
    monitor = monitor_of(watching)
    if monitor is None:
        return None, None, None
    mode = _mode(watching, metrics) or better(monitor)
    values = {
        one.seq: (as_double(value), one.epoch)
        for one in ends
        if isinstance(value := decode(one.logs).get(monitor), int | float)
    }
    known = [one.seq for one in then if one.seq in values]
    finite = [pair for pair in values.values() if not math.isnan(pair[0])]
    if not known or not finite:
        return None, None, None
    best = min(finite, key=lambda pair: pair[0] if mode == "min" else -pair[0])
    return values[known[-1]][0], best[0], best[1]


def _mode(callback: Any, metrics: Sequence[Any]) -> Mode | None:
    """Which way the callback takes what it watches to be better, once it has been driven."""
    operation: Any = getattr(callback, "monitor_op", None)
    with suppress(Exception):  # anybody's callback
        if operation(1.0, 2.0) != operation(2.0, 1.0):
            return "min" if operation(1.0, 2.0) else "max"
    mode = getattr(callback, "mode", None)
    if mode in ("min", "max"):
        return cast("Mode", mode)
    # It had no need to find out: it saves always, or has not begun to look.
    direction = direction_of(metrics, callback.monitor)
    return None if direction is None else "max" if direction == "up" else "min"
