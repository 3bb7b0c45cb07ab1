"""Journal → store: one journal's records, in batches, from where the store's stream ends."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tracker.errors import (
    ConcurrencyConflict,
    JournalCorrupt,
    JournalFailure,
    JournalLocked,
    RunPurged,
    StoreLostEvents,
    TrackerError,
    WriterFenced,
)
from tracker.event import Record, canonical, renumbered
from tracker.journal import (
    JournalInfo,
    JournalMeta,
    JournalReader,
    claimed,
    confirm,
    extend,
    fence,
    meta_of,
    settle,
)
from tracker.logs import encode
from tracker.projections import RunState
from tracker.store.port import EventStore, RunIdentity

_KILLED = "the process ended inside a call, without a word: killed, or out of memory"

#: How often an append begins again behind facts that were stated meanwhile.
_CONFLICTS = 5

#: Bytes of journal that make one append.
_BATCH_BYTES = 2**19


def collect_seldom() -> None:
    """Have Python look for cycles of garbage less often, in a process that is there to deliver.

    Records are many small objects and no cycles: looking would take a third of the time.
    """
    gc.set_threshold(50_000, 20, 100)


def identity_of(meta: JournalMeta) -> RunIdentity:
    """The run that a journal is of, and its writer."""
    return RunIdentity(
        uuid=meta.uuid,
        name=meta.name,
        writer=meta.writer,
        replaces=meta.replaces,
        version=meta.version,
    )


class Delivery:
    """Moves one journal's records to a store, from where the store's stream ends."""

    def __init__(self, folder: Path, identity: RunIdentity, store: EventStore) -> None:
        self.folder = folder
        self._identity = identity
        self._store = store
        self._reader = JournalReader(folder)
        #: The last seq of the journal's that the store is known to have; None: it has to be asked.
        self.confirmed: int | None = None
        #: How many facts by hand the store has of the run. A writer does not know of them, so the
        #: seq of each of its records is by so many higher there.
        self._by_hand = 0

    def locate(self) -> int:
        """Ask the store where the stream ends, and go on from there; returns that seq.

        Raises:
            StoreLostEvents: It has less than what was stored before this journal began.
            TrackerError: The store or the journal refused.
        """
        with _translated(self.folder):
            return self._locate()

    def _locate(self) -> int:
        found = self._find()
        if found + 1 < self._reader.first:
            self._deliver_earlier()
            found = self._find()
        if found + 1 < self._reader.first:
            raise StoreLostEvents(
                f"The store has run {self._identity.name!r} up to event {found} only, and its "
                f"journal {self.folder} begins with event {self._reader.first}: what an earlier "
                "attempt had stored is gone. If that one's journal is still there, on the machine "
                "where it ran, do there: tracker journal ship --again"
            )
        self._reader.seek(found)
        self.confirmed = found
        return found

    def _find(self) -> int:
        run = self._store.find(self._identity.uuid)
        self._by_hand = run.state.by_hand if run else 0
        return run.state.last_seq - self._by_hand if run else 0

    def _deliver_earlier(self) -> None:
        """Bring back what the store had of earlier attempts, where their journals are still here.

        A failover to a standby that lagged behind may lose what was stored before.
        """
        for folder in sorted(self.folder.parent.glob(f"{self._identity.uuid}*")):
            meta = meta_of(folder)
            if meta and JournalReader(folder).first < self._reader.first:
                earlier = Delivery(folder, identity_of(meta), self._store)
                # One that is fenced, or lacks events itself, is of no help.
                with contextlib.suppress(TrackerError), contextlib.closing(earlier):
                    while earlier.step():
                        pass

    def step(self) -> int:
        """Append the next batch; returns the number of records, 0 when there are none.

        Raises:
            TrackerError: The store or the journal refused. After any error the store is
                asked again where the stream ends: it may be further than we know (a commit
                whose answer was lost), or less far (a failover that lost its last events).
        """
        for last in (*[False] * _CONFLICTS, True):
            try:
                with _translated(self.folder):
                    return self._step()
            except RunPurged:
                settle(self.folder)  # nothing is to be kept of it
                raise
            except WriterFenced:
                fence(self.folder)
                raise
            except ConcurrencyConflict:  # somebody has stated a fact meanwhile
                self.confirmed = None
                if last:
                    raise
            except BaseException:
                self.confirmed = None
                raise
        raise AssertionError

    def _step(self) -> int:
        expected = self.locate() if self.confirmed is None else self.confirmed
        records = self._reader.read(_BATCH_BYTES)
        if records:
            moved = renumbered(records, self._by_hand)
            self._store.append(self._identity, moved, expected_seq=expected + self._by_hand)
            self.confirmed = records[-1].seq
            confirm(self.folder, self.confirmed)
        return len(records)

    def close(self) -> None:
        """Close the journal."""
        self._reader.close()


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
    return conclude(info.folder, identity_of(info.meta), store, progress)


def conclude(
    folder: Path,
    identity: RunIdentity,
    store: EventStore,
    progress: Callable[[int], None] | None = None,
    *,
    shipping: bool = False,
) -> int:
    """As `deliver`, of a journal whose folder and run are known; `shipping` as for `claimed`."""
    with _translated(folder), claimed(folder, shipping=shipping):
        delivery = Delivery(folder, identity, store)
        try:
            delivered = 0
            while count := delivery.step():
                delivered += count
                if progress and delivery.confirmed:
                    progress(delivery.confirmed)
            run = store.find(identity.uuid)
            if run and run.state.open_calls:
                crash = crashed(run.state, _KILLED)
                crash = crash._replace(seq=crash.seq - run.state.by_hand)
                extend(folder, crash.seq, canonical(crash))
                delivered += delivery.step()
            settle(folder)
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
        if not info.waiting or not info.meta or info.meta.store != store_name:
            continue
        try:
            outcomes[info.meta.name] = deliver(info, store)
        except JournalLocked:
            continue  # somebody else is at it
        except TrackerError as error:
            outcomes[info.meta.name] = error
    return outcomes


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    """Raise ours in place of the system's errors."""
    try:
        yield
    except TrackerError:
        raise
    except OSError as error:
        raise JournalFailure(
            f"The journal {folder} cannot be read or written: {error.strerror or error}. See to "
            "the disk and the rights there, then: tracker journal ship"
        ) from error


def crashed(state: RunState, reason: str, **more: Any) -> Record:
    """The fact that a run's writer ended without a word, to be appended next.

    Args:
        state: The run as it is.
        reason: What is known of it.
        more: What else the fact carries.
    """
    return Record(
        seq=state.last_seq + 1,
        at=time.time_ns() // 1000,
        kind="run_crashed",
        attempt=state.attempt,
        call=None,
        epoch=None,
        batch=None,
        logs=encode({"reason": reason, "last_at": state.last_at, **more}),
    )
