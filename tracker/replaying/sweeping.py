"""One callback with several values of an argument: where each would have stopped."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from tracker.errors import InvalidArgument
from tracker.frames import typed
from tracker.query import Store
from tracker.replaying.driver import driven, stored_fit

#: More than a table shows, and than anybody means.
_MOST = 1_000

#: Arguments of `sweep` itself.
_OURS = frozenset({"run", "callback", "call", "store"})

_TYPES = {
    "stopped": "boolean",
    "epoch": "Int64",
    "epochs": "Int64",
    "saved_epochs": "Int64",
    "saved": "timedelta64[us]",
    "value": "Float64",
    "best": "Float64",
    "best_epoch": "Int64",
    "restored_epoch": "Int64",
}


def sweep(
    run: str | int,
    callback: Callable[..., Any],
    *,
    call: int | None = None,
    store: Store = None,
    **values: Iterable[Any],
) -> pd.DataFrame:
    """Where a callback would have stopped a run, for each value of one of its arguments.

    >>> sweep("@last", EarlyStopping, patience=range(1, 11))

    Args:
        run: A name, id, UUID, unique prefix, `@last` or `@last~2`.
        callback: Makes a Keras callback of the argument: a class, or a function.
        call: Which fit; by default the run's first one.
        store: The store.
        values: The argument's name, and its values.

    Returns:
        One row a value: the argument, `stopped`, `epoch` (of the stop), `epochs` (until it),
        `saved_epochs`, `saved` (time), `value` (of what is monitored, there), `best` (of the whole
        fit), `best_epoch`, `restored_epoch`.

    Raises:
        InvalidArgument: Not one argument is given, or the run has no such fit.
        TrackerError: As `tracker.replay`.
    """
    if len(values) != 1:
        raise InvalidArgument("Give one argument with its values, such as patience=range(1, 11).")
    ((name, wanted),) = values.items()
    asked = list(wanted)
    fit = stored_fit(run, call=call, store=store)
    rows = []
    for value in asked:
        one = driven(fit, [callback(**{name: value})])
        saved = None if one.saved_seconds is None else round(one.saved_seconds * 1e6)
        rows.append(
            (one.stopped, one.epoch, one.epochs_then, one.saved_epochs, saved, one.value,
             one.best, one.best_epoch, one.restored_epoch)
        )  # fmt: skip
    columns = list(zip(*rows, strict=True)) or [()] * len(_TYPES)
    frame = typed(dict(zip(_TYPES, columns, strict=True)), _TYPES)
    frame.insert(0, name, pd.Series(asked))
    return frame


def parsed_sweep(text: str) -> tuple[str, list[Any]]:
    """The argument and the values of a text such as `patience=1..10`, `1..10..2` or `1,2,5`.

    Raises:
        InvalidArgument: It is none.
    """
    name, equals, rest = (part.strip() for part in text.partition("="))
    if not (equals and name.isidentifier() and rest) or name in _OURS:
        raise _mistake(text)
    parts = rest.split("..")
    if len(parts) == 1:
        return name, [_value(one, text) for one in rest.split(",")]
    numbers = [_value(one, text) for one in parts]
    if len(numbers) > 3 or any(type(one) not in (int, float) for one in numbers):
        raise _mistake(text)
    first, last = numbers[:2]
    step = numbers[2] if len(numbers) == 3 else 1
    if step <= 0 or last < first or (last - first) / step > _MOST:
        raise _mistake(text)
    # A float's last value may be missed by a rounding.
    return name, [first + step * n for n in range(int((last - first) / step + 1e-9) + 1)]


def _value(text: str, whole: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        raise _mistake(whole) from None


def _mistake(text: str) -> InvalidArgument:
    return InvalidArgument(
        f"{text!r} is no sweep. Expected an argument and its values, from the least to the "
        "greatest: patience=1..10, min_delta=0..0.1..0.02, or mode='min','max'."
    )
