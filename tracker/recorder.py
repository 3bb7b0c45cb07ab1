"""Hook calls → numbered events in the journal.

The recorder knows the grammar of hooks: how fit, validation, evaluate and predict nest.
It knows neither Keras nor SQL.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import get_ident
from time import time_ns
from typing import Any

from orjson import dumps

from tracker.event import PHASES
from tracker.journal import JournalWriter
from tracker.logs import Outputs, encode

_log = logging.getLogger("tracker")

_ENDS = {"train_end": "train", "test_end": "test", "predict_end": "predict"}

#: The hooks that a call of each phase can see; fit sees those of its validation too.
_SEEN_BY = {
    phase: frozenset(
        hook for hook, its in PHASES.items() if its == phase or (phase, its) == ("train", "test")
    )
    for phase in ("train", "test", "predict")
}

#: Where in the program a call was made: code and line of the functions on its stack,
#: outermost first; the last one is Keras's own method, whose line moves on. None where that
#: cannot be told.
Place = tuple[tuple[object, int], ...]


@dataclass(slots=True)
class _Call:
    """A fit, evaluate or predict that is going on."""

    number: int
    phase: str
    place: Place | None
    #: The epoch of the fit that this call is nested in.
    outer_epoch: int | None
    #: The current epoch, inside one.
    epoch: int | None
    #: Whether fit is running its validation.
    validating: bool = False


@dataclass(slots=True)
class _Thread:
    """The calls of one thread, outermost first, and whether Keras announced a new one."""

    calls: list[_Call] = field(default_factory=list)
    announced: bool = False


class Recorder:
    """Numbers one run's events and writes them to its journal.

    Its methods may be called from any thread; none of them raises. What goes wrong with the
    journal is reported once.
    """

    def __init__(
        self,
        journal: JournalWriter,
        outputs: Outputs = "summary",
        *,
        attempt: int = 1,
        next_call: int = 1,
    ) -> None:
        """Begin to number.

        Args:
            journal: Where to.
            outputs: What to keep of arrays in logs.
            attempt: Which attempt of the run this is.
            next_call: The number of its first call.
        """
        self.journal = journal
        self.outputs: Outputs = outputs
        self.attempt = attempt
        self._calls = next_call - 1
        #: The number of the outermost call that died last.
        self._died = next_call
        #: Held while events are numbered; for what takes several steps that belong together.
        self.lock = threading.RLock()
        self._threads: dict[int, _Thread] = {}
        #: Batch hooks that came from another thread than their call's.
        self.strays = 0
        # The thread of the last batch hook, its innermost call, and what that can see.
        self._ident = 0
        self._current: _Call | None = None
        self._seen: frozenset[str] = frozenset()
        self._closed = False
        self._troubled = False

    @property
    def seq(self) -> int:
        """The last seq that was given to an event."""
        return self.journal.last_seq

    def close(self) -> None:
        """Record no more batches: the journal is about to be closed."""
        with self.lock:
            self._closed = True
            self._ident = 0

    def fact(self, kind: str, data: Mapping[str, Any]) -> None:
        """Record a fact of the run's life."""
        with self.lock:
            self._write(kind, None, None, None, encode(dict(data)))

    def announce(self) -> None:
        """Keras called `set_model`: the next begin hook of this thread opens a new call."""
        with self.lock:
            self._thread().announced = True

    def begins_call(self, phase: str) -> bool:
        """Whether a begin hook of `phase` opens a call, rather than fit's validation.

        Keras runs validation on fit's own callback list, without announcing it; an
        evaluate of the user's own is announced, nested in a fit or not.
        """
        with self.lock:
            thread = self._thread()
            if phase != "test" or thread.announced or not thread.calls:
                return True
            return thread.calls[-1].phase != "train"

    def first_dead(self, place: Place | None) -> Place | None:
        """The place of this thread's outermost call, if a call at `place` shows it to be dead.

        There is no hook for a call that died of an exception. But a call that goes on has its
        functions on the stack, below those of any call that is nested in it. Dead calls are
        forgotten here. None: the outermost call lives, or there is none.
        """
        with self.lock:
            calls = self._thread().calls
            alive = 0
            while alive < len(calls) and _may_contain(calls[alive].place, place):
                alive += 1
            dead = calls[alive:]
            del calls[alive:]
            self._switch()
            if not dead or alive:
                return None
            self._died = dead[0].number
            return dead[0].place or ()

    def open_here(self) -> Place | None:
        """The place of this thread's outermost call; () where that is not known, None for none."""
        thread = self._threads.get(get_ident())
        calls = list(thread.calls) if thread else []
        return (calls[0].place or ()) if calls else None

    def is_open(self, call: tuple[int, int]) -> bool:
        """Whether a call (attempt, number) has begun and not ended, as far as hooks tell."""
        # Without the lock, which a finalizer must not wait for.
        attempt, number = call
        return attempt == self.attempt and any(
            open_call.number == number
            for thread in list(self._threads.values())
            for open_call in list(thread.calls)
        )

    def lose(self, call: tuple[int, int]) -> bool:
        """Forget a call that died, and those nested in it; whether it was an outermost one."""
        attempt, number = call
        with self.lock:
            for thread in self._threads.values() if attempt == self.attempt else ():
                numbers = [open_call.number for open_call in thread.calls]
                if number in numbers:
                    place = numbers.index(number)
                    del thread.calls[place:]
                    self._ident, self._current = 0, None
                    if place == 0:
                        self._died = number
                    return place == 0
            return False

    def is_idle(self) -> bool:
        """Whether no thread has a call open."""
        with self.lock:
            return not any(thread.calls for thread in self._threads.values())

    def begin_call(
        self, phase: str, place: Place | None, data: Mapping[str, Any]
    ) -> tuple[int, int]:
        """Open a call and record `call_began`; its begin hook follows.

        Returns:
            Which one it is: attempt and number.
        """
        with self.lock:
            thread = self._thread()
            thread.announced = False
            self._calls += 1
            epoch = thread.calls[-1].epoch if thread.calls else None
            call = _Call(self._calls, phase, place, epoch, epoch)
            parent = thread.calls[-1].number if thread.calls else None
            facts = {"phase": phase, "parent": parent, **data}
            self._write("call_began", call.number, epoch, None, encode(facts))
            thread.calls.append(call)
            self._switch()
            return self.attempt, call.number

    def resume(self, data: Mapping[str, Any]) -> None:
        """Begin the next attempt, which takes the place of the call that died."""
        with self.lock:
            self.attempt += 1
            self._calls = self._died - 1
            self.fact("run_resumed", data)

    def hook(self, kind: str, logs: Any, epoch: int | None = None) -> bool:
        """Record a hook that is not of a batch.

        Returns:
            Whether it ended this thread's outermost call.
        """
        epoch = None if epoch is None else _index(epoch)
        with self.lock:
            calls = self._thread().calls
            # A nested call that died in somebody's try block cannot see the outer one's hooks.
            while len(calls) > 1 and kind not in _SEEN_BY[calls[-1].phase]:
                calls.pop()
                self._switch()
            text = encode(logs, self.outputs)
            if not calls:  # called by hand, outside of any begin and end
                self._write(kind, None, epoch, None, text)
                return False
            call = calls[-1]
            if kind == "epoch_begin":
                call.epoch = epoch
            elif kind == "test_begin" and call.phase == "train":
                call.validating = True
            self._write(kind, call.number, call.epoch if epoch is None else epoch, None, text)
            if kind == "epoch_end":
                call.epoch = call.outer_epoch
            elif kind == "test_end" and call.validating:
                call.validating = False
            elif _ENDS.get(kind) == call.phase:
                calls.pop()
                self._switch()
                return not calls
            return False

    def batch(self, kind: str, batch: int, logs: Any, at: int | None = None) -> None:
        """Record a batch hook.

        Args:
            kind: One of the six batch kinds.
            batch: Keras's index, as given.
            logs: What the hook received.
            at: When it was invoked, if not now: microseconds since 1970 UTC.
        """
        with self.lock:
            if get_ident() == self._ident and kind in self._seen:
                call = self._current
            else:
                if self._closed:
                    return
                call = self._switch(kind)
            if type(batch) is not int:
                batch = _index(batch)  # type: ignore[assignment]
            text = encode(logs, self.outputs) if logs else "{}"
            number, epoch = (None, None) if call is None else (call.number, call.epoch)
            # As `_write`, without the time of a call: of all hooks, these are the ones that count.
            journal = self.journal
            if journal.unwritten is not None:
                self._finish()
            seq = journal.last_seq + 1
            when = time_ns() // 1000 if at is None else at
            body = dumps((seq, when, kind, self.attempt, number, epoch, batch, text))
            try:
                journal.append(seq, body)
            except OSError as error:
                self._trouble(error)

    def _thread(self) -> _Thread:
        return self._threads.setdefault(get_ident(), _Thread())

    def _switch(self, kind: str = "") -> _Call | None:
        """Make the calling thread's innermost call (that can see `kind`) the current one."""
        ident = get_ident()
        thread = self._threads.get(ident)
        if thread and thread.calls:
            while len(thread.calls) > 1 and kind and kind not in _SEEN_BY[thread.calls[-1].phase]:
                thread.calls.pop()  # it died in somebody's try block
            self._ident, self._current = ident, thread.calls[-1]
            self._seen = _SEEN_BY[self._current.phase]
            return self._current
        self._ident, self._current = 0, None  # look again at the next batch hook
        open_calls = [call for thread in self._threads.values() for call in thread.calls]
        if not kind or not open_calls:
            return None
        # A thread without a call is one of Keras's workers (JAX or torch, with the callback
        # passed bare): its batches belong to the latest call that can see them.
        self.strays += 1
        seeing = [call for call in open_calls if kind in _SEEN_BY[call.phase]]
        exact = [call for call in seeing if call.phase == PHASES[kind]]
        return max(exact or seeing, key=lambda call: call.number, default=None)

    def _write(
        self,
        kind: str,
        call: int | None,
        epoch: int | None,
        batch: int | None,
        text: str,
    ) -> None:
        journal = self.journal
        if journal.unwritten is not None:
            self._finish()
        seq = journal.last_seq + 1
        now = time_ns() // 1000
        body = dumps((seq, now, kind, self.attempt, call, epoch, batch, text))
        try:
            journal.append(seq, body)
        except OSError as error:
            self._trouble(error)

    def _finish(self) -> None:
        """Make good what an interrupt or the disk left unwritten: the next seq depends on it."""
        try:
            self.journal.finish()
        except OSError as error:
            self._trouble(error)

    def _trouble(self, error: OSError) -> None:
        if self._troubled:
            return
        self._troubled = True
        _log.warning(
            "The journal in %s cannot be written: %s. Training goes on; events are kept in "
            "memory until it can. Free some space there.",
            self.journal.folder,
            error.strerror or error,
        )


