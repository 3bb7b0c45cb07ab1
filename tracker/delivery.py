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
    TrackerError,
    WriterFenced,
)
from tracker.event import Record, canonical
from tracker.journal import JournalInfo, JournalReader, claimed, confirm, extend, fence, settle
from tracker.logs import encode
from tracker.projections import RunState
from tracker.store.port import EventStore, RunIdentity

_KILLED = "the process ended inside a call, without a word: killed, or out of memory"

#: Bytes of journal that make one append.
_BATCH_BYTES = 2**19


def collect_seldom() -> None:
    """Have Python look for cycles of garbage less often, in a process that is there to deliver.

    Records are many small objects and no cycles: looking would take a third of the time.
    """
    gc.set_threshold(50_000, 20, 100)


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
                with _translated(self.folder):
                    return self._step()
            except WriterFenced:
                fence(self.folder)
                raise
            except ConcurrencyConflict:
                with _translated(self.folder):
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
    return conclude(info.folder, identity, store, progress)


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
