"""One callback over several runs, or with several values of an argument: where each would stop."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from tracker.errors import InvalidArgument, ModelNeeded, RunNotFound, TrackerError
from tracker.frames import texts_of, typed
from tracker.query import Store, latest_runs, opened_store, run_of
from tracker.replaying.driver import driven, look_at_batches
from tracker.replaying.fit import stored_fit
from tracker.replaying.verdict import Verdict
from tracker.store.sql import SqlStore

#: More than a table shows, and than anybody means.
_MOST = 1_000

#: Arguments of `sweep` itself.
_OURS = frozenset({"runs", "callback", "call", "where", "store"})

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
    "exact": "boolean",
}


def sweep(
    runs: str | int | Sequence[str | int] | None,
    callback: Callable[..., Any],
    *,
    call: int | None = None,
    where: str | None = None,
    store: Store = None,
    **values: Iterable[Any],
) -> pd.DataFrame:
    """Where a callback would have stopped several runs, one with several arguments, or both.

    >>> sweep("@last", EarlyStopping, patience=range(1, 11))
    >>> sweep(None, lambda: EarlyStopping(patience=3), where='experiment = "digits"')

    Args:
        runs: A name, id, UUID, unique prefix, `@last` or `@last~2`; or several of them; or None,
            for those of `where`.
        callback: Makes a new Keras callback, or a list of them: a class, or a function. It gets
            the argument that is swept, if any is.
        call: Which fit; by default each run's first one.
        where: Those runs that it holds for: see docs/how-to/where.md.
        store: The store.
        values: An argument's name, and its values.

    Returns:
        One row a run and value: `run` (if it is not one that was named alone), the argument,
        `stopped`, `epoch` (of the stop), `epochs` (until it), `saved_epochs`, `saved` (time),
        `value` (of what is monitored, there), `best` (of the whole fit), `best_epoch`,
        `restored_epoch`, `exact` (see `Verdict`); with several runs also `error`: why one could
        not be replayed.

    Raises:
        InvalidArgument: More than one argument is swept, or neither runs nor `where` are given,
            or both, or a run twice; the only run, or all of them, cannot be replayed: they have no
            such fit, or never logged what is watched.
        RunNotFound, AmbiguousRun: One is not exactly one run, or `where` holds for none.
        TrackerError: As `tracker.replay`.
    """
    if len(values) > 1:
        raise InvalidArgument("Sweep one argument at a time, such as patience=range(1, 11).")
    if (runs is None) == (where is None):
        raise InvalidArgument("Give runs or where, and not both.")
    name, wanted = next(iter(values.items()), (None, ()))
    asked = [{}] if name is None else [{name: value} for value in wanted]
    with opened_store(store) as opened:
        if isinstance(runs, str | int):
            rows = list(_verdicts(runs, callback, asked, call, opened))
            return _frame(rows, name)
        found = _found(runs, where, opened)
        columns: list[tuple[str, Any, Verdict | None, str | None]] = []
        errors: list[TrackerError] = []
        for uuid, shown in found.items():
            try:
                rows = list(_verdicts(uuid, callback, asked, call, opened))
            except (InvalidArgument, ModelNeeded) as error:
                errors.append(error)
                columns.append((shown, None, None, str(error)))
            else:
                columns.extend((shown, value, verdict, None) for value, verdict in rows)
    if len(errors) == len(found):
        raise errors[0]
    frame = _frame([(value, verdict) for _, value, verdict, _ in columns], name)
    frame.insert(0, "run", texts_of(one[0] for one in columns))
    frame["error"] = texts_of(one[3] for one in columns)
    return frame


def _found(runs: Sequence[str | int] | None, where: str | None, store: SqlStore) -> dict[str, str]:
    """Names by UUID, in order."""
    if runs is not None:
        chosen = [run_of(one, store=store) for one in runs]
    else:
        chosen = latest_runs(where=where, store=store)
    if not chosen:
        raise RunNotFound("No run is chosen by that.")
    found = {run.uuid: run.name for run in chosen}
    if len(found) < len(chosen):
        names = [run.name for run in chosen]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidArgument(f"Run {twice!r} is there more than once: name each run once.")
    return found


def _verdicts(
    run: str | int,
    callback: Callable[..., Any],
    asked: Sequence[dict[str, Any]],
    call: int | None,
    store: SqlStore,
) -> Iterable[tuple[Any, Verdict]]:
    """For each value that is asked for, it and the verdict; the run is read once."""
    made = [_several(callback(**arguments)) for arguments in asked]
    batches = look_at_batches([one for callbacks in made for one in callbacks])
    fit = stored_fit(run, call=call, batches=batches, store=store)
    for arguments, callbacks in zip(asked, made, strict=True):
        yield next(iter(arguments.values()), None), driven(fit, callbacks)


def _several(callbacks: Any) -> list[Any]:
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]


def _frame(rows: Sequence[tuple[Any, Verdict | None]], name: str | None) -> pd.DataFrame:
    columns = list(zip(*(_row(verdict) for _, verdict in rows), strict=True))
    frame = typed(dict(zip(_TYPES, columns or [()] * len(_TYPES), strict=True)), _TYPES)
    if name is not None:
        frame.insert(0, name, pd.Series([value for value, _ in rows]))
    return frame


def _row(one: Verdict | None) -> tuple[Any, ...]:
    if one is None:
        return (None,) * len(_TYPES)
    saved = None if one.saved_seconds is None else round(one.saved_seconds * 1e6)
    return (one.stopped, one.epoch, one.epochs_then, one.saved_epochs, saved, one.value,
            one.best, one.best_epoch, one.restored_epoch, one.exact)  # fmt: skip


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
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise _mistake(whole) from None


def _mistake(text: str) -> InvalidArgument:
    return InvalidArgument(
        f"{text!r} is no sweep. Expected an argument and its values, from the least to the "
        "greatest: patience=1..10, min_delta=0..0.1..0.02, or mode='min','max'."
    )
