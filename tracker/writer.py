"""One run being written: its journal, recorder and shipper, and how it ends."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import time
import traceback
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tracker import machine, shipper
from tracker.event import VERSION
from tracker.journal import JournalMeta, JournalWriter
from tracker.location import journal_folders
from tracker.logs import Outputs
from tracker.masking import without_passwords
from tracker.names import uuid7
from tracker.recorder import Place, Recorder
from tracker.store.port import RunIdentity

_log = logging.getLogger("tracker")

#: How long the end of a fit, evaluate or predict waits for the store, in seconds.
FLUSH_SECONDS = 5.0

#: What a traceback may take in an event, in characters; its end says most.
_TRACEBACK_LENGTH = 20_000

_living: weakref.WeakSet[RunWriter] = weakref.WeakSet()


class RunWriter:
    """Writes one run, from `run_began` to `run_ended`.

    Raises:
        JournalUnwritable: No folder for the journal can be written.
    """

    def __init__(
        self,
        *,
        name: str,
        store: str,
        durability: str,
        outputs: Outputs,
        data: Mapping[str, Any],
    ) -> None:
        """Begin the run.

        Args:
            name: The name asked for; the store adds a suffix to one that is taken.
            store: The store's full URL.
            durability: See `tracker.store.dialects.Durability`.
            outputs: What to keep of arrays in logs.
            data: What `run_began` carries besides the run's identity.
        """
        identity = RunIdentity(uuid=uuid7(), name=name, writer=secrets.token_hex(8))
        self.name = name
        self.uuid = identity.uuid
        folders = journal_folders()
        meta = JournalMeta(
            uuid=identity.uuid,
            name=name,
            store=without_passwords(store),
            writer=identity.writer,
            host=machine.host(),
            boot=machine.boot(),
            pid=os.getpid(),
            began_at=time.time_ns() // 1000,
        )
        writer = JournalWriter(folders, meta)
        if writer.folder.parent != folders[0]:
            _log.warning(
                "The folder %s cannot be written; the journal of run %r is in %s.",
                folders[0],
                name,
                writer.folder,
            )
        self.recorder = Recorder(writer, outputs)
        self.recorder.fact(
            "run_began", {"version": VERSION, "uuid": self.uuid, "name": name, **data}
        )
        self._journal = writer
        #: Whether the run was ended, or left to the parent process.
        self.ended = False
        self._error: dict[str, Any] | None = None
        self._shipper = shipper.Shipper(writer.folder, identity, store, durability)
        shipper.recover(folders, store, durability)
        _living.add(self)
        _watch_exceptions()

    def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Wait until the store has everything that was recorded; False if it does not."""
        return self._shipper.flush(self.recorder.seq, timeout)

    def note_error(self, error: BaseException) -> None:
        """Remember what the run may be about to die of."""
        self._error = describe_error(error)

    def died(self, place: Place | None) -> None:
        """A call at `place` died, and the program goes on: end this attempt, begin the next."""
        error = _cause(place)
        self.recorder.fact("run_ended", _ending(describe_error(error) if error else None))
        self.recorder.resume({"reason": "the same callback was used again after its call died"})

    def end(self, error: BaseException | None = None) -> None:
        """Record how the run ended, deliver what is left, and close. Once only.

        Args:
            error: What ended it, if known; None: what was noted, if calls are still open.
        """
        if self.ended:
            return
        self.ended = True
        _living.discard(self)
        if error is not None:
            self.note_error(error)
        if error is None and self.recorder.is_idle():
            ending: dict[str, Any] = {"status": "finished"}
        else:
            ending = _ending(self._error)
        self.recorder.fact("run_ended", ending)
        try:
            self._journal.close()
        except OSError as lost:
            _log.error(
                "The last events of run %r are lost: the journal in %s could not be written: %s.",
                self.name,
                self._journal.folder,
                lost.strerror or lost,
            )
        self._shipper.end(FLUSH_SECONDS)

    def abandon(self) -> None:
        """Let go of everything without a word: in a forked child the run is the parent's."""
        self.ended = True
        self._journal.abandon()


def describe_error(error: BaseException) -> dict[str, Any]:
    """Type, message and traceback of an exception, as `run_ended` carries them."""
    lines = traceback.format_exception(error)
    return {
        "type": type(error).__qualname__,
        "message": str(error),
        "traceback": "".join(lines)[-_TRACEBACK_LENGTH:],
        "interrupt": isinstance(error, KeyboardInterrupt | SystemExit),
    }


def _ending(error: Mapping[str, Any] | None) -> dict[str, Any]:
    if error is None:
        return {
            "status": "interrupted",
            "error": {"type": None, "message": "a call never reached its end hook"},
        }
    kept = {key: value for key, value in error.items() if key != "interrupt"}
    return {"status": "interrupted" if error["interrupt"] else "failed", "error": kept}


def _cause(place: Place | None) -> BaseException | None:
    """The exception that a dead call at `place` died of, if Python still knows it."""
    for error in (sys.exc_info()[1], getattr(sys, "last_value", None)):
        # Keras takes its own frames out of tracebacks; those of the callers are left.
        step = error.__traceback__ if error else None
        while step:
            if place and (step.tb_frame.f_code, step.tb_lineno) in place:
                return error
            step = step.tb_next
    return None


def _watch_exceptions() -> None:
    """Note uncaught exceptions on their way to `sys.excepthook`."""
    before = sys.excepthook
    if getattr(before, "notes_for_tracker", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        for writer in list(_living):
            writer.note_error(error)
        before(kind, error, trace)

    hook.notes_for_tracker = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def _abandon_all() -> None:
    for writer in list(_living):
        writer.abandon()
    _living.clear()


os.register_at_fork(after_in_child=_abandon_all)
