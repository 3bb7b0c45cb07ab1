"""How calls and runs end: what Python tells of it, since Keras has no hook for errors."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from tracker.recorder import Place

#: What a traceback may take in an event, in characters; its end says most.
_TRACEBACK_LENGTH = 20_000

_CAUGHT = "a call did not reach its end hook: its exception was caught by the program"
_CUT_OFF = "a call never reached its end hook"


def describe(error: BaseException) -> dict[str, Any]:
    """Type, message and traceback of an exception, and whether it is a wish to stop."""
    try:
        message = str(error)
    except Exception as problem:  # noqa: BLE001 - somebody else's __str__
        message = f"<str failed: {type(problem).__name__}>"
    return {
        "type": type(error).__qualname__,
        "message": message,
        "traceback": "".join(traceback.format_exception(error))[-_TRACEBACK_LENGTH:],
        "interrupt": isinstance(error, KeyboardInterrupt | SystemExit),
    }


def ending(error: Mapping[str, Any] | None, *, lives_on: bool) -> dict[str, Any]:
    """What `run_ended` carries when a call was cut off.

    Args:
        error: What it died of, from `describe`; None: not known.
        lives_on: Whether the program goes on. Only exceptions that it caught can be why.
    """
    if error is not None:
        kept = {key: value for key, value in error.items() if key != "interrupt"}
        return {"status": "interrupted" if error["interrupt"] else "failed", "error": kept}
    if lives_on:
        return {"status": "failed", "error": {"type": None, "message": _CAUGHT}}
    return {"status": "interrupted", "error": {"type": None, "message": _CUT_OFF}}


def cause_of(place: Place | None) -> BaseException | None:
    """The exception that a dead call at `place` died of, if Python still knows it."""
    for error in (sys.exc_info()[1], getattr(sys, "last_value", None)):
        # Keras takes its own frames out of tracebacks; those of the callers are left.
        step = error.__traceback__ if error else None
        while step:
            if place and (step.tb_frame.f_code, step.tb_lineno) in place:
                return error
            step = step.tb_next
    return None


def watch(
    note: Callable[[BaseException], None], after_cell: Callable[[BaseException | None], None]
) -> None:
    """Be told of exceptions that nobody caught, and of the end of notebook cells. Once only.

    Args:
        note: Called with an exception on its way to `sys.excepthook` or `threading.excepthook`.
        after_cell: Called when IPython has run a cell, with the exception that ended it.
    """
    if not _watching:
        _watching.append(note)
        _watch_uncaught(note)
    if "IPython" in sys.modules and after_cell not in _watching:
        shell = sys.modules["IPython"].get_ipython()
        if shell is not None:
            _watching.append(after_cell)
            shell.events.register("post_run_cell", lambda result: after_cell(result.error_in_exec))


_watching: list[Callable[..., None]] = []


def _watch_uncaught(note: Callable[[BaseException], None]) -> None:
    before, before_in_thread = sys.excepthook, threading.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        note(error)
        before(kind, error, trace)

    def thread_hook(uncaught: threading.ExceptHookArgs) -> None:
        if uncaught.exc_value is not None:
            note(uncaught.exc_value)
        before_in_thread(uncaught)

    sys.excepthook = hook
    threading.excepthook = thread_hook
