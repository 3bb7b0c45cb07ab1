"""One run being written: its journal, recorder and shipper, and how it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
import time
import weakref
from collections.abc import Mapping
from typing import Any

from tracker import endings, machine, shipper
from tracker.event import VERSION
from tracker.journal import JournalMeta, JournalWriter
from tracker.location import journal_folders
from tracker.logs import Outputs
from tracker.masking import without_passwords
from tracker.names import uuid7
from tracker.projections import call_to_resume_with
from tracker.recorder import Recorder
from tracker.store.port import Run, RunIdentity

_log = logging.getLogger("tracker")

#: How long the end of a fit, evaluate or predict waits for the store, in seconds.
FLUSH_SECONDS = 5.0

#: How long a call whose callback list is gone may still be explained by what comes next.
_GRACE_SECONDS = 0.5

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
        resumed: Run | None = None,
        replaces: str | None = None,
    ) -> None:
        """Begin the run, or its next attempt.

        Args:
            name: The name asked for; the store adds a suffix to one that is taken.
            store: The store's full URL.
            durability: See `tracker.store.dialects.Durability`.
            outputs: What to keep of arrays in logs.
            data: What `run_began` or `run_resumed` carries besides the run's identity.
            resumed: The run to go on with, which was taken over.
            replaces: The token of its writer before that.
        """
        identity = RunIdentity(
            uuid=resumed.uuid if resumed else uuid7(),
            name=name,
            writer=resumed.writer if resumed else secrets.token_hex(8),
            replaces=replaces,
        )
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
            replaces=replaces,
        )
        writer = JournalWriter(folders, meta, own_events(resumed) if resumed else 0)
        if writer.folder.parent != folders[0]:
            _log.warning(
                "The folder %s cannot be written; the journal of run %r is in %s.",
                folders[0],
                name,
                writer.folder,
            )
        if resumed:
            state = resumed.state
            self.recorder = Recorder(
                writer, outputs, attempt=state.attempt + 1, next_call=call_to_resume_with(state)
            )
            after = {"status": state.status, "host": state.host, "pid": state.pid}
            self.recorder.fact("run_resumed", {"version": VERSION, "after": after, **data})
        else:
            self.recorder = Recorder(writer, outputs)
            began = {"version": VERSION, "uuid": self.uuid, "name": name, **data}
            self.recorder.fact("run_began", began)
        self._journal = writer
        #: Whether the run was ended, or left to the parent process.
        self.ended = False
        #: Whether its last call died, and nothing came after.
        self._died = False
        #: Calls whose callback list is gone, and that have not ended.
        self._lost: set[tuple[int, int]] = set()
        self._error: dict[str, Any] | None = None
        self._shipper = shipper.Shipper(writer.folder, identity, store, durability)
        shipper.recover(folders, store, durability)
        _living.add(self)
        endings.watch(_note, _after_cell)

    def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Wait until the store has everything that was recorded; False if it does not."""
        return self._shipper.flush(self.recorder.seq, timeout)

    def note_error(self, error: BaseException) -> None:
        """Remember what this thread's calls, if it has any, are about to die of."""
        if self.recorder.open_here() is not None:
            self._error = endings.describe(error)

    def watch_call(self, call: tuple[int, int], of: object) -> None:
        """Notice when a call's callback list is gone, though the call has not ended: it died.

        Args:
            call: Its attempt and number.
            of: The list, which lives as long as Keras's method runs, and as its traceback.
        """
        finalizer = weakref.finalize(of, self._list_gone, call)
        finalizer.atexit = False

    def _list_gone(self, call: tuple[int, int]) -> None:
        if self.ended or not self.recorder.is_open(call):
            return
        self._lost.add(call)
        # Objects may be finalized anywhere, also in the middle of a hook: not by this thread.
        thread = threading.Thread(target=self._call_lost, args=(call,), daemon=True)
        with contextlib.suppress(RuntimeError):  # at the end of Python, where `end` tells it
            thread.start()

    def _call_lost(self, call: tuple[int, int]) -> None:
        # Who is about to end, or to fit again, knows more of the exception.
        time.sleep(_GRACE_SECONDS)
        with self.recorder.lock:
            if not self.ended and self.recorder.lose(call) and self.recorder.is_idle():
                self.died(None)
            self._lost.discard(call)

    def died(self, error: BaseException | None) -> None:
        """An outermost call died of `error`, if that is known, and the program goes on."""
        known = endings.describe(error) if error else self._error
        self.recorder.fact("run_ended", endings.ending(known, lives_on=True))
        self._died, self._error = True, None

    def go_on(self) -> None:
        """A call is about to begin: after one that died, that is the next attempt."""
        if self._died:
            self._died = False
            self.recorder.resume({"reason": "the same callback was used again after its call died"})

    def let_go(self) -> None:
        """The callback is gone, or Python is at its end: as `end`, which nobody asked for."""
        self.end(asked=False)

    def end(self, error: BaseException | None = None, *, asked: bool = True) -> None:
        """Record how the run ended, deliver what is left, and close. Once only.

        Args:
            error: What ended it, if known; None: what was noted, if calls are still open.
            asked: Whether the program asked for it, and so goes on.
        """
        if self.ended:
            return
        self.ended = True
        _living.discard(self)
        error = error or endings.cause_of(self.recorder.open_here())
        if error is not None:
            self._error = endings.describe(error)
        with self.recorder.lock:
            if error is not None or not self.recorder.is_idle():
                caught = asked and any(map(self.recorder.is_open, list(self._lost)))
                self.recorder.fact("run_ended", endings.ending(self._error, lives_on=caught))
            elif not self._died:
                self.recorder.fact("run_ended", {"status": "finished"})
            self.recorder.close()
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
        # The lock may be another thread's, which does not exist here.
        self.recorder.lock = threading.RLock()
        self.recorder.close()
        self._journal.abandon()


def own_events(run: Run) -> int:
    """How many events a run's writers made: the seq of the last one in their numbering."""
    return run.state.last_seq - run.state.by_hand


def release(uuid: str) -> bool:
    """End a run that this process wrote and is not in a call of; whether there was one."""
    for writer in list(_living):
        if writer.uuid == uuid and writer.recorder.is_idle():
            writer.end()
            return True
    return False


def _note(error: BaseException) -> None:
    """An exception is about to end the process, or a thread of it."""
    for writer in list(_living):
        writer.note_error(error)


def _after_cell(error: BaseException | None) -> None:
    """A notebook's cell has run: calls of Keras's that it made are over, ended or not."""
    for writer in list(_living):
        with writer.recorder.lock:
            place = writer.recorder.first_dead(())
            if place is not None:
                writer.died(error or endings.cause_of(place))


def _abandon_all() -> None:
    for writer in list(_living):
        writer.abandon()
    _living.clear()


os.register_at_fork(after_in_child=_abandon_all)
