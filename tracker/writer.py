"""One run being written: its journal, recorder and shipper, and how it ends."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from tracker import journal, journals
from tracker.event import VERSION
from tracker.forking import ForkGuard
from tracker.location import journal_folders
from tracker.logs import Outputs
from tracker.masking import without_passwords
from tracker.names import uuid7
from tracker.recorder import Place, Recorder
from tracker.shipper import Shipper, deliver_all
from tracker.store.opening import open_store
from tracker.store.port import EventStore, RunIdentity

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
        meta = journal.JournalMeta(
            uuid=identity.uuid,
            name=name,
            store=without_passwords(store),
            writer=identity.writer,
            host=socket.gethostname(),
            pid=os.getpid(),
            began_at=time.time_ns() // 1000,
        )
        writer = journal.JournalWriter(folders, meta)
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
        opener = _opener(store, durability)
        self._shipper = Shipper(writer.folder, identity, opener)
        self._deliverer = _deliver_in_background(folders, opener, without_passwords(store))
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
        done = self._shipper.close(self.recorder.seq, FLUSH_SECONDS)
        self._deliverer.join(FLUSH_SECONDS)
        self._journal.close()
        if done:
            journal.settle(self._journal.folder)

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


def _opener(store: str, durability: str) -> Callable[[], EventStore]:
    def opened() -> EventStore:
        return open_store(store, create=True, durability=durability)  # type: ignore[arg-type]

    return opened


def _deliver_in_background(
    folders: list[Any], opener: Callable[[], EventStore], store_name: str
) -> threading.Thread:
    """Bring to the store what earlier runs left in their journals, and tidy those."""
    guard = ForkGuard(lambda: None)

    def work() -> None:
        try:
            waiting = journals.journals(folders, settled=False)
            if any(not info.alive and info.meta for info in waiting):
                with guard:
                    store = opener()
                    deliver_all(waiting, store, store_name)
                    store.close()
            journals.sweep(folders)
        except Exception as error:  # noqa: BLE001 - the living run's shipper reports the store
            _log.info("Journals of earlier runs were not delivered: %s", error)

    thread = threading.Thread(target=work, name="tracker-deliverer", daemon=True)
    thread.start()
    return thread


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
