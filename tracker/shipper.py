"""Journal → store, in the background."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tracker.errors import (
    ConcurrencyConflict,
    InvalidEvents,
    JournalCorrupt,
    JournalLocked,
    SchemaMismatch,
    TrackerError,
    WriterFenced,
)
from tracker.event import Record, canonical
from tracker.forking import ForkGuard
from tracker.journal import (
    JournalReader,
    claimed,
    confirm,
    extend,
    settle,
)
from tracker.journals import JournalInfo
from tracker.logs import encode
from tracker.projections import RunState
from tracker.store.port import EventStore, RunIdentity

_log = logging.getLogger("tracker")

#: Pauses between looks at the journal, in seconds: while events arrive, and at the most.
_PAUSE, _PAUSE_IDLE = 0.1, 0.5

#: Pauses between tries while the store is away, in seconds: at first, and at the most.
_RETRY, _RETRY_MOST = 0.1, 2.0

#: Bytes of journal that make one append.
_BATCH_BYTES = 2**18

#: What no later try will cure.
_FINAL = (WriterFenced, InvalidEvents, JournalCorrupt)


class Delivery:
    """Moves one journal's records to a store, from where the store's stream ends."""

    def __init__(self, folder: Path, identity: RunIdentity, store: EventStore) -> None:
        self.folder = folder
        self._identity = identity
        self._store = store
        self._reader = JournalReader(folder)
        #: The last seq that the store is known to have; None: it has to be asked.
        self.confirmed: int | None = None

    def locate(self) -> int:
        """Ask the store where the stream ends, and go on from there; returns that seq."""
        run = self._store.find(self._identity.uuid)
        self.confirmed = run.state.last_seq if run else 0
        self._reader.seek(self.confirmed)
        return self.confirmed

    def step(self) -> int:
        """Append the next batch; returns the number of records, 0 when there are none.

        Raises:
            TrackerError: The store or the journal refused. After any error the store is
                asked again where the stream ends: it may be further than we know (a commit
                whose answer was lost), or less far (a failover that lost its last events).
        """
        try:
            try:
                return self._step()
            except WriterFenced:
                raise
            except ConcurrencyConflict:
                self.locate()
                return self._step()
        except BaseException:
            self.confirmed = None
            raise

    def _step(self) -> int:
        expected = self.locate() if self.confirmed is None else self.confirmed
        records = self._reader.read(_BATCH_BYTES)
        if records:
            self._store.append(self._identity, records, expected_seq=expected)
            self.confirmed = records[-1].seq
            confirm(self.folder, self.confirmed)
        return len(records)

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()


class Shipper:
    """Ships a living run's journal from a daemon thread.

    Training never waits for it, but in `flush`.
    """

    def __init__(
        self, folder: Path, identity: RunIdentity, open_store: Callable[[], EventStore]
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._open_store = open_store
        self._store: EventStore | None = None
        self._delivery: Delivery | None = None
        self._confirmed = 0
        self._reported: type[TrackerError] | None = None
        self._stopped: TrackerError | None = None
        self._failures = 0
        self._closing = False
        self._guard = ForkGuard(self._disconnect)
        self._wake = threading.Event()
        self._progress = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="tracker-shipper", daemon=True)
        self._thread.start()

    def flush(self, seq: int, timeout: float) -> bool:
        """Wait until the store has the events up to `seq`.

        Returns early when the store is away: after one failed try that began after this call.

        Args:
            seq: The seq to wait for.
            timeout: The longest wait in seconds.

        Returns:
            Whether the store has them.
        """
        deadline = time.monotonic() + timeout
        with self._progress:
            failures = self._failures
            self._wake.set()
            while self._confirmed < seq and self._failures <= failures and not self._stopped:
                left = deadline - time.monotonic()
                if left <= 0 or not self._thread.is_alive():
                    break
                self._progress.wait(min(left, 0.2))
            return self._confirmed >= seq

    def close(self, seq: int, timeout: float) -> bool:
        """Flush, stop the thread, and give up the store's connections."""
        done = self.flush(seq, timeout)
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        return done

    def _run(self) -> None:
        pause = _PAUSE
        while True:
            closing = self._closing  # asked before the step: what was written by then is shipped
            try:
                with self._guard:
                    shipped = self._step()
            except TrackerError as error:
                pause = self._failed(error, pause)
            except Exception as error:  # noqa: BLE001 - a daemon thread has nobody to raise to
                pause = self._failed(TrackerError(f"The shipper failed: {error!r}."), pause)
            else:
                if shipped and not closing:
                    pause = _PAUSE
                    continue
                pause = min(pause * 1.5, _PAUSE_IDLE)
            if closing or self._stopped:
                break
            self._wake.wait(pause)
            self._wake.clear()
        with self._guard:
            self._disconnect()

    def _step(self) -> int:
        if self._store is None or self._delivery is None:
            self._store = self._open_store()
            self._delivery = Delivery(self._folder, self._identity, self._store)
            self._delivery.locate()
        began = self._delivery.confirmed == 0
        shipped = self._delivery.step()
        if shipped and began:
            self._tell_name(self._store)
        with self._progress:
            self._confirmed = self._delivery.confirmed or 0
            if self._reported is not None:
                self._reported = None
                _log.warning("The store answers again; run %r goes on.", self._identity.name)
            self._progress.notify_all()
        return shipped

    def _tell_name(self, store: EventStore) -> None:
        run = store.find(self._identity.uuid)
        if run and run.name != self._identity.name:
            _log.warning(
                "There is a run %r already; this one is called %r.", self._identity.name, run.name
            )

    def _failed(self, error: TrackerError, pause: float) -> float:
        """Report an error once; returns the pause before the next try."""
        with self._guard:
            self._disconnect()
        with self._progress:
            self._failures += 1
            if isinstance(error, _FINAL):
                self._stopped = error
            if self._reported is not type(error):
                self._reported = type(error)
                _log.warning(
                    "%s Training goes on; the events of run %r are kept in %s%s",
                    error,
                    self._identity.name,
                    self._folder,
                    "."
                    if self._stopped
                    else " and delivered when the store allows it, by this "
                    "process or by `tracker journal ship`.",
                )
            self._progress.notify_all()
        if isinstance(error, SchemaMismatch):
            return _RETRY_MOST
        # Trainers that lost the same database must not all come back at the same moment.
        return min(max(pause * 2, _RETRY), _RETRY_MOST) * (0.75 + secrets.randbelow(50) / 100)

    def _disconnect(self) -> None:
        if self._delivery:
            self._delivery.close()
        if self._store:
            self._store.close()
        self._store = self._delivery = None


