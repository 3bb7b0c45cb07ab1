"""What callbacks would have done: the answer for one run, or a row for each of several."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from tracker.legibility import printable

from .cells import json_text
from .output import write_frame, write_text

if TYPE_CHECKING:
    from pathlib import Path

    from tracker.store.sql import SqlStore


def makers(
    expressions: Sequence[str] | None, files: Sequence[str] | None
) -> list[Callable[..., Any]]:
    """What makes the callbacks that are asked for: each takes more arguments by keyword.

    Raises:
        InvalidArgument: One cannot be understood; expressions are tried once.
    """
    from functools import partial

    from tracker.replaying.expression import callback_of_file, made_callback

    if not files:
        # Keras's own callbacks need no backend, and this one is there at once.
        os.environ.setdefault("KERAS_BACKEND", "numpy")
    made = [partial(made_callback, one) for one in expressions or []]
    with _hooks_called():
        return [*made, *(callback_of_file(one) for one in files or [])]


@contextmanager
def _hooks_called() -> Iterator[None]:
    """Errors of a callback's own hooks are no fault of ours, and what it prints is no data."""
    from tracker.errors import InvalidArgument, TrackerError

    try:
        with redirect_stdout(sys.stderr):
            yield
    except TrackerError:
        raise
    except (Exception, SystemExit) as error:
        notes = " ".join(getattr(error, "__notes__", []))
        if not notes:
            raise
        raise InvalidArgument(f"{type(error).__name__}: {error} {notes}") from error


def write_verdict(
    run: str,
    made: Sequence[Callable[..., Any]],
    call: int | None,
    form: str,
    output: Path | None,
    store: SqlStore,
) -> None:
    """What the callbacks together would have done to one run."""
    from tracker.errors import InvalidArgument
    from tracker.replaying.driver import replay

    if form not in ("table", "json", "jsonl"):
        raise InvalidArgument("This is no table: take --format json, or the text.")
    with _hooks_called():
        verdict = replay(run, [make() for make in made], call=call, store=store)
    if form == "table":
        write_text(f"{printable(str(verdict))}\n", output)
        return
    facts = {name: getattr(verdict, name) for name in verdict.__dataclass_fields__}
    facts["acts"] = [one._asdict() for one in verdict.acts]
    write_text(json_text(facts, indent=form == "json"), output)


def write_sweep(
    runs: Sequence[str] | None,
    where: str | None,
    made: Sequence[Callable[..., Any]],
    values: str | None,
    call: int | None,
    form: str,
    output: Path | None,
    store: SqlStore,
) -> None:
    """A row for each run, and each value of the one callback's argument."""
    from tracker.errors import InvalidArgument
    from tracker.replaying.sweeping import parsed_sweep, sweep

    arguments: dict[str, Any] = {}
    if values is not None:
        if len(made) != 1:
            raise InvalidArgument("--sweep takes one callback, whose argument it is.")
        name, swept = parsed_sweep(values)
        arguments[name] = swept

    def callbacks(**more: Any) -> list[Any]:
        return [make(**more) for make in made]

    chosen: Any = runs[0] if runs and len(runs) == 1 else runs or None
    with _hooks_called():
        frame = sweep(chosen, callbacks, call=call, where=where, store=store, **arguments)
    if "error" in frame and form == "table" and not frame["error"].notna().any():
        frame = frame.drop(columns="error")
    write_frame(frame, form, output)