def _index(value: Any) -> int | None:
    """An epoch or batch as a Python integer; None for what is no number."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _may_contain(outer: Place | None, inner: Place | None) -> bool:
    """Whether a call at `inner` can be nested in a living call at `outer`."""
    if outer is None:
        # A training loop of the user's own: it may go on around any call of Keras's, and is
        # over when another such loop begins.
        return inner is not None
    if inner is None:
        return True
    callers, last = outer[:-1], len(outer) - 1
    inside = len(inner) > len(outer) and inner[last][0] is outer[last][0]
    return inside and inner[:last] == callers


class BatchSampler:
    """The policy `batches=N`: every N-th batch pair, and each epoch's last.

    Which pair is the last one is known only when something else follows, so a skipped pair
    is held back until then.
    """

    def __init__(self, every: int, write: Callable[[str, int, Any, int], None]) -> None:
        self._every = every
        self._write = write
        self._seen = 0
        self._begin: tuple[str, int, Any, int] | None = None
        self._pair: list[tuple[str, int, Any, int]] = []

    def batch(self, kind: str, batch: int, logs: Any) -> None:
        """Take a batch hook: write it now, hold it back, or let it go."""
        entry = (kind, batch, dict(logs or {}), time_ns() // 1000)
        if kind.endswith("begin"):
            self._begin = entry
            return
        pair = [self._begin, entry] if self._begin else [entry]
        self._begin = None
        wanted = self._seen % self._every == 0
        self._seen += 1
        self._pair = pair
        if wanted:
            self.flush()

    def flush(self) -> None:
        """Write the pair that is held back: it was the last one."""
        for entry in self._pair:
            self._write(*entry)
        self._pair = []

    def restart(self) -> None:
        """A new row of batches begins: count from here."""
        self.flush()
        self._begin = None
        self._seen = 0