def deliver(
    info: JournalInfo, store: EventStore, progress: Callable[[int], None] | None = None
) -> int:
    """Deliver a dead writer's journal, and record that the run crashed if it was cut off.

    Args:
        info: The journal.
        store: Its store.
        progress: Called with the seq that was reached, after each batch.

    Returns:
        The number of events that the store did not have before.

    Raises:
        JournalLocked: The writer lives, or another process is delivering it.
        TrackerError: The store or the journal refused; what was delivered stays.
    """
    if info.meta is None:
        raise JournalCorrupt(f"{info.folder} cannot be delivered: {info.problem}.")
    identity = RunIdentity(uuid=info.meta.uuid, name=info.meta.name, writer=info.meta.writer)
    with claimed(info.folder):
        delivery = Delivery(info.folder, identity, store)
        try:
            delivered = 0
            while count := delivery.step():
                delivered += count
                if progress and delivery.confirmed:
                    progress(delivery.confirmed)
            run = store.find(identity.uuid)
            if run and run.state.open_calls:
                crash = _crash(run.state)
                extend(info.folder, crash.seq, canonical(crash))
                delivered += delivery.step()
            settle(info.folder)
            return delivered
        finally:
            delivery.close()


def deliver_all(
    infos: list[JournalInfo], store: EventStore, store_name: str
) -> dict[str, int | TrackerError]:
    """Deliver every dead writer's journal that is meant for a store.

    Args:
        infos: A listing of journals.
        store: The store.
        store_name: Its URL without passwords, as journals name it.

    Returns:
        By run name: how many events were delivered, or why they were not.
    """
    outcomes: dict[str, int | TrackerError] = {}
    for info in infos:
        if not info.meta or info.alive or info.settled or info.meta.store != store_name:
            continue
        try:
            outcomes[info.meta.name] = deliver(info, store)
        except JournalLocked:
            continue  # somebody else is at it
        except TrackerError as error:
            outcomes[info.meta.name] = error
    return outcomes


def _crash(state: RunState) -> Record:
    data = {
        "reason": "the process ended inside a call, without a word: killed, or out of memory",
        "last_at": state.last_at,
    }
    return Record(
        seq=state.last_seq + 1,
        at=time.time_ns() // 1000,
        kind="run_crashed",
        attempt=state.attempt,
        call=None,
        epoch=None,
        batch=None,
        logs=encode(data),
    )
